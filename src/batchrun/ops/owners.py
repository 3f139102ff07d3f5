"""Who a file shall belong to: names and numbers of users and groups."""

import errno
import os
from functools import lru_cache
from stat import S_IMODE, S_ISDIR, S_ISLNK
from typing import NamedTuple

from batchrun.model.operation import Context
from batchrun.model.values import apply_mode
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.paths import shown

__all__ = [
    "UNASKED",
    "Change",
    "Ownership",
    "change_of",
    "check_may_change",
    "give",
    "group_id",
    "own_new",
    "set_ownership",
    "user_id",
]

_SETID = 0o6000


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


#: Leave everything as it is.
UNASKED = Ownership(None, None, None)


class Change(NamedTuple):
    """What is different about a file from what was asked for."""

    #: User and group; -1: leave it.
    uid: int
    gid: int
    #: Permission bits in the end; None: as the kernel leaves them.
    mode: int | None

    def facts(self, st: os.stat_result) -> tuple[list[str], list[str]]:
        """Describe the file before and after, as far as it changes."""
        before, after = [], []
        if self.uid != -1:
            before.append(f"owner {_name_of_user(st.st_uid)}")
            after.append(f"owner {_name_of_user(self.uid)}")
        if self.gid != -1:
            before.append(f"group {_name_of_group(st.st_gid)}")
            after.append(f"group {_name_of_group(self.gid)}")
        if self.mode is not None and self.mode != S_IMODE(st.st_mode):
            before.append(f"mode {S_IMODE(st.st_mode):04o}")
            after.append(f"mode {self.mode:04o}")
        return before, after


def change_of(st: os.stat_result, wanted: Ownership) -> Change | None:
    """Find what has to be changed; None: nothing.

    Args:
        st: The file as it is.
        wanted: What was asked for; of a symlink only the owner can be.

    Raises:
        OperationError: there is no such user or group.
    """
    uid, gid = user_id(wanted.owner), group_id(wanted.group)
    new_uid = -1 if uid is None or uid == st.st_uid else uid
    new_gid = -1 if gid is None or gid == st.st_gid else gid
    owned = new_uid != -1 or new_gid != -1
    if S_ISLNK(st.st_mode):
        return Change(new_uid, new_gid, None) if owned else None
    is_dir = S_ISDIR(st.st_mode)
    mode = base = S_IMODE(st.st_mode)
    if owned and not is_dir:
        # These rights were meant for the old owner; the kernel takes most of them away, too.
        base &= ~_SETID
    mode = base if wanted.mode is None else apply_mode(wanted.mode, base, is_dir=is_dir)
    if not owned and mode == S_IMODE(st.st_mode):
        return None
    # Changing the owner may change the mode: set it again where there is something to lose.
    said = mode != S_IMODE(st.st_mode) or mode & _SETID
    return Change(new_uid, new_gid, mode if said else None)


def set_ownership(
    path: str, st: os.stat_result, wanted: Ownership, context: Context, tally: Tally
) -> None:
    """Give an existing file or directory an owner and a mode, where it has others.

    Raises:
        OperationError: it cannot be given.
    """
    change = change_of(st, wanted)
    if change is None:
        return
    if context.settings.dry_run:
        check_may_change(path, st, change)
    else:
        _give(path, st, change)
    tally.changed = True
    if context.settings.diff:
        from batchrun.ops.diff import facts_diff  # noqa: PLC0415 - only where one is asked for

        tally.differ(facts_diff(path, *change.facts(st)))


def check_may_change(path: str, st: os.stat_result, change: Change) -> None:
    """Raise what the change would raise, as far as a dry run can know.

    Raises:
        OperationError: this process may not change it.
    """
    euid = os.geteuid()
    if euid == 0:
        return
    own_groups = {-1, os.getegid(), *os.getgroups()}
    if st.st_uid != euid or change.uid != -1 or change.gid not in own_groups:
        raise failure(OSError(errno.EPERM, ""), "set the owner and mode of", path)


def own_new(path: str, wanted: Ownership) -> None:
    """Give something that was just made its owner and mode.

    Raises:
        OperationError: it cannot be given.
    """
    st = os.stat(path)
    change = change_of(st, wanted)
    if change is not None:
        _give(path, st, change)


def _give(path: str, st: os.stat_result, change: Change) -> None:
    try:
        give(path, st, change)
    except OSError as error:
        raise failure(error, "set the owner and mode of", path) from error


def give(path: str, st: os.stat_result, change: Change, *, dir_fd: int | None = None) -> None:
    """Change a file by a descriptor, so that it is certainly the one that was looked at.

    Raises:
        OperationError: it is another one by now.
        OSError: the change is refused.
    """
    follow = 0 if dir_fd is None else os.O_NOFOLLOW
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC | follow, dir_fd=dir_fd)
    try:
        now = os.fstat(fd)
        if (now.st_dev, now.st_ino) != (st.st_dev, st.st_ino):
            raise refusal(f"{shown(path)} was replaced while its mode was set")
        through = f"/proc/self/fd/{fd}"
        if change.uid != -1 or change.gid != -1:
            os.chown(through, change.uid, change.gid)
        if change.mode is not None:
            os.chmod(through, change.mode)
    finally:
        os.close(fd)


def _name_of_user(uid: int) -> str:
    """Return a user's name, or the number of one who has none."""
    import pwd  # noqa: PLC0415 - only where a diff is asked for

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _name_of_group(gid: int) -> str:
    """Return a group's name, or the number of one that has none."""
    import grp  # noqa: PLC0415 - only where a diff is asked for

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
