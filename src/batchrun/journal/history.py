"""Which runs there are: found by a name people type, told apart by how they stand, thrown away."""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Self

from batchrun.errors import JournalError, UsageError
from batchrun.journal.alive import is_alive
from batchrun.journal.index import Index
from batchrun.journal.places import StateDir
from batchrun.journal.recorded import Recorded
from batchrun.journal.rows import read_text
from batchrun.model.exitcode import outcome_word
from batchrun.model.record import Continues

__all__ = ["LAST", "History", "RunRow"]

#: The word for the newest run.
LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, as the table of runs shows it."""

    run_id: str
    job: str
    #: Absolute path of the job file; empty: the program made it; `-`: standard input.
    job_file: str
    #: Seconds since the epoch (UTC).
    started_at: float
    ended_at: float | None
    duration_s: float | None
    exit_code: int | None
    stopped: str
    #: `running`, `interrupted`, or how it ended: `ok`, `failed` ...
    state: str
    #: Numbers of units, as `Tally.as_dict`; empty while it runs.
    counts: dict[str, int] = field(default_factory=dict)
    #: The run that it goes on with, and how.
    previous: str = ""
    continues: Continues = ""
    #: Of its record, without its items; None: not known.
    size_bytes: int | None = None


class History:
    """The runs recorded in a state directory; a context manager.

    Args:
        state: Which.
    """

    def __init__(self, state: StateDir) -> None:
        self.state = state
        self._index = Index(state)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the index."""
        self._index.close()

    def rows(self) -> list[RunRow]:
        """Return all runs, newest first.

        Raises:
            JournalError: the state directory cannot be read.
        """
        return [self._row(row) for row in self._index.rows()]

    def find(self, words: str) -> str:
        """Return the id of the run that people mean: `last`, an id, or how one begins or ends.

        Raises:
            UsageError: there is none, or more than one.
        """
        ids = self.state.run_ids()
        if not ids:
            message = f"no run is recorded in {self.state.path}"
            raise UsageError(message)
        if words == LAST:
            return ids[-1]
        if words in ids:
            return words
        found = [one for one in ids if one.startswith(words)] or [
            one for one in ids if one.endswith(words)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(found[-3:])
            message = f"{words} may mean {len(found)} runs, such as {some}; write more of the id"
        else:
            message = f"no run is called {words}; `batchrun runs` lists them"
        raise UsageError(message)

    def open(self, run_id: str) -> Recorded:
        """Open the record of a run.

        Raises:
            JournalError: it cannot be read.
        """
        return Recorded(self.state.run(run_id))

    def family(self, run_id: str) -> list[str]:
        """Return the runs that a run goes on with or that go on with it, oldest first.

        All of them do the same job with the same variables, so that what one of them has ended
        well is done for all.
        """
        rows = {row["id"]: row for row in self._index.rows()}
        first = run_id
        while first in rows and rows[first]["previous"] in rows:
            first = rows[first]["previous"]
        next_ones: dict[str, list[str]] = defaultdict(list)
        for row in rows.values():
            next_ones[row["previous"]].append(row["id"])
        # By time, but none before the one that it goes on with: clocks are set back, and ids tell
        # the second only.
        members: list[str] = []
        waiting = [(0.0, first)]
        while waiting:
            _, one = heappop(waiting)
            members.append(one)
            for other in next_ones[one]:
                heappush(waiting, (rows[other]["started_at"], other))
        return members

    def remove(self, run_ids: Iterable[str]) -> int:
        """Throw the records of runs away; returns how many bytes that freed.

        Raises:
            JournalError: one of them cannot be removed.
        """
        gone, freed = [], 0
        try:
            for run_id in run_ids:
                path = self.state.run(run_id).path
                freed += _size_bytes(path)
                # Out of sight first: half a record must not look like a whole one.
                hidden = path.with_name(f".{run_id}")
                os.rename(path, hidden)
                gone.append(run_id)
                shutil.rmtree(hidden)
        except OSError as error:
            message = f"the record {error.filename} cannot be removed: {error.strerror}"
            raise JournalError(message) from error
        finally:
            self._index.remove(gone)
        return freed

    def _row(self, row: dict[str, Any]) -> RunRow:
        """Complete the row of a run that has no end on record."""
        if row["exit_code"] is not None:
            return _run_row(row, outcome_word(row["exit_code"]))
        run = self.state.run(row["id"])
        if is_alive(run):
            return _run_row(row, "running")
        if row["counts"] is None:
            # Counted once: nothing is added to it any more.
            with Recorded(run) as recorded:
                last_at = recorded.last_at
                row = {
                    **row,
                    "counts": json.dumps(recorded.counts),
                    "duration_s": None if last_at is None else last_at - row["started_at"],
                }
            self._index.update(row["id"], row)
        return _run_row(row, "interrupted")


def _run_row(row: dict[str, Any], state: str) -> RunRow:
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
        counts=json.loads(row["counts"]) if row["counts"] else {},
        previous=row["previous"],
        continues=row["continues"],
        size_bytes=row.get("size_bytes"),
    )


def _size_bytes(path: Path) -> int:
    return sum(
        os.lstat(os.path.join(where, name)).st_size
        for where, _, names in os.walk(path)
        for name in names
    )
