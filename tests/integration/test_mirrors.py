"""`sync` and `compare`: what is copied, deleted, protected, counted and told."""

import os
import random
import shutil
from pathlib import Path

import pytest

from batchrun.model.operation import Done
from batchrun.model.outcome import Failed, Ok, Report
from file_context import HOSTILE_NAMES, FileContext, changed, do, message_of, snapshot
from tree_judges import differences
from tree_runs import rehearsed, spread

pytestmark = pytest.mark.timeout(120)


def went_well(report: Report) -> bool:
    assert isinstance(report.outcome, Ok), report
    return report.outcome.changed


def tree_at(root: Path) -> Path:
    for number in range(12):
        directory = root / f"d{number % 3}" / f"e{number}"
        directory.mkdir(parents=True)
        for file in range(10):
            (directory / f"file {file}").write_text(f"{number} {file}")
        os.utime(directory, ns=(1, 10**18 + number))
    for name in HOSTILE_NAMES.values():
        (root / name).mkdir()
        (root / name / name).write_text(name, errors="surrogateescape")
    os.link(root / "d0/e0/file 1", root / "d1/hard")
    (root / "link").symlink_to("d0")
    return root


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return tree_at(tmp_path / "src")


def mirror(src: Path, dest: Path, **params: object) -> Report:
    return spread("sync", src=str(src), dest=str(dest), delete=True, **params)  # type: ignore[arg-type]  # of one operation


def alone(src: Path, dest: Path, context: FileContext | None = None, **params: object) -> Done:
    return do("sync", context, src=str(src), dest=str(dest), delete=True, **params)


def test_a_mirror_is_the_same_in_everything_however_both_were_changed(
    tmp_path: Path, src: Path
) -> None:
    dest = tmp_path / "dest"
    chance = random.Random(1)
    assert went_well(mirror(src, dest))
    assert differences(src, dest) == ""
    for _ in range(3):
        for root in (src, dest):
            _change(root, chance)
        assert went_well(mirror(src, dest, max_delete="90%"))
        assert differences(src, dest) == ""
        assert not went_well(mirror(src, dest))


def _change(root: Path, chance: random.Random) -> None:
    """Do a few things to a tree: files and directories come, go, change, and change kind."""
    files = sorted(path for path in root.glob("d*/e*/file *") if path.is_file())
    for path in chance.sample(files, 4):
        path.unlink()
    for path in chance.sample(files[:20], 3):
        if path.exists():
            path.write_text(f"else {chance.random()}")
    new = root / f"new {chance.random()}"
    new.mkdir()
    for number in range(8):
        (new / f"{number}").write_text("new")
    directory, file = chance.sample(sorted(root.glob("d*/e*")), 2)
    if directory.is_dir():
        shutil.rmtree(directory)
        directory.write_text("a file now")
    if file.is_dir():
        for path in [path for path in file.iterdir() if path.is_file()]:
            path.unlink()
            path.mkdir()
            (path / "deeper").write_text("a directory now")


def test_without_delete_nothing_is_deleted(tmp_path: Path, src: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "own").write_text("own")

    assert went_well(spread("sync", src=str(src), dest=str(dest)))

    assert (dest / "own").read_text() == "own"
    (dest / "own").unlink()
    os.utime(dest, ns=(1, src.stat().st_mtime_ns))
    assert differences(src, dest) == ""


def test_more_than_allowed_is_counted_before_anything_is_deleted(tmp_path: Path, src: Path) -> None:
    dest = tree_at(tmp_path / "dest")
    for number in range(30):
        (dest / "more" / str(number)).mkdir(parents=True)
    before = {path for path in snapshot(dest) if "more" in path}

    report = mirror(src, dest, max_delete=30)

    assert isinstance(report.outcome, Failed)
    assert "31 of " in report.outcome.message
    assert "nothing was deleted" in report.outcome.message
    assert {path for path in snapshot(dest) if "more" in path} == before
    assert went_well(mirror(src, dest, max_delete=31))
    assert differences(src, dest) == ""


def test_nothing_is_deleted_when_anything_could_not_be_copied(tmp_path: Path, src: Path) -> None:
    dest = tmp_path / "dest"
    mirror(src, dest)
    (dest / "own").write_text("own")
    loop = src / "d0" / "e0" / "socket"
    os.mkfifo(loop)
    (dest / "d0" / "e0" / "socket").mkdir()

    report = spread("sync", src=str(src), dest=str(dest), delete=False)
    assert isinstance(report.outcome, Failed)
    (src / "d1" / "e1").rename(tmp_path / "moved")
    report = mirror(src, dest)

    assert went_well(report)
    assert not (dest / "own").exists()
    assert differences(src, dest) == ""


def test_what_is_left_out_is_protected(tmp_path: Path, src: Path) -> None:
    dest = tmp_path / "dest"
    mirror(src, dest)
    (dest / "gone").mkdir()
    (dest / "gone" / "keep.log").write_text("log")
    (dest / "gone" / "other").write_text("other")
    (dest / "d0" / "keep.log").write_text("log")
    (src / "d0" / "own.log").write_text("log")

    assert went_well(mirror(src, dest, exclude=("*.log",)))

    assert (dest / "gone" / "keep.log").exists()
    assert (dest / "d0" / "keep.log").exists()
    assert not (dest / "gone" / "other").exists()
    assert not (dest / "d0" / "own.log").exists()


def test_what_is_replaced_or_deleted_goes_into_the_backup_directory(
    tmp_path: Path, src: Path
) -> None:
    dest = tmp_path / "dest"
    mirror(src, dest)
    (src / "d0/e0/file 3").write_text("new")
    (src / "d0/e0/file 4").unlink()
    (dest / "own" / "deep").mkdir(parents=True)
    (dest / "own" / "deep" / "file").write_text("own")

    assert went_well(mirror(src, dest, backup_dir=str(dest / ".old")))
    assert not went_well(mirror(src, dest, backup_dir=str(dest / ".old")))

    assert (dest / ".old/d0/e0/file 3").read_text() == "0 3"
    assert (dest / ".old/d0/e0/file 4").read_text() == "0 4"
    assert (dest / ".old/own/deep/file").read_text() == "own"
    assert (dest / "d0/e0/file 3").read_text() == "new"
    assert not (dest / "own").exists()


def test_a_missing_or_empty_source_never_empties_a_destination(tmp_path: Path) -> None:
    dest, empty = tree_at(tmp_path / "dest"), tmp_path / "empty"
    before = snapshot(dest)
    assert "No such file" in message_of(alone(empty, dest))
    empty.mkdir()
    assert "would be deleted" in message_of(alone(empty, dest))
    assert snapshot(dest) == before


def test_a_tree_is_not_mirrored_into_itself(tmp_path: Path, src: Path) -> None:
    before = snapshot(tmp_path)
    assert "put into itself" in message_of(alone(src, src / "d0"))
    assert "put into itself" in message_of(alone(src / "d0", src))
    assert "same directory" in message_of(alone(src, src))
    assert snapshot(tmp_path) == before


def test_a_dry_run_says_what_the_mirror_does(tmp_path: Path, src: Path) -> None:
    dest = tmp_path / "dest"
    mirror(src, dest)
    assert not changed(alone(src, dest, FileContext(dry_run=True)))
    (dest / "own").write_text("own")
    before = snapshot(tmp_path)
    assert changed(alone(src, dest, FileContext(dry_run=True)))
    report = spread("sync", make=rehearsed, src=str(src), dest=str(dest), delete=True)
    assert went_well(report)
    assert snapshot(tmp_path) == before
    report = spread("sync", make=rehearsed, src=str(src), dest=str(dest), delete=True, max_delete=0)
    assert isinstance(report.outcome, Failed)


# compare


def test_equal_trees_are_the_same(tmp_path: Path, src: Path) -> None:
    dest = tmp_path / "dest"
    mirror(src, dest)
    for params in ({}, {"checksum": True}, {"metadata": ("mode", "owner", "times", "xattrs")}):
        report = spread("compare", src=str(src), dest=str(dest), **params)
        assert isinstance(report.outcome, Ok), report
        assert not report.outcome.changed
        entries = sum(1 for _ in src.rglob("*")) + 1
        assert report.outcome.note == f"{entries} are the same"


def test_every_difference_is_listed_with_its_mark(tmp_path: Path, src: Path) -> None:
    dest, listing = tmp_path / "dest", tmp_path / "out" / "list"
    mirror(src, dest)
    (dest / "own").mkdir()
    (dest / "d0/e0/own too").touch()
    (src / "d0/e3/new").touch()
    (src / "gone").mkdir()
    (dest / "d1/e1/file 1").write_text("longer than it was")
    (dest / "d1/e1/file 2").chmod(0o600)
    (dest / "link").unlink()
    (dest / "link").symlink_to("d1")
    for directory in (dest, dest / "d0/e0", src / "d0/e3", src):
        os.utime(directory, ns=(1, 1))
    for directory in (dest / "d0/e3", src / "d0/e0"):
        os.utime(directory, ns=(1, 1))

    report = spread("compare", src=str(src), dest=str(dest), report=str(listing))

    assert isinstance(report.outcome, Failed)
    assert report.outcome.message == (
        "the trees differ: 3 different, 2 only in src, 2 only in dest"
    )
    said = report.output.stdout.head.decode().splitlines()
    assert said == [
        "- d0/e0/own too", "+ d0/e3/new", "* d1/e1/file 1", "* d1/e1/file 2", "+ gone/", "* link",
        "- own/",
    ]  # fmt: skip
    lines = listing.read_text().splitlines()
    assert set(said) < set(lines)
    assert lines == sorted(lines, key=lambda line: os.fsencode(line[2:]))
    assert list(listing.parent.iterdir()) == [listing]


def test_content_that_only_reading_shows_to_be_different_is_found(
    tmp_path: Path, src: Path
) -> None:
    dest = tmp_path / "dest"
    mirror(src, dest)
    file = dest / "d0/e0/file 5"
    st = file.stat()
    file.write_text("9 9")
    os.utime(file, ns=(st.st_atime_ns, st.st_mtime_ns))

    assert isinstance(spread("compare", src=str(src), dest=str(dest)).outcome, Ok)
    report = spread("compare", src=str(src), dest=str(dest), checksum=True)

    assert isinstance(report.outcome, Failed)
    assert report.output.stdout.head == b"* d0/e0/file 5\n"
    assert report.bytes_done
