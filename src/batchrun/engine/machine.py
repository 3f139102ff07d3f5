"""Locks that units share with other batchrun processes of this machine (`scope: machine`).

Each is one file under the state directory, locked by the kernel (flock), tried without waiting
and held by the process that schedules; so it dies with that process, in whatever way it ends.

Who shares them: the runs that use the same state directory, which is one per user, private, and
root's own. A world-writable directory would let anybody hold up root's jobs.

Not promised: fairness between processes; and after batchrun was killed, its lock is free while
its workers are still ending the commands that they ran (TERM, the grace, KILL).
"""

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from batchrun.engine.lockfile import clean_name

__all__ = ["POLL_S", "LockTable", "MachineLocks"]

#: How often a lock that another process holds is tried again, in seconds.
POLL_S = 0.2


class LockTable(Protocol):
    """Locks outside of this run; all calls come from the scheduler's thread and do not wait."""

    def try_take(self, names: Sequence[str]) -> bool:
        """Take all of `names`, which are sorted, or none.

        Raises:
            OSError: one of them can never be had: its file cannot be made or locked.
        """

    def release(self, names: Sequence[str]) -> None:
        """Let go of all of `names`, which are held."""


class MachineLocks:
    """The locks of one run; the directory is made when the first one is taken.

    Files stay behind for ever: unlinking one would let a third process lock a new file of that
    name while a second one has just locked the old.

    Args:
        directory: Where the files are; its parent is private too.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[str, int] = {}
        self._made = False

    def path(self, name: str) -> Path:
        """Return the file of a lock."""
        return self._directory / clean_name(name)

    def try_take(self, names: Sequence[str]) -> bool:
        """Take all of `names`, in their order, or none.

        Raises:
            OSError: a file cannot be made or locked; its name is in `filename`.
        """
        taken: list[str] = []
        try:
            for name in names:
                if not self._try_one(name):
                    self.release(taken)
                    return False
                taken.append(name)
        except OSError:
            self.release(taken)
            raise
        return True

    def release(self, names: Sequence[str]) -> None:
        """Let go of all of `names`, which are held."""
        for name in names:
            os.close(self._held.pop(name))

    def close(self) -> None:
        """Let go of everything."""
        self.release(tuple(self._held))

    def _try_one(self, name: str) -> bool:
        path = self.path(name)
        descriptor = self._open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        self._held[name] = descriptor
        # For people only; a job that makes room must run on a full disk too.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {name}\n".encode(errors="surrogateescape"), 0)
        return True

    def _open(self, path: Path) -> int:
        if not self._made:
            self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._made = True
        # Close-on-exec: a command that outlives batchrun must not keep the lock.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, 0o600)
