"""Read tar members one after the other, as they come: what most archives hold, and fast.

tarfile takes 100 us for a member with a pax header; this takes a tenth of it. What is rare (sparse
files, global headers, kinds that are not known) is told by `Rare`, and tarfile goes on from there:
members of a tar archive are independent of each other.
"""

import tarfile
from collections.abc import Iterator
from functools import lru_cache

from batchrun.errors import OperationError
from batchrun.ops.acls import acl_from_text
from batchrun.ops.members import Member, Reader
from batchrun.ops.tarheader import ACLS, ATTRIBUTE, KINDS

__all__ = ["Rare", "Stream", "attribute_of", "broken", "members_of", "nanoseconds"]

_BLOCK = 512
_SECOND = 10**9
_ACL_NAMES = {header: name for name, header in ACLS.items()}
_BY_TYPE = {number: kind for kind, number in KINDS.items()}
#: Also files, in old archives and in those of old systems.
_BY_TYPE |= {tarfile.AREGTYPE: "file", tarfile.CONTTYPE: "file"}
_LONG_NAME, _LONG_LINK, _PAX = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"x"
_SPECIAL = {_PAX, _LONG_NAME, _LONG_LINK}
#: No name, and no header, is longer than this.
_MOST_HEADER = 16 * 1024 * 1024
_ZEROS = bytes(_BLOCK)
_MINUS = ord("-")
#: Records that are no attributes.
_PLAIN = {b"mtime", b"path", b"linkpath", b"size", b"uid", b"gid", b"atime", b"ctime"}


class Stream:
    """The bytes of an archive, in order."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        #: How much was taken.
        self.offset = 0

    def read(self, size: int) -> bytes:
        """Take so many bytes; fewer only at the end."""
        rest = self._rest
        if len(rest) >= size:
            self._rest = rest[size:]
            self.offset += size
            return bytes(rest[:size])
        parts = [bytes(rest)]
        missing = size - len(rest)
        while missing:
            rest = memoryview(next(self._pieces, b""))
            if not rest:
                break
            parts.append(bytes(rest[:missing]))
            missing -= len(parts[-1])
            rest = rest[len(parts[-1]) :]
        self._rest = rest
        self.offset += size - missing
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Pass over so many bytes.

        Raises:
            OperationError: there are not that many.
        """
        while size:
            rest = self._rest
            if not rest:
                rest = self._rest = memoryview(next(self._pieces, b""))
                if not rest:
                    raise broken("unexpected end of data")
            step = min(size, len(rest))
            self._rest = rest[step:]
            self.offset += step
            size -= step

    def put_back(self, data: bytes) -> None:
        """Have something read again."""
        self._rest = memoryview(data + bytes(self._rest))
        self.offset -= len(data)

    def drain(self) -> None:
        """Read to the end, so that what is broken there is found."""
        for _ in self._pieces:
            continue


class Rare(Exception):  # noqa: N818 - no error: somebody else can read it
    """What comes next is for tarfile."""


def broken(why: str) -> OperationError:
    """Make the error for an archive that cannot be read."""
    return OperationError(f"not a valid tar archive: {why}")


class _Content:
    """What a file in the archive holds."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        #: Not read yet.
        self.left = size

    def read(self, size: int = -1, /) -> bytes:
        """Read at most this much."""
        size = self.left if size < 0 else min(size, self.left)
        if not size:
            return b""
        data = self._stream.read(size)
        if len(data) < size:
            raise broken("unexpected end of data")
        self.left -= size
        return data


def members_of(stream: Stream) -> Iterator[tuple[Member, Reader | None, int]]:
    """Yield members with their content and where they begin, up to the end of the archive.

    Raises:
        Rare: what comes next is for somebody else; the stream stands before it.
        OperationError: the archive is broken.
    """
    while True:
        begin = stream.offset
        headers, records, block = _headers(stream)
        if not block:
            return
        try:
            member, size = _member(block, records)
        except (Rare, ValueError):
            stream.put_back(b"".join(headers))
            raise Rare from None
        if member.kind != "file":
            yield member, None, begin
            stream.skip(size + -size % _BLOCK)
            continue
        content = _Content(stream, size)
        yield member, content, begin
        stream.skip(content.left + -size % _BLOCK)


def _headers(stream: Stream) -> tuple[list[bytes], dict[bytes, bytes], bytes]:
    """Read what stands before the content of a member.

    Returns:
        All blocks of it; records and long names; the last block: empty at the end of the archive.
    """
    blocks: list[bytes] = []
    records: dict[bytes, bytes] = {}
    while True:
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK or block == _ZEROS:
            if blocks or (block and block != _ZEROS):
                raise broken("unexpected end of data")
            if not stream.offset:
                raise broken("empty file")
            return blocks, records, b""
        blocks.append(block)
        kind = block[156:157]
        if kind not in _SPECIAL:
            _check(block)
            return blocks, records, block
        data, padding = _special(stream, block)
        blocks += [data, padding]
        if kind == _PAX:
            _parse(data, records)
        else:
            records[b"path" if kind == _LONG_NAME else b"linkpath"] = data.rstrip(b"\0")


def _special(stream: Stream, block: bytes) -> tuple[bytes, bytes]:
    """Read what belongs to a header that is about the next one, and what fills its last block."""
    size = _special_size(block)
    whole = size + -size % _BLOCK
    data = stream.read(whole)
    if len(data) < whole:
        raise broken("unexpected end of data")
    return data[:size], data[size:]


@lru_cache(maxsize=64)
def _special_size(block: bytes) -> int:
    """Return the size of such a header; those of one program look the same again and again."""
    _check(block)
    try:
        size = _number(block[124:136])
    except ValueError:
        size = -1
    if not 0 <= size <= _MOST_HEADER:
        raise broken("broken header, its size makes no sense")
    return size


def _check(block: bytes) -> None:
    """Compare a header with its sum."""
    try:
        said = _number(block[148:156])
    except ValueError:
        raise broken("broken header, bad checksum") from None
    total = sum(block) - sum(block[148:156]) + 256
    if said != total:
        signed = total - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127)
        if said != signed:
            raise broken("broken header, bad checksum")


def _number(field: bytes) -> int:
    """Read a number: octal, or as GNU writes big ones."""
    try:
        # As everybody writes small ones; the sign is one that int() knows, and no header does.
        if field[0] != _MINUS:
            return int(field[:-1], 8)
    except ValueError:
        pass
    if field[0] in {0x80, 0xFF}:
        value = int.from_bytes(field[1:], "big")
        return value - 256 ** (len(field) - 1) if field[0] == 0xFF else value
    return int(field.partition(b"\0")[0].strip() or b"0", 8)


def _parse(data: bytes, records: dict[bytes, bytes]) -> None:
    """Read the records of a pax header."""
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at)
        digits = data[at:space]
        length = int(digits) if space > at and digits.isdigit() else 0
        end = at + length
        record = data[space + 1 : end - 1]
        key, equals, value = record.partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise broken("broken header, bad pax record")
        records[key] = value
        at = end


def _text(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")


def _member(block: bytes, records: dict[bytes, bytes]) -> tuple[Member, int]:
    """Describe a member; returns it with the size of what follows.

    Raises:
        Rare: it is of a kind that is not known here.
        ValueError: so is one of its numbers.
    """
    kind = _BY_TYPE.get(block[156:157])
    name = records.get(b"path")
    if name is None:
        name = block[:100].partition(b"\0")[0]
        prefix = block[345:500].partition(b"\0")[0]
        if prefix:
            name = prefix + b"/" + name
    if kind is None or any(key.startswith(b"GNU.sparse.") for key in records):
        raise Rare
    if block[156:157] == tarfile.AREGTYPE and name.endswith(b"/"):
        kind = "directory"
    size = int(records[b"size"]) if b"size" in records else _number(block[124:136])
    uid = int(records[b"uid"]) if b"uid" in records else _number(block[108:116])
    gid = int(records[b"gid"]) if b"gid" in records else _number(block[116:124])
    if size < 0:
        raise broken("broken header, a size below zero")
    link = records.get(b"linkpath")
    exact = records.get(b"mtime")
    is_device = kind in {"character", "block"}
    member = Member(
        name=_text(name.rstrip(b"/")) if kind == "directory" or b"path" in records else _text(name),
        kind=kind,
        size_bytes=size if kind == "file" else 0,
        mtime_ns=nanoseconds(_text(exact)) if exact else _number(block[136:148]) * _SECOND,
        mode=_number(block[100:108]) & 0o7777,
        uid=uid,
        gid=gid,
        link=_text(block[157:257].partition(b"\0")[0] if link is None else link),
        device=(_number(block[329:337]), _number(block[337:345])) if is_device else (0, 0),
        attributes=_attributes(records) if records.keys() - _PLAIN else {},
    )
    # Links have no content, whatever their size says: some programs write that of the file.
    return member, size if kind == "file" else 0


def _attributes(records: dict[bytes, bytes]) -> dict[str, bytes]:
    found = (attribute_of(_text(key), _text(value)) for key, value in records.items())
    return dict(filter(None, found))


def attribute_of(name: str, value: str) -> tuple[str, bytes] | None:
    """Return the extended attribute that a pax record stands for, if it does for one."""
    if name in _ACL_NAMES:
        try:
            return _ACL_NAMES[name], acl_from_text(value)
        except OperationError:
            # For users that this machine does not know: setting nothing is refused and counted.
            return _ACL_NAMES[name], b""
    if name.startswith(ATTRIBUTE):
        return name.removeprefix(ATTRIBUTE), value.encode("utf-8", "surrogateescape")
    return None


def nanoseconds(text: str) -> int:
    """Read seconds with a fraction; before 1970 the sign is for both parts."""
    sign = -1 if text.startswith("-") else 1
    seconds, _, fraction = text.lstrip("-").partition(".")
    return sign * (int(seconds or 0) * _SECOND + int(fraction[:9].ljust(9, "0")))
