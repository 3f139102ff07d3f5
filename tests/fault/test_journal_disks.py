"""Where runs are recorded: full, read-only, damaged, locked, removed, newer, unable.

In each case a clear sentence, exit code 1 only where the record cannot be kept, and what ran is
told in any case.
"""

import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from batchrun.journal.schema import RECORD
from faults import NO_SHARED_MEMORY, compiled, preloaded
from journal_judge import endings, facts, integrity, ok_units, records, rows
from program import Ended, Program, Started, as_ordinary_user

pytestmark = pytest.mark.timeout(120)

FEW = """
tasks:
  - foreach: [a, b, c]
    run: echo {{ item }} >> log
"""
#: Each of its units waits for a file of its item's name.
STEPPED = """
tasks:
  - id: step
    foreach: {range: [1, 6]}
    run: |
      echo {{ item }} >> began
      until test -e go-{{ item }}; do sleep 0.02; done
      echo {{ item }} >> log
"""
#: Megabytes of output in all, which is captured and recorded.
LOUD = """
tasks:
  - id: quiet
    run: echo quiet >> log
  - id: loud
    needs: [quiet]
    foreach: {range: [1, 60]}
    run: head -c 100000 /dev/urandom | base64 -w 80; echo {{ item }} >> log
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    (tmp_path / "work").mkdir()
    with Program(tmp_path / "work") as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of one megabyte."""
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state directory that does not exist yet."""
    path = tmp_path / "state"
    monkeypatch.setenv("BATCHRUN_STATE_DIR", str(path))
    return path


def log(program: Program) -> list[str]:
    path = program.dir / "log"
    return path.read_text().split() if path.exists() else []


def let(program: Program, *items: int) -> None:
    for item in items:
        (program.dir / f"go-{item}").touch()


def stepped(program: Program, *words: str, **more: Any) -> Started:
    """Start the run that waits, and wait until it has begun its first unit."""
    run = program.start(*(words or (program.job(STEPPED),)), "--procs", "1", **more)
    run.until((program.dir / "began").exists, "it runs")
    return run


def assert_refused(ended: Ended, program: Program, why: str, where: Path) -> None:
    """The run was not begun, because its record could not be."""
    assert ended.code == 1
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert line.startswith(f"batchrun: the run cannot be recorded in {where}: ")
    assert why in line.lower()
    assert "BATCHRUN_STATE_DIR" in line
    assert "--no-journal" in line
    assert log(program) == []


# ---- no room, no right ------------------------------------------------------------------------


def test_a_run_that_cannot_be_recorded_for_want_of_room_is_not_begun(
    program: Program, small: Path
) -> None:
    env = {"BATCHRUN_STATE_DIR": str(small / "state")}
    with pytest.raises(OSError, match="No space left"):
        (small / "filler").write_bytes(bytes(2_000_000))
    job = program.job(FEW)
    refused = program.run(job, env=env)
    assert_refused(refused, program, "no space left on device", small / "state")
    assert not list(small.glob("state/runs/*"))
    assert program.run(job, "--no-journal", env=env).code == 0
    assert sorted(log(program)) == ["a", "b", "c"]


def test_a_disk_that_becomes_full_costs_the_record_and_nothing_else(
    program: Program, small: Path
) -> None:
    env = {"BATCHRUN_STATE_DIR": str(small / "state")}
    ended = program.run(program.job(LOUD), env=env)
    assert ended.code == 1
    assert sorted(log(program)) == sorted(["quiet", *map(str, range(1, 61))])
    assert "61 ok" in ended.out
    said = [line for line in ended.err.splitlines() if "record of this run" in line]
    (record,) = records(small / "state")
    (sentence,) = said
    assert sentence == (
        f"warning: an output of this run cannot be written any more: the record of this run in "
        f"{record} cannot be written: no space left on device"
    )

    assert (integrity(record), facts(record)["exit_code"]) == ("ok", None)
    before = ok_units(record)
    assert 0 < before.total() < 61
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    resumed = program.run("resume", env=env)
    assert resumed.code == 0
    again = set(log(program)[61:])
    assert not again & {item or task for task, item in before}
    assert (before + ok_units(records(small / "state")[-1])).total() == 61


def test_a_disk_that_becomes_full_holds_back_no_line_for_programs(
    program: Program, small: Path
) -> None:
    env = {"BATCHRUN_STATE_DIR": str(small / "state")}
    ended = program.run(program.job(LOUD), "--output", "ndjson", env=env)
    assert ended.code == 1
    types = [event["type"] for event in ended.events]
    assert types.count("unit_ended") == 61
    assert types[-1] == "run_ended"
    assert ended.events[-1]["exit_code"] == 1
    assert ended.err.count("record of this run") == 1


def test_a_read_only_filesystem_is_said(program: Program, small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    env = {"BATCHRUN_STATE_DIR": str(small / "state")}
    refused = program.run(program.job(FEW), env=env)
    assert_refused(refused, program, "read-only file system", small / "state")


def test_a_directory_that_may_not_be_written_to_is_said(program: Program) -> None:
    job = program.job(FEW)
    # The directories of tests are for their owner only.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        state = Path(place)
        state.chmod(0o555)
        env = {"BATCHRUN_STATE_DIR": place}
        with (program.dir / job).open("rb") as text:
            refused = program.run(
                "-", stdin=text.fileno(), before=as_ordinary_user(), cwd="/", env=env
            )
        assert_refused(refused, program, "permission denied", state)


def test_a_file_in_place_of_the_directory_is_said(program: Program, state: Path) -> None:
    state.write_text("none of ours")
    refused = program.run(program.job(FEW))
    assert refused.code == 1
    assert f"the run cannot be recorded in {state}: " in refused.err
    assert state.read_text() == "none of ours"
    assert log(program) == []


# ---- damage -----------------------------------------------------------------------------------


def test_a_damaged_record_is_said_and_hinders_no_other_run(program: Program) -> None:
    job = program.job(FEW)
    assert program.run(job).code == 0
    (record,) = records()
    (record / "journal.sqlite").write_bytes(b"damaged " * 1000)
    refused = program.run("resume")
    assert refused.code == 1
    assert refused.err == (
        f"batchrun: the record {record}/journal.sqlite cannot be read: the file is damaged, or is "
        "no database\n"
    )
    assert program.run(job).code == 0
    assert program.run("resume").code == 0


def test_a_record_of_a_newer_version_is_left_alone(program: Program) -> None:
    assert program.run(program.job(FEW)).code == 0
    database = records()[0] / "journal.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = database.read_bytes()
    refused = program.run("resume")
    assert refused.code == 1
    assert f"(version 99, this one knows {RECORD.version})" in refused.err
    assert database.read_bytes() == before


def _garbage(index: Path) -> None:
    index.write_bytes(b"damaged " * 1000)


def _damaged_inside(index: Path) -> None:
    """Leave the first page, so that it shows only when rows are read or written."""
    data = bytearray(index.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    index.write_bytes(data)


def _empty(index: Path) -> None:
    index.write_bytes(b"")


def _newer(index: Path) -> None:
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _of_another_program(index: Path) -> None:
    index.unlink()
    with closing(sqlite3.connect(index)) as connection:
        connection.executescript("PRAGMA application_id = 7; CREATE TABLE mine(a)")


def _directory(index: Path) -> None:
    index.unlink()
    index.mkdir()


@pytest.mark.parametrize(
    ("harm", "is_mended"),
    [
        (_garbage, True),
        (_damaged_inside, True),
        (_empty, True),
        (_newer, False),
        (_of_another_program, False),
        (_directory, False),
    ],
)
def test_an_index_that_is_of_no_use_fails_nothing(
    program: Program, state: Path, harm: object, *, is_mended: bool
) -> None:
    job = program.job(FEW)
    for _ in range(2):
        assert program.run(job).code == 0
    for path in state.glob("index.sqlite-*"):
        path.unlink()
    assert callable(harm)
    harm(state / "index.sqlite")
    ended = program.run(job)
    assert (ended.code, ended.err) == (0, "")
    resumed = program.run("resume")
    assert (resumed.code, resumed.err) == (0, "")
    with History(StateDir(state)) as history:
        assert [row.state for row in history.rows()] == ["ok"] * 4
    if is_mended:
        with closing(sqlite3.connect(state / "index.sqlite")) as connection:
            found = connection.execute("SELECT exit_code, counts NOT NULL FROM runs").fetchall()
        assert found == [(0, 1)] * 4


# ---- locked -----------------------------------------------------------------------------------


def test_a_record_that_is_locked_for_seconds_is_waited_for(program: Program) -> None:
    run = stepped(program)
    (record,) = records()
    with closing(sqlite3.connect(record / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        let(program, *range(1, 6))
        run.until(lambda: len(log(program)) == 5, "units end while it is locked")
        until = time.monotonic() + 2
        run.until(lambda: time.monotonic() > until, "it stays locked")
        assert not rows(record, "SELECT 1 FROM attempts")
        connection.execute("ROLLBACK")
    let(program, 6)
    ended = run.end()
    assert (ended.code, ended.err) == (0, "")
    assert len(endings(record)) == 6


def test_what_has_gathered_for_a_record_needs_no_room_where_temporary_files_go(
    program: Program, small: Path
) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small / "filler").write_bytes(bytes(2_000_000))
    waits = "echo quiet >> log; until test -e go; do sleep 0.02; done"
    job = program.job(LOUD.replace("echo quiet >> log", waits))
    run = program.start(job, env={"TMPDIR": str(small)})
    run.until(lambda: log(program) == ["quiet"], "it runs")
    (record,) = records()
    with closing(sqlite3.connect(record / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        (program.dir / "go").touch()
        run.until(lambda: len(log(program)) == 61, "units end while it is locked")
        connection.execute("ROLLBACK")
    ended = run.end()
    assert (ended.code, ended.err) == (0, "")
    assert len(rows(record, "SELECT 1 FROM outputs")) == 60


def test_a_record_that_stays_locked_fails_the_run_when_it_has_ended(program: Program) -> None:
    run = stepped(program)
    (record,) = records()
    with closing(sqlite3.connect(record / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        let(program, *range(1, 7))
        ended = run.end()
    assert ended.code == 1
    assert "6 ok" in ended.out
    assert ended.err.count("cannot be written: another process has held it for 30 s") == 1
    assert len(ended.err.splitlines()) == 1


def test_a_locked_index_costs_a_moment_and_nothing_else(program: Program, state: Path) -> None:
    job = program.job(FEW)
    assert program.run(job).code == 0
    with closing(sqlite3.connect(state / "index.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        ended = program.run(job)
        took_s = time.monotonic() - began
        resumed = program.run("resume")
    assert (ended.code, ended.err) == (0, "")
    assert (resumed.code, resumed.err) == (0, "")
    # Half a minute would be the time that a record is waited for.
    assert took_s < 15
    with History(StateDir(state)) as history:
        assert [row.state for row in history.rows()] == ["ok"] * 3


# ---- removed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["everything", "this run", "the index"])
def test_a_record_that_is_removed_while_the_run_goes_on_is_missed(
    program: Program, state: Path, what: str
) -> None:
    run = stepped(program)
    (record,) = records()
    let(program, 1, 2)
    run.until(lambda: len(endings(record)) == 2, "two units are on record")
    if what == "the index":
        for path in state.glob("index*"):
            path.unlink()
    else:
        shutil.rmtree(state if what == "everything" else record)
    let(program, *range(3, 7))
    ended = run.end()
    assert "6 ok" in ended.out
    assert log(program) == ["1", "2", "3", "4", "5", "6"]
    if what == "the index":
        assert (ended.code, ended.err) == (0, "")
        with History(StateDir(state)) as history:
            assert [row.state for row in history.rows()] == ["ok"]
        return
    assert ended.code == 1
    assert ended.err == (
        "warning: an output of this run cannot be written any more: the record of this run was "
        f"removed while it ran: {record}/journal.sqlite\n"
    )
    assert not record.exists()


def test_a_record_that_is_removed_while_its_run_is_gone_on_with_changes_no_ending(
    program: Program, state: Path
) -> None:
    run = stepped(program)
    (first,) = records()
    let(program, 1, 2)
    run.until(lambda: len(endings(first)) == 2, "two units are on record")
    run.process.kill()
    run.end()
    (program.dir / "began").unlink()
    (program.dir / "job.yml").write_text(STEPPED.replace("[1, 6]", "[2, 6]"))
    resumed = stepped(program, "resume")
    shutil.rmtree(first)
    let(program, *range(3, 7))
    ended = resumed.end()
    assert ended.code == 0
    assert "4 ok" in ended.out
    assert "nobody can tell what is no longer planned: the record " in ended.err
    with History(StateDir(state)) as history:
        assert [row.state for row in history.rows()] == ["ok"]


# ---- no shared memory -------------------------------------------------------------------------


def test_a_filesystem_without_shared_memory_records_runs_as_well(
    program: Program, state: Path, tmp_path: Path
) -> None:
    env = {**preloaded(compiled(tmp_path)), **NO_SHARED_MEMORY}
    run = stepped(program, env=env)
    (record,) = records()
    let(program, 1, 2, 3)
    run.until(lambda: len(endings(record)) == 3, "three units are on record")
    assert not list(state.rglob("*-wal"))
    with History(StateDir(state)) as history:
        (row,) = history.rows()
        assert (row.state, row.counts.counted("ok")) == ("running", 3)
        with history.open(row.run_id) as recorded:
            assert sum(1 for _ in recorded.units()) == 3
    refused = program.run("resume", env=env)
    assert (refused.code, "is still running" in refused.err) == (75, True)
    run.process.kill()
    run.end()

    (program.dir / "began").unlink()
    resumed = stepped(program, "resume", env=env)
    let(program, *range(4, 7))
    ended = resumed.end()
    assert (ended.code, ended.err) == (0, "")
    assert log(program) == ["1", "2", "3", "4", "5", "6"]
    assert sum(ok_units(one).total() for one in records()) == 6
    with History(StateDir(state)) as history:
        assert [row.state for row in history.rows()] == ["ok", "interrupted"]
