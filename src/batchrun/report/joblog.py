"""`--joblog`: one line for each unit that was run, in the columns of GNU parallel's joblog."""

import contextlib
from typing import BinaryIO, assert_never

from batchrun.model.event import Event, RunStarted, UnitEnded
from batchrun.model.outcome import (
    Aborted,
    Cancelled,
    Failed,
    Lost,
    Ok,
    Outcome,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import command_text
from batchrun.report.newfile import about, open_now

__all__ = ["JoblogSink"]

_COLUMNS = (
    *("Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal"),
    "Command",
)
#: As parallel names this machine.
_HERE = ":"
#: As ssh, and so parallel, says that there was no session.
_NO_SESSION = 255
#: As parallel says that there is no exit status.
_NO_STATUS = -1
_SIGTERM = 15


class JoblogSink:
    """Writes a line when a unit has ended, and flushes it.

    As with parallel there is one line for a unit, that of its last attempt, and none for what was
    not run, or was stopped before it had ended: a reader may take what is missing for what is
    still to be done. A dry run writes no file.

    Args:
        path: The file; what is in it is replaced.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            OSError: the file cannot be written.
        """
        if isinstance(event, UnitEnded):
            self._ended(event)
        elif isinstance(event, RunStarted) and not event.dry_run:
            with about(self._path):
                self._file = open_now(self._path)
            self._write("\t".join(_COLUMNS))

    def close(self) -> None:
        """Let go of the file; never raises: every line has been flushed, or its failure told."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _ended(self, event: UnitEnded) -> None:
        """Write the line of a unit."""
        report = event.report
        ending = _ending(report.outcome)
        if self._file is None or ending is None or not report.started_at:
            return
        status, signal = ending
        runtime_s = int(report.duration_s * 1000) / 1000  # cut off, as parallel does
        columns = (
            report.number,
            event.unit.host or _HERE,
            f"{report.started_at:.3f}",
            f"{runtime_s:10.3f}",
            0,
            report.output.stdout.size_bytes,
            status,
            signal,
            # A line is a line: parallel, too, writes NUL for a newline, and reads it back so.
            command_text(event.unit).replace("\n", "\0"),
        )
        self._write("\t".join(map(str, columns)))

    def _write(self, line: str) -> None:
        """Write a line at once, so that `tail -f` shows it."""
        if self._file is not None:
            with about(self._path):
                self._file.write(_raw(f"{line}\n"))
                self._file.flush()


def _ending(outcome: Outcome) -> tuple[int, int] | None:
    """Return exit status and signal as parallel would write them; None: it writes no line."""
    match outcome:
        case Ok(exit_status=status):
            return status or 0, 0
        case Failed(exit_status=status, signal=signal):
            # What failed for another reason than its exit status must not look as if it had not.
            return (0, signal) if signal else (status or 1, 0)
        case TimedOut():
            return _NO_STATUS, _SIGTERM
        case Lost():
            return _NO_STATUS, 0
        case Unreachable():
            return _NO_SESSION, 0
        case Cancelled() | Aborted() | Skipped():
            return None
        case _:
            assert_never(outcome)


def _raw(text: str) -> bytes:
    """Return the bytes that a text stands for; a lone surrogate that stands for none as `?`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
