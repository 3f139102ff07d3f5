"""Trees of any shape, names, kinds and modes on a real file system, with rsync as the judge."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.model.outcome import Failed, Ok, Report
from file_context import NOBODY, as_nobody
from random_trees import SEEDLINGS, Seedling, change, grow
from tree_judges import attributes, differences
from tree_runs import in_process, spread

pytestmark = pytest.mark.timeout(300)

AT = st.lists(st.integers(0, 10_000), max_size=8)


@contextmanager
def fresh() -> Iterator[Path]:
    """Make a directory for one example, and remove it whatever its modes are by then."""
    made = Path(tempfile.mkdtemp(prefix="trees-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def alone(operation: str, **params: Any) -> Report:
    """Run an operation in this process, in slices of a few files."""
    return spread(operation, make=in_process, slice_cost=3, **params)


def mirror(src: Path, dest: Path) -> Report:
    return alone("sync", src=str(src), dest=str(dest), delete=True, max_delete="100%")


def went_well(report: Report) -> bool:
    assert isinstance(report.outcome, Ok), report
    return report.outcome.changed


def without_sockets(root: Path) -> int:
    """Remove the sockets of a tree, times of directories kept; returns how many there were."""
    removed = 0
    for directory, _, files in os.walk(os.fsencode(root)):
        before = os.stat(directory)
        for name in files:
            path = os.path.join(directory, name)
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
                removed += 1
        os.utime(directory, ns=(0, before.st_mtime_ns))
    return removed


def said_of_sockets(report: Report) -> int:
    return sum("is a socket, which cannot be copied" in line for line in report.warnings)


@given(SEEDLINGS)
@settings(max_examples=25)
def test_a_copy_is_the_same_in_everything_but_sockets_which_are_named(
    seedlings: list[Seedling],
) -> None:
    with fresh() as place:
        src, copy = place / "src", place / "copy"
        grow(src, seedlings)

        report = alone("copy", src=(str(src),), dest=str(copy))

        went_well(report)
        sockets = without_sockets(src)
        assert bool(said_of_sockets(report)) == bool(sockets)
        assert differences(src, copy) == ""
        assert attributes(src) == attributes(copy)


@given(SEEDLINGS, SEEDLINGS, SEEDLINGS, AT)
@settings(max_examples=25)
def test_a_mirror_follows_whatever_was_changed_on_either_side(
    seedlings: list[Seedling], here: list[Seedling], there: list[Seedling], at: list[int]
) -> None:
    with fresh() as place:
        src, dest = place / "src", place / "dest"
        grow(src, seedlings)
        without_sockets(src)
        if not os.listdir(src):
            (src / "one").touch()  # an empty source is refused
        alone("sync", src=str(src), dest=str(dest))
        change(src, here, at)
        without_sockets(src)
        if not os.listdir(src):
            (src / "one").touch()
        change(dest, there, at[::-1])

        went_well(mirror(src, dest))

        assert differences(src, dest) == ""
        assert attributes(src) == attributes(dest)
        assert not went_well(mirror(src, dest))


@given(SEEDLINGS)
@settings(max_examples=15)
def test_an_ordinary_user_copies_all_that_may_be_read_and_fails_when_that_is_not_all(
    seedlings: list[Seedling],
) -> None:
    with fresh() as place:
        place.chmod(0o777)
        src, copy = place / "src", place / "copy"

        def as_user() -> tuple[Report, set[str]]:
            grow(src, seedlings)
            return alone("copy", src=(str(src),), dest=str(copy)), readable(src)

        report, may_be_read = as_nobody(as_user)

        assert readable(copy) == may_be_read
        for name in may_be_read:
            assert (copy / name).read_bytes() == (src / name).read_bytes()
            assert (copy / name).stat().st_mode == (src / name).stat().st_mode
            assert (copy / name).stat().st_uid == NOBODY
        hidden = readable(src) - may_be_read
        assert isinstance(report.outcome, Failed) or not hidden, report


def readable(root: Path) -> set[str]:
    """Return the regular files that this user can find and read, by their names below a tree."""
    found = set()
    for directory, _, files in os.walk(root):
        for name in files if os.access(directory, os.X_OK) else ():
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode) and os.access(path, os.R_OK):
                found.add(os.path.relpath(path, root))
    return found
