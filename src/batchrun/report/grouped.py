"""What commands wrote, whole, one unit after the other: the results of `each`."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

from batchrun.model.event import Event, RunEnded, UnitEnded
from batchrun.report.beside import Beside, BesideOptions
from batchrun.report.lines import nothing
from batchrun.report.text import visible
from batchrun.report.waiting import Place, Waiting
from batchrun.report.who import who
from batchrun.report.whole import pieces

__all__ = ["GroupedOptions", "GroupedSink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedOptions(BesideOptions):
    """How output is shown."""

    #: Each line begins with the item and a tab.
    tag: bool = False
    #: In the order of the items; else as units end.
    keep_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The output of a unit that waits for its turn."""

    label: str
    stdout: Place
    stderr: Place


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
        self._before = before if stdout.isatty() or stderr.isatty() else nothing
        self._beside = Beside(stdout, stderr, self._options, before)
        #: Streams that take nothing more.
        self._gone: set[TextIO] = set()
        #: By position; the window of what runs bounds it, but for one that takes very long:
        #: then a hundred bytes for each unit behind it, the output itself is in the file.
        self._held: dict[int, _Held] = {}
        self._waiting = Waiting()
        self._problem_said = False
        self._next = 1

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            OSError: standard output cannot be written.
        """
        self._beside.handle(event)
        match event:
            case UnitEnded():
                self._take(event)
            case RunEnded():
                self._release(everything=True)
                self._beside.recap(event)
            case _:
                pass

    def close(self) -> None:
        """Show what still waits when the run broke; never raises."""
        if self._beside.broke:
            with contextlib.suppress(OSError):
                self._release(everything=True)
            self._beside.recap_of_broken()
        self._waiting.close()

    def _take(self, event: UnitEnded) -> None:
        """Show the output of a unit, now or in its turn."""
        if self._beside.says_change(event):
            return
        output = event.report.output
        if not self._options.keep_order:
            tag = self._tag(who(event.unit))
            self._write(self._stderr, pieces(output.stderr), tag, may_fail=True)
            self._write(self._stdout, pieces(output.stdout), tag)
            return
        self._held[event.unit.index] = _Held(
            label=who(event.unit),
            stdout=self._waiting.put(output.stdout),
            stderr=self._waiting.put(output.stderr),
        )
        self._say_problem()
        self._release()

    def _say_problem(self) -> None:
        """Say once why output is not shown whole; what is missing is said where it is missing."""
        problem = self._waiting.problem
        if not problem or self._problem_said:
            return
        self._problem_said = True
        self._beside.warn(
            f"output that waits for its turn could not be kept whole: {problem}; "
            "set TMPDIR to a directory with more room"
        )

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
        self._write(self._stderr, self._waiting.take(held.stderr), tag, may_fail=True)
        self._write(self._stdout, self._waiting.take(held.stdout), tag)

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
