"""Locks that units share with other batchrun processes of this machine (`scope: machine`).

Each is one file under the state directory, locked by the kernel (flock), tried without waiting
and held by the process that schedules. When that is killed, the lock lasts until its workers have
ended the commands that they ran (see `holder`): it is never held twice, and never stuck.

Who shares them: the runs that use the same state directory, which is one per user, private, and
root's own. A world-writable directory would let anybody hold up root's jobs.

Not promised: fairness between processes.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from batchrun.engine.holder import erase, open_lock, sign, take
from batchrun.engine.lockfile import clean_name
from batchrun.engine.presence import Presence, make_private

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
        presence: Of the run; an error: why it has none, and cannot have a lock. None: the locks
            die with this process.
    """

    def __init__(self, directory: Path, presence: Presence | OSError | None = None) -> None:
        self._directory = directory
        self._presence = presence
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
            descriptor = self._held.pop(name)
            erase(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        """Let go of everything."""
        self.release(tuple(self._held))

    def _try_one(self, name: str) -> bool:
        path = self.path(name)
        if not self._made:
            make_private(self._directory)
            self._made = True
        descriptor = open_lock(path)
        try:
            own = self._own_presence()
            free = take(descriptor, own) is None
        except OSError as error:
            os.close(descriptor)
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        if not free:
            os.close(descriptor)
            return False
        sign(descriptor, own)
        self._held[name] = descriptor
        return True

    def _own_presence(self) -> Path | None:
        """Return what says that this run is alive.

        Raises:
            OSError: it could not be made.
        """
        if isinstance(self._presence, OSError):
            raise self._presence
        return None if self._presence is None else self._presence.path
