"""Warnings and other messages for people, on standard error, whatever standard output carries."""

from collections.abc import Callable
from typing import TextIO

from batchrun.model.event import Event, Note, RunEnded, RunStarted, UnitEnded
from batchrun.report.failures import fold_message
from batchrun.report.lines import Lines, nothing
from batchrun.report.text import PLAIN, Palette, count, shorten, visible

__all__ = ["MessageSink"]

_SHOWN = 20
_COLUMNS = 1000


class MessageSink:
    """Prints notes as they come and the warnings of units, folded, at the end.

    A standard error that is closed or gone is left alone: messages never fail a run.

    Args:
        stderr: Where messages go.
        quiet: 0 prints everything, 1 warnings only, 2 nothing.
        palette: Colours.
        before: Called before anything is written; `ProgressSink.hide`.
    """

    def __init__(
        self,
        stderr: TextIO,
        *,
        quiet: int = 0,
        palette: Palette = PLAIN,
        before: Callable[[], None] = nothing,
    ) -> None:
        self._lines = Lines(stderr, before)
        self._quiet = quiet
        self._palette = palette
        self._names: dict[str, str] = {}
        #: Task and sentence without the item -> how often, and the first as it is shown.
        self._warnings: dict[tuple[str, str], tuple[int, str]] = {}
        self._left_out = 0

    def handle(self, event: Event) -> None:
        """Take one event; never raises."""
        match event:
            case UnitEnded():
                if event.report.warnings:
                    self._keep(event)
            case Note():
                self._note(event)
            case RunStarted():
                self._names = {task_id: visible(name) for task_id, name in event.tasks}
            case RunEnded():
                self.close()
            case _:
                pass

    def close(self) -> None:
        """Print the warnings of units that were not printed yet."""
        warnings, self._warnings = self._warnings, {}
        for number, text in warnings.values():
            self._warn(text if number == 1 else f"{text} ({count(number)} times alike)")
        if self._left_out:
            self._warn(f"and {count(self._left_out)} more warnings")
            self._left_out = 0

    def _note(self, note: Note) -> None:
        """Print a note at once."""
        where = f"{self._task(note.task_id)}: " if note.task_id else ""
        text = where + visible(note.message)
        if note.level == "warning":
            self._warn(text)
        elif not self._quiet:
            self._lines.attempt(f"{text}\n")

    def _warn(self, text: str) -> None:
        """Print a warning, unless nothing at all is wanted."""
        if self._quiet < 2:
            self._lines.attempt(f"{self._palette.yellow('warning:')} {text}\n")

    def _keep(self, event: UnitEnded) -> None:
        """Count the warnings of a unit; of the first twenty different ones also the text."""
        unit = event.unit
        for sentence in event.report.warnings:
            key = (unit.task_id, fold_message(sentence[:_COLUMNS], unit.label[:_COLUMNS]))
            number, text = self._warnings.get(key, (0, ""))
            if not number:
                if len(self._warnings) >= _SHOWN:
                    self._left_out += 1
                    continue
                text = self._text(event, sentence)
            self._warnings[key] = (number + 1, text)

    def _text(self, event: UnitEnded, sentence: str) -> str:
        """Write a unit's warning with where it comes from."""
        label = visible(event.unit.label[:_COLUMNS])
        message = shorten(visible(sentence[:_COLUMNS]), _COLUMNS)
        item = f"{label}: " if label and label not in message else ""
        return f"{self._task(event.unit.task_id)}: {item}{message}"

    def _task(self, task_id: str) -> str:
        """Return the name for people of a task."""
        return self._names.get(task_id) or visible(task_id)
