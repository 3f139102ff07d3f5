"""Whether a run goes on; that its lock dies with its process is tested in `fault`."""

import os
from pathlib import Path

import pytest

from batchrun.errors import JournalError
from batchrun.journal.alive import RunLock, is_alive
from batchrun.journal.places import RunDir, StateDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return StateDir(tmp_path / "state").make("20260101-000000-0001")


def test_a_run_goes_on_from_its_lock_to_its_release(run: RunDir) -> None:
    assert not is_alive(run)
    lock = RunLock(run.lock)
    assert is_alive(run)
    lock.release()
    assert not is_alive(run)


def test_those_who_look_do_not_take_each_other_for_the_run(run: RunDir) -> None:
    RunLock(run.lock).release()
    assert [is_alive(run) for _ in range(3)] == [False] * 3


def test_releasing_again_does_nothing(run: RunDir) -> None:
    lock = RunLock(run.lock)
    lock.release()
    other = RunLock(run.lock)
    lock.release()
    assert is_alive(run)
    other.release()


def test_the_lock_says_for_people_who_holds_it_and_is_for_its_owner_only(run: RunDir) -> None:
    before = os.umask(0)
    try:
        lock = RunLock(run.lock)
    finally:
        os.umask(before)
    assert run.lock.read_text() == f"{os.getpid()}\n"
    assert run.lock.stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_lock_that_is_a_link_is_followed_by_nobody(run: RunDir, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    run.lock.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        RunLock(run.lock)
    with pytest.raises(JournalError, match=f"the lock of run {run.run_id} cannot be looked at"):
        is_alive(run)
    assert target.read_text() == "kept"
