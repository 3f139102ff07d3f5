"""Read tar archives, whoever has made them."""

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from tarfile import HeaderError, ReadError
from typing import IO, Any, Self, cast

from batchrun.ops.codecs import decompressed
from batchrun.ops.members import Member, Reader
from batchrun.ops.tarheader import KINDS
from batchrun.ops.tarreader import Rare, Stream, attribute_of, broken, members_of, nanoseconds
from batchrun.ops.tree.data import Beat, blocks

__all__ = ["read_tar"]

#: The only header error that is none: two blocks of zeros.
_END = "EOFHeaderError"
_BY_TYPE = {number: kind for kind, number in KINDS.items()}


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


class _Content:
    """What a file in the archive holds."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._content.read(size)
        except tarfile.TarError as error:
            raise broken(str(error)) from error


def read_tar(fd: int, form: str, beat: Beat) -> Iterator[tuple[Member, Reader | None]]:
    """Yield the members of a tar archive; each content is valid until the next member.

    Raises:
        OperationError: it is not a tar archive, or it is broken.
    """
    compression = form.partition(".")[2]
    pieces = blocks(fd, beat)
    stream = Stream(decompressed(compression, pieces) if compression else map(bytes, pieces))
    try:
        for member, content, _ in members_of(stream):
            yield member, content
    except Rare:
        yield from _rest_of(stream)
    stream.drain()


def _rest_of(stream: Stream) -> Iterator[tuple[Member, Reader | None]]:
    """Have the standard library go on."""
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
    except (tarfile.TarError, EOFError, ValueError, KeyError) as error:
        raise broken(str(error)) from error


def _member(info: tarfile.TarInfo) -> Member:
    """Describe a member as the archive does."""
    kind = "file" if info.isreg() else _BY_TYPE.get(info.type, "unknown")
    headers = info.pax_headers
    exact = headers.get("mtime")
    member = Member(
        name=info.name,
        kind=kind,
        size_bytes=info.size if kind == "file" else 0,
        mtime_ns=int(info.mtime) * 10**9 if exact is None else nanoseconds(exact),
        mode=info.mode & 0o7777,
        uid=info.uid,
        gid=info.gid,
        link=info.linkname,
        device=(info.devmajor, info.devminor) if kind in {"character", "block"} else (0, 0),
    )
    more = dict(filter(None, (attribute_of(*header) for header in headers.items())))
    return replace(member, attributes=more) if more else member
