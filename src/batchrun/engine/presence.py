"""Whether anything of a run is alive: a file that is locked as long as one of its processes is.

    batchrun ──opens, locks──► presence/RUN-ID ◄──tries to lock── whoever wants to know
       ├─ workers   the same open file is handed to them, so the kernel lets go of the
       └─ sh        lock when the last of them has ended, in whatever way

`sh` is the shell of `ops/survivor.py`, which ends the commands of a killed run. The commands
themselves never get the file. At the clean end of a run it is removed.

Not guaranteed: a copy of batchrun that was made by a bare `fork` counts as alive, too; and what
even SIGKILL does not end at once (state D) is not waited for when the run itself has an end.
"""

import errno
import fcntl
import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from batchrun.ops.survivor import keep_open, let_go

__all__ = [
    "Presence",
    "alive",
    "holders",
    "holders_text",
    "make_private",
    "presence_path",
    "remove_dead",
]

#: Somebody who looks has the file locked for some microseconds; a run with the same id, for long.
_TRIES = 100
_TRY_S = 0.01
_SHOWN_PIDS = 5
#: Nothing of that name is a file, and nothing of ours is a link.
_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
#: O_NONBLOCK: a pipe of that name must not make anybody wait.
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def presence_path(directory: Path, run_id: str) -> Path:
    """Return where the presence file of a run is, below the state directory.

    >>> presence_path(Path("/var/lib/batchrun"), "20260102-030405-a1b2").as_posix()
    '/var/lib/batchrun/presence/20260102-030405-a1b2'
    """
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{,99}", run_id)
    digest = hashlib.sha256(run_id.encode(errors="surrogatepass")).hexdigest()
    return directory / "presence" / (run_id if plain else digest)


def make_private(directory: Path) -> None:
    """Make a directory below the state directory; both are for their owner alone.

    Raises:
        OSError: they cannot be made.
    """
    # A mode counts for the last part of a path only.
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def alive(path: Path) -> bool:
    """Tell whether a process of the run of this file lives; without a file there is none.

    For some microseconds a file may look alive that is being removed: who finds nothing else in
    its way looks again.

    Raises:
        OSError: nobody can tell: the file cannot be opened or locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
    except OSError as error:
        if error.errno in _NO_FILE:
            return False
        raise
    try:
        # Shared: of any number that look at the same time none takes another for the run.
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def remove_dead(path: Path) -> None:
    """Remove the file of a run of which nothing is alive; in vain is not an error."""
    with suppress(OSError):  # it has gone, or is none of ours
        descriptor = os.open(path, os.O_RDWR | _OPEN)
        try:
            # Who has it locked, and sees it under its name, knows that nobody else gives the
            # name to another file, or takes it away.
            if _lock(descriptor, fcntl.LOCK_EX) and _is_at(descriptor, path):
                path.unlink()
        finally:
            os.close(descriptor)


def holders(path: Path) -> list[int]:
    """Return the ids of the processes that hold the file locked, those that we may look at."""
    try:
        wanted = os.stat(path, follow_symlinks=False)
    except OSError:
        return []
    return sorted(
        int(name) for name in os.listdir("/proc") if name.isdecimal() and _holds(name, wanted)
    )


def holders_text(path: Path) -> str:
    """Write which processes those are, the first ones, to stand behind a sentence; empty: none.

    >>> holders_text(Path("/nowhere"))
    ''
    """
    left = ", ".join(map(str, holders(path)[:_SHOWN_PIDS]))
    return f" (process {left})" if left else ""


class Presence:
    """The presence of one run, from its beginning to its clean end.

    Shells and workers that are started from then on keep it (see `ops/survivor.py`).

    Args:
        path: As `presence_path` returns it.

    Raises:
        OSError: the file cannot be made or locked; its name is in `filename`.
    """

    def __init__(self, path: Path) -> None:
        # Others read it, in other directories.
        self.path = path.absolute()
        make_private(self.path.parent)
        for name in os.listdir(self.path.parent):  # what killed runs have left
            remove_dead(self.path.parent / name)
        self._descriptor = _enter(self.path)
        keep_open(self._descriptor)

    def close(self) -> None:
        """Remove it: nothing of the run is left, or waited for."""
        let_go(self._descriptor)
        with suppress(OSError):
            # Only we may: who removes a file has it locked.
            if _is_at(self._descriptor, self.path):
                self.path.unlink()
        os.close(self._descriptor)


def _enter(path: Path) -> int:
    """Open and lock the file; one that a dead run has left is as good as a new one.

    Raises:
        OSError: it cannot be opened or locked, or a run with the same id is alive.
    """
    for _ in range(_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600)
        try:
            # Until it is locked it looks dead, and may be removed.
            if _lock(descriptor, fcntl.LOCK_EX) and _is_at(descriptor, path):
                kept, descriptor = descriptor, -1
                return kept
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        time.sleep(_TRY_S)
    raise OSError(errno.EBUSY, "another run with the same id is running", os.fspath(path))


def _lock(descriptor: int, kind: int) -> bool:
    """Lock an open file, if that is possible now.

    Raises:
        OSError: it never is: the filesystem has no locks.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether this is the file that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _holds(pid: str, wanted: os.stat_result) -> bool:
    """Tell whether a process has a file open through which it is locked."""
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it has gone, or is not ours to look at
        return False
    return any(_is_locked(pid, number, wanted) for number in numbers)


def _is_locked(pid: str, number: str, wanted: os.stat_result) -> bool:
    """Tell whether a descriptor of a process has this file locked; who only looks shares it."""
    try:
        if not os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), wanted):
            return False
        return b" WRITE " in Path(f"/proc/{pid}/fdinfo/{number}").read_bytes()
    except OSError:  # it was closed meanwhile
        return False
