"""What commands wrote, whole, one unit after the other: the results of `each`."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TextIO

from batchrun.model.event import Event, RunEnded, UnitEnded
from batchrun.model.exitcode import ExitCode
from batchrun.model.outcome import Captured, Ok
from batchrun.report.lines import Lines, nothing
from batchrun.report.recap import Summary, change_text, details_text, recap_text
from batchrun.report.text import PLAIN, Palette, visible
from batchrun.report.whole import file_pieces, kept, pieces

__all__ = ["GroupedOptions", "GroupedSink"]

_COPY_BYTES = 256 * 1024
#: Output that waits for its turn is kept in memory up to here, then in a file without a name.
_HELD_BYTES = 4 * 1024 * 1024
_WELL = frozenset({ExitCode.OK, ExitCode.WOULD_CHANGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedOptions:
    """How output is shown."""

    #: Each line begins with the item and a tab.
    tag: bool = False
    #: In the order of the items; else as units end.
    keep_order: bool = False
    #: 1: no recap when all went well; 2: nothing of ours then.
    quiet: int = 0
    #: Tracebacks of defects in the recap.
    debug: bool = False
    #: Colours on standard error, where the recap goes.
    palette: Palette = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a stream of a unit waits for its turn."""

    #: All of it, in memory.
    data: bytes = b""
    #: Offset and size in the file for what memory does not hold.
    at: tuple[int, int] | None = None
    #: A file with nothing else.
    spool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The output of a unit that waits for its turn."""

    label: str
    stdout: _Place
    stderr: _Place


class GroupedSink:
    """Writes the output of each unit in one piece: standard output and standard error apart.

    The bytes are the command's own. Nothing but them goes to standard output, except what a dry
    run would do; the recap goes to standard error.

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
        options: GroupedOptions | None = None,
        *,
        before: Callable[[], None] = nothing,
    ) -> None:
        self._options = options or GroupedOptions()
        self._stdout = stdout
        self._stderr = stderr
        self._lines = Lines(stderr, before)
        self._results = Lines(stdout, before)
        self._before = before if stdout.isatty() or stderr.isatty() else nothing
        self._summary = Summary()
        #: Streams that take nothing more.
        self._gone: set[TextIO] = set()
        #: By position; the window of what runs bounds it, but for one that takes very long:
        #: then a hundred bytes for each unit behind it, the output itself is in the file.
        self._held: dict[int, _Held] = {}
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._next = 1

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            OSError: standard output, or the file for what waits, cannot be written.
        """
        self._summary.handle(event)
        match event:
            case UnitEnded():
                self._take(event)
            case RunEnded():
                self._release(everything=True)
                self._recap(event)
            case _:
                pass

    def close(self) -> None:
        """Show what still waits when the run broke; never raises."""
        summary = self._summary
        if summary.started is not None and summary.ended is None:
            with contextlib.suppress(OSError):
                self._release(everything=True)
            self._lines.attempt(recap_text(summary, palette=self._options.palette))
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _take(self, event: UnitEnded) -> None:
        """Show the output of a unit, now or in its turn."""
        if self._says_change(event):
            return
        output = event.report.output
        if not self._options.keep_order:
            tag = self._tag(event.unit.label)
            self._write(self._stderr, pieces(output.stderr), tag, may_fail=True)
            self._write(self._stdout, pieces(output.stdout), tag)
            return
        self._held[event.unit.index] = _Held(
            label=event.unit.label,
            stdout=self._hold(output.stdout),
            stderr=self._hold(output.stderr),
        )
        self._release()

    def _says_change(self, event: UnitEnded) -> bool:
        """Say what a dry run found."""
        started, outcome = self._summary.started, event.report.outcome
        if started is None or not started.dry_run or type(outcome) is not Ok:
            return False
        if outcome.changed and not self._options.quiet:
            name = self._summary.task_name(event.unit.task_id)
            self._results.write(change_text(event.unit, name, outcome.note))
        return not event.report.output

    def _hold(self, captured: Captured) -> _Place:
        """Put a stream aside."""
        if captured.spool and not captured.parts:
            # Whoever comes after us in the row of sinks removes the file that was named.
            held = f"{captured.spool}.held"
            try:
                os.rename(captured.spool, held)
            except OSError:
                return _Place(data=kept(captured))
            return _Place(spool=held)
        data = kept(captured)
        if not data or self._held_bytes + len(data) <= _HELD_BYTES:
            self._held_bytes += len(data)
            return _Place(data=data)
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 (lives as long as the sink)
                prefix="batchrun-"
            )
        at = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        return _Place(at=(at, len(data)))

    def _release(self, *, everything: bool = False) -> None:
        """Show what is no longer waiting for one before it."""
        while (held := self._held.pop(self._next, None)) is not None:
            self._next += 1
            self._show(held)
        if everything:
            for index in sorted(self._held):
                self._show(self._held.pop(index))

    def _show(self, held: _Held) -> None:
        """Write the output of a unit that has waited."""
        tag = self._tag(held.label)
        self._write(self._stderr, self._read(held.stderr), tag, may_fail=True)
        self._write(self._stdout, self._read(held.stdout), tag)

    def _read(self, place: _Place) -> Iterator[bytes]:
        """Give back what was put aside."""
        if place.spool:
            yield from file_pieces(place.spool)
            with contextlib.suppress(OSError):
                os.unlink(place.spool)
        elif place.at is not None and self._file is not None:
            at, left = place.at
            self._file.seek(at)
            while left and (piece := self._file.read(min(left, _COPY_BYTES))):
                left -= len(piece)
                yield piece
        elif place.data:
            self._held_bytes -= len(place.data)
            yield place.data

    def _tag(self, label: str) -> bytes:
        """Return what stands before each line; empty: nothing."""
        if not self._options.tag:
            return b""
        return os.fsencode(label if label.isprintable() else _one_line(label)) + b"\t"

    def _write(
        self, stream: TextIO, pieces: Iterator[bytes], tag: bytes, *, may_fail: bool = False
    ) -> None:
        """Write bytes to a text stream, through its own buffer."""
        begun = False
        if stream in self._gone:
            return
        try:
            for piece in _tagged(pieces, tag) if tag else pieces:
                if not begun:
                    self._before()
                    stream.flush()
                    begun = True
                stream.buffer.write(piece)
            if begun:
                stream.buffer.flush()
        except BrokenPipeError:
            # Whoever read it has seen enough; the recap is still wanted.
            self._gone.add(stream)
        except OSError:
            self._gone.add(stream)
            if not may_fail:
                raise

    def _recap(self, ended: RunEnded) -> None:
        """Say on standard error what the run came to."""
        options = self._options
        if options.quiet and ended.exit_code in _WELL:
            return
        text = recap_text(self._summary, palette=options.palette)
        if options.debug:
            text = details_text(self._summary, debug=True, palette=options.palette) + text
        self._lines.attempt(text)


def _one_line(label: str) -> str:
    """Keep a tag on its line; bytes that are not UTF-8 stay as they are."""
    return "".join(
        char if char.isprintable() or "\udc80" <= char <= "\udcff" else visible(char)
        for char in label
    )


def _tagged(pieces: Iterator[bytes], tag: bytes) -> Iterator[bytes]:
    """Put a tag in front of each line; the last one may lack its newline."""
    at_start = True
    for piece in pieces:
        lines = piece.split(b"\n")
        ended = not lines[-1]
        text = (b"\n" + tag).join(lines[:-1] if ended else lines)
        yield (tag if at_start else b"") + text + (b"\n" if ended else b"")
        at_start = ended
