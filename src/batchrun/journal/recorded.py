"""The record of one run, read: what it was, how its units ended, and its events once more."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from batchrun.errors import JournalError
from batchrun.journal.alive import is_alive
from batchrun.journal.database import open_for_reading, reason
from batchrun.journal.index import counted
from batchrun.journal.places import RunDir
from batchrun.journal.rows import event_of, read_text
from batchrun.journal.schema import KIND_NUMBERS, RECORD
from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    TaskEnded,
    TaskOpened,
    UnitEnded,
)
from batchrun.model.outcome import Captured
from batchrun.model.record import RunRecord

__all__ = ["Recorded", "RunState", "UnitFilter"]

#: Attempts whose output is fetched in one go.
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFilter:
    """Which units of a run are meant; what is empty or None does not count."""

    #: Kinds of outcome.
    kinds: tuple[str, ...] = ()
    #: A number of a unit.
    number: int | None = None
    #: Part of an item.
    item: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """How a run stands."""

    #: `running`, `interrupted`, or how it ended: `ok`, `failed` ...
    word: str
    ended_at: float | None
    duration_s: float | None
    exit_code: int | None
    stopped: str


class Recorded:
    """An open record; a context manager.

    Args:
        run: Which.

    Raises:
        JournalError: it is not there, cannot be read, or is damaged.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._connection = open_for_reading(run.database, RECORD)
        self._connection.row_factory = sqlite3.Row
        self._run = self._first("SELECT * FROM run")
        if self._run is None:
            self._connection.close()
            message = f"the record of run {run.run_id} was not begun: {run.database}"
            raise JournalError(message)
        self._tasks = self._all("SELECT * FROM tasks ORDER BY position")

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
        run = self._run
        return RunRecord(
            run_id=run["id"],
            job_name=read_text(run["job"]),
            job_file=os.fsdecode(run["job_file"] or b""),
            base_dir=os.fsdecode(run["base_dir"] or b""),
            text=run["text"] or b"",
            variables=json.loads(run["variables"]),
            options=json.loads(run["options"]),
            command_line=tuple(json.loads(run["command_line"])),
            started_at=run["started_at"],
            now=run["now"],
            shown_id=run["shown_id"],
            previous=run["previous"],
            continues=run["continues"],
            host=read_text(run["host"]),
            user=read_text(run["user"]),
            pid=run["pid"],
            version=run["version"],
            python=run["python"],
            boot_id=run["boot_id"],
        )

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return self._run["exit_code"] is None and is_alive(self.run)

    @property
    def ended(self) -> RunEnded | None:
        """Its last event; None: it was interrupted, or goes on."""
        run = self._run
        if run["exit_code"] is None:
            return None
        return RunEnded(
            run_id=run["id"],
            at=run["ended_at"],
            duration_s=run["duration_s"],
            exit_code=run["exit_code"],
            stopped=read_text(run["stopped"]),
        )

    @property
    def started(self) -> RunStarted:
        """Its first event."""
        run = self._run
        return RunStarted(
            run_id=run["id"],
            job_name=read_text(run["job"]),
            at=run["started_at"],
            procs=run["procs"] or 0,
            tasks=tuple((read_text(one["id"]), read_text(one["name"])) for one in self._tasks),
            printed=tuple(read_text(one["id"]) for one in self._tasks if one["printed"]),
            goes_on_with=run["previous"],
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many units ended how."""
        try:
            return counted(self._connection)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def events(self) -> Iterator[Event]:
        """Give its events once more, in their order: what ended, not what began.

        A run that was interrupted has no RunEnded, and its tasks have no TaskEnded.

        Raises:
            JournalError: the record is damaged.
        """
        yield self.started
        for task in self._tasks:
            if task["opened"]:
                yield TaskOpened(task_id=read_text(task["id"]), total=task["total"])
        yield from self._attempts_and_notes()
        for task in self._tasks:
            if task["good"] is not None:
                yield self._task_ended(task)
        if self.ended is not None:
            yield self.ended

    def _task_ended(self, task: Mapping[str, Any]) -> TaskEnded:
        return TaskEnded(
            task_id=read_text(task["id"]),
            good=bool(task["good"]),
            not_expanded=read_text(task["not_expanded"]),
            source_error=read_text(task["source_error"]),
            planned=task["planned"] or 0,
            done_before=task["done_before"],
        )

    def _attempts_and_notes(self) -> Iterator[Event]:
        notes = self._all("SELECT * FROM notes ORDER BY rowid")
        at = 0
        for seq, event in self._attempts("1", ()):
            while at < len(notes) and notes[at]["seq"] < seq:
                yield _note(notes[at])
                at += 1
            yield event
        yield from map(_note, notes[at:])

    def units(self, which: UnitFilter, *, most: int = -1, slowest: bool = False) -> list[UnitEnded]:
        """Return units that have ended, in their order.

        Args:
            which: Those that are meant.
            most: So many at most; -1: all.
            slowest: Those that took longest first.

        Raises:
            JournalError: the record is damaged.
        """
        where, values = self._where(which)
        order = "duration_s DESC, seq" if slowest else "seq"
        found = self._attempts(where, values, order=order, most=most)
        return [event for _, event in found if isinstance(event, UnitEnded)]

    def attempts(self, number: int) -> list[Event]:
        """Return every attempt of one unit, in their order."""
        return [event for _, event in self._attempts("number = ?", (number,))]

    def _where(self, which: UnitFilter) -> tuple[str, tuple[Any, ...]]:
        conditions = ["is_final"]
        values: list[Any] = []
        if which.kinds:
            conditions.append(f"kind IN ({','.join('?' * len(which.kinds))})")
            values += [KIND_NUMBERS[kind] for kind in which.kinds]
        if which.number is not None:
            conditions.append("number = ?")
            values.append(which.number)
        if which.item:
            conditions.append("instr(CAST(label AS BLOB), ?) > 0")
            values.append(os.fsencode(which.item))
        if which.task_id:
            conditions.append("task = (SELECT position FROM tasks WHERE id = ?)")
            values.append(which.task_id)
        return " AND ".join(conditions), tuple(values)

    def _attempts(
        self, where: str, values: tuple[Any, ...], *, order: str = "seq", most: int = -1
    ) -> Iterator[tuple[int, Event]]:
        names = {one["position"]: read_text(one["id"]) for one in self._tasks}
        statement = f"SELECT * FROM attempts WHERE {where} ORDER BY {order} LIMIT ?"
        try:
            cursor = self._connection.execute(statement, (*values, most))
            while rows := cursor.fetchmany(_PAGE):
                outputs = self._outputs([row["seq"] for row in rows])
                for row in rows:
                    yield row["seq"], event_of(row, names[row["task"]], outputs[row["seq"]])
        except (sqlite3.Error, LookupError, TypeError, ValueError) as error:
            raise self._unreadable(error) from error

    def _outputs(self, seqs: list[int]) -> dict[int, dict[int, Captured]]:
        found: dict[int, dict[int, Captured]] = {seq: {} for seq in seqs}
        marks = ",".join("?" * len(seqs))
        rows = self._connection.execute(
            f"SELECT * FROM outputs WHERE seq IN ({marks})",
            seqs,
        )
        for row in rows:
            found[row["seq"]][row["stream"]] = Captured(
                head=row["head"], tail=row["tail"], omitted_bytes=row["omitted_bytes"]
            )
        return found

    def settled(self, kinds: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        """Give task and identity of every unit that ended so, once for each.

        Raises:
            JournalError: the record is damaged.
        """
        names = {one["position"]: read_text(one["id"]) for one in self._tasks}
        marks = ",".join("?" * len(kinds))
        try:
            # Plain tuples: a million rows with names would take twice as long.
            cursor = self._connection.cursor()
            cursor.row_factory = None
            cursor.execute(
                "SELECT task, identity FROM attempts WHERE is_final AND identity IS NOT NULL "
                f"AND kind IN ({marks})",
                [KIND_NUMBERS[kind] for kind in kinds],
            )
            for task, identity in cursor:
                yield names[task], identity
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    @property
    def last_at(self) -> float | None:
        """When the last unit on record ended, in seconds since the epoch; None: none did."""
        row = self._first("SELECT max(started_at + duration_s) AS at FROM attempts")
        return None if row is None else row["at"]

    @property
    def knows_tasks(self) -> bool:
        """Whether it got as far as to know its tasks."""
        return bool(self._tasks)

    @property
    def unexpanded(self) -> frozenset[str]:
        """The tasks of which not all units are on record."""
        return frozenset(
            read_text(one["id"])
            for one in self._tasks
            if one["good"] is None or one["not_expanded"] or one["source_error"]
        )

    def ended_late(self, within_s: float) -> list[tuple[str, bytes, str]]:
        """Return operation, identity and item of what ended ok shortly before the last unit did."""
        rows = self._all(
            "SELECT operation, identity, label FROM attempts WHERE is_final AND identity NOT NULL "
            f"AND kind = {KIND_NUMBERS['ok']} AND started_at + duration_s >= "
            f"(SELECT max(started_at + duration_s) FROM attempts) - {within_s}"
        )
        return [(row["operation"], row["identity"], read_text(row["label"])) for row in rows]

    def label_of(self, identity: bytes) -> str | None:
        """Return the item of a unit, else its command; None: it is not on record."""
        try:
            row = self._connection.execute(
                "SELECT label, command FROM attempts WHERE identity = ? LIMIT 1", (identity,)
            ).fetchone()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        return None if row is None else read_text(row["label"] or row["command"])

    def kept_rows(self) -> list[Any]:
        """Return what units that ended well have registered, as rows, unit by unit."""
        return self._all(
            "SELECT r.*, a.identity FROM results r JOIN attempts a ON a.seq = r.seq "
            "WHERE a.identity IS NOT NULL ORDER BY r.seq, r.rowid"
        )

    def tasks(self) -> list[TaskEnded]:
        """Return how each task ended, as far as it has; of one that has not, `good` is false."""
        return [self._task_ended(one) for one in self._tasks]

    def _all(self, statement: str) -> list[Any]:
        try:
            return self._connection.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _first(self, statement: str) -> Any:
        return next(iter(self._all(statement)), None)

    def _unreadable(self, error: Exception) -> JournalError:
        why = reason(error) if isinstance(error, sqlite3.Error) else "the file is damaged"
        message = f"the record of run {self.run.run_id} cannot be read: {why}"
        return JournalError(message)


def _note(row: Mapping[str, Any]) -> Note:
    return Note(
        message=read_text(row["message"]), level=row["level"], task_id=read_text(row["task"])
    )
