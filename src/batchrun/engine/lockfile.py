"""At most one run of a job at a time: a kernel lock, and the presence of the run that holds it.

The kernel lock dies with its process, however that ends. Whoever gets it then still waits for what
a killed run has started, and which is being ended (see `holder`).
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchrun.engine.holder import Holder, erase, open_lock, sign, take
from batchrun.engine.presence import Presence, holders_text, make_private
from batchrun.errors import BatchrunError, LockHeldError

__all__ = ["RunLock", "clean_name", "hold", "lock_path"]

_RETRY_S = 0.1
#: How long what a killed run has started may still end without anybody having asked for a wait:
#: idle workers and commands that heed TERM need less.
_ENDING_S = 1.0


def clean_name(name: str) -> str:
    """Make a plain, short file name of what people call a lock.

    It stays readable; a digest keeps two names apart that look alike once cleaned.
    """
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[-60:] or "lock"
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    return f"{clean}-{digest}.lock"


def lock_path(directory: Path, name: str) -> Path:
    """Return where the lock called `name` lives, below the state directory."""
    return directory / "locks" / clean_name(name)


class RunLock:
    """A lock that is held for a run."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def sign(self, presence: Presence | OSError | None) -> None:
        """Have it last as long as anything of a run; before that starts anything.

        Args:
            presence: Of the run; an error: why it has none. None: the lock dies with this process.

        Raises:
            BatchrunError: there is no presence.
        """
        if isinstance(presence, OSError):
            message = (
                f"the file {presence.filename}, which the lock needs, cannot be made: "
                f"{presence.strerror}"
            )
            raise BatchrunError(message) from presence
        sign(self._descriptor, None if presence is None else presence.path)


@contextmanager
def hold(path: Path, name: str, wait_s: float = 0.0) -> Iterator[RunLock]:
    """Hold a lock while the block runs.

    The file stays behind: unlinking it would let a third process lock a file that the second one
    waits for under a name that is gone.

    Args:
        path: The lock's file; its directory is made.
        name: What people call it.
        wait_s: How long to wait for another holder.

    Raises:
        LockHeldError: another process still holds it after `wait_s` seconds.
        BatchrunError: the lock's file cannot be made or locked.
    """
    try:
        make_private(path.parent)
        descriptor = open_lock(path)
    except OSError as error:
        message = f"the lock file {path} cannot be opened: {error.strerror}"
        raise BatchrunError(message) from error
    try:
        _acquire(descriptor, path, name, wait_s)
        sign(descriptor, None)
        yield RunLock(descriptor)
        erase(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, name: str, wait_s: float) -> None:
    """Lock the file, waiting for others.

    Raises:
        LockHeldError: one of them still holds it after `wait_s` seconds.
        BatchrunError: it can never be locked.
    """
    begun = time.monotonic()
    while True:
        try:
            holder = take(descriptor, None)
        except OSError as error:
            message = f"the lock file {path} cannot be locked: {error.strerror}"
            raise BatchrunError(message) from error
        if holder is None:
            return
        patience_s = max(wait_s, _ENDING_S) if holder.killed else wait_s
        left_s = begun + patience_s - time.monotonic()
        if left_s <= 0:
            message = f"{name} is being run by {_who(holder)}; wait for it, or use --wait"
            raise LockHeldError(message)
        time.sleep(min(_RETRY_S, left_s))


def _who(holder: Holder) -> str:
    """Say who holds a lock."""
    who = "another process" if holder.pid is None else f"process {holder.pid}"
    if not holder.killed or holder.presence is None:
        return who
    which = holders_text(holder.presence)
    return f"{who}, which was killed: what it has started is still ending{which}"
