"""Read and write tar archives: PAX headers, names of any bytes, nanoseconds, attributes."""

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from tarfile import HeaderError, ReadError
from typing import IO, Any, Self, cast

from batchrun.errors import OperationError
from batchrun.ops.acls import acl_from_text, acl_text
from batchrun.ops.codecs import compressor, decompressed
from batchrun.ops.members import Member, Reader
from batchrun.ops.tree.data import BLOCK_SIZE, Beat, blocks, write_all

__all__ = ["TarWriter", "full_header", "plain_header", "read_tar"]

_ATTRIBUTE = "SCHILY.xattr."
_ACLS = {
    "system.posix_acl_access": "SCHILY.acl.access",
    "system.posix_acl_default": "SCHILY.acl.default",
}
_ACL_NAMES = {header: name for name, header in _ACLS.items()}
_KINDS = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "character": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
}
#: Those that tell no device, and all of their header in a few fields.
_PLAIN = {kind: _KINDS[kind] for kind in ("file", "directory", "symlink", "hardlink")}
_LARGEST_ID = 8**7 - 1
_LARGEST_NUMBER = 8**11 - 1
#: The only header error that is none: two blocks of zeros.
_END = "EOFHeaderError"
_BY_TYPE = {number: kind for kind, number in _KINDS.items()}


class _Output:
    """The archive as a file object: compresses what it is given."""

    def __init__(self, fd: int, form: str, level: int | None, threads: int) -> None:
        self._fd = fd
        self._machine = compressor(form, level, threads) if form else None
        self._at = 0

    def write(self, data: bytes) -> int:
        self._at += len(data)
        packed = data if self._machine is None else self._machine.compress(data)
        if packed:
            write_all(self._fd, packed)
        return len(data)

    def tell(self) -> int:
        return self._at

    def finish(self) -> None:
        if self._machine is not None:
            write_all(self._fd, self._machine.flush())


class TarWriter:
    """Writes a tar archive to an open file."""

    def __init__(self, fd: int, form: str, level: int | None, threads: int) -> None:
        self._output = _Output(fd, form.partition(".")[2], level, threads)

    def add(self, member: Member, content: Reader | None) -> None:
        """Write a member.

        Raises:
            OSError: the content is shorter than it was said to be.
        """
        self._output.write(plain_header(member) or full_header(member))
        left = member.size_bytes if content is not None else 0
        while content is not None and left:
            data = content.read(min(left, BLOCK_SIZE))
            if not data:
                raise OSError("unexpected end of data")
            self._output.write(data)
            left -= len(data)
        self._pad(tarfile.BLOCKSIZE)

    def finish(self) -> None:
        """Write the end of the archive."""
        self._output.write(bytes(2 * tarfile.BLOCKSIZE))
        self._pad(tarfile.RECORDSIZE)
        self._output.finish()

    def abandon(self) -> None:
        """Nothing is held that would have to be let go."""

    def _pad(self, size: int) -> None:
        rest = -self._output.tell() % size
        if rest:
            self._output.write(bytes(rest))


def full_header(member: Member) -> bytes:
    """Return what stands before the content of any member."""
    info = tarfile.TarInfo(member.name)
    info.type = _KINDS[member.kind]
    info.size = member.size_bytes
    info.mode = member.mode
    info.uid, info.gid = member.uid or 0, member.gid or 0
    info.linkname = member.link
    info.devmajor, info.devminor = member.device
    seconds, fraction = divmod(member.mtime_ns, 10**9)
    info.mtime = seconds
    headers = dict(map(_header, member.attributes.items()))
    if fraction:
        headers["mtime"] = _decimal(member.mtime_ns)
    info.pax_headers = headers
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def plain_header(member: Member) -> bytes | None:
    """Return the same for a member of which there is nothing special; None: there is.

    tarfile takes most of the time of an archive of small files for its headers.
    """
    kind = _PLAIN.get(member.kind)
    name = f"{member.name}/" if kind == tarfile.DIRTYPE else member.name
    uid, gid = member.uid or 0, member.gid or 0
    seconds, fraction = divmod(member.mtime_ns, 10**9)
    if (
        kind is None
        or member.attributes
        or not (name.isascii() and member.link.isascii())
        or max(len(name), len(member.link)) > tarfile.LENGTH_NAME
        or max(uid, gid) > _LARGEST_ID
        or not (0 <= seconds <= _LARGEST_NUMBER and member.size_bytes <= _LARGEST_NUMBER)
    ):
        return None
    block = _block(
        name.encode(), b"%07o\0%07o\0%07o\0" % (member.mode & 0o7777, uid, gid),
        b"%011o\0%011o\0" % (member.size_bytes, seconds), kind, member.link.encode(),
    )  # fmt: skip
    if not fraction:
        return block
    record = b"mtime=%d.%09d\n" % (seconds, fraction)
    # The length counts itself: two digits and a space.
    record = b"%d %b" % (len(record) + 3, record)
    return _exact_time(len(record)) + record.ljust(tarfile.BLOCKSIZE, b"\0") + block


@lru_cache(maxsize=8)
def _exact_time(length: int) -> bytes:
    """Return the header of a time with nanoseconds; nearly all are as long."""
    zeros = b"%07o\0%07o\0%07o\0" % (0, 0, 0)
    return _block(b"././@PaxHeader", zeros, b"%011o\0%011o\0" % (length, 0), tarfile.XHDTYPE, b"")


def _block(name: bytes, rights: bytes, size_and_time: bytes, kind: bytes, link: bytes) -> bytes:
    """Put a header together."""
    block = b"%b%b%b        %b%b%b" % (
        name.ljust(tarfile.LENGTH_NAME, b"\0"), rights, size_and_time, kind,
        link.ljust(tarfile.LENGTH_NAME, b"\0"), tarfile.POSIX_MAGIC,
    )  # fmt: skip
    return (block[:148] + b"%06o\0 " % sum(block) + block[156:]).ljust(tarfile.BLOCKSIZE, b"\0")


def _header(attribute: tuple[str, bytes]) -> tuple[str, str]:
    """Return a PAX header for an extended attribute; ACLs have headers of their own."""
    name, value = attribute
    if name in _ACLS:
        return _ACLS[name], acl_text(value)
    return _ATTRIBUTE + name, value.decode("utf-8", "surrogateescape")


def _decimal(ns: int) -> str:
    """Write nanoseconds as seconds; before 1970 the sign is for both parts."""
    sign, value = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{value // 10**9}.{value % 10**9:09d}"


def _nanoseconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    seconds, _, fraction = text.lstrip("-").partition(".")
    return sign * (int(seconds or 0) * 10**9 + int(fraction[:9].ljust(9, "0")))


class _StrictInfo(tarfile.TarInfo):
    """A header that must be right: tarfile takes a broken one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Self:
        """Read the next header."""
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ == _END:
                raise
            raise ReadError(f"broken header, {error}") from error


class _Input:
    """The archive as a file object: decompresses as it is read, in order."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            if not self._rest:
                self._rest = next(self._pieces, b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:size], self._rest[size:]
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end, so that what is broken there is found."""
        for _ in self._pieces:
            continue


class _Content:
    """What a file in the archive holds."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._content.read(size)
        except tarfile.TarError as error:
            raise OperationError(f"not a valid tar archive: {error}") from error


def read_tar(fd: int, form: str, beat: Beat) -> Iterator[tuple[Member, Reader | None]]:
    """Yield the members of a tar archive; each content is valid until the next member.

    Raises:
        OperationError: it is not a tar archive, or it is broken.
    """
    compression = form.partition(".")[2]
    pieces = blocks(fd, beat)
    stream = _Input(decompressed(compression, pieces) if compression else map(bytes, pieces))
    try:
        with tarfile.open(
            fileobj=cast("Any", stream),
            mode="r|",
            bufsize=64 * 1024,
            encoding="utf-8",
            errors="surrogateescape",
            tarinfo=_StrictInfo,
        ) as tar:
            for info in tar:
                content = tar.extractfile(info) if info.isreg() else None
                yield _member(info), None if content is None else _Content(content)
                cast("Any", tar).members.clear()
        stream.drain()
    except (tarfile.TarError, EOFError, ValueError, KeyError) as error:
        raise OperationError(f"not a valid tar archive: {error}") from error


def _member(info: tarfile.TarInfo) -> Member:
    """Describe a member as the archive does."""
    kind = "file" if info.isreg() else _BY_TYPE.get(info.type, "unknown")
    headers = info.pax_headers
    exact = headers.get("mtime")
    member = Member(
        name=info.name,
        kind=kind,
        size_bytes=info.size if kind == "file" else 0,
        mtime_ns=int(info.mtime) * 10**9 if exact is None else _nanoseconds(exact),
        mode=info.mode & 0o7777,
        uid=info.uid,
        gid=info.gid,
        link=info.linkname,
        device=(info.devmajor, info.devminor) if kind in {"character", "block"} else (0, 0),
    )
    more = dict(filter(None, map(_attribute, headers.items())))
    return replace(member, attributes=more) if more else member


def _attribute(header: tuple[str, str]) -> tuple[str, bytes] | None:
    """Return the extended attribute that a PAX header stands for, if it does for one."""
    name, value = header
    if name in _ACL_NAMES:
        try:
            return _ACL_NAMES[name], acl_from_text(value)
        except OperationError:
            # For users that this machine does not know: setting nothing is refused and counted.
            return _ACL_NAMES[name], b""
    if name.startswith(_ATTRIBUTE):
        return name.removeprefix(_ATTRIBUTE), value.encode("utf-8", "surrogateescape")
    return None
