"""Commands on hosts when the connection ends, or batchrun is killed: they end, too."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from batchrun.model.outcome import Lost, Ok
from batchrun.remote.launch import mark_of
from command_context import when
from local_host import LocalHost, local_host
from program import Program
from sshd import Sshd
from support import processes_with_environ, wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path, kill_grace_s=0.1) as made:
        yield made


def in_group(leader: int) -> list[int]:
    """Return the ids of the processes of a group, zombies left out."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.append(int(name))
    return found


@pytest.mark.parametrize(
    "command",
    [
        "touch begun; sleep 60",
        "sleep 61 & touch begun; wait",
        "trap '' TERM HUP; touch begun; while :; do sleep 1; done",
        "PATH=/none; : > begun; while :; do :; done",
    ],
)
def test_a_command_ends_when_its_connection_breaks(host: LocalHost, command: str) -> None:
    with when((host.home / "begun").exists, partial(host.session.cut, 0)):
        done = host.do("run", command=command)
    assert isinstance(done.outcome, Lost)
    wait_until(lambda: not processes_with_environ(mark_of(host)), 30, "nothing runs there")
    (channel,) = host.session.channels
    wait_until(lambda: not in_group(channel.process.pid), 30, "nobody watches any more")


def test_what_a_command_leaves_in_the_background_is_left_alone(host: LocalHost) -> None:
    done = host.do("run", command="sleep 60 >/dev/null 2>&1 & echo $!")
    assert isinstance(done.outcome, Ok)
    pid = int(done.output.stdout.head)
    (channel,) = host.session.channels
    try:
        wait_until(lambda: in_group(channel.process.pid) == [pid], 30, "nobody watches any more")
        assert done.warnings == ()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_command_has_no_child_that_it_did_not_start(host: LocalHost) -> None:
    code = """
import os
try:
    os.wait()
except ChildProcessError:
    print("none", os.listdir("/proc/self/fd"))
"""
    done = host.do("run", command=("python3", "-c", code))
    assert isinstance(done.outcome, Ok), done.output
    assert done.output.stdout.head == b"none ['0', '1', '2', '3']\n"


@pytest.mark.parametrize("words", [("sleep 1000",), ("--script", "long.sh")])
def test_what_a_killed_run_has_begun_on_hosts_ends_and_its_script_goes(
    words: tuple[str, ...], tmp_path: Path, sshd: Sshd
) -> None:
    before = set(os.listdir("/tmp"))
    (tmp_path / "long.sh").write_text("sleep 1000\n")
    with Program(tmp_path) as program:
        env = {"BATCHRUN_SSH_CONFIG": str(sshd.ssh_config)}
        run = program.start("exec", "-w", "127.0.0.[1-2]", *words, env=env)
        asleep = partial(_sleeping, sshd)
        run.until(lambda: len(asleep()) == 2, "the commands run")
        run.send(signal.SIGKILL)
        run.end()
    wait_until(lambda: not asleep(), 30, "they have ended")

    def left() -> set[str]:
        return {name for name in os.listdir("/tmp") if name.startswith(".br-")} - before

    wait_until(lambda: not left(), 30, "the scripts are gone")


def _sleeping(server: Sshd) -> list[int]:
    words = {pid: _cmdline(pid) for pid in server.commands()}
    return [pid for pid, line in words.items() if line == b"sleep\0001000\0"]


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
