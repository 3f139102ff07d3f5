"""Hard links stay hard links: the copies of a file with several names meet in one directory.

Several workers copy at the same time, and none of them knows what the others have. So the first
copy of such a file is linked into a directory beside the copies, under the device and inode of its
source; whoever comes to another name of it links from there. Nothing of it is held in memory.
"""

import os
from contextlib import suppress
from stat import S_ISDIR

from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place

__all__ = ["Meeting", "end_meeting"]


class Meeting:
    """The directory where copies of files with several names meet; made when it is first needed.

    Args:
        base: The directory that holds it, on the filesystem of all the copies.
        name: Its name there.
        dry: Nothing is made: what was found is remembered as long as this lasts.
    """

    def __init__(self, base: str, name: str, *, dry: bool) -> None:
        self.base = base
        self._name = name
        self._dry = dry
        self._seen: dict[str, int] = {}
        self._fd = -1

    @property
    def used(self) -> bool:
        """Whether there is such a directory now."""
        return self._fd >= 0

    def inode(self, st: os.stat_result) -> int | None:
        """Return the inode of the copy of a source file; None: there is none yet."""
        entry = _entry(st)
        if self._dry:
            return self._seen.get(entry)
        try:
            return os.stat(entry, dir_fd=self._directory(), follow_symlinks=False).st_ino
        except OSError:
            return None

    def bring(self, st: os.stat_result, target: Place) -> int:
        """Let a copy be the one of its source, unless another one is; returns which one it is.

        Raises:
            OSError: it cannot be linked.
        """
        entry = _entry(st)
        if self._dry:
            copy = target.lstat()
            return self._seen.setdefault(entry, 0 if copy is None else copy.st_ino)
        directory = self._directory()
        with suppress(FileExistsError):
            os.link(
                target.name,
                entry,
                src_dir_fd=target.dir_fd,
                dst_dir_fd=directory,
                follow_symlinks=False,
            )
        return os.stat(entry, dir_fd=directory, follow_symlinks=False).st_ino

    def link(self, st: os.stat_result, temp: Place) -> None:
        """Make `temp` another name of the copy of a source file.

        Raises:
            OSError: it cannot be linked, or there is no copy.
        """
        directory = self._directory()
        os.link(
            _entry(st),
            temp.name,
            src_dir_fd=directory,
            dst_dir_fd=temp.dir_fd,
            follow_symlinks=False,
        )

    def close(self) -> None:
        """Let go of it; it stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _directory(self) -> int:
        if self._fd < 0:
            base = os.open(self.base, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
            try:
                with suppress(FileExistsError):
                    os.mkdir(self._name, 0o700, dir_fd=base)
                self._fd = os.open(self._name, OPEN_DIRECTORY, dir_fd=base)
            finally:
                os.close(base)
        return self._fd


def _entry(st: os.stat_result) -> str:
    return f"{st.st_dev:x}-{st.st_ino:x}"


def end_meeting(base: int, name: str) -> None:
    """Remove a meeting directory from an open one; what cannot be removed stays."""
    with suppress(OSError):
        st = os.stat(name, dir_fd=base, follow_symlinks=False)
        if not S_ISDIR(st.st_mode) or st.st_uid != os.geteuid():
            return
        directory = os.open(name, OPEN_DIRECTORY, dir_fd=base)
        try:
            for entry in os.listdir(directory):
                os.unlink(entry, dir_fd=directory)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=base)
