"""Rename without replacing: the kernel looks whether the new name is free, and nobody between."""

import errno
import os
from collections.abc import Callable
from functools import cache

__all__ = ["rename_exclusive"]

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
#: This kernel or filesystem cannot: NFS, FUSE, and what is older than Linux 3.15.
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def rename_exclusive(source: str, target: str) -> None:
    """Rename a file or directory; a target that has appeared meanwhile is an error.

    Where the system cannot promise that, it is renamed if nothing has the name just now.

    Raises:
        FileExistsError: something has the new name.
        OSError: it cannot be renamed.
    """
    call = _renameat2()
    number = errno.ENOSYS if call is None else call(os.fsencode(source), os.fsencode(target))
    if number in _UNKNOWN:
        if os.path.lexists(target):
            number = errno.EEXIST
        else:
            os.rename(source, target)
            return
    if number:
        raise OSError(number, os.strerror(number), source, None, target)


@cache
def _renameat2() -> Callable[[bytes, bytes], int] | None:
    """Find the call, which Python does not offer; None: this C library has none."""
    import ctypes  # noqa: PLC0415 - only where something is moved

    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (
        *(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p),
        ctypes.c_uint,
    )

    def call(source: bytes, target: bytes) -> int:
        if function(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE) == 0:
            return 0
        return ctypes.get_errno()

    return call
