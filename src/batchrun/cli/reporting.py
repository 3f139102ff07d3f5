"""`batchrun report`: what a run would have written with other options, from its record."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO, TypeAlias

from batchrun.cli.lookflags import ReportFlags
from batchrun.cli.looking import open_history
from batchrun.cli.lookoptions import ReportFormat
from batchrun.errors import UsageError
from batchrun.journal.recorded import Recorded
from batchrun.model.exitcode import ExitCode
from batchrun.model.ports import Sink
from batchrun.report.joblog import JoblogSink
from batchrun.report.junit import JunitSink
from batchrun.report.machine import JsonSink, NdjsonSink
from batchrun.report.messages import MessageSink
from batchrun.report.metrics import MetricsSink
from batchrun.report.newfile import new_file
from batchrun.report.screen import TextOptions, TextSink
from batchrun.report.text import PLAIN, Palette, wants_colour

__all__ = ["report_run"]

#: Opens what `--to` names, if anything, and gives the sink that writes there.
Writer: TypeAlias = Callable[[Path | None], AbstractContextManager[Sink]]


def _to_stream(make: Callable[[TextIO], Sink]) -> Writer:
    """Make the writer of a sink that takes a stream."""

    @contextmanager
    def write(to: Path | None) -> Iterator[Sink]:
        if to is None:
            yield make(sys.stdout)
            return
        with new_file(os.fspath(to)) as file:
            stream = TextIOWrapper(file, encoding="utf-8", errors="backslashreplace")
            yield make(stream)
            stream.flush()
            stream.detach()

    return write


def _to_file(make: Callable[[str], Sink]) -> Writer:
    """Make the writer of a sink that makes its file itself."""

    @contextmanager
    def write(to: Path | None) -> Iterator[Sink]:
        if to is None:
            message = "a report in this format is a file; say which with --to FILE"
            raise UsageError(message)
        yield make(os.fspath(to))

    return write


def _text(stream: TextIO) -> Sink:
    return TextSink(stream, sys.stderr, TextOptions(palette=_palette(stream)))


def _html(path: str) -> Sink:
    from batchrun.report.html import HtmlSink  # noqa: PLC0415 - few reports are one

    return HtmlSink(path)


_WRITERS: Mapping[ReportFormat, Writer] = {
    ReportFormat.TEXT: _to_stream(_text),
    ReportFormat.JSON: _to_stream(JsonSink),
    ReportFormat.NDJSON: _to_stream(NdjsonSink),
    ReportFormat.JOBLOG: _to_file(JoblogSink),
    ReportFormat.JUNIT: _to_file(JunitSink),
    ReportFormat.METRICS: _to_file(MetricsSink),
    ReportFormat.HTML: _to_file(_html),
}


def report_run(flags: ReportFlags) -> int:
    """Write a report of a run; return the exit code.

    Raises:
        UsageError: no run is meant, or the format needs a file.
        JournalError: the record of the run cannot be read.
        OSError: the report cannot be written.
    """
    with (
        open_history() as history,
        history.open(history.find(flags.run)) as recorded,
        _WRITERS[flags.format](flags.to) as sink,
    ):
        sinks = [sink]
        if flags.format is ReportFormat.TEXT:
            # In a run, messages are a sink of their own, too; the other formats have them inside.
            sinks.insert(0, MessageSink(sys.stderr, palette=_palette(sys.stderr)))
        _replay(recorded, sinks)
    return ExitCode.OK


def _replay(recorded: Recorded, sinks: Sequence[Sink]) -> None:
    """Let sinks see a run once more."""
    for event in recorded.events():
        for sink in sinks:
            sink.handle(event)
    # Not when the record proved to be damaged: some would write the report of a run that broke.
    for sink in sinks:
        sink.close()


def _palette(stream: TextIO) -> Palette:
    return Palette(enabled=True) if wants_colour(stream, os.environ) else PLAIN
