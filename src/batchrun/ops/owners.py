"""Who a file shall belong to: names and numbers of users and groups."""

import os
from functools import lru_cache
from stat import S_IMODE, S_ISDIR
from typing import NamedTuple

from batchrun.model.values import apply_mode
from batchrun.ops.failures import failure, refusal
from batchrun.ops.paths import shown

__all__ = ["Ownership", "group_id", "set_ownership", "user_id"]


@lru_cache(maxsize=64)
def user_id(owner: str | None) -> int | None:
    """Look up a user by name or number; None stays None.

    Raises:
        OperationError: there is no such user.
    """
    if owner is None or owner.isdecimal():
        return None if owner is None else int(owner)
    import pwd  # noqa: PLC0415 - only where an owner is asked for

    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        message = f"there is no user {shown(owner)} on this machine"
        raise refusal(message) from None


@lru_cache(maxsize=64)
def group_id(group: str | None) -> int | None:
    """Look up a group by name or number; None stays None.

    Raises:
        OperationError: there is no such group.
    """
    if group is None or group.isdecimal():
        return None if group is None else int(group)
    import grp  # noqa: PLC0415 - only where a group is asked for

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        message = f"there is no group {shown(group)} on this machine"
        raise refusal(message) from None


class Ownership(NamedTuple):
    """What was asked for of an existing file; None: leave it."""

    owner: str | None
    group: str | None
    mode: str | None


def set_ownership(path: str, st: os.stat_result, wanted: Ownership, *, dry: bool) -> bool:
    """Give an existing file or directory an owner and a mode; True when it has others.

    Raises:
        OperationError: it cannot be given.
    """
    uid, gid = user_id(wanted.owner), group_id(wanted.group)
    new_uid = -1 if uid is None or uid == st.st_uid else uid
    new_gid = -1 if gid is None or gid == st.st_gid else gid
    mode = S_IMODE(st.st_mode)
    if wanted.mode is not None:
        mode = apply_mode(wanted.mode, mode, is_dir=S_ISDIR(st.st_mode))
    owned = new_uid != -1 or new_gid != -1
    if not owned and mode == S_IMODE(st.st_mode):
        return False
    if not dry:
        _set(path, st, (new_uid, new_gid) if owned else None, mode)
    return True


def _set(path: str, st: os.stat_result, owner: tuple[int, int] | None, mode: int) -> None:
    """Change a file by a descriptor, so that it is certainly the one that was looked at."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            now = os.fstat(fd)
            if (now.st_dev, now.st_ino) != (st.st_dev, st.st_ino):
                raise refusal(f"{shown(path)} was replaced while its mode was set")
            through = f"/proc/self/fd/{fd}"
            if owner is not None:
                os.chown(through, *owner)
            os.chmod(through, mode)
        finally:
            os.close(fd)
    except OSError as error:
        raise failure(error, "set the owner and mode of", path) from error
