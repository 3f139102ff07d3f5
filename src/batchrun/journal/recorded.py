"""The record of one run, read: what it was, how its units ended, and its events once more."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from batchrun.errors import JournalError, RecordNotBegunError
from batchrun.journal.alive import is_alive
from batchrun.journal.attempts import Attempts, UnitFilter
from batchrun.journal.database import open_for_reading, reason
from batchrun.journal.places import RunDir
from batchrun.journal.rows import read_text
from batchrun.journal.runrows import ended_of, note_of, record_of, task_ended_of
from batchrun.journal.schema import KIND_NUMBERS, RECORD
from batchrun.journal.tallies import tally_of
from batchrun.model.counts import Counts
from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    TaskEnded,
    TaskOpened,
    UnitEnded,
)
from batchrun.model.exitcode import outcome_word
from batchrun.model.record import RunRecord, RunState

__all__ = ["ANY_UNIT", "Recorded", "UnitFilter"]

ANY_UNIT = UnitFilter()
_T = TypeVar("_T")
#: What comes of reading a damaged file that still looks like a record.
_DAMAGED = (sqlite3.Error, AttributeError, LookupError, TypeError, ValueError)
_NOTES = "SELECT * FROM notes ORDER BY rowid"


class Recorded:
    """An open record; a context manager.

    Args:
        run: Which.

    Raises:
        RecordNotBegunError: nothing is in it.
        JournalError: it is not there, cannot be read, or is damaged.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        # Asked before anything is read: of a run that ends meanwhile all is read, or it goes on.
        self._was_alive = is_alive(run)
        self._connection = open_for_reading(run.database, RECORD)
        self._connection.row_factory = sqlite3.Row
        try:
            self._run = self._run_row()
            self._tasks = self._all("SELECT * FROM tasks ORDER BY position")
            with self.reading():
                self._names = {one["position"]: read_text(one["id"]) for one in self._tasks}
        except BaseException:
            self.close()
            raise
        self._attempts = Attempts(self._connection, self._names)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    @property
    def record(self) -> RunRecord:
        """What was known of the run when it began."""
        with self.reading():
            return record_of(self._run)

    @property
    def is_alive(self) -> bool:
        """Whether it went on when the record was opened."""
        return self._run["exit_code"] is None and self._was_alive

    @property
    def state(self) -> RunState:
        """How it stands."""
        if self.is_alive:
            return RunState.RUNNING
        code = self._run["exit_code"]
        return RunState.INTERRUPTED if code is None else RunState(outcome_word(code))

    @property
    def ended(self) -> RunEnded | None:
        """Its last event; None: it was interrupted, or goes on."""
        with self.reading():
            return ended_of(self._run)

    @property
    def started(self) -> RunStarted:
        """Its first event."""
        with self.reading():
            run = self._run
            return RunStarted(
                run_id=run["id"],
                job_name=read_text(run["job"]),
                at=run["started_at"],
                procs=run["procs"] or 0,
                tasks=tuple((read_text(one["id"]), read_text(one["name"])) for one in self._tasks),
                printed=tuple(read_text(one["id"]) for one in self._tasks if one["printed"]),
                goes_on_with=run["previous"],
                recorded=True,
            )

    @property
    def counts(self) -> Counts:
        """How many units have ended how, by task; as it was when the record was opened."""
        with self.reading():
            return Counts(
                tasks={read_text(one["id"]): tally_of(one["tally"]) for one in self._tasks}
            )

    def events(self) -> Iterator[Event]:
        """Give its events once more, in their order: what ended, not what began.

        A run that was interrupted has no RunEnded, and its tasks have no TaskEnded.

        Raises:
            JournalError: the record is damaged.
        """
        return self._told(self._events())

    def _events(self) -> Iterator[Event]:
        yield self.started
        for task in self._tasks:
            if task["opened"]:
                yield TaskOpened(task_id=read_text(task["id"]), total=task["total"])
        yield from self._attempts_and_notes()
        yield from self.tasks()
        if self.ended is not None:
            yield self.ended

    def _attempts_and_notes(self) -> Iterator[Event]:
        notes = self._all(_NOTES)
        at = 0
        for seq, event in self._attempts.every():
            while at < len(notes) and notes[at]["seq"] < seq:
                yield note_of(notes[at])
                at += 1
            yield event
        yield from map(note_of, notes[at:])

    def hosts(self) -> list[str]:
        """Return the hosts that units were for, sorted.

        Raises:
            JournalError: the record is damaged.
        """
        rows = self._all("SELECT DISTINCT host FROM attempts WHERE host NOT NULL ORDER BY host")
        return [read_text(row["host"]) for row in rows]

    def notes(self) -> list[Note]:
        """Return what people were told while it ran, in order."""
        with self.reading():
            return list(map(note_of, self._all(_NOTES)))

    def units(self, which: UnitFilter = ANY_UNIT) -> Iterator[UnitEnded]:
        """Give the units that have ended, in the order in which they did.

        Raises:
            JournalError: the record is damaged.
        """
        return self._told(self._attempts.ended(which))

    def unwell(self, which: UnitFilter = ANY_UNIT) -> Iterator[UnitEnded]:
        """Give the units that ended neither ok nor skipped, without reading the others.

        Raises:
            JournalError: the record is damaged.
        """
        return self._told(self._attempts.unwell(which))

    def slowest(self) -> list[UnitEnded]:
        """Return the units of which the last attempt took longest, at most ten.

        Raises:
            JournalError: the record is damaged.
        """
        with self.reading():
            found = list(self._attempts.at(json.loads(self._run["slowest"])))
        return [event for event in found if isinstance(event, UnitEnded)]

    def places(self, which: UnitFilter, most: int) -> list[int]:
        """Find attempts, also of units that have not ended: unit by unit, at most so many.

        Raises:
            JournalError: the record is damaged.
        """
        with self.reading():
            return self._attempts.places(which, most)

    def attempts(self, places: Sequence[int]) -> Iterator[Event]:
        """Give the attempts that were found at some places, in this order.

        Raises:
            JournalError: the record is damaged.
        """
        return self._told(self._attempts.at(places))

    def _told(self, found: Iterator[_T]) -> Iterator[_T]:
        """Pass on what is read; say what went wrong in a sentence."""
        with self.reading():
            yield from found

    def settled(self, kinds: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        """Give task and identity of every unit that ended so, once for each.

        Raises:
            JournalError: the record is damaged.
        """
        marks = ",".join("?" * len(kinds))
        with self.reading():
            # Plain tuples: a million rows with names would take twice as long.
            cursor = self._connection.cursor()
            cursor.row_factory = None
            cursor.execute(
                "SELECT task, identity FROM attempts WHERE is_final AND identity IS NOT NULL "
                f"AND kind IN ({marks})",
                [KIND_NUMBERS[kind] for kind in kinds],
            )
            for task, identity in cursor:
                yield self._names[task], identity

    @property
    def last_at(self) -> float | None:
        """When the last unit on record ended, in seconds since the epoch; None: none did."""
        at: float | None = self._run["last_at"]
        return at

    @property
    def knows_tasks(self) -> bool:
        """Whether it got as far as to know its tasks."""
        return bool(self._tasks)

    @property
    def unexpanded(self) -> frozenset[str]:
        """The tasks of which not all units are on record."""
        with self.reading():
            return frozenset(
                read_text(one["id"])
                for one in self._tasks
                if one["good"] is None or one["not_expanded"] or one["source_error"]
            )

    def ended_late(self, within_s: float) -> list[tuple[str, bytes, str]]:
        """Return operation, identity and item of what ended ok shortly before the last unit did."""
        # The last one by its place: when the clock was set back, the latest time is an early one.
        rows = self._all(
            "SELECT operation, identity, label FROM attempts WHERE is_final AND identity NOT NULL "
            f"AND kind = {KIND_NUMBERS['ok']} AND started_at + duration_s >= "
            "(SELECT started_at + duration_s FROM attempts WHERE started_at NOT NULL "
            f"ORDER BY seq DESC LIMIT 1) - {within_s}"
        )
        return [(row["operation"], row["identity"], read_text(row["label"])) for row in rows]

    def label_of(self, identity: bytes) -> str | None:
        """Return the item of a unit, else its command; None: it is not on record."""
        with self.reading():
            row = self._connection.execute(
                "SELECT label, command FROM attempts WHERE identity = ? LIMIT 1", (identity,)
            ).fetchone()
        return None if row is None else read_text(row["label"] or row["command"])

    def kept_rows(self) -> list[Any]:
        """Return what units that ended well have registered, as rows, unit by unit."""
        return self._all(
            f"SELECT r.*, a.identity, a.kind = {KIND_NUMBERS['ok']} AS was_ok "
            "FROM results r JOIN attempts a ON a.seq = r.seq "
            "WHERE a.identity IS NOT NULL ORDER BY r.seq, r.rowid"
        )

    def tasks(self) -> list[TaskEnded]:
        """Return how tasks ended, those that have, in the order of the job file."""
        with self.reading():
            return [task_ended_of(one) for one in self._tasks if one["good"] is not None]

    def _all(self, statement: str) -> list[Any]:
        with self.reading():
            return self._connection.execute(statement).fetchall()

    def _run_row(self) -> Any:
        rows = self._all("SELECT * FROM run")
        if rows:
            return rows[0]
        if self._all("SELECT id FROM tasks LIMIT 1"):  # the run's own row was written long before
            raise self._unreadable(LookupError())
        message = f"the record of run {self.run.run_id} was not begun: {self.run.database}"
        raise RecordNotBegunError(message, reason="it was not begun")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Say in a sentence what goes wrong with what is read.

        Raises:
            JournalError: the record is damaged.
        """
        try:
            yield
        except _DAMAGED as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> JournalError:
        why = reason(error) if isinstance(error, sqlite3.Error) else "the file is damaged"
        message = f"the record of run {self.run.run_id} cannot be read: {why}"
        return JournalError(message, reason=why)
