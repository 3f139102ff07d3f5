"""Tell files that are the same on both sides at a glance: two looks, and no opening."""

import os
from stat import S_ISREG

from batchrun.ops.tree.folders import Place

__all__ = ["equals"]


def equals(
    one: Place, other: Place, names: list[str], *, attributes: bool = False
) -> tuple[int, list[str]]:
    """Sort out the regular files that are the same by kind, size, time, mode and owner.

    Args:
        one: Any place in the one open directory.
        other: Any place in the other one.
        names: Of files, in both.
        attributes: Neither has extended attributes or an ACL, or it is not sorted out; nor has it
            other names.

    Returns:
        How many are the same, and the names of the others, which have to be looked at.
    """
    here, there = one.dir_fd, other.dir_fd
    if here is None or there is None:
        return 0, names
    stat, rest = os.stat, []
    for name in names:
        try:
            a = stat(name, dir_fd=here, follow_symlinks=False)
            b = stat(name, dir_fd=there, follow_symlinks=False)
        except OSError:
            rest.append(name)
            continue
        if (
            a.st_size != b.st_size
            or a.st_mtime_ns != b.st_mtime_ns
            or a.st_mode != b.st_mode
            or a.st_uid != b.st_uid
            or a.st_gid != b.st_gid
            or not S_ISREG(a.st_mode)
            or (a.st_ino == b.st_ino and a.st_dev == b.st_dev)
            or (attributes and (a.st_nlink > 1 or _has_attributes(here, there, name)))
        ):
            rest.append(name)
    return len(names) - len(rest), rest


def _has_attributes(here: int, there: int, name: str) -> bool:
    """Tell whether a file has attributes, or may have, on either side."""
    try:
        return bool(
            os.listxattr(f"/proc/self/fd/{here}/{name}", follow_symlinks=False)
            or os.listxattr(f"/proc/self/fd/{there}/{name}", follow_symlinks=False)
        )
    except OSError:
        return True
