"""A way down a tree as open directories: bounded descriptors, no symlink is ever followed."""

import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from batchrun.errors import OperationError

__all__ = ["OPEN_DIRECTORY", "Folders", "Place"]

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

#: Directories kept open on one way down; deeper ones are reopened through `..` and checked.
_MOST_OPEN = 48


class Place:
    """A name in an open directory; without one (`None`) the name is a path of its own."""

    __slots__ = ("dir_fd", "name", "prefix")

    def __init__(self, dir_fd: int | None, name: str, prefix: str = "") -> None:
        #: The open directory; None: the process's working directory, for roots.
        self.dir_fd = dir_fd
        self.name = name
        #: What stands before the name when people see it.
        self.prefix = prefix

    @property
    def path(self) -> str:
        """The whole path, for messages."""
        return self.prefix + self.name

    def beside(self, name: str) -> "Place":
        """Return another name in the same directory."""
        if self.dir_fd is None:
            head, slash, _ = self.name.rpartition("/")
            return Place(None, head + slash + name)
        return Place(self.dir_fd, name, self.prefix)

    def lstat(self) -> os.stat_result | None:
        """Look at what has this name, without following it; None: nothing has."""
        try:
            return os.stat(self.name, dir_fd=self.dir_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def readlink(self) -> str:
        """Return what a symlink points to."""
        return os.readlink(self.name, dir_fd=self.dir_fd)

    def rename(self, target: "Place") -> None:
        """Give what is here the name of the target, replacing what has it."""
        os.rename(self.name, target.name, src_dir_fd=self.dir_fd, dst_dir_fd=target.dir_fd)

    def discard(self) -> None:
        """Remove a temporary file, if it is there, because of an error that is on its way."""
        with suppress(OSError):
            os.unlink(self.name, dir_fd=self.dir_fd)

    def via_proc(self) -> str:
        """Return a path for the calls that know no directory descriptor."""
        return self.name if self.dir_fd is None else f"/proc/self/fd/{self.dir_fd}/{self.name}"


class Folders:
    """A stack of directories from a root to where a walk is.

    A tree may be deeper than a process may have files open. So only the lowest directories stay
    open; on the way up a closed one is opened as `..` of its child, and must still be the same.
    """

    def __init__(self, root: Place, *, follow: bool = False) -> None:
        flags = OPEN_DIRECTORY & ~os.O_NOFOLLOW if follow else OPEN_DIRECTORY
        #: The directory where the walk is.
        self.fd = os.open(root.name, flags, dir_fd=root.dir_fd)
        #: Its path with a slash at the end, for messages.
        self.prefix = root.path.rstrip("/") + "/"
        self._above: list[tuple[int, int, int, str]] = []
        self._closed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for fd, _, _, _ in self._above[self._closed :]:
            os.close(fd)
        os.close(self.fd)

    def at(self, name: str) -> Place:
        """Return the place of a name in the directory where the walk is."""
        return Place(self.fd, name, self.prefix)

    def enter(self, name: str) -> None:
        """Go down into a directory of this name; a symlink is an error."""
        deeper = os.open(name, OPEN_DIRECTORY, dir_fd=self.fd)
        here = os.fstat(self.fd)
        self._above.append((self.fd, here.st_dev, here.st_ino, self.prefix))
        self.fd = deeper
        self.prefix += name + "/"
        if len(self._above) - self._closed > _MOST_OPEN:
            os.close(self._above[self._closed][0])
            self._closed += 1

    def leave(self) -> None:
        """Go back up to the directory that holds this one."""
        fd, device, inode, prefix = self._above[-1]
        if len(self._above) == self._closed:
            fd = os.open("..", OPEN_DIRECTORY, dir_fd=self.fd)
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) != (device, inode):
                os.close(fd)
                message = f"{self.prefix} was moved away while it was worked on"
                raise OperationError(message)
            self._closed -= 1
        self._above.pop()
        os.close(self.fd)
        self.fd = fd
        self.prefix = prefix
