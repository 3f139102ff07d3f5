"""New files appear whole or not at all: written under a temporary name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from batchrun.model.operation import Context
from batchrun.ops.failures import failure
from batchrun.ops.tree.folders import Place

__all__ = ["new_file"]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def new_file(
    path: str, context: Context, *, mode: int = 0o600, durable: bool = False
) -> Iterator[int]:
    """Open a temporary file beside `path`, which gets that name when the block ends well.

    Args:
        path: The final name; what has it now is replaced at once.
        context: Gives the temporary name.
        mode: Permission bits to create it with; the umask applies.
        durable: Write it to the disk before it gets its name.

    Raises:
        OperationError: it could not be written; nothing is left behind.
    """
    temp = Place(None, path).beside(context.temp_name())
    try:
        fd = os.open(temp.name, _CREATE, mode)
        try:
            try:
                yield fd
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temp.name, path)
        except BaseException:
            temp.discard()
            raise
    except OSError as error:
        raise failure(error, "write", path) from error
