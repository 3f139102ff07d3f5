"""Which units have a row in the table, and what is in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from batchrun.model.event import UnitEnded
from batchrun.model.outcome import KINDS, Failed, Ok, Report
from batchrun.report.failures import reason
from batchrun.report.html.outputs import Extent, Outputs
from batchrun.report.html.shelf import Shelf
from batchrun.report.html.timeline import NAME_COLUMNS
from batchrun.report.text import count, shorten, visible

__all__ = ["Listing"]

#: Rows of each class, and how many characters of JSON they may take.
MOST_ROWS = 10_000
_MOST_CHARS = 4 * 1024 * 1024
_COLUMNS = 400
_MESSAGE_COLUMNS = 1000
_DIFF_CHARS = 8 * 1024
_TRACEBACK_CHARS = 8 * 1024

_FAILED, _NOT_RUN, _REST = "failed", "not run", "rest"
_CLASSES: dict[str, str] = {
    "failed": _FAILED,
    "timed_out": _FAILED,
    "unreachable": _FAILED,
    "lost": _FAILED,
    "cancelled": _NOT_RUN,
    "aborted": _NOT_RUN,
}
_CLASS_WORDS = {
    _FAILED: "that failed, timed out or got lost",
    _NOT_RUN: "cancelled or aborted",
    _REST: "that ended ok, or skipped",
}
_EXTENTS = {
    _FAILED: Extent(head_bytes=4 * 1024, tail_bytes=12 * 1024, all_chars=4 * 1024 * 1024),
    _NOT_RUN: Extent(head_bytes=1024, tail_bytes=3 * 1024, all_chars=512 * 1024),
    _REST: Extent(head_bytes=1024, tail_bytes=3 * 1024, all_chars=2 * 1024 * 1024),
}
_CHANGED, _IGNORED = 1, 2


@dataclass(slots=True, kw_only=True)
class _Class:
    """How many units of a class there are, and have a row."""

    ended: int = 0
    listed: int = 0
    used_chars: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no further one has a row."""
        return self.listed >= MOST_ROWS or self.used_chars >= _MOST_CHARS


class Listing:
    """The rows: the first units of each class, so that a flood of one hides no other.

    Args:
        task_number: Returns the place of a task among all.
    """

    def __init__(self, task_number: Callable[[str], int]) -> None:
        self._task_number = task_number
        self._classes = {name: _Class() for name in _CLASS_WORDS}
        self._shelf = Shelf()
        self.outputs = Outputs(_EXTENTS)

    def add(self, event: UnitEnded, group: int, began_at: float) -> None:
        """Take one unit.

        Args:
            event: Its end.
            group: Among the failures.
            began_at: When the run did, in seconds since the epoch.

        Raises:
            OSError: the file in which the rows wait cannot be written.
        """
        name = _CLASSES.get(event.report.outcome.kind, _REST)
        own = self._classes[name]
        own.ended += 1
        if own.is_full:
            return
        output = event.report.output
        places = (
            self.outputs.place(output.stdout, name),
            self.outputs.place(output.stderr, name),
        )
        own.listed += 1
        own.used_chars += self._shelf.add([*self._row(event, began_at), *places, group,
                                           *_more(event.report)])  # fmt: skip

    def pieces(self) -> Iterator[str]:
        """Read the rows as a JSON array, a piece at a time."""
        return self._shelf.pieces()

    def sentence(self) -> str:
        """Say how many units have a row."""
        ended = sum(own.ended for own in self._classes.values())
        listed = sum(own.listed for own in self._classes.values())
        if listed == ended:
            return f"All {count(ended)} units are listed." if ended else "There were no units."
        parts = (
            f"{_listed(own)} {_CLASS_WORDS[name]}"
            for name, own in self._classes.items()
            if own.ended
        )
        return f"{count(listed)} of {count(ended)} units are listed: {'; '.join(parts)}."

    @property
    def left_out(self) -> int:
        """How many units have no row."""
        return sum(own.ended - own.listed for own in self._classes.values())

    def close(self) -> None:
        """Let go of what was kept; never raises."""
        self._shelf.close()
        self.outputs.close()

    def _row(self, event: UnitEnded, began_at: float) -> list[Any]:
        """Write what every row has; the order is that of `COLUMNS` in data.js."""
        unit, report = event.unit, event.report
        outcome = report.outcome
        is_changed = type(outcome) is Ok and outcome.changed
        started = round((report.started_at - began_at) * 1000) if report.started_at else None
        return [
            report.number,
            self._task_number(unit.task_id),
            _short(unit.host, NAME_COLUMNS),
            _short(unit.label, _COLUMNS),
            KINDS.index(outcome.kind),
            (_CHANGED if is_changed else 0) | (_IGNORED if event.ignored else 0),
            started,
            round(report.duration_s * 1000, 1),
            report.attempt,
            _short(report.worker, NAME_COLUMNS),
            _short(reason(outcome), _MESSAGE_COLUMNS),
        ]


def _listed(own: _Class) -> str:
    """Say how many of a class there are."""
    if own.listed == own.ended:
        return f"all {count(own.ended)}" if own.ended > 1 else "the one"
    return f"the first {count(own.listed)} of {count(own.ended)}"


def _more(report: Report) -> list[Any]:
    """Write what few rows have: warnings, diff, traceback; nothing when there is none of them."""
    outcome = report.outcome
    traceback = outcome.traceback[-_TRACEBACK_CHARS:] if isinstance(outcome, Failed) else ""
    if not (report.warnings or report.diff or traceback):
        return []
    diff = report.diff[:_DIFF_CHARS] + ("\n..." if len(report.diff) > _DIFF_CHARS else "")
    warnings = [_short(sentence, _MESSAGE_COLUMNS) for sentence in report.warnings]
    return [{"warnings": warnings, "diff": _lines(diff), "traceback": _lines(traceback)}]


def _short(text: str, columns: int) -> str:
    """Make a text visible, and not too long."""
    return shorten(visible(text[: columns * 2]), columns)


def _lines(text: str) -> str:
    """Make a text of several lines visible."""
    return "\n".join(visible(line, keep_tabs=True) for line in text.removesuffix("\n").split("\n"))
