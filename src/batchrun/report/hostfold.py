"""`exec -b`: what commands on hosts wrote, the same output once, with the hosts that wrote it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from batchrun.model.event import Event, RunEnded, UnitEnded
from batchrun.model.ports import ReaderGoneError
from batchrun.ops.diff import MOST_COMPARED, content_diff
from batchrun.report.beside import Beside, BesideOptions
from batchrun.report.bytestream import ByteStream
from batchrun.report.folds import Fold, Folds
from batchrun.report.lines import nothing
from batchrun.report.who import hosts_text, who

__all__ = ["HostFoldOptions", "HostFoldSink"]

#: As clush has it.
_RULE = b"-" * 15
#: Lines of a diff that say which files it is about.
_HEAD_LINES = 2
_SAME = b"the same output, but the commands ended otherwise"
_DIFFERENT = b"different only behind the first %d KiB, or in the newline at the end" % (
    MOST_COMPARED // 1024
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFoldOptions(BesideOptions):
    """How output is shown."""

    #: Each different output whole.
    whole: bool = True
    #: What is different from the output of most hosts, as a unified diff.
    diff: bool = False
    #: What differs in numbers, dates, times and the host's own name only is the same.
    mask: bool = False
    #: What acts on a terminal is passed on to it.
    raw: bool = False


class HostFoldSink:
    """Writes the outputs when the run has ended, that of most hosts first, by how they ended.

    Standard output and standard error are folded by themselves, and go where they belong.

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
        options: HostFoldOptions | None = None,
        *,
        before: Callable[[], None] = nothing,
    ) -> None:
        self._options = options or HostFoldOptions()
        self._beside = Beside(stdout, stderr, self._options, before)
        raw = self._options.raw
        self._stdout = ByteStream(stdout, before, raw=raw)
        self._stderr = ByteStream(stderr, before, raw=raw, may_fail=True)
        self._out = Folds(mask=self._options.mask)
        self._err = Folds(mask=self._options.mask)
        self._is_told = False

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            ReaderGoneError: nobody will read what is to be written at the end; said once.
            OSError: standard output cannot be written.
        """
        self._beside.handle(event)
        match event:
            case UnitEnded():
                self._take(event)
                if not self._is_told and self._stdout.look():
                    self._is_told = True
                    raise ReaderGoneError
            case RunEnded():
                self._show()
                self._beside.recap(event)
            case _:
                pass

    def close(self) -> None:
        """Show what is known of a run that broke, and let go of what waited.

        Raises:
            OSError: standard output cannot be written.
        """
        try:
            if self._beside.broke:
                self._show()
                self._beside.recap_of_broken()
        finally:
            self._out.close()
            self._err.close()

    def _take(self, event: UnitEnded) -> None:
        if self._beside.says_change(event):
            return
        name, outcome, output = who(event.unit), event.report.outcome, event.report.output
        self._out.add(name, outcome, output.stdout)
        self._err.add(name, outcome, output.stderr)

    def _show(self) -> None:
        for folds, stream in ((self._out, self._stdout), (self._err, self._stderr)):
            if folds.problem:
                self._beside.warn(f"output could not be kept whole: {folds.problem}")
            # What is a diff of standard error only hides what went wrong.
            if self._options.diff and stream is self._stdout:
                self._show_diffs(folds)
            else:
                for fold in folds.biggest_first():
                    stream.write(_block(fold, folds.lines(fold)))

    def _show_diffs(self, folds: Folds) -> None:
        """Compare with the biggest one."""
        found = folds.biggest_first()
        if not found:
            return
        most = found[0]
        text = _text(folds.lines(most))
        if self._options.whole:
            self._stdout.write(_block(most, text.splitlines()))
        if len(found) == 1:
            self._beside.say(f"all that wrote anything wrote the same: {hosts_text(most.hosts)}\n")
        for fold in found[1:]:
            self._stdout.write(_diff(most, text, fold, _text(folds.lines(fold))))


def _block(fold: Fold, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Write an output below the hosts that wrote it."""
    yield _RULE
    yield _bytes(hosts_text(fold.hosts))
    yield _RULE
    yield from lines


def _diff(most: Fold, text: bytes, other: Fold, other_text: bytes) -> Iterator[bytes]:
    """Write what is different, below the names of both."""
    yield _bytes(f"--- {hosts_text(most.hosts)}")
    yield _bytes(f"+++ {hosts_text(other.hosts)}")
    compared = content_diff("output", text, other_text)
    if not compared:
        yield _SAME if other.digest == most.digest else _DIFFERENT
        return
    yield from _bytes(compared.removesuffix("\n")).split(b"\n")[_HEAD_LINES:]


def _text(lines: Iterator[bytes]) -> bytes:
    """Read an output for comparison; what is more than can be compared is left out."""
    kept = bytearray()
    for line in lines:
        if len(kept) <= MOST_COMPARED:
            kept += line + b"\n"
    return bytes(kept)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
