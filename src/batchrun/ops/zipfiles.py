"""Read and write zip archives, with modes, symlinks and times in seconds."""

import os
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import IO, cast

from batchrun.errors import OperationError
from batchrun.ops.failures import refusal
from batchrun.ops.members import Member, Reader
from batchrun.ops.paths import shown
from batchrun.ops.tree.data import BLOCK_SIZE, Beat

__all__ = ["ZipWriter", "as_zipped", "check_zippable", "read_zip"]

_TYPES = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
}
_UNIX = 3
_EXTENDED_TIME = 0x5455
_ENCRYPTED = 1
#: A symlink is never longer than a path.
_MOST_LINK = 4096


class ZipWriter:
    """Writes a zip archive to an open file."""

    def __init__(self, fd: int, level: int | None) -> None:
        # A descriptor of its own: it is closed whenever this object is.
        self._file = open(os.dup(fd), "wb")  # noqa: SIM115 - closed by finish() or abandon()
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=level)

    def add(self, member: Member, content: Reader | None) -> None:
        """Write a member."""
        check_zippable(member)
        name = member.name + "/" if member.kind == "directory" else member.name
        info = zipfile.ZipInfo(name, _dos_time(member.mtime_ns))
        info.create_system = _UNIX
        info.external_attr = (_TYPES[member.kind] | member.mode) << 16
        seconds = member.mtime_ns // 10**9
        if -(2**31) <= seconds < 2**31:
            info.extra = struct.pack("<HHBl", _EXTENDED_TIME, 5, 1, seconds)
        info.file_size = member.size_bytes
        if member.kind == "directory":
            info.external_attr |= 0x10
        else:
            info.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(info, "w", force_zip64=member.size_bytes > 2**31 - 2**20) as out:
            if member.kind == "symlink":
                out.write(member.link.encode("utf-8", "surrogateescape"))
            elif content is not None:
                while block := content.read(BLOCK_SIZE):
                    out.write(block)

    def finish(self) -> None:
        """Write the end of the archive."""
        self._zip.close()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file; what was written is of no use."""
        # The library insists on writing an end, which may fail for the same reason as the rest.
        for thing in (self._zip, self._file):
            with suppress(OSError, ValueError):
                thing.close()


def check_zippable(member: Member) -> None:
    """Refuse what a zip archive cannot hold.

    Raises:
        OperationError: it is a device, or its name is not UTF-8.
    """
    if member.kind not in _TYPES:
        raise refusal(f"a zip archive cannot hold {shown(member.name)}: a {member.kind}")
    try:
        member.name.encode("utf-8")
    except UnicodeEncodeError:
        raise refusal(
            f"a zip archive cannot hold the name {shown(member.name)}, which is not UTF-8; "
            "use a tar format"
        ) from None


def as_zipped(member: Member) -> Member:
    """Return what a zip archive says of a member.

    Owners, attributes and hard links are not kept, times only to the second.
    """
    seconds = member.mtime_ns // 10**9 * 10**9
    return replace(member, mtime_ns=seconds, uid=None, gid=None, attributes={})


def _dos_time(ns: int) -> tuple[int, int, int, int, int, int]:
    """Return the local time, within what zip can say."""
    year, month, day, hour, minute, second = time.localtime(ns // 10**9)[:6]
    if year < 1980:
        return (1980, 1, 1, 0, 0, 0)
    if year > 2107:
        return (2107, 12, 31, 23, 59, 58)
    return (year, month, day, hour, minute, min(second, 59))


def read_zip(fd: int, beat: Beat) -> Iterator[tuple[Member, Reader | None]]:
    """Yield the members of a zip archive; each content is valid until the next member.

    Raises:
        OperationError: it is not a zip archive, or it is broken or encrypted.
    """
    try:
        with open(fd, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.flag_bits & _ENCRYPTED:
                    raise refusal(f"{shown(info.filename)} is encrypted, which is not supported")
                with archive.open(info) as content:
                    yield _member(info, content, beat)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, struct.error) as error:
        raise OperationError(f"not a valid zip archive: {error}") from error


def _member(info: zipfile.ZipInfo, content: IO[bytes], beat: Beat) -> tuple[Member, Reader | None]:
    """Describe a member as the archive does."""
    attr = info.external_attr >> 16
    kinds = {number: kind for kind, number in _TYPES.items()}
    kind = kinds.get(stat.S_IFMT(attr), "file")
    if info.is_dir():
        kind = "directory"
    link = ""
    if kind == "symlink":
        link = content.read(_MOST_LINK).decode("utf-8", "surrogateescape")
    mode = stat.S_IMODE(attr) or (0o755 if kind == "directory" else 0o644)
    member = Member(
        name=info.filename.rstrip("/"),
        kind=kind,
        size_bytes=info.file_size if kind == "file" else 0,
        mtime_ns=_time_ns(info),
        mode=mode,
        link=link,
    )
    return member, _Counted(content, beat) if kind == "file" else None


class _Counted:
    """A member's content that counts what is read."""

    def __init__(self, content: IO[bytes], beat: Beat) -> None:
        self._content = content
        self._beat = beat

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._content.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise OperationError(f"not a valid zip archive: {error}") from error
        self._beat(len(data))
        return data


def _time_ns(info: zipfile.ZipInfo) -> int:
    """Return the time in seconds where the archive has it, else its local time."""
    extra, at = info.extra, 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == _EXTENDED_TIME and size >= 5 and at + 9 <= len(extra) and extra[at + 4] & 1:
            return cast("int", struct.unpack_from("<l", extra, at + 5)[0]) * 10**9
        at += 4 + size
    try:
        return int(time.mktime((*info.date_time, 0, 0, -1))) * 10**9
    except (ValueError, OverflowError):
        return 0
