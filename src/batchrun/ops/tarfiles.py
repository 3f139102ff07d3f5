"""Read tar archives: PAX headers, names of any bytes, nanoseconds, attributes."""

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from tarfile import HeaderError, ReadError
from typing import IO, Any, Self, cast

from batchrun.errors import OperationError
from batchrun.ops.acls import acl_from_text
from batchrun.ops.codecs import decompressed
from batchrun.ops.members import Member, Reader
from batchrun.ops.tarheader import ACLS, ATTRIBUTE, KINDS
from batchrun.ops.tree.data import Beat, blocks

__all__ = ["read_tar"]

_ACL_NAMES = {header: name for name, header in ACLS.items()}
#: The only header error that is none: two blocks of zeros.
_END = "EOFHeaderError"
_BY_TYPE = {number: kind for kind, number in KINDS.items()}


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
    if name.startswith(ATTRIBUTE):
        return name.removeprefix(ATTRIBUTE), value.encode("utf-8", "surrogateescape")
    return None
