"""The file of the page: whole or not there at all, and nobody else's to read."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable

__all__ = ["PageFile"]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Handed to the kernel at once.
_BUFFER_BYTES = 256 * 1024


class PageFile:
    """A file that will be written when the run has ended, and can be: that is tried at once.

    It may hold what is nobody else's business, so only its owner can read it, unless a file of
    the same owner is there already: then mode and group stay as they are. A symbolic link is
    replaced, not followed: in a directory that others can write it may lead anywhere.

    Args:
        path: Where.

    Raises:
        OSError: it is no regular file, or nothing can be written beside it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(path)
        _refuse_special(self._path)
        # Better now than after a run of hours.
        temporary, descriptor = _create_beside(self._path)
        os.close(descriptor)
        os.unlink(temporary)

    def write(self, pieces: Iterable[str]) -> None:
        """Write the file anew, as UTF-8, and give it its name.

        Raises:
            OSError: it cannot be written; what was there before is there still.
        """
        try:
            self._write(pieces)
        except OSError as error:
            # Not every error names a file, and nobody knows the temporary one.
            error.filename = self._path
            raise

    def _write(self, pieces: Iterable[str]) -> None:
        temporary, descriptor = _create_beside(self._path)
        try:
            # What cannot be encoded has been made visible before; this is for what was missed.
            with open(
                descriptor, "w", _BUFFER_BYTES, encoding="utf-8", errors="backslashreplace"
            ) as file:
                file.writelines(pieces)
                file.flush()
                _take_over(self._path, descriptor)
                # Otherwise a machine that goes down may leave an empty file under the name.
                os.fsync(descriptor)
            os.rename(temporary, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _refuse_special(path: str) -> None:
    """Refuse what a new file must not take the place of, such as /dev/null."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise OSError(errno.EINVAL, "Not a regular file", path)


def _create_beside(path: str) -> tuple[str, int]:
    """Create a file with a name of its own in the same directory; return name and descriptor."""
    directory, name = os.path.split(path)
    # The name is cut: with ours around it, it could be too long.
    short = os.fsdecode(os.fsencode(name)[:100])
    temporary = os.path.join(directory, f".{short}.{secrets.token_hex(6)}")
    return temporary, os.open(temporary, _CREATE, 0o600)


def _take_over(path: str, descriptor: int) -> None:
    """Give a file the group and the mode of the one that it replaces, if both have one owner.

    Somebody else may have put a file there that they can read.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return
    mine = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != mine.st_uid:
        return
    try:
        if found.st_gid != mine.st_gid:
            os.fchown(descriptor, -1, found.st_gid)
    except PermissionError:
        return  # its bits were meant for another group
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
