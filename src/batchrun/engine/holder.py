"""Who holds a lock: a kernel lock on its file, and in the file whose run it is.

The kernel frees a lock at once when batchrun is killed, while workers still end what they run.
So whoever gets it looks for the presence of the last holder, and lets go again while anything
of that run is alive.

The record has a fixed size and is overwritten in place: once the file exists, writing it needs
no room on the disk. Not promised: a record in a file that was new when the disk was full.
"""

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from batchrun.engine.presence import alive, remove_dead

__all__ = ["Holder", "erase", "open_lock", "sign", "take"]

#: Holds a number, a line end, a path (PATH_MAX), and at least one NUL behind it.
_RECORD_BYTES = 4096 + 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a lock's file says of who holds it."""

    #: None: it does not say.
    pid: int | None = None
    #: The presence file of its run; None: it has none, the lock dies with its process.
    presence: Path | None = None
    #: Its process is dead, and something of its run is not.
    killed: bool = False


def open_lock(path: Path) -> int:
    """Open the file of a lock.

    Raises:
        OSError: it cannot be opened or made.
    """
    # Close-on-exec: a command that outlives batchrun must not keep the lock.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def take(descriptor: int, own: Path | None) -> Holder | None:
    """Lock the open file of a lock; None: that is done, now it is to be signed.

    Args:
        descriptor: The open file.
        own: Our presence. What it says that we hold, we have let go of, on a broken disk.

    Returns:
        Who holds it instead; try again later.

    Raises:
        OSError: nobody can ever lock it, or nobody can tell who is alive.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return _read(descriptor)
    holder = _read(descriptor)
    if holder.presence is None or holder.presence == own:
        return None
    if alive(holder.presence):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return replace(holder, killed=True)
    if own is not None and holder.presence.parent == own.parent:  # elsewhere nothing is ours
        remove_dead(holder.presence)
    return None


def sign(descriptor: int, presence: Path | None) -> None:
    """Write down that this process, and the run of this presence, hold the lock."""
    path = b"" if presence is None else os.fsencode(presence)
    _write(descriptor, b"%d\n%b" % (os.getpid(), path))


def erase(descriptor: int) -> None:
    """Write down that nobody holds it any more."""
    _write(descriptor, b"")


def _write(descriptor: int, record: bytes) -> None:
    """Overwrite the record; a job that makes room must run on a full disk too."""
    with suppress(OSError):
        os.pwrite(descriptor, record.ljust(_RECORD_BYTES, b"\0"), 0)


def _read(descriptor: int) -> Holder:
    """Read the record; older ones are `PID` or `PID NAME` and a line end, without a presence."""
    record = os.pread(descriptor, _RECORD_BYTES, 0)
    first, _, rest = record.partition(b"\n")
    pid = first.partition(b" ")[0]
    if not pid.isdigit():
        return Holder()
    path, end, _ = rest.partition(b"\0")
    whole = first == pid and end and os.path.isabs(path)
    return Holder(pid=int(pid), presence=Path(os.fsdecode(path)) if whole else None)
