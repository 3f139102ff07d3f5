"""Attempts read back from the record of a run, a page at a time.

Nothing is open between two pages: whoever reads slowly (a pager) holds up nobody who writes.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.journal.rows import event_of, raw_text
from batchrun.journal.schema import KIND_NUMBERS, UNWELL
from batchrun.model.event import Event, UnitEnded
from batchrun.model.outcome import Captured

__all__ = ["Attempts", "UnitFilter"]

#: Attempts that are fetched in one go, with their output: up to half a MiB each.
_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFilter:
    """Which units of a run are meant; what is empty or None does not count."""

    #: Kinds of outcome.
    kinds: tuple[str, ...] = ()
    #: A number of a unit.
    number: int | None = None
    #: An item.
    item: str = ""
    #: Part of an item.
    item_part: str = ""
    task_id: str = ""
    #: Names of hosts; None: all units, also those that are for none.
    hosts: tuple[str, ...] | None = None

    def conditions(self) -> tuple[str, list[Any]]:
        """Write it as an expression, and its values."""
        found: list[str] = ["1"]
        values: list[Any] = []
        if self.kinds:
            found.append(f"kind IN ({_marks(self.kinds)})")
            values += [KIND_NUMBERS[kind] for kind in self.kinds]
        if self.number is not None:
            found.append("number = ?")
            values.append(self.number)
        if self.item:
            found.append("label = ?")
            values.append(raw_text(self.item))
        if self.item_part:
            found.append("instr(CAST(label AS BLOB), ?) > 0")
            values.append(os.fsencode(self.item_part))
        if self.task_id:
            found.append("task = (SELECT position FROM tasks WHERE id = ?)")
            values.append(raw_text(self.task_id))
        if self.hosts is not None:
            # One value, however many there are: the number of values is limited.
            found.append("host IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(self.hosts))
        return " AND ".join(found), values


class Attempts:
    """The attempts of a run.

    All methods raise what a damaged record leads to: sqlite3.Error, LookupError, TypeError,
    ValueError.

    Args:
        connection: An open record; rows have names.
        task_ids: By position.
    """

    def __init__(self, connection: sqlite3.Connection, task_ids: Mapping[int, str]) -> None:
        self._connection = connection
        self._task_ids = task_ids

    def every(self) -> Iterator[tuple[int, Event]]:
        """Give all of them in order of ending, each with its place in it."""
        return self._pages("attempts", "1", [])

    def ended(self, which: UnitFilter) -> Iterator[UnitEnded]:
        """Give the ends of units, in order of ending."""
        where, values = which.conditions()
        return _ends(self._pages("attempts", f"is_final AND {where}", values))

    def unwell(self, which: UnitFilter) -> Iterator[UnitEnded]:
        """Give the ends of units that ended neither ok nor skipped; does not read the others."""
        where, values = which.conditions()
        return _ends(self._pages("attempts INDEXED BY unwell", f"{UNWELL} AND {where}", values))

    def places(self, which: UnitFilter, most: int) -> list[int]:
        """Find attempts, also of units that have not ended: unit by unit, at most so many."""
        where, values = which.conditions()
        rows = self._connection.execute(
            f"SELECT number, seq FROM attempts WHERE {where} LIMIT ?", (*values, most)
        )
        return [seq for _, seq in sorted(map(tuple, rows))]

    def at(self, seqs: Sequence[int]) -> Iterator[Event]:
        """Give the attempts at some places, in the order of these."""
        for at in range(0, len(seqs), _PAGE):
            some = seqs[at : at + _PAGE]
            rows = self._connection.execute(
                f"SELECT * FROM attempts WHERE seq IN ({_marks(some)})", some
            ).fetchall()
            found = dict(self._read(rows))
            yield from (found[seq] for seq in some)

    def _pages(self, table: str, where: str, values: Sequence[Any]) -> Iterator[tuple[int, Event]]:
        statement = f"SELECT * FROM {table} WHERE {where} AND seq > ? ORDER BY seq LIMIT {_PAGE}"
        last = 0
        while rows := self._connection.execute(statement, (*values, last)).fetchall():
            yield from self._read(rows)
            last = rows[-1]["seq"]

    def _read(self, rows: Sequence[Any]) -> Iterator[tuple[int, Event]]:
        outputs = self._outputs([row["seq"] for row in rows])
        for row in rows:
            seq = row["seq"]
            yield seq, event_of(row, self._task_ids[row["task"]], outputs[seq])

    def _outputs(self, seqs: Sequence[int]) -> dict[int, dict[int, Captured]]:
        found: dict[int, dict[int, Captured]] = {seq: {} for seq in seqs}
        rows = self._connection.execute(
            f"SELECT * FROM outputs WHERE seq IN ({_marks(seqs)})", seqs
        )
        for row in rows:
            found[row["seq"]][row["stream"]] = Captured(
                head=row["head"], tail=row["tail"], omitted_bytes=row["omitted_bytes"]
            )
        return found


def _ends(found: Iterator[tuple[int, Event]]) -> Iterator[UnitEnded]:
    return (event for _, event in found if isinstance(event, UnitEnded))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
