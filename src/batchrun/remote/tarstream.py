"""Write files as a tar stream that any tar reads, and read one as it comes in.

Own code, because the standard library's needs a file to read from where we are given pieces, and
takes 100 µs for each member; a header here takes 10. What is written: ustar headers, GNU's for long
names, and a pax header for the fraction of a time, which tars that do not know it pass over.
"""

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from batchrun.errors import OperationError

__all__ = ["END_NAME", "Member", "Receiver", "TarSource", "Untar"]

_BLOCK = 512
_PIECE_BYTES = 128 * 1024
_RECORD = 20 * _BLOCK
_LONGEST_NAME = 100
#: The last member: tar(1) takes a stream that was cut off for one that is over.
END_NAME = ".br-end"
_LARGEST = 8**11
_LARGEST_OWNER = 8**7
_LONGEST_HEADER = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of a stream that is written."""

    #: Relative; of a directory without the slash.
    name: str
    #: As in `os.stat_result`: kind and permissions.
    mode: int
    mtime_ns: int
    size: int = 0
    #: What a symlink says.
    link: str = ""
    #: Where a file is read.
    path: str = ""
    #: User and group, by number; they count where tar is to keep them.
    owner: tuple[int, int] = (0, 0)
    #: The name of an earlier member that is the same file; empty: it comes with its content.
    same_as: str = ""


def header(member: Member) -> bytes:
    """Return everything of a member but its content."""
    name = os.fsencode(member.name)
    kind = b"0"
    if stat.S_ISDIR(member.mode):
        kind, name = b"5", name + b"/"
    elif stat.S_ISLNK(member.mode):
        kind = b"2"
    elif member.same_as:
        kind = b"1"
    link = os.fsencode(member.link or member.same_as)
    parts = []
    seconds, fraction = divmod(member.mtime_ns, 10**9)
    if fraction:
        record = b" mtime=%d.%09d\n" % (seconds, fraction)
        length = len(record) + 2
        parts.append(_block(b"./pax", b"x", 0o600, length, 0) + _padded(b"%d" % length + record))
    for text, letter in ((name, b"L"), (link, b"K")):
        if len(text) > _LONGEST_NAME:
            data = text + b"\0"
            parts.append(_block(b"././@LongLink", letter, 0, len(data), 0) + _padded(data))
    size = member.size if kind == b"0" else 0
    mode = stat.S_IMODE(member.mode)
    parts.append(_block(name, kind, mode, size, seconds, link, member.owner))
    return b"".join(parts)


def _block(  # noqa: PLR0913, PLR0917 - the fields of a header, in their order
    name: bytes,
    kind: bytes,
    mode: int,
    size: int,
    mtime: int,
    link: bytes = b"",
    owner: tuple[int, int] = (0, 0),
) -> bytes:
    block = b"%b%07o\0%b%b%b%011o\0        %b%b%b" % (
        name[:_LONGEST_NAME].ljust(_LONGEST_NAME, b"\0"),
        mode,
        _number(owner[0]),
        _number(owner[1]),
        b"%011o\0" % size if size < _LARGEST else b"\x80" + size.to_bytes(11, "big"),
        max(0, mtime),
        kind,
        link[:_LONGEST_NAME].ljust(_LONGEST_NAME, b"\0"),
        b"ustar  \0",
    )
    block = block.ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _number(number: int) -> bytes:
    """Write a user or a group; one that has no room is written as GNU does it."""
    return b"%07o\0" % number if number < _LARGEST_OWNER else b"\x80" + number.to_bytes(7, "big")


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _BLOCK)


class TarSource:
    """A tar stream of files, made as it is read.

    Args:
        members: In the order in which they are sent.
        count: Told of the bytes of file data.
    """

    def __init__(self, members: Iterator[Member], count: Callable[[int], None]) -> None:
        self._pieces = self._make(members)
        self._count = count
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> memoryview:
        """Return the next piece."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _make(self, members: Iterator[Member]) -> Iterator[bytes]:
        """Yield the stream in pieces; small files are put together."""
        waiting = bytearray()
        total = 0
        for member in members:
            waiting += header(member)
            if stat.S_ISREG(member.mode) and member.size and not member.same_as:
                for data in _content(member):
                    waiting += data
                    self._count(len(data))
                    if len(waiting) >= _PIECE_BYTES:
                        total += len(waiting)
                        yield bytes(waiting)
                        waiting.clear()
                waiting += b"\0" * (-member.size % _BLOCK)
            if len(waiting) >= _PIECE_BYTES:
                total += len(waiting)
                yield bytes(waiting)
                waiting.clear()
        waiting += header(Member(name=END_NAME, mode=stat.S_IFREG | 0o600, mtime_ns=0))
        waiting += b"\0" * (2 * _BLOCK)
        total += len(waiting)
        yield bytes(waiting) + b"\0" * (-total % _RECORD)


def _content(member: Member) -> Iterator[bytes]:
    """Read a file as it was when it was looked at.

    Raises:
        OperationError: it cannot be read, or has become shorter.
    """
    left = member.size
    try:
        fd = os.open(member.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            while left:
                data = os.read(fd, min(left, _PIECE_BYTES))
                if not data:
                    message = f"{member.path!r} became shorter while it was read"
                    raise OperationError(message)
                left -= len(data)
                yield data
        finally:
            os.close(fd)
    except OSError as error:
        from batchrun.ops.failures import failure  # noqa: PLC0415 - once

        raise failure(error, "read", member.path) from error


class Receiver(Protocol):
    """Takes what comes out of a stream, one member after the other."""

    def begin(self, name: str, size: int) -> None:
        """Take a file that follows."""

    def data(self, piece: memoryview) -> None:
        """Take a piece of it."""

    def end(self) -> None:
        """It is over."""

    def link(self, name: str, text: str) -> None:
        """Take a symlink."""


class Untar:
    """Reads a tar stream piece by piece.

    Args:
        receiver: Is handed files and symlinks; other members are passed over.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._held = bytearray()
        #: Of the member that is being read: what is left of it, and of its padding.
        self._left = 0
        self._padding = 0
        #: A long name, or a pax header, is being read: its kind.
        self._special = b""
        self._in_file = False
        self._names: dict[str, bytes] = {}

    @property
    def complete(self) -> bool:
        """Whether it ended between two members."""
        return not self._left and not self._in_file and not self._special

    def feed(self, data: bytes) -> None:
        """Take a piece of the stream.

        Raises:
            OperationError: it is no tar stream.
        """
        view = memoryview(data)
        while view:
            if self._in_file and self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                self._receiver.data(piece)
                if not self._left:
                    self._end_file()
                continue
            wanted = self._left + self._padding or _BLOCK
            piece, view = view[: wanted - len(self._held)], view[wanted - len(self._held) :]
            self._held += piece
            if len(self._held) == wanted:
                block, self._held = bytes(self._held), bytearray()
                self._block(block)

    def _block(self, block: bytes) -> None:
        if self._special:
            self._take_special(block[: self._left])
        elif self._padding:
            pass
        else:
            self._header(block)
            return
        self._left = self._padding = 0
        self._special = b""

    def _end_file(self) -> None:
        self._in_file = False
        self._receiver.end()

    def _header(self, block: bytes) -> None:
        if not block.strip(b"\0"):
            return  # the end, or between two archives
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            message = f"the host sent no tar stream: {error}"
            raise OperationError(message) from error
        names, self._names = self._names, {}
        if info.type in {b"L", b"K", b"x", b"g"}:
            if info.size > _LONGEST_HEADER:
                message = "the host sent a tar header that is too long"
                raise OperationError(message)
            self._special, self._left = info.type, info.size
            self._padding = -info.size % _BLOCK
            self._names = names
            if not info.size:
                self._special = b""
            return
        name = os.fsdecode(names.get("path", os.fsencode(info.name)))
        if info.type in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}:
            size = int(names.get("size", b"%d" % info.size))
            self._receiver.begin(name, size)
            self._left, self._padding, self._in_file = size, -size % _BLOCK, True
            if not size:
                self._end_file()
        elif info.type == tarfile.SYMTYPE:
            text = os.fsdecode(names.get("linkpath", os.fsencode(info.linkname)))
            self._receiver.link(name, text)

    def _take_special(self, data: bytes) -> None:
        if self._special == b"L":
            self._names["path"] = data.rstrip(b"\0")
        elif self._special == b"K":
            self._names["linkpath"] = data.rstrip(b"\0")
        elif self._special == b"x":
            self._names.update(_pax(data))


def _pax(data: bytes) -> dict[str, bytes]:
    """Read the records of a pax header that mean something here."""
    found: dict[str, bytes] = {}
    while data:
        digits, _, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        if not 0 < length <= len(data):
            break
        key, _, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if key in {b"path", b"linkpath", b"size"}:
            found[key.decode()] = value
        data = data[length:]
    return found
