"""POSIX ACLs as text, as tar archives hold them, and as the kernel's extended attribute."""

import struct

from batchrun.errors import OperationError
from batchrun.ops.owners import group_id, user_id

__all__ = ["acl_from_text", "acl_text"]

_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NO_ID = 0xFFFFFFFF
_TAGS = {0x01: "user", 0x02: "user", 0x04: "group", 0x08: "group", 0x10: "mask", 0x20: "other"}
_WITH_ID = frozenset({0x02, 0x08})
_LETTERS = (("r", 4), ("w", 2), ("x", 1))


def acl_text(raw: bytes) -> str:
    """Write an ACL as text, users and groups by number.

    >>> acl_text(acl_from_text("user::rw-,user:7:r--,group::r--,mask::r--,other::---"))
    'user::rw-,user:7:r--,group::r--,mask::r--,other::---'
    """
    entries = []
    for tag, bits, number in _ENTRY.iter_unpack(raw[_HEADER.size :]):
        who = str(number) if tag in _WITH_ID else ""
        letters = "".join(letter if bits & bit else "-" for letter, bit in _LETTERS)
        entries.append(f"{_TAGS[tag]}:{who}:{letters}")
    return ",".join(entries)


def acl_from_text(text: str) -> bytes:
    """Read an ACL from text: names or numbers, entries separated by commas or line breaks.

    A fourth field, as star(1) writes it, is the number that belongs to a name.

    Raises:
        OperationError: it is not one, or names a user that does not exist here.
    """
    entries = []
    for entry in text.replace("\n", ",").split(","):
        entry = entry.partition("#")[0].strip()  # noqa: PLW2901 - the comment is no part of it
        if entry:
            entries.append(_entry(entry))
    entries.sort()
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)


def _entry(text: str) -> tuple[int, int, int]:
    """Read one entry: tag, permission bits, and number or none."""
    fields = text.split(":")
    tags = {"user": 0x01, "u": 0x01, "group": 0x04, "g": 0x04, "mask": 0x10, "m": 0x10}
    tag = (tags | {"other": 0x20, "o": 0x20}).get(fields[0])
    if tag is None or len(fields) not in {3, 4}:
        message = f"{text!r} is not an entry of an ACL"
        raise OperationError(message)
    bits = sum(bit for letter, bit in _LETTERS if letter in fields[2])
    who = fields[3] if len(fields) == 4 else fields[1]
    if not fields[1]:
        return tag, bits, _NO_ID
    number = user_id(who) if tag == 0x01 else group_id(who)
    return tag << 1, bits, _NO_ID if number is None else number
