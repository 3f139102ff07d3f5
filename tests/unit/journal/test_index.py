"""The index of runs holds nothing that the records do not: it may be lost or damaged."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batchrun.journal.history import History
from batchrun.journal.index import Index
from batchrun.journal.places import StateDir
from batchrun.model.outcome import Failed
from batchrun.model.record import RunRow
from written_runs import WrittenRun, run_record

ONE, TWO, THREE = "20260101-000000-0001", "20260102-000000-0001", "20260103-000000-0001"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """Give a state directory with two runs: one went well, one was killed after a failure."""
    state = StateDir(tmp_path / "state")
    with WrittenRun(state.path, ONE) as run:
        run.end("a").end("b").end_task().finish()
    with WrittenRun(state.path, TWO, started_at=2e9) as run:
        run.end("a").end("b", Failed(message="no"))
    return state


def rows(state: StateDir) -> list[RunRow]:
    with History(state) as history:
        return history.rows()


def facts(state: StateDir) -> list[tuple[str, str, int]]:
    return [(row.run_id, row.state, row.counts.done) for row in rows(state)]


EXPECTED = [(TWO, "interrupted", 2), (ONE, "ok", 2)]


def ids_in(index: Path) -> set[str]:
    """Return which runs are in the index, as SQLite alone sees it."""
    with closing(sqlite3.connect(index)) as connection:
        return {run_id for (run_id,) in connection.execute("SELECT id FROM runs")}


def test_runs_are_in_it_from_their_beginning(state: StateDir) -> None:
    assert ids_in(state.index) == {ONE, TWO}
    assert facts(state) == EXPECTED


def test_a_lost_index_is_made_again_from_the_records(state: StateDir) -> None:
    before = rows(state)
    state.index.unlink()
    assert rows(state) == before
    assert ids_in(state.index) == {ONE, TWO}


def damage_all(path: Path) -> None:
    path.write_bytes(b"no database " * 1_000)


def damage_tables(path: Path) -> None:
    """Leave the head alone, so that it can still be opened."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


def cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096)


@pytest.mark.parametrize("damage", [damage_all, damage_tables, cut_short])
def test_a_damaged_index_is_put_aside_and_made_again(state: StateDir, damage: object) -> None:
    before = rows(state)
    with closing(sqlite3.connect(state.index)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    damage(state.index)  # type: ignore[operator]  # one of the functions above
    assert rows(state) == before
    assert rows(state) == before
    assert ids_in(state.index) == {ONE, TWO}
    assert state.index.with_suffix(".damaged").exists()


def test_a_run_that_meets_a_damaged_index_is_in_the_new_one(state: StateDir) -> None:
    damage_all(state.index)
    with WrittenRun(state.path, THREE, started_at=3e9) as run:
        run.end_task().finish()
    assert facts(state) == [(THREE, "ok", 0), *EXPECTED]


def test_the_log_of_a_damaged_index_is_not_applied_to_the_new_one(
    state: StateDir, tmp_path: Path
) -> None:
    # As after a crash: what was written last is in the write-ahead log only.
    kept = tmp_path / "kept"
    with closing(sqlite3.connect(state.index)) as connection:
        connection.execute("UPDATE runs SET job = 'of the old index'")
        connection.commit()
        kept.mkdir()
        for path in state.path.glob("index.sqlite*"):
            shutil.copy(path, kept)
    for path in kept.iterdir():
        shutil.copy(path, state.path)
    damage_all(state.index)
    with WrittenRun(state.path, THREE, started_at=3e9) as run:
        run.end_task().finish()
    assert [row.job for row in rows(state)] == ["nightly"] * 3
    assert ids_in(state.index) == {ONE, TWO, THREE}


def test_a_run_that_is_missing_in_it_is_added(state: StateDir) -> None:
    with closing(sqlite3.connect(state.index)) as connection:
        connection.execute("DELETE FROM runs WHERE id = ?", (ONE,))
        connection.commit()
    assert facts(state) == EXPECTED
    assert ids_in(state.index) == {ONE, TWO}


def test_a_run_that_is_gone_is_taken_out(state: StateDir) -> None:
    shutil.rmtree(state.run(ONE).path)
    assert facts(state) == EXPECTED[:1]
    assert ids_in(state.index) == {TWO}


@pytest.mark.parametrize("version", [2, 99])
def test_a_newer_index_is_left_alone_and_the_records_are_read(
    state: StateDir, version: int
) -> None:
    with closing(sqlite3.connect(state.index)) as connection:
        connection.execute(f"PRAGMA user_version={version}")
        connection.commit()
    assert facts(state) == EXPECTED
    with WrittenRun(state.path, THREE, started_at=3e9) as run:
        run.end_task().finish()
    assert facts(state) == [(THREE, "ok", 0), *EXPECTED]
    assert ids_in(state.index) == {ONE, TWO}


def test_a_run_goes_on_where_the_index_cannot_be_made(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.index.mkdir(parents=True)
    with WrittenRun(state.path, ONE) as run:
        run.end("a").end_task().finish()
    assert facts(state) == [(ONE, "ok", 1)]


def test_the_row_of_a_run_that_goes_on_is_not_kept_as_that_of_one_that_was_killed(
    state: StateDir,
) -> None:
    with WrittenRun(state.path, THREE, started_at=3e9) as run:
        run.end("a")
        run.sink.settle()
        state.index.unlink()
        assert facts(state)[0] == (THREE, "running", 1)
        run.end("b").end_task().finish()
    assert facts(state)[0] == (THREE, "ok", 2)


def test_two_that_write_it_keep_each_others_rows(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    one, two = Index(state), Index(state)
    one.began(run_record(ONE))
    two.began(run_record(TWO))
    one.began(run_record(THREE))
    one.close()
    two.close()
    assert ids_in(state.index) == {ONE, TWO, THREE}
