"""Items that stand in a file, or come over standard input: `lines`, `csv` and `json`."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Compiled
from batchrun.jobfile.feeder import BatchReader, Feeder, LineSplitter
from batchrun.jobfile.scope import Names
from batchrun.jobfile.sources import Items, value_of
from batchrun.model.ports import Drawn, Waker
from batchrun.ops.paths import shown

if TYPE_CHECKING:
    from typing import Literal

__all__ = ["FileSource", "LinesSource"]

_BLOCK_BYTES = 256 * 1024
_STANDARD_INPUT = "standard input"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesSource:
    """`{lines: FILE}`: the lines of a file, or of standard input; only the line end is removed."""

    text: str
    #: The path; `-` means standard input.
    path: Compiled
    null_separated: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return _described("lines", self.text)

    @property
    def total(self) -> int | None:
        """Not known before it is read."""
        return None

    @property
    def standard_input(self) -> bool:
        """Whether it reads batchrun's standard input."""
        return self.text == "-"

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to read: a regular file as it is drawn, anything else in a thread."""
        path = value_of(self.path, names)
        splitter = LineSplitter(b"\0" if self.null_separated else b"\n", _name(path))
        if path == "-":
            return _fed(0, path, splitter.batches, waker)
        fd = _opened(path)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return _fed(fd, path, splitter.batches, waker)
        lines = _lines_of(fd, splitter)
        return Items(next=lambda: next(lines, Drawn.EXHAUSTED), close=_closer(fd))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """`{csv: FILE}` or `{json: FILE}`: what a file with a structure holds, read in a thread."""

    kind: "Literal['csv', 'json']"
    text: str
    #: The path; `-` means standard input.
    path: Compiled

    @property
    def described(self) -> str:
        """The source, as written."""
        return _described(self.kind, self.text)

    @property
    def total(self) -> int | None:
        """Not known before it is read."""
        return None

    @property
    def standard_input(self) -> bool:
        """Whether it reads batchrun's standard input."""
        return self.text == "-"

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to read."""
        path = value_of(self.path, names)
        fd = 0 if path == "-" else _opened(path)
        return _fed(fd, path, self._reader(_name(path)), waker)

    def _reader(self, name: str) -> BatchReader:
        if self.kind == "csv":
            from batchrun.jobfile.tables import CsvReader  # noqa: PLC0415 - where there is one

            return CsvReader(name).batches
        from batchrun.jobfile.jsonitems import JsonReader  # noqa: PLC0415 - where there is one

        return JsonReader(name).batches


def _described(kind: str, text: str) -> str:
    return f"{kind} of {_STANDARD_INPUT if text == '-' else text}"


def _name(path: str) -> str:
    return _STANDARD_INPUT if path == "-" else shown(path)


def _fed(fd: int, path: str, read: BatchReader, waker: Waker) -> Items:
    feeder = Feeder.of_file(fd, _name(path), read, waker, owned=path != "-")
    return Items(next=feeder.next, close=feeder.close)


def _opened(path: str) -> int:
    """Open a file.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        # A fifo that nobody writes to yet must not block here.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = f"the items in {shown(path)} cannot be read: {error.strerror}"
        raise SourceError(message) from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        message = f"the items in {shown(path)} cannot be read: it is a directory"
        raise SourceError(message)
    return fd


def _closer(fd: int) -> Callable[[], None]:
    opened = [fd]
    return lambda: os.close(opened.pop()) if opened else None


def _lines_of(fd: int, splitter: LineSplitter) -> Iterator[str]:
    while True:
        try:
            block = os.read(fd, _BLOCK_BYTES)
        except OSError as error:
            message = f"{splitter.name} cannot be read to its end: {error.strerror}"
            raise SourceError(message) from None
        yield from splitter.feed(block)
        if not block:
            return
