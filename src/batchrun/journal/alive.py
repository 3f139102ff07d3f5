"""Whether a run goes on: a lock of the kernel, which dies with the process that holds it.

No heartbeat and no status word: those are wrong after a crash, and for a process that is merely
slow.
"""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from batchrun.errors import JournalError
from batchrun.journal.places import RunDir

__all__ = ["RunLock", "is_alive"]

_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


class RunLock:
    """Held by the process that runs a run, from its beginning to its end.

    Waits for those who have the file locked for a moment only, to look whether somebody holds it.

    Args:
        path: `RunDir.lock` or `RunDir.turn`.

    Raises:
        OSError: the lock cannot be had.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd: int | None = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except BaseException:
            self.release()
            raise
        with suppress(OSError):  # for people only
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; calling it again does nothing."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def is_alive(run: RunDir) -> bool:
    """Say whether the process that runs this run lives.

    Raises:
        JournalError: that cannot be found out.
    """
    try:
        fd = os.open(run.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as error:
        message = f"the lock of run {run.run_id} cannot be looked at: {error.strerror}"
        raise JournalError(message, reason=os.strerror(error.errno or 0)) from error
    try:
        # Shared: two who look at the same time do not take each other for the run.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(fd)
    return False


def current_boot_id() -> str:
    """Return the kernel's id of this boot; empty: it has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
