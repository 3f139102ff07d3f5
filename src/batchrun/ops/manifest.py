"""The manifests of checksums: their lines as sha256sum -c reads them, and how one is written."""

import errno
import os
import re
from types import TracebackType
from typing import BinaryIO, Self

from batchrun.ops.foresee import check_may_write
from batchrun.ops.tree.data import BLOCK_SIZE, write_all
from batchrun.ops.tree.folders import Place

__all__ = ["Manifest", "line_of", "name_in", "parsed"]

_LINE = re.compile(rb"(\\?)([0-9A-Fa-f]+) [ *](.+)", re.DOTALL)
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}
_SPECIAL = re.compile(rb"[\\\n\r]")
_ESCAPED = re.compile(rb"\\[\\nr]")


def line_of(digest: str, name: str) -> bytes:
    """Write a line as sha256sum does; a name with line breaks or backslashes is escaped."""
    line = f"{digest}  {name}\n".encode("utf-8", "surrogateescape")
    if _SPECIAL.search(line, 0, len(line) - 1) is None:
        return line
    escaped = _SPECIAL.sub(lambda match: _ESCAPES[match.group()], line[:-1])
    return b"\\" + escaped + b"\n"


def name_in(line: bytes) -> bytes:
    """Return the name in a line of a manifest that we have written."""
    name = line.partition(b"  ")[2][:-1]
    if line.startswith(b"\\"):
        name = _ESCAPED.sub(lambda found: _UNESCAPES[found.group()], name)
    return name


def parsed(line: bytes, digits: int) -> tuple[str, str] | None:
    """Read one line of a manifest: checksum and name; None: it is not one."""
    match = _LINE.fullmatch(line.removesuffix(b"\n"))
    if match is None or len(match.group(2)) != digits:
        return None
    name = match.group(3)
    if match.group(1):
        name = _ESCAPED.sub(lambda found: _UNESCAPES[found.group()], name)
    return match.group(2).lower().decode("ascii"), os.fsdecode(name)


class Manifest:
    """A manifest that is only written when it is another one than what is there."""

    def __init__(self, path: str, scratch: str, *, dry: bool) -> None:
        self._path = path
        self._scratch = scratch
        self._dry = dry
        #: What is there, read along; None: nothing is, or it differs from here on.
        self._old: BinaryIO | None = None
        self._same_bytes = 0
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._old = open(self._path, "rb")
        except FileNotFoundError:
            self._differ()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._old is not None:
            self._old.close()
        if self._fd >= 0:
            os.close(self._fd)
            Place(None, self._scratch).discard()

    def take(self, lines: bytes) -> None:
        """Compare the next lines, or write them."""
        if self._old is not None:
            if self._old.read(len(lines)) == lines:
                self._same_bytes += len(lines)
                return
            self._differ()
        if self._fd >= 0:
            write_all(self._fd, lines)

    def finish(self) -> bool:
        """Put the new manifest in place; False: the old one is right."""
        if self._old is not None:
            if not self._old.read(1):
                return False
            self._differ()
        if self._fd >= 0:
            os.rename(self._scratch, self._path)
        return True

    def _differ(self) -> None:
        """Begin a new manifest with what was right of the old one."""
        old, self._old = self._old, None
        if self._dry:
            check_may_write(Place(None, os.path.abspath(self._path)))
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._scratch, flags, 0o666)
        if old is None:
            return
        with old:
            old.seek(0)
            while self._fd >= 0 and self._same_bytes:
                block = old.read(min(self._same_bytes, BLOCK_SIZE))
                if not block:
                    raise OSError(errno.EAGAIN, "the manifest was changed meanwhile")
                write_all(self._fd, block)
                self._same_bytes -= len(block)
