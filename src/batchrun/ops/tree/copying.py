"""Copy one file, symlink, fifo or device with everything that belongs to it."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from stat import S_IFMT, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG, S_ISSOCK

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_read, check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.tree.data import copy_data, same_data
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.links import Meeting
from batchrun.ops.tree.metadata import (
    KEEP_ALL,
    Keep,
    apply_to_fd,
    apply_to_place,
    attributes,
    differs,
)
from batchrun.ops.tree.selection import Selection, selection

__all__ = ["CREATE", "READ", "FileCopier", "Rules", "in_the_way"]

#: A source that was swapped for a fifo must not block, one swapped for a symlink not be followed.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CANNOT_LINK = frozenset({errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOENT, errno.ELOOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one operation copies."""

    keep: Keep = KEEP_ALL
    #: When an existing file is copied again: `different`, `checksum`, `missing`, `always`.
    when: str = "different"
    #: Read both again and compare, before the copy gets its name.
    verify: bool = False
    #: On the disk before the copy gets its name, because the source is about to go.
    durable: bool = False
    #: Gitignore-style patterns of what to leave out, and of what alone is taken.
    patterns: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    #: What has the name of a temporary file is copied as well: nothing may stay behind.
    temporaries: bool = False
    #: What is in the way of something of another kind is noted: it will be removed, and the copy
    #: tried again.
    mirror: bool = False

    @property
    def selection(self) -> Selection | None:
        """What is meant, compiled; None: everything is."""
        return selection(*self.patterns)


class FileCopier:
    """Copies single things for one unit: look, decide and, unless it is a dry run, act."""

    def __init__(self, context: Context, rules: Rules, tally: Tally) -> None:
        """Make one.

        Args:
            context: Of the unit.
            rules: How to copy.
            tally: Where changes, bytes and warnings are counted.
        """
        self._context = context
        self._rules = rules
        self._tally = tally
        self._dry = context.settings.dry_run
        #: Where the copies of files with several names meet; None: they are copied apart.
        self.meeting: Meeting | None = None
        #: Called with what is to be replaced, to keep it elsewhere; None: it is not kept.
        self.keep_old: Callable[[Place, os.stat_result], None] | None = None

    def beat(self, size: int) -> None:
        """Count bytes of file data, and stop when the unit has to."""
        self._tally.bytes_done += size
        self._context.check()
        self._context.progress(self._tally.bytes_done)

    def put(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result | None
    ) -> None:
        """Copy one thing that is not a directory.

        Args:
            source: What to copy.
            st: What it looks like.
            target: Its exact new place.
            old: What is there now.

        Raises:
            OperationError: it could not be copied.
        """
        if old is not None:
            if S_ISDIR(old.st_mode):
                raise in_the_way(source, target, "a directory")
            if (st.st_ino, st.st_dev) == (old.st_ino, old.st_dev):
                raise refusal(f"{shown(source.path)} and {shown(target.path)} are the same file")
        if S_ISSOCK(st.st_mode):
            self._tally.warn(f"{shown(source.path)} is a socket, which cannot be copied")
            return
        links = self._links_of(st) if st.st_nlink > 1 else None
        if old is None or self.wants(source, st, target, old):
            if self._dry:
                self._foresee(source, st, target)
            self._tally.changed = True
            if not self._dry and self._replace(source, st, target, old):
                return
        if links:
            self._meet(links, source, st, target)

    def _replace(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result | None
    ) -> bool:
        """Put a copy in place; True: it is another name of one that was there before."""
        if old is not None and self.keep_old is not None:
            self.keep_old(target, old)
        links = self._links_of(st)
        if links and self._linked(links, source, st, target):
            return True
        self._make(source, st, target)
        return False

    def _meet(self, links: Meeting, source: Place, st: os.stat_result, target: Place) -> None:
        """Let other names of the source find this copy, or link it to the one that they found."""
        try:
            inode = links.bring(st, target)
        except OSError as error:
            self._warn_apart(source, target, error)
            return
        copy = target.lstat()
        if self._dry or copy is None or copy.st_ino == inode or self._rules.when == "missing":
            return
        self._tally.changed = True
        self._linked(links, source, st, target)

    def _warn_apart(self, source: Place, target: Place, error: OSError) -> None:
        self._tally.warn(
            f"{shown(target.path)} is a copy of its own, not a hard link as "
            f"{shown(source.path)} is ({os.strerror(error.errno or 0)})"
        )

    def _foresee(self, source: Place, st: os.stat_result, target: Place) -> None:
        """Look in a dry run whether the source may be read and the target replaced."""
        if S_ISREG(st.st_mode):
            check_may_read(source)
        check_may_write(target)

    def _links_of(self, st: os.stat_result) -> Meeting | None:
        """Return where copies meet when this thing has several names that are kept."""
        return self.meeting if st.st_nlink > 1 and self._rules.keep.links else None

    def wants(self, source: Place, st: os.stat_result, target: Place, old: os.stat_result) -> bool:
        """Decide whether what is there is replaced; if not, give it the metadata that it lacks.

        Raises:
            OperationError: they cannot be compared.
        """
        when = self._rules.when
        if when == "missing":
            return False
        if when == "always" or S_IFMT(st.st_mode) != S_IFMT(old.st_mode):
            return True
        links = self._links_of(st)
        if links and links.inode(st) not in {None, old.st_ino}:
            return True
        try:
            if not self._is_equal(source, st, target, old):
                return True
        except OSError as error:
            raise failure(error, "compare", source.path) from error
        self.freshen(source, st, target, old)
        return False

    def _is_equal(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result
    ) -> bool:
        """Tell whether two things of the same kind hold the same."""
        if S_ISLNK(st.st_mode):
            return source.readlink() == target.readlink()
        if not S_ISREG(st.st_mode):
            return st.st_rdev == old.st_rdev
        if st.st_size != old.st_size:
            return False
        if self._rules.when != "checksum":
            # Without the times of the sources, a copy is as good as it is not older.
            kept = self._rules.keep.times
            return st.st_mtime_ns == old.st_mtime_ns if kept else st.st_mtime <= old.st_mtime
        return self._holds_the_same(source, target)

    def _holds_the_same(self, source: Place, target: Place) -> bool:
        one = os.open(source.name, READ, dir_fd=source.dir_fd)
        try:
            other = os.open(target.name, READ, dir_fd=target.dir_fd)
            try:
                return same_data(one, other, self.beat)
            finally:
                os.close(other)
        finally:
            os.close(one)

    def freshen(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result
    ) -> bool:
        """Give something that is there already the metadata that it lacks; True: it lacked some."""
        keep = self._rules.keep
        try:
            if not differs(st, old, keep) and not _attributes_differ(source, target, keep):
                return False
            self._tally.changed = True
            if not self._dry:
                self.set_metadata(source, st, target)
        except OSError as error:
            raise failure(error, "set the metadata of", target.path) from error
        return True

    def set_metadata(self, source: Place, st: os.stat_result, target: Place) -> None:
        """Give the target the source's metadata, by name."""
        for lost in apply_to_place(target, source, st, self._rules.keep):
            self.warn_lost(target, lost)

    def warn_lost(self, target: Place, lost: str) -> None:
        """Count something of a target's metadata that could not be preserved."""
        self._tally.warn(f"{shown(target.path)}: could not preserve {lost}")

    def _linked(self, links: Meeting, source: Place, st: os.stat_result, target: Place) -> bool:
        """Make the target another name of an earlier copy; False: there is none to link to."""
        temp = target.beside(self._context.temp_name())
        try:
            if links.inode(st) is None:
                return False
            links.link(st, temp)
            temp.rename(target)
            # Two names of one file: rename(2) has done nothing.
            temp.discard()
        except OSError as error:
            temp.discard()
            if error.errno not in _CANNOT_LINK:
                raise failure(error, "link", target.path) from error
            self._warn_apart(source, target, error)
            return False
        return True

    def _make(self, source: Place, st: os.stat_result, target: Place) -> None:
        """Make the copy under a temporary name, then give it its own."""
        try:
            if not S_ISREG(st.st_mode):
                self._make_special(source, st, target)
            elif not self._make_file(source, target, last_try=False):
                self._make_file(source, target, last_try=True)
        except OSError as error:
            raise failure(error, "write", target.path) from error

    def _make_special(self, source: Place, st: os.stat_result, target: Place) -> None:
        make = _maker(source, st)
        temp = target.beside(self._context.temp_name())
        try:
            make(temp)
            for lost in apply_to_place(temp, source, st, self._rules.keep):
                self.warn_lost(target, lost)
            temp.rename(target)
        except BaseException:
            temp.discard()
            raise

    def _make_file(self, source: Place, target: Place, *, last_try: bool) -> bool:
        """Copy a regular file; False: it changed meanwhile, so try again."""
        try:
            fd = os.open(source.name, READ, dir_fd=source.dir_fd)
        except OSError as error:
            raise failure(error, "read", source.path) from error
        try:
            st = os.fstat(fd)
            if not S_ISREG(st.st_mode):
                raise OperationError(f"{shown(source.path)} is not a file any more")
            temp = target.beside(self._context.temp_name())
            # Nobody else may read it before it has its owner.
            mode = st.st_mode & (0o600 if self._rules.keep.mode else 0o777)
            copy = os.open(temp.name, CREATE, mode, dir_fd=temp.dir_fd)
            try:
                try:
                    stable = self._fill(fd, copy, st, source, target)
                finally:
                    os.close(copy)
                if not stable and not last_try:
                    temp.discard()
                    return False
                temp.rename(target)
            except BaseException:
                temp.discard()
                raise
        finally:
            os.close(fd)
        if not stable:
            self._tally.warn(f"{shown(source.path)} changed while it was copied")
        return True

    def _fill(self, fd: int, copy: int, st: os.stat_result, source: Place, target: Place) -> bool:
        """Write data and metadata of the copy; False when the source changed meanwhile."""
        rules = self._rules
        size = copy_data(fd, copy, st, self.beat)
        for lost in apply_to_fd(copy, st, rules.keep, attributes_from=fd):
            self.warn_lost(target, lost)
        if rules.durable or rules.verify:
            os.fsync(copy)
        now = os.fstat(fd)
        # What claims to be empty may still be read: /proc.
        if now.st_mtime_ns != st.st_mtime_ns or (st.st_size and size != st.st_size):
            return False
        if rules.verify:
            self._verify(fd, copy, source, target)
        return True

    def _verify(self, fd: int, copy: int, source: Place, target: Place) -> None:
        """Read both files again, the copy from its disk, and compare."""
        os.posix_fadvise(copy, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(fd, 0, os.SEEK_SET)
        os.lseek(copy, 0, os.SEEK_SET)
        if not same_data(fd, copy, self.beat):
            raise OperationError(
                f"{shown(target.path)} does not read as {shown(source.path)} does; "
                "nothing was put there"
            )


def in_the_way(source: Place, target: Place, what: str) -> OperationError:
    """Make the error for a target of another kind that would have to be removed first."""
    return refusal(
        f"cannot copy {shown(source.path)}: {shown(target.path)} is {what}; remove it first"
    )


def _attributes_differ(source: Place, target: Place, keep: Keep) -> bool:
    if not keep.xattrs and not keep.acl:
        return False
    return attributes(source.via_proc(), keep) != attributes(target.via_proc(), keep)


def _maker(source: Place, st: os.stat_result) -> Callable[[Place], None]:
    """Return what makes a thing of the same kind under another name."""
    if S_ISLNK(st.st_mode):
        text = source.readlink()
        return lambda place: os.symlink(text, place.name, dir_fd=place.dir_fd)
    if S_ISFIFO(st.st_mode) or S_ISCHR(st.st_mode) or S_ISBLK(st.st_mode):
        mode = S_IFMT(st.st_mode) | 0o600
        return lambda place: os.mknod(place.name, mode, device=st.st_rdev, dir_fd=place.dir_fd)
    raise refusal(f"{shown(source.path)} is of a kind that cannot be copied")
