"""Which runs there are: found by a name people type, told apart by how they stand, thrown away."""

import calendar
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Self

from batchrun.errors import JournalError, RecordNotBegunError, UsageError
from batchrun.journal.alive import is_alive
from batchrun.journal.database import flaw
from batchrun.journal.index import Index
from batchrun.journal.places import RunDir, StateDir
from batchrun.journal.recorded import Recorded
from batchrun.journal.schema import RECORD
from batchrun.model.record import RunRow, RunState

__all__ = ["LAST", "History", "RunRow"]

#: The word for the newest run.
LAST = "last"
#: How old a record must be that was not begun, to be thrown away: far more than that takes.
_BEGINNING_S = 3600.0
_ID_TIME = re.compile(r"(\d{8}-\d{6})-")


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
        """Return all runs, newest first; a record that cannot be read is one of them.

        Raises:
            JournalError: the state directory cannot be read.
        """
        # The index first: a run that begins in between is on record, and not taken out of it.
        known = self._index.rows()
        found: dict[str, RunRow] = {}
        for one in self.state.run_ids():
            row = known[one] if one in known and _is_over(known[one]) else self._look(one)
            if row is not None:
                found[one] = row
        self._index.add(
            row
            for one, row in found.items()
            if row is not known.get(one) and _is_over(row) and not row.problem
        )
        self._index.remove(known.keys() - found.keys())
        return sorted(found.values(), key=lambda row: _when(row, found), reverse=True)

    def checked(self, row: RunRow) -> RunRow:
        """Return the row of a run as it is when its record is damaged where that shows at once.

        The index knows how a run ended, also when its record is of no use any more.
        """
        if row.problem or not _is_over(row):
            return row
        problem = flaw(self.state.run(row.run_id).database, RECORD)
        return replace(row, state=RunState.UNREADABLE, problem=problem) if problem else row

    def find(self, words: str) -> str:
        """Return the id of the run that people mean: `last`, an id, or how one begins or ends.

        Raises:
            UsageError: there is none, or more than one.
            JournalError: the state directory cannot be read.
        """
        ids = [row.run_id for row in reversed(self.rows())]
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

        Raises:
            JournalError: the state directory cannot be read.
        """
        return [row.run_id for row in self.family_rows(run_id)] or [run_id]

    def family_rows(self, run_id: str) -> list[RunRow]:
        """Return the rows of the same runs.

        Raises:
            JournalError: the state directory cannot be read.
        """
        rows = {row.run_id: row for row in reversed(self.rows())}
        first = run_id
        while first in rows and rows[first].previous in rows:
            first = rows[first].previous
        members: dict[str, RunRow] = {}
        for row in rows.values():
            if row.run_id == first or row.previous in members:
                members[row.run_id] = row
        return list(members.values())

    def remove(self, run_ids: Iterable[str]) -> int:
        """Throw records away, but for those of runs that go on; returns how many bytes that freed.

        Raises:
            JournalError: one of them cannot be removed; the others are.
        """
        gone, freed, failed = [], 0, ""
        try:
            for run_id in run_ids:
                run = self.state.run(run_id)
                try:
                    if not is_alive(run):
                        freed += self._remove(run)
                        gone.append(run_id)
                except OSError as error:
                    failed = f"the record {run.path} cannot be removed: {error.strerror}"
        finally:
            self._index.remove(gone)
        if failed:
            raise JournalError(failed)
        return freed

    def sweep(self, rows: Iterable[RunRow], now: float) -> None:
        """Throw away what is left of records whose removal, or whose beginning, was cut short.

        Args:
            rows: Those of all runs.
            now: The time, in seconds since the epoch.

        Raises:
            JournalError: the state directory cannot be read.
        """
        for path in self.state.leftovers():
            shutil.rmtree(path, ignore_errors=True)
        for run in self.state.others({row.run_id for row in rows}):
            with suppress(OSError):  # it is none of ours, or somebody else removes it, too
                is_old = now - run.path.stat().st_mtime > _BEGINNING_S
                if is_old and not is_alive(run) and self._is_empty(run):
                    run.remove_beginning()

    def _is_empty(self, run: RunDir) -> bool:
        return not run.database.exists() or self._look(run.run_id) is None

    def _remove(self, run: RunDir) -> int:
        """Throw a record away; returns its size. One that is gone already is all right."""
        size = run.size_bytes
        hidden = self.state.hidden(run.run_id)
        with suppress(FileNotFoundError):
            os.rename(run.path, hidden)
        shutil.rmtree(hidden, ignore_errors=True)
        return size

    def _look(self, run_id: str) -> RunRow | None:
        """Make the row of a run from its record; None: it has none, nothing was run."""
        run = self.state.run(run_id)
        try:
            with Recorded(run) as recorded:
                return _row_of(recorded)
        except RecordNotBegunError:
            return None
        except JournalError as error:
            return _unreadable(run, error.reason or str(error))


def _when(row: RunRow, rows: Mapping[str, RunRow]) -> tuple[float, int, str]:
    """Return by what runs are sorted: when they began, none before the one that it goes on with.

    Ids do not do: they tell the second only, and clocks are set back.
    """
    at, generation, before = row.started_at, 0, rows.get(row.previous)
    while before is not None and generation < len(rows):  # damage may have made a circle of them
        at, generation = max(at, before.started_at), generation + 1
        before = rows.get(before.previous)
    return at, generation, row.run_id


def _is_over(row: RunRow) -> bool:
    """Whether nothing will be added to its record any more."""
    return row.state is not RunState.RUNNING


def _row_of(recorded: Recorded) -> RunRow:
    record, ended = recorded.record, recorded.ended
    is_over = not recorded.is_alive
    duration_s = ended.duration_s if ended else None
    if duration_s is None and is_over and recorded.last_at is not None:
        duration_s = max(recorded.last_at - record.started_at, 0.0)
    return RunRow(
        run_id=recorded.run.run_id,
        job=record.job_name,
        job_file=record.job_file,
        started_at=record.started_at,
        ended_at=ended.at if ended else None,
        duration_s=duration_s,
        exit_code=ended.exit_code if ended else None,
        stopped=ended.stopped if ended else "",
        state=recorded.state,
        counts=recorded.counts.total,
        previous=record.previous,
        continues=record.continues,
        size_bytes=recorded.run.size_bytes if is_over else None,
    )


def _unreadable(run: RunDir, problem: str) -> RunRow:
    """Make the row of a record that cannot be read; its name says when it began."""
    try:
        goes_on = is_alive(run)
    except JournalError:
        goes_on = False
    return RunRow(
        run_id=run.run_id,
        started_at=_began_at(run),
        state=RunState.RUNNING if goes_on else RunState.UNREADABLE,
        size_bytes=run.size_bytes,
        problem=problem,
    )


def _began_at(run: RunDir) -> float:
    found = _ID_TIME.match(run.run_id)
    if found:
        with suppress(ValueError):
            return calendar.timegm(time.strptime(found[1], "%Y%m%d-%H%M%S"))
    with suppress(OSError):
        return run.path.stat().st_mtime
    return 0.0
