"""Warnings and other messages for people, on standard error, whatever standard output carries."""

from collections.abc import Callable
from typing import TextIO

from batchrun.model.event import Event, Note, RunEnded, RunStarted, UnitEnded
from batchrun.report.lines import Lines, nothing
from batchrun.report.text import PLAIN, Palette, visible
from batchrun.report.warned import Warnings

__all__ = ["MessageSink"]


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
        self._warnings = Warnings(self._task)

    def handle(self, event: Event) -> None:
        """Take one event; never raises."""
        match event:
            case UnitEnded():
                if event.report.warnings:
                    self._warnings.add(event)
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
        warnings, self._warnings = self._warnings, Warnings(self._task)
        for sentence in warnings.sentences():
            self._warn(sentence)

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

    def _task(self, task_id: str) -> str:
        """Return the name for people of a task."""
        return self._names.get(task_id) or visible(task_id)
