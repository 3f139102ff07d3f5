"""Output for programs: one JSON document at the end, or one JSON object for each event."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, TextIO

from batchrun.model.counts import Counts, fold
from batchrun.model.event import Event, RunEnded, RunStarted, TaskEnded, UnitEnded
from batchrun.report.lines import Lines, nothing
from batchrun.report.records import VERSION, clean, dump, event_record, timestamp, unit_record

__all__ = ["Frame", "JsonSink", "NdjsonSink", "joined", "write_document"]

_COPY_CHARS = 1024 * 1024


class NdjsonSink:
    """`--output ndjson`: one object per line, flushed as it happens.

    Args:
        stdout: Where the lines go.
        before: Called before each line if that is a terminal; `ProgressSink.hide`.
    """

    def __init__(self, stdout: TextIO, *, before: Callable[[], None] = nothing) -> None:
        self._lines = Lines(stdout, before)
        self._counts = Counts()

    def handle(self, event: Event) -> None:
        """Write one event.

        Raises:
            BrokenPipeError: nobody reads any more.
            OSError: it cannot be written for another reason.
        """
        fold(self._counts, event)
        record = event_record(event)
        if type(event) is RunEnded:
            record["counts"] = self._counts.total.as_dict()
        self._lines.write(f"{dump(record)}\n")

    def close(self) -> None:
        """Do nothing: every line has been flushed."""


class JsonSink:
    """`--output json`: one document when the run has ended.

    Units wait in an unnamed temporary file, so that a run of a million units needs no memory.
    Nothing is written when no run began. A run that broke gives a document whose `exit_code`
    is null.

    Args:
        stdout: Where the document goes.
        before: Called before it is written if that is a terminal; `ProgressSink.hide`.
        spool_dir: Where units wait; None: where temporary files go.
    """

    def __init__(
        self,
        stdout: TextIO,
        *,
        before: Callable[[], None] = nothing,
        spool_dir: str | None = None,
    ) -> None:
        self._lines = Lines(stdout, before)
        self._spool_dir = spool_dir
        self._spool: IO[str] | None = None
        self._is_first = True
        self._counts = Counts()
        self._started: RunStarted | None = None
        self._tasks: dict[str, TaskEnded] = {}

    def handle(self, event: Event) -> None:
        """Take one event; the last one writes the document.

        Raises:
            BrokenPipeError: nobody reads standard output any more.
            OSError: it, or the temporary file, cannot be written for another reason.
        """
        fold(self._counts, event)
        match event:
            case UnitEnded():
                self._keep(event)
            case TaskEnded():
                self._tasks[event.task_id] = event
            case RunStarted():
                self._started = event
            case RunEnded():
                self._write(event)
            case _:
                pass

    def close(self) -> None:
        """Write the document of a run that broke, and let go of the temporary file.

        Never raises: errors of a stream that is already broken have been told.
        """
        if self._started is not None and not self._lines.broken:
            with contextlib.suppress(OSError):
                self._write(None)
        spool, self._spool = self._spool, None
        if spool is not None:
            # What is left to be flushed into a file without a name is of no use to anybody.
            with contextlib.suppress(OSError):
                spool.close()

    def _keep(self, event: UnitEnded) -> None:
        """Put a unit aside."""
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(  # noqa: SIM115 (lives as long as the sink)
                "w+", encoding="ascii", prefix="batchrun-", dir=self._spool_dir
            )
        self._spool.write(("" if self._is_first else ",\n") + dump(unit_record(event)))
        self._is_first = False

    def _write(self, ended: RunEnded | None) -> None:
        """Write the document, a piece at a time."""
        started, self._started = self._started, None
        frame = Frame(started=started, ended=ended, counts=self._counts, tasks=self._tasks)
        write_document(self._lines.write, frame, self._pieces())

    def _pieces(self) -> Iterator[str]:
        """Read back what was put aside."""
        if self._spool is not None:
            self._spool.seek(0)
            while piece := self._spool.read(_COPY_CHARS):
                yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a document says beside the units."""

    #: None: no run began.
    started: RunStarted | None
    #: None: it has not ended.
    ended: RunEnded | None
    counts: Counts
    #: By id; those that have ended.
    tasks: Mapping[str, TaskEnded]
    #: What else is known of the run.
    about: Mapping[str, Any] = field(default_factory=dict)


def write_document(write: Callable[[str], None], frame: Frame, units: Iterable[str]) -> None:
    """Write a run as one JSON document, a piece at a time.

    Args:
        write: Takes a piece.
        frame: The run without its units.
        units: JSON objects with commas between them, in pieces of any size.
    """
    run = {**_run(frame.started, frame.ended), **frame.about}
    write(
        f'{{"version":{VERSION},\n"run":{dump(run)},\n"tasks":{dump(_tasks(frame))},\n"units":[\n'
    )
    for piece in units:
        write(piece)
    exit_code = None if frame.ended is None else int(frame.ended.exit_code)
    counts = dump(frame.counts.total.as_dict())
    write(f'\n],\n"counts":{counts},\n"exit_code":{dump(exit_code)}}}\n')


def joined(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Write objects with commas between them, in pieces that are worth a system call."""
    piece, size, mark = [], 0, ""
    for record in records:
        text = mark + dump(record)
        piece.append(text)
        size += len(text)
        mark = ",\n"
        if size >= _COPY_CHARS:
            yield "".join(piece)
            piece, size = [], 0
    yield "".join(piece)


def _tasks(frame: Frame) -> list[dict[str, Any]]:
    """Write the tasks, in the order of the job file."""
    names = dict(frame.started.tasks) if frame.started is not None else {}
    return [_task(task_id, names, frame) for task_id in frame.counts.tasks]


def _task(task_id: str, names: Mapping[str, str], frame: Frame) -> dict[str, Any]:
    """Write one task; of one that did not end, `good` is null."""
    ended = frame.tasks.get(task_id)
    return {
        "id": clean(task_id),
        "name": clean(names.get(task_id, task_id)),
        "good": None if ended is None else ended.good,
        "not_expanded": "" if ended is None else clean(ended.not_expanded),
        "source_error": "" if ended is None else clean(ended.source_error),
        "done_before": 0 if ended is None else ended.done_before,
        "counts": frame.counts.task(task_id).as_dict(),
    }


def _run(started: RunStarted | None, ended: RunEnded | None) -> dict[str, Any]:
    """Write what is known about the run as a whole."""
    return {
        "id": clean(started.run_id) if started else None,
        "job": clean(started.job_name) if started else None,
        "dry_run": started.dry_run if started else None,
        "goes_on_with": clean(started.goes_on_with) if started else "",
        "procs": started.procs if started else None,
        "started_at": timestamp(started.at) if started else None,
        "ended_at": timestamp(ended.at) if ended else None,
        "duration_s": ended.duration_s if ended else None,
        "stopped": clean(ended.stopped) if ended else "",
    }
