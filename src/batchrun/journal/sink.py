"""The sink that records a run: what ended is on disk at most 100 ms later, the end at once."""

import os
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from batchrun.errors import JournalError
from batchrun.journal.alive import RunLock
from batchrun.journal.database import open_for_writing, reason, seal
from batchrun.journal.index import Index
from batchrun.journal.places import RunDir, StateDir, unusable
from batchrun.journal.rows import attempt_row, kept_row, output_rows, raw_text
from batchrun.journal.runrows import RUN_COLUMNS, run_row
from batchrun.journal.schema import ATTEMPT_COLUMNS, KEPT_COLUMNS, OUTPUT_COLUMNS, RECORD
from batchrun.journal.tallies import Slowest, tally_text
from batchrun.journal.writer import Writer, insert
from batchrun.model.counts import Counts, fold
from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitRetried,
)
from batchrun.model.record import RunRecord

__all__ = ["JournalSink"]

_RECORDED = frozenset({RunStarted, TaskOpened, TaskEnded, UnitEnded, UnitRetried, Note, RunEnded})
#: Kinds of outcome with which a unit need not be run again in every case.
_ENDED_WELL = frozenset({"ok", "skipped"})


class JournalSink:
    """Records one run; made before it begins, so that a run that cannot be recorded does not.

    Args:
        state: Where runs are recorded.
        record: What is known of this one.

    Raises:
        FileExistsError: there is a run of this id already.
        JournalError: it cannot be recorded.
    """

    def __init__(self, state: StateDir, record: RunRecord) -> None:
        self.run = state.make(record.run_id)
        self._record = record
        self._index = Index(state)
        try:
            self._lock, self._connection = _begun(self.run, record)
            self._inode = os.stat(self.run.database).st_ino
        except (OSError, sqlite3.Error) as error:
            shutil.rmtree(self.run.path, ignore_errors=True)
            why = reason(error) if isinstance(error, sqlite3.Error) else error.strerror
            raise JournalError(unusable(state.path, why)) from error
        self._rows = _Rows()
        self._writer = Writer(self._connection, self._rows.write)
        self._is_closed = False
        #: The last event, once it is on disk.
        self._ended: RunEnded | None = None
        #: How many events were taken; to be compared with `written`.
        self.taken = 0
        #: Nothing more is written.
        self.is_broken = False

    @property
    def written(self) -> int:
        """How many of the events taken are on disk."""
        return self._writer.written

    def handle(self, event: Event) -> None:
        """Take one event; when it is the last one, returns when it is on disk.

        Raises:
            OSError: the record cannot be written.
        """
        if type(event) not in _RECORDED:
            return
        with self._told():
            self.taken = self._writer.put(event, _size_bytes(event))
            if isinstance(event, RunStarted):
                self._writer.flush()
                self._record = replace(self._record, started_at=event.at)
                self._index.began(self._record)
            elif isinstance(event, RunEnded):
                self._writer.flush()
                self._ended = event

    def settle(self) -> None:
        """Return when everything is on disk.

        Raises:
            OSError: it cannot be written, or the record was removed meanwhile.
        """
        with self._told():
            self._writer.flush()
        self._check_place()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what went wrong in a sentence.

        Raises:
            OSError: the record cannot be written.
        """
        try:
            yield
        except sqlite3.Error as error:
            self.is_broken = True
            message = f"the record of this run in {self.run.path} cannot be written: "
            raise OSError(message + reason(error)) from error

    def close(self) -> None:
        """Write what is left, let go of the database, then of the lock."""
        if self._is_closed:
            return
        self._is_closed = True
        self._writer.close()
        try:
            seal(self._connection)
            self._connection.close()
        except sqlite3.Error as error:
            message = f"the record of this run in {self.run.path} cannot be closed: "
            raise OSError(message + reason(error)) from error
        finally:
            if self._ended is not None:
                # Only now, because only now its size is known.
                self._index.ended(self._record, self._ended, self._rows.counts.total)
            self._index.close()
            self._lock.release()

    def _check_place(self) -> None:
        """Notice that the record was removed while it was written.

        Raises:
            OSError: it was: the file that we write to has no name any more.
        """
        try:
            is_there = os.stat(self.run.database).st_ino == self._inode
        except OSError:
            is_there = False
        if not is_there:
            self.is_broken = True
            message = f"the record of this run was removed while it ran: {self.run.database}"
            raise OSError(message)


def _begun(run: RunDir, record: RunRecord) -> tuple[RunLock, sqlite3.Connection]:
    """Lock a run and write what is known of it.

    Raises:
        OSError, sqlite3.Error: that is not possible.
    """
    with ExitStack() as undone:
        lock = RunLock(run.lock)
        undone.callback(lock.release)
        connection = open_for_writing(run.database, RECORD)
        undone.callback(connection.close)
        insert(connection, "run", RUN_COLUMNS, [run_row(record)])
        run.keep()
        undone.pop_all()
    return lock, connection


def _size_bytes(event: Event) -> int:
    """Return how much output an event carries."""
    if not isinstance(event, UnitEnded | UnitRetried) or not event.report.output:
        return 0
    output = event.report.output
    return sum(len(one.head) + len(one.tail) for one in (output.stdout, output.stderr))


@dataclass(slots=True)
class _Batch:
    """Rows of one batch, and the tasks of which it changes the numbers."""

    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    outputs: list[tuple[Any, ...]] = field(default_factory=list)
    kept: list[tuple[Any, ...]] = field(default_factory=list)
    counted: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Rows:
    """Turns events into rows, in the writer's thread; `counts` is for all once it is flushed."""

    counts: Counts = field(default_factory=Counts)
    _seq: int = 0
    _tasks: dict[str, int] = field(default_factory=dict)
    _slowest: Slowest = field(default_factory=Slowest)
    #: When the last attempt ended, in seconds since the epoch.
    _last_at: float = 0.0

    def write(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        """Write a batch."""
        batch = _Batch()
        for event in events:
            fold(self.counts, event)
            if isinstance(event, UnitEnded | UnitRetried):
                self._add(event, batch)
            else:
                self._write_one(connection, event)
                if isinstance(event, TaskEnded):
                    batch.counted.add(event.task_id)
        insert(connection, "attempts", ATTEMPT_COLUMNS, batch.attempts)
        insert(connection, "outputs", OUTPUT_COLUMNS, batch.outputs)
        insert(connection, "results", KEPT_COLUMNS, batch.kept)
        self._write_numbers(connection, batch.counted)

    def _add(self, event: UnitEnded | UnitRetried, batch: _Batch) -> None:
        self._seq += 1
        report, task_id = event.report, event.unit.task_id
        task = self._tasks[task_id]
        batch.counted.add(task_id)
        batch.attempts.append(attempt_row(self._seq, event, task))
        if report.output:
            batch.outputs += output_rows(self._seq, report.output)
        self._last_at = max(self._last_at, report.started_at + report.duration_s)
        if isinstance(event, UnitEnded):
            self._slowest.add(report.duration_s, self._seq)
            if report.outcome.kind in _ENDED_WELL:
                batch.kept += [kept_row(self._seq, one) for one in event.kept]

    def _write_numbers(self, connection: sqlite3.Connection, task_ids: Collection[str]) -> None:
        """Bring up to date what is read instead of all attempts."""
        if not task_ids:
            return
        connection.executemany(
            "UPDATE tasks SET tally = ? WHERE position = ?",
            [(tally_text(self.counts.task(one)), self._tasks[one]) for one in task_ids],
        )
        connection.execute(
            "UPDATE run SET last_at = ?, slowest = ?",
            (self._last_at or None, self._slowest.text()),
        )

    def _write_one(self, connection: sqlite3.Connection, event: Event) -> None:
        match event:
            case RunStarted():
                self._write_start(connection, event)
            case TaskOpened():
                connection.execute(
                    "UPDATE tasks SET opened = 1, total = ? WHERE id = ?",
                    (event.total, raw_text(event.task_id)),
                )
            case TaskEnded():
                connection.execute(
                    "UPDATE tasks SET good = ?, not_expanded = ?, source_error = ?, planned = ?, "
                    "done_before = ? WHERE id = ?",
                    (
                        event.good,
                        raw_text(event.not_expanded),
                        raw_text(event.source_error),
                        event.planned,
                        event.done_before,
                        raw_text(event.task_id),
                    ),
                )
            case Note():
                row = (self._seq, event.level, raw_text(event.task_id), raw_text(event.message))
                insert(connection, "notes", ("seq", "level", "task", "message"), [row])
            case RunEnded():
                connection.execute(
                    "UPDATE run SET ended_at = ?, duration_s = ?, exit_code = ?, stopped = ?",
                    (event.at, event.duration_s, int(event.exit_code), raw_text(event.stopped)),
                )
            case _:
                pass

    def _write_start(self, connection: sqlite3.Connection, event: RunStarted) -> None:
        self._tasks = {task_id: at for at, (task_id, _) in enumerate(event.tasks)}
        rows = [
            (at, raw_text(task_id), raw_text(name), task_id in event.printed)
            for at, (task_id, name) in enumerate(event.tasks)
        ]
        insert(connection, "tasks", ("position", "id", "name", "printed"), rows)
        connection.execute("UPDATE run SET procs = ?, started_at = ?", (event.procs, event.at))
