"""Make the headers of tar members: ustar with pax records, as tarfile does, and ten times faster.

What most members are is made here: names and links of up to a hundred ASCII characters, no
attributes, times after 1970. For everything else there is the standard library.
"""

import os
import tarfile
from functools import lru_cache

from batchrun.ops.acls import acl_text
from batchrun.ops.members import Member

__all__ = [
    "ACLS", "ATTRIBUTE", "KINDS", "end_after", "full_header", "header_of", "padding",
    "plain_header", "plain_header_of",
]  # fmt: skip

ATTRIBUTE = "SCHILY.xattr."
ACLS = {
    "system.posix_acl_access": "SCHILY.acl.access",
    "system.posix_acl_default": "SCHILY.acl.default",
}
KINDS = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "character": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
}

_BLOCK = 512
#: Two blocks of zeros; tar(1) writes whole records.
_END_SIZE, _RECORD = 2 * _BLOCK, 20 * _BLOCK
_NAME_SIZE = 100
_LARGEST = 8**11 - 1
_LARGEST_OWNER = 8**7 - 1
_SECOND = 10**9
_PAX = b"x"
_ENDING = b"ustar\x0000".ljust(_BLOCK - 257, b"\0")
#: Checksum of what is the same in all headers; its own field counts as spaces.
_CONSTANT = sum(_ENDING) + 8 * ord(" ")


def plain_header(
    name: bytes, fields: tuple[int, int, int, int], mtime_ns: int, kind: bytes, link: bytes = b""
) -> bytes | None:
    """Return the header of a member without attributes; None: it takes more than is done here.

    Args:
        name: Relative, of a directory with the slash.
        fields: Mode, user, group and size.
        mtime_ns: Time of the last change.
        kind: As in the header.
        link: What a link leads to.
    """
    seconds, fraction = divmod(mtime_ns, _SECOND)
    _, uid, gid, size = fields
    if (
        len(name) > _NAME_SIZE
        or len(link) > _NAME_SIZE
        or max(uid, gid) > _LARGEST_OWNER
        or size > _LARGEST
        or not 0 <= seconds <= _LARGEST
        or not name.isascii()
        or not link.isascii()
    ):
        return None
    block = _block(name, fields, seconds, kind, link)
    if not fraction:
        return block
    record = b" mtime=%d.%09d\n" % (seconds, fraction)
    size = len(record) + 2
    return b"".join([_pax_block(size), b"%d" % size, record.ljust(_BLOCK - 2, b"\0"), block])


def _block(
    name: bytes, fields: tuple[int, int, int, int], seconds: int, kind: bytes, link: bytes
) -> bytes:
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (*fields, seconds)
    total = _CONSTANT + sum(name) + sum(numbers) + kind[0] + sum(link)
    return b"".join([
        name.ljust(_NAME_SIZE, b"\0"), numbers, b"%06o\0 " % total, kind,
        link.ljust(_NAME_SIZE, b"\0"), _ENDING,
    ])  # fmt: skip


@lru_cache(maxsize=64)
def _pax_block(size: int) -> bytes:
    return _block(b"././@PaxHeader", (0, 0, 0, size), 0, _PAX, b"")


def header_of(member: Member) -> bytes:
    """Return everything of a member but its content."""
    return plain_header_of(member) or full_header(member)


def plain_header_of(member: Member) -> bytes | None:
    """Return the header of a member of which there is nothing special; None: there is."""
    if member.attributes or member.kind in {"fifo", "character", "block"}:
        return None
    name = member.name + "/" if member.kind == "directory" else member.name
    fields = (member.mode, member.uid or 0, member.gid or 0, member.size_bytes)
    link = os.fsencode(member.link)
    return plain_header(os.fsencode(name), fields, member.mtime_ns, KINDS[member.kind], link)


def full_header(member: Member) -> bytes:
    """Return the header of any member."""
    info = tarfile.TarInfo(member.name)
    info.type = KINDS[member.kind]
    info.size = member.size_bytes
    info.mode = member.mode
    info.uid, info.gid = member.uid or 0, member.gid or 0
    info.linkname = member.link
    info.devmajor, info.devminor = member.device
    seconds, fraction = divmod(member.mtime_ns, _SECOND)
    info.mtime = seconds
    headers = dict(map(_record, member.attributes.items()))
    if fraction:
        headers["mtime"] = _decimal(member.mtime_ns)
    info.pax_headers = headers
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """Return what comes after content of this size, up to the next block."""
    return bytes(-size % _BLOCK)


def end_after(size: int) -> bytes:
    """Return the end of an archive that is this long until now."""
    return bytes(_END_SIZE + -(size + _END_SIZE) % _RECORD)


def _record(attribute: tuple[str, bytes]) -> tuple[str, str]:
    """Return a pax record for an extended attribute; ACLs have records of their own."""
    name, value = attribute
    if name in ACLS:
        return ACLS[name], acl_text(value)
    return ATTRIBUTE + name, value.decode("utf-8", "surrogateescape")


def _decimal(ns: int) -> str:
    """Write nanoseconds as seconds; before 1970 the sign is for both parts."""
    sign, value = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{value // _SECOND}.{value % _SECOND:09d}"
