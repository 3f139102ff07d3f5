"""A sink that stands behind the record says nothing that is not on disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from batchrun.journal.behind import Behind
from batchrun.journal.places import StateDir
from batchrun.journal.sink import JournalSink
from batchrun.model.event import Event, Note, RunStarted, UnitEnded, UnitStarted
from batchrun.model.outcome import Ok, Report
from batchrun.model.unit import Unit
from doubles import RecordingSink
from written_runs import run_record

UNIT = Unit(task_id="a", index=1, label="x", operation="run", params={"command": "x"})
STARTED = RunStarted(run_id="r", job_name="j", at=1.0, procs=1, tasks=(("a", "a"),))
BEGUN = UnitStarted(number=1, attempt=1, unit=UNIT, at=1.0)
ENDED = UnitEnded(
    unit=UNIT,
    report=Report(
        number=1, attempt=1, outcome=Ok(changed=True), started_at=1.0, duration_s=1.0
    ),
)  # fmt: skip


def on_record(journal: JournalSink) -> int:
    """Count the attempts on disk, as SQLite alone sees them."""
    with closing(sqlite3.connect(journal.run.database)) as connection:
        (number,) = connection.execute("SELECT count(*) FROM attempts").fetchone()
        return int(number)


@contextmanager
def held_up(journal: JournalSink) -> Iterator[None]:
    """Keep a record from being written for a while."""
    with closing(sqlite3.connect(journal.run.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class Pair:
    """A record, and a sink behind it."""

    def __init__(self, state: Path) -> None:
        self.journal = JournalSink(StateDir(state), run_record("r"))
        self.sink = RecordingSink()
        self.behind = Behind(self.sink, self.journal)

    def handle(self, *events: Event) -> None:
        for event in events:
            self.journal.handle(event)
            self.behind.handle(event)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "state")


def test_an_event_is_passed_on_when_it_is_on_disk(pair: Pair) -> None:
    missing: list[int] = []
    pair.sink.on_event = lambda event: missing.append(
        isinstance(event, UnitEnded) - on_record(pair.journal)
    )
    pair.handle(STARTED, ENDED)
    pair.journal.settle()
    pair.behind.tick()
    assert pair.sink.events == [STARTED, ENDED]
    assert missing == [0, 0]
    pair.journal.close()


def test_what_is_not_recorded_waits_for_what_came_before_it(pair: Pair) -> None:
    note = Note(message="first")
    pair.handle(STARTED)
    with held_up(pair.journal):
        pair.handle(BEGUN, note, ENDED, BEGUN)
        pair.behind.tick()
        assert pair.sink.events == [STARTED, BEGUN]
    pair.journal.settle()
    pair.behind.tick()
    assert pair.sink.events == [STARTED, BEGUN, note, ENDED, BEGUN]
    pair.journal.close()


def test_behind_a_record_that_broke_nothing_waits_for_ever(pair: Pair) -> None:
    pair.handle(STARTED)
    pair.journal.run.database.unlink()
    with pytest.raises(OSError, match="was removed while it ran"):
        pair.journal.settle()
    pair.behind.handle(ENDED)
    assert pair.sink.events == [STARTED, ENDED]
    pair.journal.close()


def test_closing_passes_on_the_rest_and_closes_the_other(pair: Pair) -> None:
    pair.handle(STARTED)
    with held_up(pair.journal):
        pair.handle(ENDED)
        pair.behind.close()
    assert pair.sink.events == [STARTED, ENDED]
    assert pair.sink.closed == 1
    pair.journal.close()


def test_the_other_is_closed_also_when_it_breaks_over_the_rest(pair: Pair) -> None:
    def fail(event: Event) -> None:
        raise BrokenPipeError(event)

    pair.handle(STARTED)
    with held_up(pair.journal):
        pair.handle(ENDED)
        pair.sink.fail = fail
        with pytest.raises(BrokenPipeError):
            pair.behind.close()
    assert pair.sink.closed == 1
    pair.journal.close()
