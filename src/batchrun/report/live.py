"""Output of commands while they run: whole lines, tagged with host and item, or the task."""

from collections.abc import Callable

from batchrun.model.event import Event, UnitEnded, UnitOutput, UnitRetried
from batchrun.model.outcome import Report
from batchrun.model.unit import Unit
from batchrun.report.failures import reason
from batchrun.report.linebuffer import LineBuffer
from batchrun.report.lines import Lines
from batchrun.report.text import count, decode, duration, shorten, visible
from batchrun.report.who import who, without_who

__all__ = ["LiveOutput"]

_TAG_COLUMNS = 200
_MESSAGE_CHARS = 1000


class LiveOutput:
    """Puts the pieces of each stream of each unit together to lines.

    Args:
        stdout: Where the commands' standard output goes; its errors are passed on.
        stderr: Where their standard error goes, and how they ended.
        name_of: Gives the name for people of a task id.
    """

    def __init__(self, stdout: Lines, stderr: Lines, name_of: Callable[[str], str]) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._name_of = name_of
        self._lines = LineBuffer()
        #: By the numbers of the units that run.
        self._tags: dict[int, str] = {}

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            OSError: standard output says it.
        """
        match event:
            case UnitOutput():
                self._take(event)
            case UnitEnded():
                self._flush(event.report.number)
                self._say_end(event)
            case UnitRetried():
                self._flush(event.report.number)
                self._say_retry(event)
            case _:
                pass

    def close(self) -> None:
        """Print what is left of lines that were not ended; never raises."""
        for number in self._lines.units():
            for stream, data in self._lines.end(number):
                lines = self._stderr if stream == "stderr" else self._stdout
                lines.attempt(f"{self._tags[number]}: {decode(data)}\n")

    def _take(self, event: UnitOutput) -> None:
        """Print the lines that are complete now, and keep the rest."""
        number = event.number
        tag = self._tags.get(number)
        if tag is None:
            tag = self._tags[number] = self._tag(event.unit)
        lines = self._lines.add(number, event.stream, event.data)
        self._print(event.stream, "".join(f"{tag}: {decode(line)}\n" for line in lines))

    def _flush(self, number: int) -> None:
        """Print what a unit left without a newline."""
        for stream, data in self._lines.end(number):
            self._print(stream, f"{self._tags[number]}: {decode(data)}\n")
        self._tags.pop(number, None)

    def _print(self, stream: str, text: str) -> None:
        """Write text to where the stream goes."""
        if stream == "stderr":
            self._stderr.attempt(text)
        else:
            self._stdout.write(text)

    def _say_end(self, event: UnitEnded) -> None:
        """Say at once that a unit did not end ok."""
        kind = event.report.outcome.kind
        if kind not in {"ok", "skipped"}:
            word = "ignored" if event.ignored else kind.replace("_", " ")
            why = self._why(event.unit, event.report)
            self._stderr.attempt(f"{self._tag(event.unit)}: {word}: {why}\n")

    def _say_retry(self, event: UnitRetried) -> None:
        """Say why another attempt follows, and when."""
        tag, why = self._tag(event.unit), self._why(event.unit, event.report)
        attempt = f"attempt {count(event.report.attempt + 1)} in {duration(event.delay_s)}"
        self._stderr.attempt(f"{tag}: {why}; {attempt}\n")

    def _why(self, unit: Unit, report: Report) -> str:
        """Write why an attempt did not end ok, without the item that is the tag already."""
        message = without_who(reason(report.outcome), unit)
        return shorten(visible(message[:_MESSAGE_CHARS]), _MESSAGE_CHARS)

    def _tag(self, unit: Unit) -> str:
        """Write whose line it is."""
        name = who(unit)
        if not name:
            return self._name_of(unit.task_id)
        return shorten(visible(name[: _TAG_COLUMNS * 4]), _TAG_COLUMNS)
