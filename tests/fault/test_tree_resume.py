"""`kill -9` of batchrun while it works on a tree, and going on: nothing is copied twice."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal_judge import records
from program import Program
from tree_judges import differences

pytestmark = pytest.mark.timeout(120)

FILES = 3000


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def many_files(tree: Path) -> Path:
    for number in range(FILES // 50):
        directory = tree / f"d{number % 6}" / f"e{number}"
        directory.mkdir(parents=True)
        for file in range(50):
            (directory / f"{file}").write_bytes(b"x" * file * 20)
        os.utime(directory, ns=(1, 10**18 + number))
    return tree


def files_below(directory: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(directory))


def complete(tree: Path, copy: Path) -> dict[str, tuple[int, int]]:
    """Return inode and last change of each copy that is as its source."""
    found = {}
    for directory, _, names in os.walk(copy):
        for name in names:
            path = Path(directory, name).relative_to(copy)
            source, made = (tree / path).lstat(), (copy / path).lstat()
            if (source.st_size, source.st_mtime_ns) == (made.st_size, made.st_mtime_ns):
                found[str(path)] = made.st_ino, made.st_ctime_ns
    return found


def leave_behind(copy: Path, run: str) -> None:
    """Leave what workers leave that are killed in the middle of something."""
    (copy / f".br-{run}-1-1-77").write_bytes(b"half")
    (next(copy.glob("d*")) / f".br-{run}-{2**62 + 5}-1-3").write_bytes(b"half")
    meeting = copy / f".br-{run}-1-0-links"
    meeting.mkdir(0o700)
    (meeting / "1-2").write_bytes(b"half")


@pytest.mark.parametrize(
    "operation",
    [
        "copy: {src: tree, dest: copy}",
        "copy: {src: tree, dest: copy, if: missing}",
        "sync: {src: tree, dest: copy, delete: true}",
    ],
)
def test_a_killed_run_goes_on_where_it_was_and_leaves_no_traces(
    tmp_path: Path, program: Program, operation: str
) -> None:
    tree, copy = many_files(tmp_path / "tree"), tmp_path / "copy"
    job = program.job(f"tasks:\n  - {operation}\n")

    run = program.start(job, "--procs", "2")
    run.until(lambda: files_below(copy) > FILES // 20, "a part has been copied")
    run.send(signal.SIGKILL)
    run.end()
    before = complete(tree, copy)
    assert FILES // 20 <= len(before) < FILES, "it was killed in the middle"
    leave_behind(copy, records()[0].name)
    others = copy / ".br-20260101-000000-0000-1-1-1"
    others.write_bytes(b"somebody writes this just now")

    ended = program.run("resume")

    assert ended.code == 0, ended.err
    others.unlink()
    os.utime(copy, ns=(1, tree.stat().st_mtime_ns))
    assert differences(tree, copy) == ""
    after = complete(tree, copy)
    again = [path for path, facts in before.items() if after[path] != facts]
    assert again == []


def test_what_a_tree_has_done_is_among_the_events(tmp_path: Path, program: Program) -> None:
    many_files(tmp_path / "tree")
    job = program.job("tasks:\n  - copy: {src: tree, dest: copy}\n")

    ended = program.run(job, "--procs", "2", "--output", "ndjson")

    assert ended.code == 0
    events = [event for event in ended.events if event["type"] == "unit_progress"]
    told = [event for event in events if event["share"] is not None]
    assert told
    assert all(0 < event["files_done"] <= FILES and event["share"] <= 1 for event in told)
