"""The files of machine locks: who has them, and what becomes of them."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchrun.engine.machine import MachineLocks
from batchrun.engine.presence import Presence, presence_path
from support import wait_until


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "machine"


def test_two_runs_exclude_each_other_and_two_names_do_not(directory: Path) -> None:
    ours, theirs = MachineLocks(directory), MachineLocks(directory)
    assert ours.try_take(["x"])
    assert not theirs.try_take(["x"])
    assert theirs.try_take(["y"])
    ours.release(["x"])
    assert theirs.try_take(["x"])
    theirs.close()


def test_all_names_are_taken_or_none(directory: Path) -> None:
    ours, theirs = MachineLocks(directory), MachineLocks(directory)
    assert theirs.try_take(["b"])
    assert not ours.try_take(["a", "b", "c"])
    assert theirs.try_take(["a", "c"])
    theirs.close()
    assert ours.try_take(["a", "b", "c"])
    ours.close()


def test_closing_lets_go_of_everything(directory: Path) -> None:
    ours, theirs = MachineLocks(directory), MachineLocks(directory)
    assert ours.try_take(["x", "y"])
    ours.close()
    assert theirs.try_take(["x", "y"])
    theirs.close()


def test_nothing_is_on_disk_before_the_first_lock_is_taken(directory: Path) -> None:
    MachineLocks(directory).close()
    assert not directory.parent.exists()


def test_files_stay_behind_are_private_and_tell_the_process(directory: Path) -> None:
    before = os.umask(0)
    try:
        locks = MachineLocks(directory)
        assert locks.try_take(["rack a/1"])
        path = locks.path("rack a/1")
        held = path.read_text()
        locks.close()
    finally:
        os.umask(before)
    modes = [one.stat().st_mode & 0o777 for one in (directory.parent, directory, path)]
    assert modes == [0o700, 0o700, 0o600]
    assert path.name.startswith("rack-a-1-")
    assert held.strip("\0") == f"{os.getpid()}\n"
    assert path.read_text().strip("\0") == ""


def test_locks_of_a_run_that_is_alive_without_its_process_are_not_had(
    directory: Path, tmp_path: Path
) -> None:
    theirs, ours = (Presence(presence_path(tmp_path / "state", name)) for name in "ab")
    locks = MachineLocks(directory, theirs)
    assert locks.try_take(["x", "y"])
    for name in ("x", "y"):  # as the kernel does when their process dies
        os.close(locks._held.pop(name))
    others = MachineLocks(directory, ours)
    assert not others.try_take(["a", "y"])
    theirs.close()
    assert others.try_take(["a", "x", "y"])
    others.close()
    ours.close()


def test_without_a_presence_no_lock_is_had_and_the_file_of_the_lock_is_named(
    directory: Path,
) -> None:
    locks = MachineLocks(directory, OSError(errno.EROFS, "Read-only file system", "presence"))
    with pytest.raises(OSError, match="Read-only file system") as caught:
        locks.try_take(["x"])
    assert caught.value.filename == os.fspath(locks.path("x"))
    other = MachineLocks(directory)
    assert other.try_take(["x"])
    other.close()


def test_a_program_started_meanwhile_does_not_inherit_a_lock(directory: Path) -> None:
    ours, theirs = MachineLocks(directory), MachineLocks(directory)
    assert ours.try_take(["x"])
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        close_fds=False,
    ):
        ours.close()
        # The kernel lets us go on a moment before it has closed what the program must not have.
        wait_until(lambda: theirs.try_take(["x"]), 10, "nobody holds the lock")
    theirs.close()


def test_a_name_that_is_not_utf8_is_a_name_like_any_other(directory: Path) -> None:
    locks = MachineLocks(directory)
    assert locks.try_take(["\udcff"])
    locks.close()


def test_a_link_in_place_of_a_lock_is_an_error_that_names_the_file(
    directory: Path, tmp_path: Path
) -> None:
    locks = MachineLocks(directory)
    directory.mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_text("keep")
    locks.path("b").symlink_to(target)
    with pytest.raises(OSError, match=r"machine/b-") as caught:
        locks.try_take(["a", "b"])
    assert caught.value.filename == os.fspath(locks.path("b"))
    assert target.read_text() == "keep"
    other = MachineLocks(directory)
    assert other.try_take(["a"])
    other.close()


def test_a_lock_that_somebody_holds_by_hand_is_busy(directory: Path) -> None:
    locks = MachineLocks(directory)
    assert locks.try_take(["x"])
    locks.close()
    with locks.path("x").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not locks.try_take(["x"])
    assert locks.try_take(["x"])
    locks.close()
