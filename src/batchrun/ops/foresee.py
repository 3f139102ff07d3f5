"""What a dry run can tell beforehand: the system would refuse this."""

import errno
import os

from batchrun.ops.failures import failure
from batchrun.ops.tree.folders import Place

__all__ = ["check_may_read", "check_may_write"]


def check_may_write(place: Place, doing: str = "write") -> None:
    """Raise what making, replacing or removing a name would raise, as far as can be known.

    Raises:
        OperationError: its directory may not be written by this process.
    """
    if place.dir_fd is None:
        directory = os.path.dirname(place.name) or "."
        allowed = os.access(directory, os.W_OK | os.X_OK, effective_ids=True)
    else:
        directory = f"/proc/self/fd/{place.dir_fd}"
        allowed = os.access(".", os.W_OK | os.X_OK, dir_fd=place.dir_fd, effective_ids=True)
    # What is missing is made first, and make_parents() has looked whether it can be.
    if not allowed and os.path.isdir(directory):
        raise failure(_refused(directory), doing, place.path)


def check_may_read(place: Place, doing: str = "read") -> None:
    """Raise what opening a file would raise.

    Raises:
        OperationError: it may not be read by this process.
    """
    if not os.access(place.name, os.R_OK, dir_fd=place.dir_fd, effective_ids=True):
        raise failure(OSError(errno.EACCES, ""), doing, place.path)


def _refused(directory: str) -> OSError:
    try:
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
    except OSError as error:
        return error
    return OSError(errno.EROFS if read_only else errno.EACCES, "")
