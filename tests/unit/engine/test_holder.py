"""What the file of a lock says of who holds it, and what that means to others."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrun.engine.holder import Holder, erase, open_lock, sign, take
from batchrun.engine.presence import Presence, presence_path

LONGEST = Path("/" + "/".join(["x" * 203] * 20))


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def present(tmp_path: Path) -> Iterator[Presence]:
    made = Presence(presence_path(tmp_path, "theirs"))
    yield made
    made.close()


def taken(lock: Path, own: Path | None = None) -> Holder | None:
    """Take a lock, and let go of it again."""
    descriptor = open_lock(lock)
    try:
        return take(descriptor, own)
    finally:
        os.close(descriptor)


def died(lock: Path, presence: Path | None) -> None:
    """Hold a lock, and die."""
    descriptor = open_lock(lock)
    assert take(descriptor, presence) is None
    sign(descriptor, presence)
    os.close(descriptor)


def test_a_lock_of_a_dead_process_is_held_while_its_run_is_alive(
    lock: Path, present: Presence
) -> None:
    died(lock, present.path)
    expected = Holder(pid=os.getpid(), presence=present.path, killed=True)
    assert taken(lock) == expected
    assert taken(lock) == expected
    present.path.unlink()
    assert taken(lock) is None


def test_who_holds_a_lock_is_told(lock: Path, present: Presence) -> None:
    descriptor = open_lock(lock)
    assert take(descriptor, present.path) is None
    assert taken(lock) == Holder()
    sign(descriptor, present.path)
    assert taken(lock) == Holder(pid=os.getpid(), presence=present.path)
    sign(descriptor, None)
    assert taken(lock) == Holder(pid=os.getpid())
    os.close(descriptor)


def test_a_lock_that_was_let_go_of_is_nobodys_though_the_run_goes_on(
    lock: Path, present: Presence
) -> None:
    descriptor = open_lock(lock)
    sign(descriptor, present.path)
    erase(descriptor)
    os.close(descriptor)
    assert taken(lock) is None


def test_a_run_is_not_held_up_by_what_it_could_not_erase(lock: Path, present: Presence) -> None:
    died(lock, present.path)
    assert taken(lock, present.path) is None


def test_what_a_dead_run_has_left_is_removed_where_ours_is_and_nowhere_else(
    lock: Path, present: Presence, tmp_path: Path
) -> None:
    near, far = present.path.with_name("dead"), tmp_path / "far"
    for path in (near, far):
        path.touch()
        died(lock, path)
        assert taken(lock, present.path) is None
    assert not near.exists()
    assert far.exists()


@pytest.mark.parametrize(
    ("record", "pid"),
    [
        (b"", None),
        (b"1234\n", 1234),
        (b"1234 nightly\n", 1234),
        (b"1234 two\n/dev/null\n", 1234),
        (b"1234\n/dev/null", 1234),
        (b"1234\nrelative\0", 1234),
        (b"\0" * 4160, None),
        (b"\xff\n/dev/null\0", None),
    ],
)
def test_a_record_without_a_presence_is_of_a_lock_that_dies_with_its_process(
    lock: Path, record: bytes, pid: int | None
) -> None:
    """Such as those of older versions, or one that a full disk has cut."""
    lock.write_bytes(record)
    assert taken(lock) is None
    descriptor = open_lock(lock)
    assert take(descriptor, None) is None
    assert taken(lock) == Holder(pid=pid)
    os.close(descriptor)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=1000))
def test_any_path_is_read_back_over_any_longer_one(lock: Path, name: str) -> None:
    path = Path(f"/{name}")
    descriptor = open_lock(lock)
    try:
        for one in (LONGEST, path):
            sign(descriptor, one)
        assert take(descriptor, path) is None
        assert taken(lock) == Holder(pid=os.getpid(), presence=path)
    finally:
        os.close(descriptor)


def test_a_file_that_is_there_keeps_its_size_whatever_is_written(lock: Path) -> None:
    died(lock, None)
    size = lock.stat().st_size
    descriptor = open_lock(lock)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        for path in (Path("/short"), LONGEST, None):
            sign(descriptor, path)
            assert taken(lock) is None
            assert lock.stat().st_size == size
        erase(descriptor)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        os.close(descriptor)
    assert lock.read_bytes().strip(b"\0") == b""
