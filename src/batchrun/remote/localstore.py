"""Put what a host sends below one directory here, and nowhere else, whatever names it sends.

Every directory on the way is opened without following symlinks, so a host that sends a symlink
first and then a file through it reaches nothing outside. A file has a temporary name until it is
whole.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from stat import S_ISDIR, S_ISREG
from types import TracebackType
from typing import Self

from batchrun.errors import OperationError
from batchrun.ops.failures import failure, refusal
from batchrun.ops.paths import shown
from batchrun.ops.tree.folders import OPEN_DIRECTORY

__all__ = ["Store", "is_inside"]

#: Why a file cannot have another name: too many, another filesystem, or one that has no links.
_NO_LINKS = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP})
_PIECE_BYTES = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def is_inside(name: str) -> bool:
    """Tell whether a relative name stays below where it starts.

    >>> is_inside("a/b"), is_inside("a/../../b"), is_inside("/etc/passwd"), is_inside("")
    (True, False, False, False)
    """
    parts = name.split("/")
    return bool(name) and not any(part in {"", ".", ".."} for part in parts) and "\0" not in name


class Store:
    """A directory here, and everything below it.

    Args:
        root: Made when the first thing is put into it.
        temp_name: Gives names that nobody else uses.
    """

    def __init__(self, root: str, temp_name: Callable[[], str]) -> None:
        self._root = root or "."
        self._temp_name = temp_name
        self._root_fd = -1
        #: The directory that was used last, and its name: mostly the next one is the same.
        self._last: tuple[str, int] = ("", -1)
        #: The file that is being written: its descriptor, its directory, both names.
        self._open: tuple[int, int, str, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abandon()
        for fd in (self._last[1], self._root_fd):
            if fd >= 0:
                os.close(fd)
        self._last, self._root_fd = ("", -1), -1

    def look(self, name: str) -> os.stat_result | None:
        """Look at what has a name, without following it; None: nothing has.

        Raises:
            OperationError: it cannot be looked at, or the way there leads through a symlink.
        """
        try:
            if self._root_fd < 0 and not os.path.lexists(self._root):
                return None
            folder = self._folder(os.path.dirname(name), make=False)
            return os.stat(os.path.basename(name), dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise failure(error, "look at", self.path(name)) from error

    def path(self, name: str) -> str:
        """Return the whole path of a name, for messages and for reading."""
        return os.path.join(self._root, name)

    def mkdir(self, name: str) -> None:
        """Make a directory, unless it is there."""
        self._doing("make the directory", name, lambda: self._folder(name, make=True))

    def begin(self, name: str) -> None:
        """Begin a file; ended by `finish` or `abandon`."""

        def open_() -> None:
            folder = os.dup(self._folder(os.path.dirname(name), make=True))
            temp = self._temp_name()
            try:
                fd = os.open(temp, _NEW, 0o600, dir_fd=folder)
            except BaseException:
                os.close(folder)
                raise
            self._open = (fd, folder, temp, os.path.basename(name))

        self._doing("write", name, open_)

    def write(self, data: memoryview) -> None:
        """Add to the file that was begun.

        Raises:
            OperationError: it cannot be written; it is gone then.
        """
        assert self._open is not None  # noqa: S101 - between `begin` and `finish`
        fd, name = self._open[0], self._open[3]
        try:
            while data:
                data = data[os.write(fd, data) :]
        except OSError as error:
            self.abandon()
            raise failure(error, "write", self.path(name)) from error

    def finish(self, mode: int, mtime_ns: int, check: Callable[[str], None] | None = None) -> None:
        """Give the file that was begun its mode, its time and its name.

        Args:
            mode: Permissions.
            mtime_ns: Its time.
            check: Looks at it under its temporary path before, and may raise.
        """
        assert self._open is not None  # noqa: S101 - after `begin`
        fd, folder, temp, name = self._open
        try:
            os.fchmod(fd, mode & 0o777)
            os.utime(fd, ns=(mtime_ns, mtime_ns))
            if check is not None:
                check(f"/proc/self/fd/{fd}")
            old = _stat(name, folder)
            if old is not None and S_ISDIR(old.st_mode):
                raise refusal(f"{shown(self.path(name))} is a directory here; remove it first")
            os.rename(temp, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            raise failure(error, "write", self.path(name)) from error
        else:
            self._open = None
            os.close(fd)
            os.close(folder)

    def abandon(self) -> None:
        """Remove the file that was begun, if one was."""
        if self._open is None:
            return
        fd, folder, temp, _ = self._open
        self._open = None
        os.close(fd)
        with suppress(OSError):
            os.unlink(temp, dir_fd=folder)
        os.close(folder)

    def symlink(self, name: str, text: str, mtime_ns: int) -> None:
        """Make a symlink, in the place of a file or another symlink."""

        def make() -> None:
            folder = self._folder(os.path.dirname(name), make=True)
            temp, last = self._temp_name(), os.path.basename(name)
            os.symlink(text, temp, dir_fd=folder)
            try:
                times = (mtime_ns, mtime_ns)
                os.utime(temp, ns=times, dir_fd=folder, follow_symlinks=False)
                os.rename(temp, last, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(temp, dir_fd=folder)
                raise

        self._doing("make the link", name, make)

    def link(self, leader: str, name: str) -> bool:
        """Give a file another name, in the place of a file; False: it was copied, as far as needed.

        Args:
            leader: The file.
            name: The other name.
        """
        linked = True

        def make() -> None:
            nonlocal linked
            of_leader = os.dup(self._folder(os.path.dirname(leader), make=False))
            try:
                folder = self._folder(os.path.dirname(name), make=True)
                linked = self._link(of_leader, os.path.basename(leader), folder, name)
            finally:
                os.close(of_leader)

        self._doing("make the link", name, make)
        return linked

    def _link(self, of_leader: int, leader: str, folder: int, name: str) -> bool:
        temp, last = self._temp_name(), os.path.basename(name)
        try:
            os.link(leader, temp, src_dir_fd=of_leader, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._copy(of_leader, leader, name)
            return False
        try:
            os.rename(temp, last, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            # It is still there when both were the same file already, or something went wrong.
            with suppress(FileNotFoundError):
                os.unlink(temp, dir_fd=folder)
        return True

    def _copy(self, of_leader: int, leader: str, name: str) -> None:
        fd = os.open(leader, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=of_leader)
        with open(fd, "rb") as file:
            self.begin(name)
            while data := file.read(_PIECE_BYTES):
                self.write(memoryview(data))
            st = os.fstat(fd)
            self.finish(st.st_mode, st.st_mtime_ns)

    def set_directory(self, name: str, mode: int, mtime_ns: int) -> None:
        """Give a directory its mode and time."""

        def set_() -> None:
            folder = self._folder(name, make=False)
            os.fchmod(folder, mode & 0o777)
            os.utime(folder, ns=(mtime_ns, mtime_ns))

        self._doing("set the mode of", name, set_)

    def set_file(self, name: str, mode: int) -> None:
        """Give a file that stays its mode."""

        def set_() -> None:
            folder = self._folder(os.path.dirname(name), make=False)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            fd = os.open(os.path.basename(name), flags, dir_fd=folder)
            try:
                if S_ISREG(os.fstat(fd).st_mode):
                    os.fchmod(fd, mode & 0o777)
            finally:
                os.close(fd)

        self._doing("set the mode of", name, set_)

    def _doing(self, doing: str, name: str, work: Callable[[], object]) -> None:
        if name and not is_inside(name):
            raise refusal(f"the host sent a name that leads elsewhere: {shown(name)}")
        try:
            work()
        except OSError as error:
            raise failure(error, doing, self.path(name)) from error

    def _folder(self, name: str, *, make: bool) -> int:
        """Return a descriptor of a directory below the root, good until the next call."""
        if self._root_fd < 0:
            if make:
                os.makedirs(self._root, exist_ok=True)
            # The root was named by the user: it may be reached through symlinks.
            self._root_fd = os.open(self._root, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
        if not name:
            return self._root_fd
        if self._last[0] == name:
            return self._last[1]
        fd = os.dup(self._root_fd)
        try:
            for part in name.split("/"):
                fd = _into(fd, part, make=make)
        except BaseException:
            os.close(fd)
            raise
        if self._last[1] >= 0:
            os.close(self._last[1])
        self._last = (name, fd)
        return fd


def _stat(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _into(fd: int, part: str, *, make: bool) -> int:
    """Open a directory in another one, and close that; on an error it stays open."""
    try:
        inner = os.open(part, OPEN_DIRECTORY, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=fd)
        inner = os.open(part, OPEN_DIRECTORY, dir_fd=fd)
    except NotADirectoryError as error:
        message = f"{shown(part)} is no directory here, or a symlink, which is not followed"
        raise OperationError(message, retryable=False) from error
    os.close(fd)
    return inner
