"""Files that programs wait for: they appear whole or not at all, and errors name them."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

__all__ = ["about", "new_file", "open_now"]

_OPEN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def about(path: str) -> Iterator[None]:
    """Let an error of the system say which file it is about, by the name that the user gave it.

    Raises:
        OSError: what went wrong in the block, with the path.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from error


@contextmanager
def new_file(path: str, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Write a file that gets its name, at once and whole, when the block ends well.

    A symbolic link is followed. What is there and is no ordinary file (`/dev/stdout`, a pipe) is
    written to as it is: nobody wants it replaced by a file.

    Args:
        path: The final name; what has it now is replaced.
        mode: Permission bits, whatever the umask; None: as the umask says.

    Raises:
        OSError: it could not be written; nothing is left behind.
    """
    with about(path):
        if _is_special(path):
            with open_now(path) as file:
                yield file
            return
        final = os.path.realpath(path)
        # No collector looks at a name with a dot in front, and without its suffix.
        temporary = os.path.join(os.path.dirname(final), f".batchrun-{secrets.token_hex(8)}")
        descriptor = os.open(temporary, _CREATE, 0o666)
        try:
            with open(descriptor, "wb") as file:
                yield file
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
            os.rename(temporary, final)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def open_now(path: str) -> BinaryIO:
    """Open a file that is written as it is; a pipe that nobody reads is an error, not a wait.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, _OPEN | os.O_NONBLOCK, 0o666)
    os.set_blocking(descriptor, True)
    return open(descriptor, "wb")


def _is_special(path: str) -> bool:
    """Whether something is there that is neither an ordinary file nor a directory."""
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)
