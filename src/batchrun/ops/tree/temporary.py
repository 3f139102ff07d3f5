"""The temporary files of this program: how their names look, and when one is a leftover."""

import os
import re
import time
from contextlib import suppress
from functools import lru_cache
from stat import S_ISDIR, S_ISLNK, S_ISREG

from batchrun.ops.tree.folders import OPEN_DIRECTORY
from batchrun.ops.tree.links import end_meeting

__all__ = ["PREFIX", "is_leftover", "is_temporary", "of_runs", "remove_leftovers", "remove_past"]

PREFIX = ".br-"
_NAME = re.compile(
    r"\.br-[0-9A-Za-z][0-9A-Za-z-]*-\d+-\d+-(?:\d+(?:\.[0-9A-Za-z]{1,16})?|links|spool)"
)
#: Nobody writes a file for a day without the filesystem noticing.
_OLD_S = 24 * 3600


def is_temporary(name: str) -> bool:
    """Tell whether a name is one that this program gives to what is not complete yet.

    >>> is_temporary(".br-20260131-120000-7f3a-12-1-3"), is_temporary(".br-notes")
    (True, False)
    """
    return name.startswith(PREFIX) and _NAME.fullmatch(name) is not None


def is_leftover(name: str, st: os.stat_result, now_s: float) -> bool:
    """Tell whether a temporary file was left by a run that died.

    It is ours, and nothing has happened to it for a day. A temporary file is never the only copy
    of anything: should its writer have slept so long, its unit fails and nothing is lost.
    Directories may be more than that, and stay.
    """
    return (
        is_temporary(name)
        and (S_ISREG(st.st_mode) or S_ISLNK(st.st_mode))
        and st.st_uid == os.geteuid()
        and now_s - st.st_ctime > _OLD_S
    )


def remove_leftovers(directory: int, dead: tuple[str, ...] = ()) -> None:
    """Remove from an open directory what runs that died have left there.

    What cannot be removed stays: it is in nobody's way.

    Args:
        directory: An open one.
        dead: How the names of files begin whose writers are known to be dead.
    """
    with suppress(OSError), os.scandir(directory) as entries:
        for name in [entry.name for entry in entries if is_temporary(entry.name)]:
            with suppress(OSError):
                _remove(directory, name, is_dead=name.startswith(dead))


def _remove(directory: int, name: str, *, is_dead: bool) -> None:
    st = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if S_ISDIR(st.st_mode):
        if is_dead and name.endswith("-links"):
            end_meeting(directory, name)
    elif is_dead or is_leftover(name, st, time.time()):
        os.unlink(name, dir_fd=directory)


def of_runs(runs: tuple[str, ...]) -> tuple[str, ...]:
    """Return how the names of the temporary files of some runs begin."""
    return tuple(f"{PREFIX}{run}-" for run in runs)


@lru_cache(maxsize=256)
def remove_past(directory: str, runs: tuple[str, ...]) -> None:
    """Remove from a directory what runs have left there that have ended; once in each process.

    Args:
        directory: Its path; it may be missing.
        runs: Their ids.
    """
    if not runs:
        return
    with suppress(OSError):
        fd = os.open(directory or ".", OPEN_DIRECTORY & ~os.O_NOFOLLOW)
        try:
            remove_leftovers(fd, of_runs(runs))
        finally:
            os.close(fd)
