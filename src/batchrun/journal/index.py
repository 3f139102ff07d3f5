"""The index of runs: one row for each, so that looking back need not open every record.

It holds nothing that the records do not: it is made again from them when it is lost or damaged, a
run that is missing in it is added when somebody looks, and a run goes on without it.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from batchrun.errors import JournalError
from batchrun.journal.database import is_damage, open_for_reading, open_for_writing, transaction
from batchrun.journal.places import StateDir
from batchrun.journal.rows import raw_text, read_text
from batchrun.journal.schema import INDEX
from batchrun.journal.tallies import tally_of, tally_text
from batchrun.model.counts import Tally
from batchrun.model.event import RunEnded
from batchrun.model.exitcode import outcome_word
from batchrun.model.record import RunRecord, RunRow, RunState

__all__ = ["Index"]

_log = logging.getLogger("batchrun.journal")

#: How long another process may hold the index, in seconds: no run waits for what it can do without.
_BUSY_S = 1.0
_COLUMNS = (
    "id", "job", "job_file", "started_at", "ended_at", "duration_s", "exit_code", "stopped",
    "counts", "previous", "continues", "size_bytes",
)  # fmt: skip
#: What comes of reading a damaged row.
_DAMAGED = (AttributeError, TypeError, ValueError)


class Index:
    """The index of a state directory; opened when it is needed.

    Args:
        state: Which.
    """

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._connection: sqlite3.Connection | None = None

    def began(self, record: RunRecord) -> None:
        """Note the beginning of a run; what goes wrong is only logged."""
        self._write(_row_of(record))

    def ended(self, record: RunRecord, event: RunEnded, total: Tally) -> None:
        """Note the end of a run; what goes wrong is only logged."""
        ended = replace(
            _row_of(record),
            ended_at=event.at,
            duration_s=event.duration_s,
            exit_code=int(event.exit_code),
            stopped=event.stopped,
            counts=total,
            size_bytes=self._state.run(record.run_id).size_bytes,
            state=RunState(outcome_word(event.exit_code)),
        )
        self._write(ended)

    def rows(self) -> dict[str, RunRow]:
        """Return what is known here, by id; of a run whose end is not, `state` is `running`."""
        try:
            if not self._state.index.exists():
                return {}
            with closing(open_for_reading(self._state.index, INDEX, _BUSY_S)) as connection:
                connection.row_factory = sqlite3.Row
                rows = connection.execute("SELECT * FROM runs").fetchall()
            return {row["id"]: _read(row) for row in rows}
        except (OSError, JournalError, sqlite3.Error, *_DAMAGED) as error:
            _log.debug("the index of runs cannot be read: %s", error)
            return {}

    def add(self, rows: Iterable[RunRow]) -> None:
        """Take in runs that have ended, or were interrupted; what goes wrong is only logged."""
        self._write(*rows)

    def remove(self, run_ids: Iterable[str]) -> None:
        """Take runs out; what goes wrong is only logged."""
        self._change("DELETE FROM runs WHERE id = ?", [(one,) for one in run_ids])

    def close(self) -> None:
        """Let go of the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _write(self, *rows: RunRow) -> None:
        names, marks = ",".join(_COLUMNS), ",".join("?" * len(_COLUMNS))
        self._change(
            f"INSERT OR REPLACE INTO runs({names}) VALUES ({marks})", list(map(_written, rows))
        )

    def _change(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Do it for all values; what goes wrong is only logged, as the records are what counts."""
        if not values:
            return
        try:
            try:
                self._execute(statement, values)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                _log.info("the index of runs %s is damaged, and is made again", self._state.index)
                self.close()
                os.replace(self._state.index, self._state.index.with_suffix(".damaged"))
                self._execute(statement, values)
        except (OSError, sqlite3.Error, JournalError) as error:
            self.close()  # a transaction that is half done goes with it
            _log.info("the index of runs cannot be written: %s", error)

    def _execute(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        if self._connection is None:
            self._connection = open_for_writing(self._state.index, INDEX, _BUSY_S)
        with transaction(self._connection):
            self._connection.executemany(statement, values)


def _row_of(record: RunRecord) -> RunRow:
    """Make the row of a run that begins."""
    return RunRow(
        run_id=record.run_id,
        job=record.job_name,
        job_file=record.job_file,
        started_at=record.started_at,
        state=RunState.RUNNING,
        previous=record.previous,
        continues=record.continues,
    )


def _written(row: RunRow) -> tuple[Any, ...]:
    """Write a row, in the order of `_COLUMNS`."""
    return (
        row.run_id,
        raw_text(row.job),
        os.fsencode(row.job_file),
        row.started_at,
        row.ended_at,
        row.duration_s,
        row.exit_code,
        raw_text(row.stopped),
        None if row.state is RunState.RUNNING else tally_text(row.counts),
        row.previous,
        row.continues,
        row.size_bytes,
    )


def _read(row: sqlite3.Row) -> RunRow:
    """Read a row; only one that nothing is added to any more has counts."""
    if row["counts"] is None:
        state = RunState.RUNNING
    elif row["exit_code"] is None:
        state = RunState.INTERRUPTED
    else:
        state = RunState(outcome_word(row["exit_code"]))
    return RunRow(
        run_id=row["id"],
        job=read_text(row["job"]),
        job_file=os.fsdecode(row["job_file"] or b""),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        duration_s=row["duration_s"],
        exit_code=row["exit_code"],
        stopped=read_text(row["stopped"]),
        state=state,
        counts=tally_of(row["counts"] or "{}"),
        previous=row["previous"],
        continues=row["continues"],
        size_bytes=row["size_bytes"],
    )
