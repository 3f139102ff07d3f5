"""At most one run of a job at a time: a kernel lock that dies with the process that holds it.

Also where batchrun keeps what outlives a run.
"""

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from batchrun.errors import BatchrunError, LockHeldError

__all__ = ["clean_name", "hold", "lock_path", "state_dir"]

_RETRY_S = 0.1


def state_dir(environ: Mapping[str, str], *, uid: int) -> Path:
    """Return the state directory; it need not exist.

    >>> state_dir({"XDG_STATE_HOME": "/home/ann/.state"}, uid=1000).as_posix()
    '/home/ann/.state/batchrun'
    """
    if chosen := environ.get("BATCHRUN_STATE_DIR"):
        return Path(os.path.abspath(chosen))
    if uid == 0:
        return Path("/var/lib/batchrun")
    if home := environ.get("XDG_STATE_HOME"):
        return Path(home) / "batchrun"
    return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "batchrun"


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


@contextmanager
def hold(path: Path, name: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock while the block runs.

    The file stays behind: unlinking it would let a third process lock a file that the second one
    waits for under a name that is gone. The process id in it is for people only.

    Args:
        path: The lock's file; its directory is made.
        name: What people call it.
        wait_s: How long to wait for another holder.

    Raises:
        LockHeldError: another process still holds it after `wait_s` seconds.
        BatchrunError: the lock's file cannot be made or locked.
    """
    try:
        # The mode counts for the last part only, and the state directory is private too.
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        message = f"the lock file {path} cannot be opened: {error.strerror}"
        raise BatchrunError(message) from error
    try:
        _acquire(descriptor, path, name, wait_s)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    """Write down who holds the lock; a job that makes room must run on a full disk too."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _acquire(descriptor: int, path: Path, name: str, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                message = f"the lock file {path} cannot be locked: {error.strerror}"
                raise BatchrunError(message) from error
        else:
            return
        left_s = end - time.monotonic()
        if left_s <= 0:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            who = f"process {holder}" if holder.isdigit() else "another process"
            message = f"{name} is being run by {who}; wait for it, or use --wait"
            raise LockHeldError(message)
        time.sleep(min(_RETRY_S, left_s))
