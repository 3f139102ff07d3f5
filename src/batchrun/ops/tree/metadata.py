"""Carry mode, owner, times, extended attributes and ACLs from one file to another.

Order matters: owner first (it clears setuid and capabilities), then attributes and ACLs (an ACL
changes the mode's group bits), then the mode, then the times.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from stat import S_IMODE, S_ISDIR, S_ISLNK

from batchrun.model.values import apply_mode
from batchrun.ops.paths import shown
from batchrun.ops.tree.folders import Place

__all__ = [
    "KEEP_ALL",
    "PRESERVED",
    "Keep",
    "apply_to_fd",
    "apply_to_place",
    "differs",
    "is_root",
    "keeping",
]

PRESERVED = ("mode", "owner", "times", "xattrs", "acl", "links")
_SETID = 0o6000
_NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_GONE = errno.ENODATA
_NONE: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What of a source's metadata its copy shall have, and what is given instead."""

    mode: bool = True
    owner: bool = True
    times: bool = True
    xattrs: bool = True
    acl: bool = True
    links: bool = True
    #: Instead of the source's owner; None: nothing is asked for.
    uid: int | None = None
    gid: int | None = None
    #: Instead of the source's mode.
    mode_text: str | None = None

    def mode_for(self, source: os.stat_result) -> int | None:
        """Return the permission bits that the copy of `source` shall have, if any are asked for.

        An octal mode is meant for files; a directory gets the right to be entered with it.
        """
        mode = S_IMODE(source.st_mode)
        if self.mode_text is None:
            return mode if self.mode else None
        is_dir = S_ISDIR(source.st_mode)
        mode = apply_mode(self.mode_text, mode, is_dir=is_dir)
        return mode | (mode & 0o444) >> 2 if is_dir else mode

    def owner_for(self, source: os.stat_result) -> tuple[int | None, int | None]:
        """Return the user and group that the copy of `source` shall have, if any are asked for.

        Like cp -a: without root's rights nobody expects the owner to be kept, the group only
        where this process is a member.
        """
        uid, gid = self.uid, self.gid
        if self.owner:
            is_root, groups = _rights()
            uid = source.st_uid if uid is None and is_root else uid
            gid = source.st_gid if gid is None and (is_root or source.st_gid in groups) else gid
        return uid, gid


KEEP_ALL = Keep()


def keeping(names: tuple[str, ...]) -> Keep:
    """Keep what is named, of PRESERVED."""
    return Keep(
        mode="mode" in names,
        owner="owner" in names,
        times="times" in names,
        xattrs="xattrs" in names,
        acl="acl" in names,
        links="links" in names,
    )


@lru_cache(maxsize=1)
def _rights() -> tuple[bool, frozenset[int]]:
    """Return whether this process may give files away, and the groups it is in."""
    return os.geteuid() == 0, frozenset({os.getegid(), *os.getgroups()})


def is_root() -> bool:
    """Tell whether this process may give files away."""
    return _rights()[0]


def differs(source: os.stat_result, copy: os.stat_result, keep: Keep) -> bool:
    """Tell whether mode, owner or time of a copy is not as it shall be (attributes: apart)."""
    uid, gid = keep.owner_for(source)
    if (uid is not None and uid != copy.st_uid) or (gid is not None and gid != copy.st_gid):
        return True
    if keep.times and source.st_mtime_ns != copy.st_mtime_ns:
        return True
    if S_ISLNK(source.st_mode):
        return False
    mode = keep.mode_for(source)
    return mode is not None and mode != S_IMODE(copy.st_mode)


def apply_to_fd(
    fd: int, source: os.stat_result, keep: Keep, *, attributes_from: int | None
) -> list[str]:
    """Give an open file or directory the metadata of `source`.

    Args:
        fd: What is given it.
        source: Where mode, owner and times come from.
        keep: What is asked for.
        attributes_from: The open source, for its extended attributes; None: leave them.

    Returns:
        What could not be preserved, as reasons without the path.
    """
    lost: list[str] = []
    now = os.fstat(fd)
    uid, gid = keep.owner_for(source)
    owned = False
    if uid not in {None, now.st_uid} or gid not in {None, now.st_gid}:
        owned = _give(uid, gid, now, lambda u, g: os.chown(fd, u, g), lost)
    touched = False
    if attributes_from is not None and (keep.xattrs or keep.acl):
        touched = copy_attributes(attributes_from, fd, keep, lost)
    mode = keep.mode_for(source)
    if mode is not None:
        mode = _safe_mode(mode, source, owned, lost) if mode & _SETID else mode
        if touched or mode != S_IMODE(now.st_mode) or (owned and now.st_mode & _SETID):
            os.fchmod(fd, mode)
    if keep.times:
        os.utime(fd, ns=(source.st_atime_ns, source.st_mtime_ns))
    return lost


def _safe_mode(mode: int, source: os.stat_result, owned: bool, lost: list[str]) -> int:  # noqa: FBT001 - internal
    """Drop setuid and setgid where the file does not belong to whom they were meant for."""
    is_root, _ = _rights()
    if is_root or owned or source.st_uid == os.geteuid():
        return mode
    lost.append("setuid and setgid, because its owner could not be preserved")
    return mode & ~_SETID


def _give(
    uid: int | None,
    gid: int | None,
    now: os.stat_result,
    chown: Callable[[int, int], None],
    lost: list[str],
) -> bool:
    """Change the owner if it is another one; True when it was changed."""
    new_uid = -1 if uid is None or uid == now.st_uid else uid
    new_gid = -1 if gid is None or gid == now.st_gid else gid
    if new_uid == -1 and new_gid == -1:
        return False
    try:
        chown(new_uid, new_gid)
    except OSError as error:
        lost.append(f"its owner ({os.strerror(error.errno or 0)})")
        return False
    return True


def apply_to_place(place: Place, source: Place, st: os.stat_result, keep: Keep) -> list[str]:
    """Give a symlink, fifo, device or directory the metadata of `source`, by name.

    Only for places in a directory that is open, or that this operation has made.
    """
    lost: list[str] = []
    now = os.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False)
    uid, gid = keep.owner_for(st)

    def chown(new_uid: int, new_gid: int) -> None:
        os.chown(place.name, new_uid, new_gid, dir_fd=place.dir_fd, follow_symlinks=False)

    _give(uid, gid, now, chown, lost)
    if keep.xattrs or keep.acl:
        copy_attributes(source.via_proc(), place.via_proc(), keep, lost)
    mode = keep.mode_for(st)
    if mode is not None and not S_ISLNK(now.st_mode):
        # chmod has no form that does not follow symlinks: go through a descriptor of the thing.
        fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.dir_fd)
        try:
            if not S_ISLNK(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)
    if keep.times:
        times = (st.st_atime_ns, st.st_mtime_ns)
        os.utime(place.name, ns=times, dir_fd=place.dir_fd, follow_symlinks=False)
    return lost


def attributes(of: int | str, keep: Keep) -> Mapping[str, bytes]:
    """Read the extended attributes and ACLs that are to be preserved."""
    follow = isinstance(of, int)
    try:
        names = os.listxattr(of, follow_symlinks=follow)
        if not names:
            return _NONE
        return {
            name: os.getxattr(of, name, follow_symlinks=follow)
            for name in names
            if _is_kept(name, keep)
        }
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES or error.errno == _GONE:
            return _NONE
        raise


def copy_attributes(source: int | str, copy: int | str, keep: Keep, lost: list[str]) -> bool:
    """Make the attributes of a copy those of the source; True when any was changed.

    A copy may have some already: a directory's default ACL is given to what is made in it.
    """
    wanted = attributes(source, keep)
    present = attributes(copy, keep)
    if wanted is present or wanted == present:
        return False
    follow = isinstance(copy, int)
    for name in present.keys() - wanted.keys():
        try:
            os.removexattr(copy, name, follow_symlinks=follow)
        except OSError as error:
            lost.append(_lost_attribute(name, error))
    for name, value in wanted.items():
        if present.get(name) != value:
            try:
                os.setxattr(copy, name, value, follow_symlinks=follow)
            except OSError as error:
                lost.append(_lost_attribute(name, error))
    return True


def _lost_attribute(name: str, error: OSError) -> str:
    kind = "its ACL" if name.startswith("system.posix_acl") else f"the attribute {shown(name)}"
    return f"{kind} ({os.strerror(error.errno or 0)})"


def _is_kept(name: str, keep: Keep) -> bool:
    """Tell whether an attribute is the user's to keep: not the label of a security policy."""
    if name.startswith("system."):
        return keep.acl and name.startswith("system.posix_acl_")
    if not keep.xattrs:
        return False
    if name.startswith("user."):
        return True
    is_root, _ = _rights()
    return is_root and (name.startswith("trusted.") or name == "security.capability")
