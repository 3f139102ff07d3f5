"""Put the members of an archive below a directory: by descriptors, never through a symlink."""

import os
from contextlib import suppress
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from types import TracebackType
from typing import TYPE_CHECKING, Self

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.members import parts_of
from batchrun.ops.paths import shown
from batchrun.ops.tree.data import BLOCK_SIZE, write_all
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.temporary import remove_leftovers

if TYPE_CHECKING:
    from batchrun.ops.members import Member, Reader

__all__ = ["Unpacker"]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SETID = 0o6000
_NODES = {"fifo": 0o010000, "character": 0o020000, "block": 0o060000}


class Unpacker:
    """Extracts members whose names have been checked; the destination may hold traps as well.

    Args:
        dest: The directory that they go into.
        context: Of the unit.
        tally: Where everything is counted.
        root: Its device and inode; empty: whatever it is.
    """

    def __init__(
        self,
        dest: str,
        context: Context,
        tally: Tally,
        *,
        root: tuple[int, ...] = (),
    ) -> None:
        self._identity = root
        self._dest = dest.rstrip("/") + "/"
        self._context = context
        self._tally = tally
        self._dry = context.settings.dry_run
        self._is_root = os.geteuid() == 0
        #: None: the destination does not exist yet (in a dry run).
        self._root: int | None = None
        #: The directory of the last member, which mostly is that of the next one.
        self._parent: tuple[tuple[str, ...], int] | None = None
        #: How the names of temporary files begin whose writers are known to be dead.
        self.dead: tuple[str, ...] = ()
        #: Directories of the archive, which get mode and time last: grows with their number.
        self._directories: dict[tuple[str, ...], tuple[Member, os.stat_result | None]] = {}

    def __enter__(self) -> Self:
        if os.path.isdir(self._dest):
            self._root = os.open(self._dest, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
            st = os.fstat(self._root)
            if self._identity and (st.st_dev, st.st_ino) != tuple(self._identity):
                os.close(self._root)
                message = f"{shown(self._dest)} was replaced by another directory meanwhile"
                raise OperationError(message)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
        if self._root is not None:
            os.close(self._root)

    def put(self, member: "Member", content: "Reader | None") -> None:
        """Extract one member; a failure of its own is counted, and the next ones follow.

        Raises:
            OperationError: the archive is broken, or the disk is full.
        """
        parts = parts_of(member.name)
        if not parts:
            return
        try:
            place = self._place(parts)
            if place is None:
                self._tally.changed = True
            elif member.kind == "directory":
                self._directory(member, parts, place)
            else:
                self._put(member, place, content)
        except _BrokenMemberError as error:
            raise error.reason from error
        except OperationError as error:
            self._tally.fail(error)
        except OSError as error:
            self._tally.fail(failure(error, "extract", self._dest + "/".join(parts)))

    def adopt(self, member: "Member") -> None:
        """Take note of a directory that somebody has made, to be finished."""
        parts = parts_of(member.name)
        place = self._place(parts) if parts else None
        if place is not None:
            self._directories.setdefault(parts, (member, place.lstat()))

    def finish_directories(self) -> None:
        """Give the archive's directories their owner, mode and time, deepest first."""
        for parts in sorted(self._directories, key=len, reverse=True):
            member, old = self._directories[parts]
            try:
                self._finish_directory(member, parts, old)
            except OperationError as error:
                self._tally.fail(error)
            except OSError as error:
                self._tally.fail(failure(error, "extract", self._dest + "/".join(parts)))

    # The way down.

    def _place(self, parts: tuple[str, ...]) -> Place | None:
        """Open the directory of a member, made if need be; None: missing, in a dry run."""
        above = parts[:-1]
        if self._parent is None or self._parent[0] != above:
            fd = self._open(above)
            if fd is None:
                return None
            if self._parent is not None:
                os.close(self._parent[1])
            self._parent = above, fd
        prefix = self._dest + "".join(part + "/" for part in above)
        return Place(self._parent[1], parts[-1], prefix)

    def _open(self, parts: tuple[str, ...]) -> int | None:
        """Go down from the destination, component by component."""
        if self._root is None:
            return None
        fd = os.dup(self._root)
        for part in parts:
            try:
                deeper = self._enter(fd, part)
            except OSError as error:
                where = self._dest + "/".join(parts)
                raise OperationError(
                    f"cannot extract into {shown(where)}: {shown(part)} is not a directory that "
                    f"can be entered ({os.strerror(error.errno or 0)})",
                    errno=error.errno,
                ) from error
            finally:
                os.close(fd)
            if deeper is None:
                return None
            fd = deeper
        return fd

    def _enter(self, fd: int, name: str) -> int | None:
        try:
            return os.open(name, OPEN_DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            if self._dry:
                return None
            with suppress(FileExistsError):
                # Somebody else may extract what lies beside.
                os.mkdir(name, dir_fd=fd)
            return os.open(name, OPEN_DIRECTORY, dir_fd=fd)

    # Directories.

    def _directory(self, member: "Member", parts: tuple[str, ...], place: Place) -> None:
        """Make a directory that nobody else enters until it is finished."""
        old = place.lstat()
        if old is not None and not S_ISDIR(old.st_mode):
            raise refusal(f"cannot extract {shown(place.path)}: it exists and is not a directory")
        if old is None:
            self._tally.changed = True
            if self._dry:
                check_may_write(place, "extract")
            else:
                os.mkdir(place.name, 0o700, dir_fd=place.dir_fd)
        self._directories.setdefault(parts, (member, old))

    def _finish_directory(
        self, member: "Member", parts: tuple[str, ...], old: os.stat_result | None
    ) -> None:
        stale = old is None or self._is_stale(member, old)
        self._tally.changed |= stale
        fd = None if self._dry else self._open(parts)
        if fd is None:
            return
        try:
            if self.dead:
                remove_leftovers(fd, self.dead)
            if stale:
                self._own(fd, member)
                self._set_attributes(fd, member)
            # What was written into an up-to-date directory has changed its time.
            if stale or self._is_stale(member, os.fstat(fd)):
                os.fchmod(fd, member.mode)
                os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(fd)

    def _is_stale(self, member: "Member", old: os.stat_result) -> bool:
        """Tell whether a directory or file has another mode or time than in the archive."""
        return old.st_mtime_ns != member.mtime_ns or S_IMODE(old.st_mode) != _mode(member)

    # Everything else.

    def _put(self, member: "Member", place: Place, content: "Reader | None") -> None:
        """Extract one member to its place, if it is not there already."""
        old = place.lstat()
        if old is not None and S_ISDIR(old.st_mode):
            raise refusal(f"cannot extract {shown(place.path)}: it is a directory; remove it first")
        if old is not None and self._is_current(member, place, old):
            if member.kind == "file" and self._is_stale(member, old):
                self._tally.changed = True
                if not self._dry:
                    self._change_mode(member, place)
            return
        self._tally.changed = True
        if self._dry:
            check_may_write(place, "extract")
            return
        temp = place.beside(self._context.temp_name())
        try:
            self._make(member, temp, content)
            temp.rename(place)
        except BaseException:
            temp.discard()
            raise

    def _is_current(self, member: "Member", place: Place, old: os.stat_result) -> bool:
        """Tell whether a member is there already, by size and time."""
        if member.kind == "symlink":
            text = member.link
            return S_ISLNK(old.st_mode) and place.readlink() == text
        if member.kind == "hardlink":
            first = self._first_of(member)
            return first is not None and (first.st_dev, first.st_ino) == (old.st_dev, old.st_ino)
        if member.kind == "file":
            same = old.st_size == member.size_bytes and old.st_mtime_ns == member.mtime_ns
            return S_ISREG(old.st_mode) and same
        device = (os.major(old.st_rdev), os.minor(old.st_rdev))
        kind = old.st_mode & 0o170000
        return kind == _NODES[member.kind] and (member.kind == "fifo" or device == member.device)

    def _first_of(self, member: "Member") -> os.stat_result | None:
        """Look at the file that a hard link is another name of."""
        parts = parts_of(member.link)
        fd = self._open(parts[:-1]) if parts else None
        if fd is None:
            return None
        try:
            return Place(fd, parts[-1]).lstat()
        finally:
            os.close(fd)

    def _make(self, member: "Member", temp: Place, content: "Reader | None") -> None:
        """Make a member under a temporary name."""
        if member.kind == "hardlink":
            self._link(member, temp)
        elif member.kind == "file":
            self._write(member, temp, content)
        else:
            self._make_special(member, temp)

    def _link(self, member: "Member", temp: Place) -> None:
        parts = parts_of(member.link)
        fd = self._open(parts[:-1]) if parts else None
        if fd is None:
            raise OperationError(f"{shown(member.name)} is a hard link to nothing")
        try:
            os.link(
                parts[-1], temp.name, src_dir_fd=fd, dst_dir_fd=temp.dir_fd, follow_symlinks=False
            )
        finally:
            os.close(fd)

    def _write(self, member: "Member", temp: Place, content: "Reader | None") -> None:
        """Write a file with its owner, attributes, mode and time."""
        fd = os.open(temp.name, _CREATE, 0o600, dir_fd=temp.dir_fd)
        try:
            size = 0
            while content is not None and (block := _read(content)):
                write_all(fd, block)
                size += len(block)
            if size != member.size_bytes:
                message = f"{shown(member.name)} is cut off: {size} of {member.size_bytes} bytes"
                raise _BrokenMemberError(OperationError(message))
            self._own(fd, member)
            self._set_attributes(fd, member)
            os.fchmod(fd, _mode(member))
            os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(fd)

    def _own(self, fd: int, member: "Member") -> None:
        """Give the member to its owner, if this process may give files away."""
        if not self._is_root or member.uid is None or member.gid is None:
            return
        try:
            os.fchown(fd, member.uid, member.gid)
        except OSError as error:
            self._warn(member, f"its owner ({os.strerror(error.errno or 0)})")

    def _set_attributes(self, fd: int, member: "Member") -> None:
        for name, value in member.attributes.items():
            # What gives rights is not taken from an archive: capabilities are like setuid.
            if name.startswith(("user.", "system.posix_acl_")):
                try:
                    os.setxattr(fd, name, value)
                except OSError as error:
                    reason = os.strerror(error.errno or 0)
                    self._warn(member, f"the attribute {shown(name)} ({reason})")

    def _warn(self, member: "Member", lost: str) -> None:
        self._tally.warn(f"{shown(member.name)}: could not preserve {lost}")

    def _make_special(self, member: "Member", temp: Place) -> None:
        """Make a symlink, fifo or device."""
        if member.kind == "symlink":
            os.symlink(member.link, temp.name, dir_fd=temp.dir_fd)
        else:
            # The umask would take bits away; nothing else has the temporary name.
            device = os.makedev(*member.device)
            os.mknod(temp.name, _NODES[member.kind] | 0o600, device, dir_fd=temp.dir_fd)
            self._change_mode(member, temp)
        if self._is_root and member.uid is not None and member.gid is not None:
            os.chown(temp.name, member.uid, member.gid, dir_fd=temp.dir_fd, follow_symlinks=False)
        times = (member.mtime_ns, member.mtime_ns)
        os.utime(temp.name, ns=times, dir_fd=temp.dir_fd, follow_symlinks=False)

    def _change_mode(self, member: "Member", place: Place) -> None:
        """Set the mode of what has this name now, which is no symlink."""
        fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.dir_fd)
        try:
            if not S_ISLNK(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", _mode(member))
        finally:
            os.close(fd)


class _BrokenMemberError(Exception):
    """The content of a member cannot be read to its end; then nothing after it can."""

    def __init__(self, reason: OperationError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _read(content: "Reader") -> bytes:
    """Read a block of a member; what is wrong with it is wrong with the archive."""
    try:
        return content.read(BLOCK_SIZE)
    except OperationError as error:
        raise _BrokenMemberError(error) from error


def _mode(member: "Member") -> int:
    """Return the permission bits that a member gets: no file gets its owner's rights."""
    return member.mode if member.kind == "directory" else member.mode & ~_SETID
