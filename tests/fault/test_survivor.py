"""The shell that ends what a killed process has started: whenever that was, and without Python."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchrun.ops.survivor import Survivor, keep_open, let_go, new_cookie
from support import environ_of, processes_with_environ, wait_until

pytestmark = pytest.mark.timeout(120)

#: Starts what ignores TERM, and a child of it that leaves the session; then waits to be killed.
PARENT = """
import os, subprocess, sys
from batchrun.ops.survivor import Survivor, new_cookie
cookie = new_cookie("ITEMS")
survivor = Survivor(0.3)
PREPARE
survivor.watch(cookie)
child = subprocess.Popen(
    ["sh", "-c", "trap '' TERM; setsid sleep 1000 & sleep 1001; sleep 1002"],
    start_new_session=True, env={**os.environ, "BATCHRUN_ITEMS": cookie.partition("=")[2]},
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
)
NOTE
print(cookie, flush=True)
sys.stdin.read()
survivor.close()
"""
NOTE = "survivor.watch(cookie, child.pid)"


@contextmanager
def parent(prepare: str = "", note: str = NOTE) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a process that watches what it has started; yield it and the cookie."""
    code = PARENT.replace("PREPARE", prepare).replace("NOTE", note)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        cookie = process.stdout.readline().strip()
        wait_until(lambda: len(processes_with_environ(cookie)) == 3, 20, "all are there")
        try:
            yield process, cookie
        finally:
            process.kill()
            for pid in processes_with_environ(cookie):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("note", [NOTE, ""], ids=["started", "just being started"])
def test_what_a_killed_process_has_started_is_ended(note: str) -> None:
    with parent(note=note) as (process, cookie):
        process.kill()
        wait_until(lambda: not processes_with_environ(cookie), 20, "nothing of it is left")


def test_what_runs_when_the_process_lets_go_is_ended_first() -> None:
    with parent() as (process, cookie):
        process.communicate(timeout=20)
        assert process.returncode == 0
        assert processes_with_environ(cookie) == []


def test_what_may_go_on_is_left_alone() -> None:
    with parent(note="survivor.rest()") as (process, cookie):
        process.kill()
        process.wait()
        assert len(processes_with_environ(cookie)) == 3


def test_without_python_the_group_is_killed_at_once() -> None:
    """Such as without memory, which is what batchrun may have been killed for."""
    with parent(prepare="sys.executable = '/nonexistent'") as (process, cookie):
        process.kill()
        wait_until(lambda: len(processes_with_environ(cookie)) == 1, 20, "the group is gone")
        (other,) = processes_with_environ(cookie)
        assert b"1000" in Path(f"/proc/{other}/cmdline").read_bytes()


def test_any_number_of_descriptors_is_kept_whatever_their_numbers(tmp_path: Path) -> None:
    files = [os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY) for number in range(20)]
    for descriptor in files:
        keep_open(descriptor)
    survivor = Survivor(0.0)
    survivor.start()
    try:
        for descriptor in files:
            let_go(descriptor)
            os.close(descriptor)
        assert len(survivor.handed) == 22
        links = [os.readlink(f"/proc/{survivor._pid}/fd/{number}") for number in range(24)]
        assert links[0].startswith("pipe:")
        assert links[1:3] == [os.devnull] * 2
        assert "board" in links[3]
        assert links[4:] == [str(tmp_path / str(number)) for number in range(20)]
    finally:
        pid = survivor._pid
        survivor.close()
    assert not environ_of(pid)


def test_a_shell_that_was_killed_is_no_error() -> None:
    survivor = Survivor(0.0)
    survivor.watch(new_cookie("SECRET"))
    os.kill(survivor._pid, signal.SIGKILL)
    survivor.watch(new_cookie("SECRET"), 1 << 22)
    survivor.rest()
    survivor.close()
    assert survivor.handed == ()
