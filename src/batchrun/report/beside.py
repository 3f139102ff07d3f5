"""What is said beside that which commands wrote: what a dry run would do, and the recap."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from batchrun.model.event import Event, RunEnded, UnitEnded
from batchrun.model.exitcode import ExitCode
from batchrun.model.outcome import Ok
from batchrun.report.lines import Lines, nothing
from batchrun.report.recap import Summary, change_text, details_text, recap_text
from batchrun.report.text import PLAIN, Palette

__all__ = ["Beside", "BesideOptions"]

_WELL = frozenset({ExitCode.OK, ExitCode.WOULD_CHANGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideOptions:
    """How much is said."""

    #: 1: no recap when all went well; 2: nothing of ours then.
    quiet: int = 0
    #: Tracebacks of defects in the recap.
    debug: bool = False
    #: Colours on standard error, where the recap goes.
    palette: Palette = PLAIN


class Beside:
    """The part that all sinks share whose results are the output of commands.

    Args:
        stdout: Gets what a dry run would do.
        stderr: Gets the recap. Errors on it are swallowed.
        options: How much is said.
        before: Called before anything is written on a terminal.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        options: BesideOptions,
        before: Callable[[], None] = nothing,
    ) -> None:
        self._options = options
        self._results = Lines(stdout, before)
        self._messages = Lines(stderr, before)
        self._summary = Summary()

    def handle(self, event: Event) -> None:
        """Take one event, before anything is shown of it."""
        self._summary.handle(event)

    @property
    def broke(self) -> bool:
        """Whether the run has begun and not ended."""
        return self._summary.started is not None and self._summary.ended is None

    def says_change(self, event: UnitEnded) -> bool:
        """Say what a dry run found; True: there is nothing more to show of the unit.

        Raises:
            OSError: standard output cannot be written.
        """
        started, outcome = self._summary.started, event.report.outcome
        if started is None or not started.dry_run or type(outcome) is not Ok:
            return False
        if outcome.changed and not self._options.quiet:
            name = self._summary.task_name(event.unit.task_id)
            self._results.write(change_text(event.unit, name, outcome.note))
        return not event.report.output

    def warn(self, sentence: str) -> None:
        """Write a warning, unless nothing at all is wanted."""
        if self._options.quiet < 2:
            self.say(f"{self._options.palette.yellow('warning:')} {sentence}\n")

    def say(self, text: str) -> None:
        """Write text to standard error, whole lines; never raises."""
        self._messages.attempt(text)

    def recap(self, ended: RunEnded) -> None:
        """Say on standard error what the run came to."""
        options = self._options
        if options.quiet and ended.exit_code in _WELL:
            return
        text = recap_text(self._summary, palette=options.palette)
        if options.debug:
            text = details_text(self._summary, debug=True, palette=options.palette) + text
        self._messages.attempt(text)

    def recap_of_broken(self) -> None:
        """Say what a run that broke came to until then."""
        self._messages.attempt(recap_text(self._summary, palette=self._options.palette))
