"""The readable results: live lines while commands run, the recap at the end."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from batchrun.model.event import Event, RunEnded, UnitEnded
from batchrun.model.exitcode import ExitCode
from batchrun.model.outcome import Ok, Skipped
from batchrun.report.lines import Lines, nothing
from batchrun.report.live import LiveOutput
from batchrun.report.printed import PrintedOutput
from batchrun.report.recap import (
    Summary,
    change_text,
    details_text,
    diff_text,
    recap_text,
    unknown_text,
)
from batchrun.report.text import PLAIN, Palette

__all__ = ["TextOptions", "TextSink"]

_WELL = frozenset({ExitCode.OK, ExitCode.WOULD_CHANGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """How much is said, and how."""

    #: 0: everything; 1: when all went well nothing but warnings and the output of tasks with
    #: `print: always`; 2: not even those.
    quiet: int = 0
    #: Output of commands as it comes, and failures when they happen.
    live: bool = False
    #: Tracebacks of defects with the failures.
    debug: bool = False
    #: Where complete output is, such as a directory; empty: nowhere else.
    rest_is_in: str = ""
    #: Colours on standard output.
    palette: Palette = PLAIN


class TextSink:
    """`--output text`: results on standard output. Messages are `MessageSink`'s.

    Only the failures' folded groups and the counts are kept: memory stays flat. Nothing is
    printed about single failures before the end, unless live output is wanted; the bars count
    them meanwhile.

    Args:
        stdout: Where the recap and live output go.
        stderr: Where the commands' live standard error goes. Errors on it are swallowed: a
            terminal that has gone must not cost the recap.
        options: How much is said.
        before: Called before anything is written on a terminal; `ProgressSink.hide`.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        options: TextOptions | None = None,
        *,
        before: Callable[[], None] = nothing,
    ) -> None:
        self._options = options or TextOptions()
        self._stdout = Lines(stdout, before)
        self.summary = Summary()
        self._printed = PrintedOutput()
        self._live: LiveOutput | None = None
        if self._options.live:
            self._live = LiveOutput(self._stdout, Lines(stderr, before), self.summary.task_name)

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            BrokenPipeError: nobody reads standard output any more.
            OSError: standard output cannot be written for another reason.
        """
        self.summary.handle(event)
        if self._live is not None:
            self._live.handle(event)
        if type(event) is UnitEnded:
            self._unit_ended(event)
        elif type(event) is RunEnded:
            self._end(event)

    def close(self) -> None:
        """Print what is known when the run broke before its end; never raises."""
        if self._live is not None:
            self._live.close()
        if self.summary.started is not None and self.summary.ended is None:
            with contextlib.suppress(OSError):
                self._printed.show(self._stdout.write)
            self._stdout.attempt(self._result())
        self._printed.close()

    def _unit_ended(self, event: UnitEnded) -> None:
        """Say what must be said at once, and keep what is shown at the end."""
        if self._says_changes():
            self._say_change(event)
        started = self.summary.started
        if self._live is None and started is not None and event.unit.task_id in started.printed:
            self._printed.keep(event, self.summary.task_name(event.unit.task_id))
        if event.report.diff and not self._options.quiet:
            unit, palette = event.unit, self._options.palette
            title = "" if self._says_changes() else self.summary.task_name(unit.task_id)
            self._stdout.write(diff_text(unit, title, event.report.diff, palette))

    def _end(self, event: RunEnded) -> None:
        """Write the results; a report by mail must arrive, so `-q` alone does not take it away."""
        is_well = event.exit_code in _WELL
        if not (is_well and self._options.quiet > 1):
            self._printed.show(self._stdout.write)
        self._printed.close()
        if not (is_well and self._options.quiet):
            self._stdout.write(self._result())

    def _says_changes(self) -> bool:
        """Whether this is a dry run that is to say what would change."""
        started = self.summary.started
        return started is not None and started.dry_run and not self._options.quiet

    def _say_change(self, event: UnitEnded) -> None:
        """Say what a unit would change: at once, because there may be a million of them."""
        outcome = event.report.outcome
        palette = self._options.palette
        if type(outcome) is Ok and outcome.changed:
            name = self.summary.task_name(event.unit.task_id)
            self._stdout.write(change_text(event.unit, name, outcome.note, palette))
        elif type(outcome) is Skipped and outcome.is_unknown:
            name = self.summary.task_name(event.unit.task_id)
            self._stdout.write(unknown_text(event.unit, name, outcome.because, palette))

    def _result(self) -> str:
        """Write the failures with their output, then the recap: what is read last comes last."""
        options = self._options
        details = details_text(
            self.summary,
            rest_is_in=options.rest_is_in,
            debug=options.debug,
            palette=options.palette,
        )
        return details + recap_text(self.summary, palette=options.palette)
