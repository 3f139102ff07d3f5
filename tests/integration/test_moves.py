"""`move` to another filesystem by several workers: nothing is lost, whatever happens meanwhile."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from batchrun.model.outcome import Failed, Ok, Report
from file_context import NOBODY, as_nobody, snapshot
from support import wait_until
from tree_judges import attributes, differences, judge
from tree_runs import MAKERS, Killer, in_process, spread

pytestmark = pytest.mark.timeout(120)


def went_well(report: Report) -> bool:
    assert isinstance(report.outcome, Ok), report
    return report.outcome.changed


def tree_at(root: Path, directories: int = 24, files: int = 12) -> Path:
    """Make a tree with files of several names, odd modes, times and attributes."""
    for number in range(directories):
        directory = root / f"d{number % 4}" / f"e{number}"
        directory.mkdir(parents=True)
        for file in range(files):
            path = directory / f"file {file}"
            path.write_bytes(os.urandom(50 * file))
            os.utime(path, ns=(file, 10**18 + number * 1000 + file))
        os.link(directory / "file 1", root / f"d{number % 4}" / f"hard {number}")
    (root / "d1" / "link").symlink_to("nowhere")
    os.mkfifo(root / "d2" / "fifo", 0o640)
    (root / "d3" / "e3").chmod(0o3755)
    os.setxattr(root / "d2" / "e2" / "file 2", "user.kind", b"\x00 any")
    with (root / "d0" / "sparse").open("wb") as sparse:
        sparse.truncate(4 << 20)
    os.utime(root / "d0", ns=(1, 10**18))
    return root


def twin_of(tree: Path) -> Path:
    twin = tree.with_name(f"{tree.name} twin")
    judge("cp", "-a", tree, twin)
    return twin


def move(src: Path | str, dest: str, **more: object) -> Report:
    return spread("move", src=(str(src),), dest=dest, **more)  # type: ignore[arg-type]  # of one operation


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_tree_arrives_the_same_in_everything_and_is_gone(
    tmp_path: Path, elsewhere: Path, make: object
) -> None:
    tree = tree_at(tmp_path / "tree")
    twin = twin_of(tree)

    assert went_well(move(tree, f"{elsewhere}/moved", make=make))

    assert not tree.exists()
    assert differences(twin, elsewhere / "moved") == ""
    assert attributes(twin) == attributes(elsewhere / "moved")
    assert os.listdir(elsewhere) == ["moved"]


def test_one_tree_after_the_other_is_moved_and_files_between_them_too(
    tmp_path: Path, elsewhere: Path
) -> None:
    place = tmp_path / "place"
    for name in ("a", "c", "e"):
        tree_at(place / name, 8, 5)
    for name in ("b", "d", "f"):
        (place / name).write_text(name)
    twin = twin_of(place)

    assert went_well(spread("move", src=tuple(map(str, place.iterdir())), dest=f"{elsewhere}/to/"))

    assert os.listdir(place) == []
    os.utime(elsewhere / "to", ns=(1, twin.stat().st_mtime_ns))
    assert differences(twin, elsewhere / "to") == ""


def test_a_tree_of_which_something_cannot_be_read_stays_whole_and_the_others_are_moved(
    elsewhere: Path, public: Path
) -> None:
    elsewhere.chmod(0o777)

    def as_user() -> Report:
        for name in ("good", "bad", "more"):
            tree_at(public / name, 6, 4)
        (public / "bad" / "d1" / "e1" / "file 3").chmod(0)
        sources = tuple(f"{public}/{name}" for name in ("bad", "good", "more"))
        return spread("move", make=in_process, src=sources, dest=f"{elsewhere}/")

    report = as_nobody(as_user)

    assert isinstance(report.outcome, Failed)
    message = report.outcome.message
    assert f"{public}/bad was not moved, nothing was deleted: " in message
    assert "d1/e1/file 3: Permission denied" in message
    assert os.listdir(public) == ["bad"]
    assert sum(len(files) for _, _, files in os.walk(public / "bad")) == 6 * 5 + 3
    assert sorted(os.listdir(elsewhere)) == ["good", "more"]
    assert (elsewhere / "good" / "d1" / "e1" / "file 3").stat().st_uid == NOBODY


def test_workers_that_die_again_and_again_cost_a_move_nothing(
    tmp_path: Path, elsewhere: Path
) -> None:
    for attempt in range(20):
        tree = tree_at(tmp_path / f"tree {attempt}", 40, 20)
        twin = twin_of(tree)
        moved = elsewhere / f"moved {attempt}"
        with Killer(attempt) as killer:
            report = move(tree, str(moved), slice_cost=20)
        went_well(report)
        assert differences(twin, moved) == ""
        assert not tree.exists()
        assert [name for name in os.listdir(elsewhere) if name.startswith(".br-")] == []
        if killer.killed:
            return
    pytest.fail("every move had ended before its killer was given the time to kill")


@contextmanager
def _meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do something again and again while a block runs."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.001):
            with suppress(OSError):
                work()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_nothing_is_lost_that_is_written_into_the_tree_meanwhile(
    tmp_path: Path, elsewhere: Path
) -> None:
    tree, moved = tree_at(tmp_path / "tree"), elsewhere / "moved"
    chance = random.Random(3)
    written: dict[str, str] = {}

    def write() -> None:
        name = f"d{chance.randrange(4)}/late {len(written)}"
        text = f"{name} {chance.random()}"
        with (tree / name).open("x") as file:
            file.write(text)
        written[name] = text

    def change() -> None:
        name = f"d0/e0/file {chance.randrange(12)}"
        with (tree / name).open("r+") as file:
            text = f"changed {chance.random()}"
            file.write(text)
            file.truncate()
        written[name] = text

    with _meanwhile(write), _meanwhile(change):
        wait_until(lambda: len(written) > 5, 20, "something was written")
        move(tree, str(moved))

    for name, text in written.items():
        found = [root / name for root in (tree, moved) if (root / name).exists()]
        assert text in {path.read_text() for path in found}, name


def test_a_name_that_is_taken_meanwhile_is_kept_and_so_is_the_tree(
    tmp_path: Path, elsewhere: Path
) -> None:
    tree, moved = tree_at(tmp_path / "tree"), elsewhere / "moved"
    before = snapshot(tree)

    def take() -> None:
        if os.listdir(elsewhere):
            moved.write_text("mine")

    with _meanwhile(take):
        report = move(tree, str(moved))

    if isinstance(report.outcome, Failed):
        assert "both are still there" in report.outcome.message
        assert moved.read_text() == "mine"
        assert {path: row[:4] for path, row in snapshot(tree).items()} == {
            path: row[:4] for path, row in before.items()
        }
        assert os.listdir(elsewhere) == ["moved"]
    else:
        assert not tree.exists()
