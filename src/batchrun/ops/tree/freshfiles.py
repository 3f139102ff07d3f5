"""Copy small files into directories that this operation has just made: the fast way.

Nobody else may enter such a directory yet, and whatever has a name in it was put there by this
operation; so files get their final names at once. Their times are set last: a file that is not
complete always differs from its source.

A batch is opened before any of it is read, and the kernel is told to fetch all of it: with a cold
cache the disk then works on many files at once, which is several times faster.
"""

import os
from functools import cache
from stat import S_ISREG

from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.tree.copying import READ, FileCopier
from batchrun.ops.tree.data import SMALL_SIZE, write_all
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import KEEP_ALL, Keep, apply_to_fd, is_root

__all__ = ["FreshFiles"]

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: What a new file never has by itself: setuid, setgid, sticky.
_SPECIAL = 0o7000
#: Smaller files are not looked at for holes: filesystems store them in ways of their own.
_MOST_UNLOOKED = 16 * 1024


class FreshFiles:
    """Copies the files that it can into one new directory, and names the others.

    Args:
        context: Of the unit.
        keep: What of the metadata.
        tally: Where changes, bytes and warnings are counted.
        copier: Says what could not be preserved.
    """

    def __init__(self, context: Context, keep: Keep, tally: Tally, copier: FileCopier) -> None:
        self._context = context
        self._keep = keep
        self._tally = tally
        self._copier = copier
        #: Everything is kept, and nothing is given instead: most of it can be told at a glance.
        self._plain = keep == KEEP_ALL
        # Nobody else may read it before it has its owner: in a directory that is not ours alone.
        self._mask = 0o777 if self._plain or not keep.mode else 0o600
        self._is_root = is_root()

    def copy(self, source: Place, target: Place, names: list[str]) -> list[str]:
        """Copy files; returns the names of those that need more than this.

        Args:
            source: Any place in the source's directory.
            target: Any place in the copy's.
            names: Of the files.
        """
        opened, others = self._open(source, names)
        target = target.beside("")
        born = _Born.of(target)
        copied = 0
        try:
            while opened:
                name, fd, st = opened[-1]
                target.name = name
                if self._put(target, fd, st, born):
                    copied += st.st_size
                else:
                    others.append(name)
                os.close(fd)
                opened.pop()
        finally:
            for _, fd, _ in opened:
                os.close(fd)
            self._tally.bytes_done += copied
        self._tally.changed = True
        self._copier.beat(0)
        return others

    def _open(
        self, source: Place, names: list[str]
    ) -> tuple[list[tuple[str, int, os.stat_result]], list[str]]:
        """Open what is small and ordinary, and have the kernel fetch it."""
        opened, others = [], []
        for name in names:
            try:
                fd = os.open(name, READ, dir_fd=source.dir_fd)
            except OSError:
                others.append(name)
                continue
            st = os.fstat(fd)
            size = st.st_size
            if (
                not S_ISREG(st.st_mode)
                or st.st_nlink > 1
                or size > SMALL_SIZE
                or (size > _MOST_UNLOOKED and st.st_blocks * 512 < size)
            ):
                os.close(fd)
                others.append(name)
                continue
            if size:
                os.posix_fadvise(fd, 0, size, os.POSIX_FADV_WILLNEED)
            opened.append((name, fd, st))
        opened.reverse()
        return opened, others

    def _put(self, target: Place, fd: int, st: os.stat_result, born: "_Born") -> bool:
        """Copy one file; False: it changed, or something is there."""
        try:
            copy = os.open(target.name, _MAKE, st.st_mode & self._mask, dir_fd=target.dir_fd)
        except FileExistsError:
            return False
        except OSError as error:
            self._tally.fail(failure(error, "write", target.path))
            return True
        try:
            done = self._fill(copy, fd, st, target, born)
        except OSError as error:
            target.discard()
            self._tally.fail(failure(error, "write", target.path))
            return True
        finally:
            os.close(copy)
        if not done:
            target.discard()
        return done

    def _fill(self, copy: int, fd: int, st: os.stat_result, target: Place, born: "_Born") -> bool:
        """Write data and metadata; False: the source changed meanwhile."""
        # What claims to be empty may still be read: /proc.
        size = st.st_size
        data = os.read(fd, size or 1)
        if data and (written := os.write(copy, data)) < len(data):
            write_all(copy, data[written:])
        now = os.fstat(fd)
        if len(data) != size or now.st_size != size or now.st_mtime_ns != st.st_mtime_ns:
            return False
        mode = st.st_mode & 0o7777
        if (
            not self._plain
            or born.has_attributes
            or (self._is_root and (st.st_uid != born.uid or st.st_gid != born.gid))
            or (not self._is_root and st.st_gid != born.gid)
            or (mode & _SPECIAL)
            or os.listxattr(fd)
        ):
            for lost in apply_to_fd(copy, st, self._keep, attributes_from=fd):
                self._copier.warn_lost(target, lost)
            return True
        if mode & _umask():
            os.fchmod(copy, mode)
        os.utime(copy, ns=(st.st_atime_ns, st.st_mtime_ns))
        return True


class _Born:
    """What a new file in a directory has by itself."""

    __slots__ = ("gid", "has_attributes", "uid")

    def __init__(self, uid: int, gid: int, *, has_attributes: bool) -> None:
        self.uid = uid
        self.gid = gid
        #: A default ACL is given to it.
        self.has_attributes = has_attributes

    @classmethod
    def of(cls, place: Place) -> "_Born":
        """Look at an open directory."""
        directory = place.dir_fd
        if directory is None:
            return cls(-1, -1, has_attributes=True)
        st = os.fstat(directory)
        # A setgid directory gives its group on.
        gid = st.st_gid if st.st_mode & 0o2000 else os.getegid()
        try:
            names = os.listxattr(directory)
        except OSError:
            names = []
        return cls(os.geteuid(), gid, has_attributes=bool(names))


@cache
def _umask() -> int:
    """Return which bits new files do not get; asking for it by umask(2) would change it."""
    try:
        with open("/proc/self/status", "rb") as lines:
            for line in lines:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o777
