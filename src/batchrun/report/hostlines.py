"""Output of commands on hosts while they run, as `host: line`: the results of `exec`."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from batchrun.model.event import Event, RunEnded, UnitEnded, UnitOutput, UnitRetried
from batchrun.model.ports import ReaderGoneError
from batchrun.model.unit import Unit
from batchrun.report.beside import Beside, BesideOptions
from batchrun.report.bytestream import ByteStream
from batchrun.report.linebuffer import LineBuffer
from batchrun.report.lines import nothing
from batchrun.report.text import visible
from batchrun.report.who import who

__all__ = ["HostLinesOptions", "HostLinesSink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLinesOptions(BesideOptions):
    """How output is shown."""

    #: What acts on a terminal is passed on to it.
    raw: bool = False


class HostLinesSink:
    """Writes whole lines, each behind its host: standard output and standard error apart.

    Args:
        stdout: Where standard output goes.
        stderr: Where standard error and the recap go. Errors on it are swallowed.
        options: How.
        before: Called before anything is written on a terminal; `ProgressSink.hide`.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        options: HostLinesOptions | None = None,
        *,
        before: Callable[[], None] = nothing,
    ) -> None:
        options = options or HostLinesOptions()
        self._beside = Beside(stdout, stderr, options, before)
        self._streams = {
            "stdout": ByteStream(stdout, before, raw=options.raw),
            "stderr": ByteStream(stderr, before, raw=options.raw, may_fail=True),
        }
        self._lines = LineBuffer()
        self._is_told = False
        #: By the numbers of the units that run.
        self._tags: dict[int, bytes] = {}

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            ReaderGoneError: nobody reads standard output any more; said once.
            OSError: it cannot be written.
        """
        self._beside.handle(event)
        match event:
            case UnitOutput():
                self._take(event)
            case UnitRetried():
                self._end(event.report.number)
            case UnitEnded():
                self._end(event.report.number)
                self._beside.says_change(event)
            case RunEnded():
                self._beside.recap(event)
            case _:
                pass
        if self._streams["stdout"].gone and not self._is_told:
            self._is_told = True
            raise ReaderGoneError

    def close(self) -> None:
        """Show what is known of a run that broke.

        Raises:
            OSError: standard output cannot be written.
        """
        for number in self._lines.units():
            self._end(number)
        if self._beside.broke:
            self._beside.recap_of_broken()

    def _take(self, event: UnitOutput) -> None:
        """Write the lines that are complete now, and keep the rest."""
        number = event.number
        if number not in self._tags:
            self._tags[number] = _tag(event.unit)
        lines = self._lines.add(number, event.stream, event.data)
        self._streams[event.stream].write(lines, self._tags[number])

    def _end(self, number: int) -> None:
        """Write what a unit left without a newline."""
        for stream, data in self._lines.end(number):
            self._streams[stream].write([data], self._tags[number])
        self._tags.pop(number, None)


def _tag(unit: Unit) -> bytes:
    """Write whose line it is; a unit without host and item has the line for itself."""
    name = who(unit)
    return os.fsencode(f"{visible(name)}: ") if name else b""
