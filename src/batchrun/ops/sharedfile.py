"""A file that several workers write: segments beside it, which are joined and removed."""

import os
from contextlib import suppress

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import failure
from batchrun.ops.paths import shown
from batchrun.ops.tree.assembly import Joining
from batchrun.ops.tree.data import copy_part, write_all
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.temporary import remove_past

__all__ = ["SharedFile", "begin_shared"]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SEGMENT = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def begin_shared(dest: str, context: Context, *, mode: int) -> tuple[str, tuple[int, int]]:
    """Make the temporary file of one; returns its path, device and inode.

    What runs have left there that this one goes on with is removed.

    Raises:
        OperationError: it cannot be made.
    """
    remove_past(os.path.dirname(os.path.abspath(dest)), context.settings.past_runs)
    temp = Place(None, dest).beside(context.temp_name()).name
    try:
        fd = os.open(temp, _CREATE, mode)
        try:
            st = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise failure(error, "write", dest) from error
    return temp, (st.st_dev, st.st_ino)


class SharedFile:
    """One that has been begun.

    Args:
        dest: What it will be called.
        temp: What it is called until then; the names of segments begin with it.
        identity: Its device and inode.
    """

    def __init__(self, dest: str, temp: str, identity: tuple[int, int]) -> None:
        self._dest = dest
        self._temp = temp
        self._identity = identity

    def put(self, place: int, data: bytes | bytearray) -> int:
        """Write a segment, over what a worker that died may have left; returns its size."""
        try:
            fd = os.open(self._segment(place), _SEGMENT, 0o600)
            try:
                write_all(fd, memoryview(data))
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, "write", self._dest) from error
        return len(data)

    def join(self, joining: Joining) -> None:
        """Add segments, each where it belongs: safe to be done twice."""
        self.remove(joining.joined)
        at = joining.offset
        try:
            fd = os.open(self._temp, _WRITE)
            try:
                for place, size in joining.segments:
                    self._add(fd, place, at, size)
                    at += size
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, "write", self._dest) from error

    def _add(self, fd: int, place: int, at: int, size: int) -> None:
        segment = os.open(self._segment(place), _READ)
        try:
            done = copy_part(segment, fd, at, size)
        finally:
            os.close(segment)
        if done != size:
            message = f"cannot write {shown(self._dest)}: somebody has changed a part of it"
            raise OperationError(message)

    def sizes(self, places: list[int]) -> list[tuple[int, int]]:
        """Return the sizes of segments, as `join` takes them.

        Raises:
            OperationError: one is not there.
        """
        try:
            return [(place, os.stat(self._segment(place)).st_size) for place in places]
        except OSError as error:
            raise failure(error, "write", self._dest) from error

    def opened(self) -> int:
        """Open the file, to be completed."""
        return os.open(self._temp, _WRITE)

    def name(self) -> None:
        """Give the file its name."""
        os.rename(self._temp, self._dest)

    def undo(self, places: list[int]) -> None:
        """Remove everything."""
        self.remove(places)
        with suppress(OSError):
            os.unlink(self._temp)

    def remove(self, places: list[int]) -> None:
        """Remove segments, as far as they are there."""
        for place in places:
            with suppress(OSError):
                os.unlink(self._segment(place))

    def is_named(self) -> bool:
        """Tell whether it has its name: who gave it may have died before saying so."""
        with suppress(FileNotFoundError):
            st = os.lstat(self._dest)
            return (st.st_dev, st.st_ino) == self._identity
        return False

    def _segment(self, place: int) -> str:
        return f"{self._temp}{place:09d}"
