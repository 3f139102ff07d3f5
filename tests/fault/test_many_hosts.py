"""Servers that take few logins at once, and machines that may have few files open."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.remote.budget import descriptor_budget
from batchrun.remote.links import Limits
from hosts import (
    UnitContext,
    answer,
    at_once,
    collect,
    connect,
    fleet_of,
    host_at,
    nothing_left,
    send_for_ever,
)
from sshd import loopback, running_sshd
from support import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


def test_forty_at_once_get_into_a_server_that_takes_three() -> None:
    """All are at one address, so that they must find out together how many it takes."""
    with running_sshd("MaxStartups 3:50:6") as server:
        with fleet_of(file=server.ssh_config) as fleet:
            sessions = at_once(40, lambda _: connect(fleet, host_at(loopback(1))))
            assert len({id(session) for session in sessions}) == 40
        assert "MaxStartups" in server.log()  # it did drop some


def run_with_few_descriptors(config: str, hosts: int, jump: str = "") -> tuple[str, str]:
    """Log in to so many hosts in a process that may have 256 files open; return what it wrote."""
    script = Path(__file__).with_name("few_descriptors.py")
    paths = [str(Path(__file__).parent.parent), *sys.path]
    ended = subprocess.run(
        [sys.executable, str(script), config, str(hosts), "256", jump],
        env={**os.environ, "PYTHONPATH": ":".join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    return ended.stdout, ended.stderr


def test_three_hundred_hosts_with_256_descriptors() -> None:
    with running_sshd() as server:
        assert run_with_few_descriptors(str(server.ssh_config), 300) == ("300 of 300\n", "")
        assert server.logins() == 300


def test_more_hosts_behind_a_bastion_than_descriptors_allow_at_once(tmp_path: Path) -> None:
    with running_sshd() as server, running_sshd(key=server.key) as bastion:
        known = f"UserKnownHostsFile {server.known_hosts} {bastion.known_hosts}"
        config = tmp_path / "config"
        config.write_text(f"Host *\n  {known}\n  Include {server.ssh_config}\n")
        jump = f"{loopback(250)}:{bastion.port}"
        assert run_with_few_descriptors(str(config), 150, jump) == ("150 of 150\n", "")
        assert (bastion.logins(), server.logins()) == (1, 150)


def test_the_budget_raises_the_soft_limit_and_says_what_is_missing() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource; from batchrun.remote.budget import descriptor_budget;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, 1000)); found = descriptor_budget();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], found.most, found.remark)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    limit, most, remark = done.stdout.split(maxsplit=2)
    assert int(limit) == 1000
    assert 400 < int(most) < 470
    assert f"At most {most} connections" in remark
    assert "only 1000 files may be" in remark
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_where_there_is_enough_nothing_is_said() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert descriptor_budget().remark == ""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_host_that_is_frozen_under_a_command_is_given_up() -> None:
    limits = Limits(alive=(0.3, 3))
    with running_sshd() as server, fleet_of(file=server.ssh_config, limits=limits) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        channel = session.open_channel("echo begun; exec sleep 1000", UnitContext())
        wait_until(lambda: channel.read(100), 30, "the command runs")
        for pid in server.sessions():
            os.kill(pid, signal.SIGSTOP)
        got = collect(channel)
        assert "has not answered for" in got.broken
        assert got.status is None


def test_sending_to_a_host_that_is_frozen_never_blocks_and_ends() -> None:
    limits = Limits(alive=(0.3, 3))
    with running_sshd() as server, fleet_of(file=server.ssh_config, limits=limits) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        channel = session.open_channel("exec cat >/dev/null", UnitContext())
        channel.wait(10, to_send=True)
        assert channel.send(b"x" * 1000) == 1000
        for pid in server.sessions():
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ConnectionError):
            send_for_ever(channel)
        assert channel.broken


def test_who_was_frozen_himself_does_not_take_the_host_for_gone() -> None:
    """The clock goes on while this process is stopped; the host must be asked before."""
    limits = Limits(alive=(0.3, 3))
    with running_sshd() as server, fleet_of(file=server.ssh_config, limits=limits) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        session.link.wire.packetizer.heard -= 1000  # as if it had slept
        then = session.link.wire.packetizer.heard
        wait_until(lambda: session.link.wire.packetizer.heard > then, 10, "the host answers")
        assert answer(session, "sleep 1; echo ok").out == b"ok\n"
        assert server.logins() == 1


def test_a_frozen_host_holds_up_no_other_one() -> None:
    with running_sshd() as server, fleet_of(file=server.ssh_config) as fleet:
        frozen = connect(fleet, host_at(loopback(1)))
        (pid,) = server.sessions()
        os.kill(pid, signal.SIGSTOP)
        assert answer(connect(fleet, host_at(loopback(2))), "echo ok").out == b"ok\n"
        os.kill(pid, signal.SIGCONT)
        assert answer(frozen, "echo ok").out == b"ok\n"
