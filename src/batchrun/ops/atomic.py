"""New files appear whole or not at all: written under a temporary name, then renamed."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchrun.model.operation import Context
from batchrun.ops.failures import failure
from batchrun.ops.tree.folders import Place

__all__ = ["new_file"]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SUFFIX = re.compile(r"\.[0-9A-Za-z]{1,16}")


@contextmanager
def new_file(
    path: str,
    context: Context,
    *,
    mode: int = 0o600,
    durable: bool = False,
    approve: Callable[[str], None] | None = None,
) -> Iterator[int]:
    """Open a temporary file beside `path`, which gets that name when the block ends well.

    Args:
        path: The final name; what has it now is replaced at once.
        context: Gives the temporary name.
        mode: Permission bits to create it with; the umask applies.
        durable: Write it to the disk before it gets its name.
        approve: Gets the temporary path when the file is complete and closed; may raise. Then
            the temporary name has the same suffix as `path`: some programs go by it.

    Raises:
        OperationError: it could not be written; nothing is left behind.
    """
    name = context.temp_name()
    if approve is not None:
        suffix = os.path.splitext(path)[1]
        name += suffix if _SUFFIX.fullmatch(suffix) else ""
    temp = Place(None, path).beside(name)
    try:
        fd = os.open(temp.name, _CREATE, mode)
        try:
            try:
                yield fd
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            if approve is not None:
                approve(temp.name)
            os.rename(temp.name, path)
        except BaseException:
            temp.discard()
            raise
    except OSError as error:
        raise failure(error, "write", path) from error
