"""Hard links stay hard links: which copy belongs to which inode of the source."""

import os

from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place

__all__ = ["LinkMap"]


class LinkMap:
    """Where the first copy of each source file with more than one name is.

    Grows with the number of such files; an entry goes when all their names have been seen. The
    first copy is found again component by component below `base`, never through a symlink.
    """

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/") + "/"
        #: (device, inode) of the source: path below base, inode of the copy, names to come.
        self._first: dict[tuple[int, int], tuple[str, int, int]] = {}

    def note(self, st: os.stat_result, target: Place) -> None:
        """Remember where a file with more than one name is now (in a dry run: would be)."""
        key = (st.st_dev, st.st_ino)
        if st.st_nlink < 2 or key in self._first:
            return
        copy = target.lstat()
        inode = 0 if copy is None else copy.st_ino
        self._first[key] = (target.path.removeprefix(self._base), inode, st.st_nlink - 1)

    def knows(self, st: os.stat_result) -> bool:
        """Tell whether another name of this source file has been seen."""
        return (st.st_dev, st.st_ino) in self._first

    def is_apart(self, st: os.stat_result, old: os.stat_result) -> bool:
        """Tell whether an existing copy should be a link to the first one and is not."""
        first = self._first.get((st.st_dev, st.st_ino))
        return first is not None and first[1] != old.st_ino

    def seen(self, st: os.stat_result) -> None:
        """Count one more name of a file; forget it after the last one."""
        key = (st.st_dev, st.st_ino)
        path, inode, left = self._first[key]
        if left <= 1:
            del self._first[key]
        else:
            self._first[key] = (path, inode, left - 1)

    def link(self, st: os.stat_result, temp: Place) -> None:
        """Make `temp` another name of the first copy.

        Raises:
            OSError: it cannot be linked, or is not what it was.
        """
        path, inode, _ = self._first[st.st_dev, st.st_ino]
        head, _, name = path.rpartition("/")
        directory = os.open(self._base, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
        try:
            for part in head.split("/") if head else ():
                deeper = os.open(part, OPEN_DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = deeper
            os.link(
                name, temp.name, src_dir_fd=directory, dst_dir_fd=temp.dir_fd, follow_symlinks=False
            )
        finally:
            os.close(directory)
        made = temp.lstat()
        if made is None or made.st_ino != inode:
            os.unlink(temp.name, dir_fd=temp.dir_fd)
            raise FileNotFoundError(2, "the first copy was replaced")
