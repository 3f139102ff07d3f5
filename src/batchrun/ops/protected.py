"""Which directories are too precious to be deleted by a slip."""

import os
import re
from functools import lru_cache

from batchrun.model.operation import Context
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown

__all__ = ["SYSTEM_DIRECTORIES", "check_deletable", "mount_points", "real_path"]

SYSTEM_DIRECTORIES = frozenset(
    {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "lost+found"}
    | {"media", "mnt", "nix", "opt", "proc", "root", "run", "sbin", "snap", "srv", "sys"}
    | {"tmp", "usr", "var"}
)
_OCTAL = re.compile(r"\\([0-7]{3})")
_FORCE = "to delete it all the same, name it in `force`"


def check_deletable(path: str, context: Context, force: tuple[str, ...], *, is_dir: bool) -> None:
    """Refuse what a slip must not delete, however the path is spelled.

    Args:
        path: What is to be deleted, without a slash at its end.
        context: Knows the job's directory.
        force: The exact paths for which the user has said that it is meant.
        is_dir: It is a directory, not a symlink to one.

    Raises:
        OperationError: it is `/`, a system directory, a home directory, a mount point, or the
            job's directory, or holds one of the last three.
    """
    if not is_dir and os.path.basename(path) not in SYSTEM_DIRECTORIES:
        return
    real = real_path(path)
    reason = _reason(real, context.settings.base_dir, is_dir=is_dir)
    if reason and not any(_same(path, real, exception) for exception in force):
        raise refusal(f"refused to delete {shown(path)}: it {reason}; {_FORCE}")


def real_path(path: str) -> str:
    """Resolve everything but the last name: deleting a symlink removes the link only."""
    head, name = os.path.split(path)
    if name in {"", ".", ".."}:
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(head or "."), name)


def _same(path: str, real: str, exception: str) -> bool:
    """Tell whether an entry of `force` names exactly this path."""
    return bool(exception) and os.path.normpath(exception) in {os.path.normpath(path), real}


def _reason(real: str, base_dir: str, *, is_dir: bool) -> str:
    """Say why a path is protected; empty when it is not."""
    if real == "/":
        return "is the root of the filesystem"
    if os.path.dirname(real) == "/" and os.path.basename(real) in SYSTEM_DIRECTORIES:
        return "is a system directory"
    if not is_dir:
        return ""
    precious = [
        (os.path.realpath(base_dir), "the job's directory"),
        *((path, "a home directory") for path in _homes()),
        *((path, "a mount point") for path in mount_points()),
    ]
    for path, what in precious:
        if path == real:
            return f"is {what}"
    for path, what in precious:
        if path.startswith(real + "/"):
            return f"holds {what}, {shown(path)}"
    return ""


def _homes() -> tuple[str, ...]:
    """Return the home directories of this machine and of this user."""
    home = os.environ.get("HOME", "")
    known = _homes_in_database()
    return (*known, os.path.realpath(home)) if home and home != "/" else known


@lru_cache(maxsize=1)
def _homes_in_database() -> tuple[str, ...]:
    """Read the user database, once: it may be a network away."""
    import pwd  # noqa: PLC0415 - only where a directory is deleted

    homes = {os.path.realpath(user.pw_dir) for user in pwd.getpwall() if user.pw_dir}
    return tuple(sorted(home for home in homes if home != "/" and os.path.isdir(home)))


def mount_points() -> tuple[str, ...]:
    """Return where filesystems are mounted, bind mounts and single files included."""
    try:
        with open("/proc/self/mountinfo", "rb") as lines:
            fields = [os.fsdecode(line.split(b" ", 5)[4]) for line in lines]
    except FileNotFoundError:
        return ()
    return tuple(_OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field) for field in fields)
