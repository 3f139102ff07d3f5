"""The name and the file of a lock; who else holds it is tested in `fault`."""

import errno
import fcntl
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine import lockfile
from batchrun.engine.lockfile import hold, lock_path
from batchrun.engine.presence import Presence, presence_path
from batchrun.errors import BatchrunError, LockHeldError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return lock_path(tmp_path / "state", "nightly")


def test_a_name_stays_readable_in_the_name_of_the_file() -> None:
    made = lock_path(Path("/var/lib/batchrun"), "/etc/jobs/nightly backup.yml")
    assert made.parent == Path("/var/lib/batchrun/locks")
    assert made.name.startswith("etc-jobs-nightly-backup.yml-")
    assert made.suffix == ".lock"


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_name_gives_one_plain_short_file_name(name: str) -> None:
    made = lock_path(Path("/state"), name)
    assert made.parent == Path("/state/locks")
    assert made.name.isascii()
    assert len(made.name) < 100
    assert not made.name.startswith((".", "-"))


def test_names_that_look_alike_once_cleaned_are_different_locks() -> None:
    names = ("a b", "a-b", "a/b", "a\tb", "\udcff", "\udcfe")
    assert len({lock_path(Path("/s"), name) for name in names}) == len(names)


def test_a_long_name_keeps_its_end_which_tells_more() -> None:
    made = lock_path(Path("/s"), "/very/long/" * 50 + "report.yml")
    assert "report.yml" in made.name


def test_the_holder_writes_down_its_process(path: Path) -> None:
    with hold(path, "nightly"):
        assert path.read_text(encoding="ascii").strip("\0") == f"{os.getpid()}\n"
    assert path.read_text(encoding="ascii").strip("\0") == ""


def _die(path: Path, present: Presence) -> None:
    """Hold a lock, and leave behind what a killed process leaves."""
    with hold(path, "nightly") as lock:
        lock.sign(present)
        message = "dead"
        raise RuntimeError(message)


def test_a_lock_of_a_run_that_is_alive_without_its_process_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockfile, "_ENDING_S", 0.0)
    present = Presence(presence_path(tmp_path / "state", "x"))
    with pytest.raises(RuntimeError, match="dead"):
        _die(path, present)
    who = rf"process {os.getpid()}, which was killed: .* still ending \(process {os.getpid()}\)"
    with (
        pytest.raises(LockHeldError, match=rf"nightly is being run by {who}; wait for it"),
        hold(path, "nightly"),
    ):
        pytest.fail("held a lock of a run that is alive")
    present.close()
    with hold(path, "nightly"):
        assert path.exists()


def test_a_lock_that_cannot_last_as_long_as_its_run_is_told_in_one_sentence(path: Path) -> None:
    with (
        hold(path, "nightly") as lock,
        pytest.raises(BatchrunError, match="the file /x, which the lock needs, cannot be made: no"),
    ):
        lock.sign(OSError(errno.EROFS, "no", "/x"))


def test_state_directory_locks_and_file_are_private(path: Path) -> None:
    before = os.umask(0o022)
    try:
        with hold(path, "nightly"):
            modes = [one.stat().st_mode & 0o777 for one in (path.parent.parent, path.parent, path)]
    finally:
        os.umask(before)
    assert modes == [0o700, 0o700, 0o600]


def test_a_lock_that_is_held_is_refused_with_the_name_and_the_process(path: Path) -> None:
    with (
        hold(path, "nightly"),
        pytest.raises(LockHeldError, match=rf"nightly is being run by process {os.getpid()};"),
        hold(path, "nightly"),
    ):
        pytest.fail("two hold the same lock")


def test_a_lock_can_be_held_again_after_the_block(path: Path) -> None:
    for _ in range(2):
        with hold(path, "nightly"):
            assert path.exists()


def test_a_lock_is_free_again_after_an_error_in_the_block(path: Path) -> None:
    message = "boom"
    with pytest.raises(RuntimeError, match=message), hold(path, "nightly"):
        raise RuntimeError(message)
    with hold(path, "nightly"):
        assert path.exists()


def test_other_names_are_other_locks(tmp_path: Path) -> None:
    with hold(lock_path(tmp_path, "a"), "a"), hold(lock_path(tmp_path, "b"), "b"):
        assert len(list((tmp_path / "locks").iterdir())) == 2


def test_a_link_in_place_of_the_lock_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep", encoding="ascii")
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    with pytest.raises(BatchrunError, match="cannot be opened"), hold(path, "nightly"):
        pytest.fail("a link was followed")
    assert target.read_text(encoding="ascii") == "keep"


def test_a_state_directory_that_is_a_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("", encoding="ascii")
    made = lock_path(tmp_path / "state", "nightly")
    with pytest.raises(BatchrunError, match=r"the lock file .* cannot be opened"), hold(made, "n"):
        pytest.fail("held a lock below a file")


def test_a_disk_that_takes_no_byte_does_not_keep_a_job_from_running(path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with hold(path, "nightly"):
            content = path.read_bytes()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert content == b""


def test_a_filesystem_without_locks_is_told_in_one_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BatchrunError, match="cannot be locked: No locks"), hold(path, "nightly"):
        pytest.fail("held without a lock")
