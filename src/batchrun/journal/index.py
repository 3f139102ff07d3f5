"""The index of runs: one row for each, so that looking back need not open every record.

It holds nothing that the records do not: it is made again from them when it is lost or damaged, a
run that is missing in it is added when somebody looks, and a run goes on without it.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from batchrun.errors import JournalError
from batchrun.journal.database import open_for_reading, open_for_writing
from batchrun.journal.places import RunDir, StateDir
from batchrun.journal.rows import raw_text
from batchrun.journal.schema import INDEX, RECORD
from batchrun.model.counts import Counts
from batchrun.model.event import RunEnded
from batchrun.model.outcome import KINDS
from batchrun.model.record import RunRecord

__all__ = ["Index"]

_log = logging.getLogger("batchrun.journal")

_COLUMNS = "id, job, job_file, started_at, previous, continues"


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
        row = (
            record.run_id,
            raw_text(record.job_name),
            os.fsencode(record.job_file),
            record.started_at,
            record.previous,
            record.continues,
        )
        with self._forgiving() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO runs({_COLUMNS}) VALUES (?,?,?,?,?,?)",
                row,
            )

    def ended(self, record: RunRecord, event: RunEnded, counts: Counts) -> None:
        """Note the end of a run; what goes wrong is only logged."""
        self.began(record)  # somebody may have removed the index meanwhile
        size = _size_bytes(self._state.run(record.run_id))
        with self._forgiving() as connection:
            connection.execute(
                "UPDATE runs SET ended_at = ?, duration_s = ?, exit_code = ?, stopped = ?, "
                "counts = ?, size_bytes = ? WHERE id = ?",
                (
                    event.at, event.duration_s, int(event.exit_code),
                    raw_text(event.stopped),
                    json.dumps(counts.total.as_dict()), size, record.run_id,
                ),
            )  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all runs that are recorded, newest first.

        Raises:
            JournalError: the state directory cannot be read.
        """
        ids = self._state.run_ids()
        known = self._known()
        missing = [run_id for run_id in ids if run_id not in known]
        found = {run_id: row for run_id in missing if (row := self._row_of(run_id)) is not None}
        if found:
            self._add(found)
        gone = known.keys() - set(ids)
        if gone:
            self._forget(gone)
        every = {**known, **found}
        return [every[run_id] for run_id in reversed(ids) if run_id in every]

    def update(self, run_id: str, row: dict[str, Any]) -> None:
        """Write a row anew; what goes wrong is only logged."""
        self._add({run_id: row})

    def remove(self, run_ids: Iterator[str] | list[str]) -> None:
        """Take runs out."""
        self._forget(run_ids)

    def close(self) -> None:
        """Let go of the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    # ---- the database ---------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """Open the index; one that is lost or damaged is begun anew."""
        if self._connection is None:
            path = self._state.index
            try:
                self._connection = open_for_writing(path, INDEX)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                _log.info("the index of runs %s is damaged, and is made again", path)
                os.replace(path, path.with_suffix(".damaged"))
                self._connection = open_for_writing(path, INDEX)
        return self._connection

    @contextmanager
    def _forgiving(self) -> Iterator[sqlite3.Connection]:
        """Work on the index; what goes wrong is only logged, as the records are what counts."""
        try:
            yield self._open()
        except (OSError, sqlite3.Error, JournalError) as error:
            _log.warning("the index of runs cannot be written: %s", error)

    def _known(self) -> dict[str, dict[str, Any]]:
        if not self._state.index.exists():
            return {}
        try:
            with closing(open_for_reading(self._state.index, INDEX)) as connection:
                connection.row_factory = sqlite3.Row
                rows = connection.execute("SELECT * FROM runs").fetchall()
        except (JournalError, sqlite3.Error) as error:
            _log.debug("the index of runs cannot be read: %s", error)
            return {}
        return {row["id"]: dict(row) for row in rows}

    def _row_of(self, run_id: str) -> dict[str, Any] | None:
        """Make the row of a run from its record; None: there is none yet, or it is damaged."""
        try:
            with closing(open_for_reading(self._state.run(run_id).database, RECORD)) as connection:
                connection.row_factory = sqlite3.Row
                return row_of(connection)
        except (JournalError, sqlite3.Error) as error:
            _log.debug("the record of %s cannot be read: %s", run_id, error)
            return None

    def _add(self, rows: dict[str, dict[str, Any]]) -> None:
        with self._forgiving() as connection:
            for row in rows.values():
                names = ",".join(row)
                marks = ",".join("?" * len(row))
                connection.execute(
                    f"INSERT OR REPLACE INTO runs({names}) VALUES ({marks})",
                    tuple(row.values()),
                )

    def _forget(self, run_ids: Any) -> None:
        with self._forgiving() as connection:
            connection.executemany("DELETE FROM runs WHERE id = ?", [(one,) for one in run_ids])


def row_of(record: sqlite3.Connection) -> dict[str, Any] | None:
    """Make the row of a run from its record."""
    run = record.execute("SELECT * FROM run").fetchone()
    if run is None:
        return None
    counts = counted(record)
    names = (
        "id", "job", "job_file", "started_at", "ended_at", "duration_s", "exit_code", "previous",
        "continues",
    )  # fmt: skip
    row = {name: run[name] for name in names}
    return {**row, "stopped": run["stopped"] or "", "counts": json.dumps(counts)}


def counted(record: sqlite3.Connection) -> dict[str, int]:
    """Count the units that have ended, as `Tally.as_dict` does."""
    counts = dict.fromkeys(("planned", *KINDS, "changed", "ignored", "retried"), 0)
    rows = record.execute(
        "SELECT is_final, kind, count(*) AS n, sum(changed) AS changed, sum(ignored) AS ignored "
        "FROM attempts GROUP BY is_final, kind"
    )
    for row in rows:
        if row["is_final"]:
            counts[KINDS[row["kind"]]] += row["n"]
            counts["changed"] += row["changed"]
            counts["ignored"] += row["ignored"]
        else:
            counts["retried"] += row["n"]
    (planned,) = record.execute("SELECT sum(planned) FROM tasks").fetchone()
    counts["planned"] = planned or sum(counts[kind] for kind in KINDS)
    return counts


def _size_bytes(run: RunDir) -> int:
    """Return how much the record of a run takes, without its items."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(run.path) if entry.is_file())
    except OSError:
        return 0
