"""Copy one big file by many workers: begin, ranges, end, all on one temporary file.

A big file is to a forest what a directory is: it is entered (its temporary file is made), there is
work in it (ranges), and when that is done it is left (it gets its metadata and its name). Where
the filesystem lets two files share their blocks nothing of this is needed.
"""

import os
from stat import S_ISREG
from typing import Any

from batchrun.model.operation import Context
from batchrun.ops.failures import Tally
from batchrun.ops.tree.copying import CREATE, READ, FileCopier, Rules
from batchrun.ops.tree.crawl import Node
from batchrun.ops.tree.data import clone, copy_between
from batchrun.ops.tree.doors import Doors
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import apply_to_fd

__all__ = ["BigFiles", "is_part", "remove_temporary"]

#: Files of more than this are copied in ranges.
_BIG_SIZE = 64 * 1024 * 1024
#: How much one worker copies at a time.
_RANGE_SIZE = 32 * 1024 * 1024
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def is_part(token: Any) -> bool:
    """Tell by its token whether a node is a big file, and not a directory."""
    return isinstance(token, tuple)


class BigFiles:
    """Copies files in ranges.

    Args:
        context: Of the unit.
        rules: How to copy.
        tally: Where everything is counted.
        copier: Knows what becomes of what is replaced.
        sides: The open directories of the source and of the copy.
    """

    def __init__(
        self,
        context: Context,
        rules: Rules,
        tally: Tally,
        copier: FileCopier,
        sides: tuple[Doors, Doors],
    ) -> None:
        self._context = context
        self._rules = rules
        self._tally = tally
        self._copier = copier
        self._sources, self._targets = sides
        #: Directories of files that were given, by their place.
        self._above: dict[Any, Node] = {}

    def takes(self, st: os.stat_result) -> bool:
        """Tell whether a file is big, and nothing speaks against ranges."""
        settings, rules = self._context.settings, self._rules
        return (
            st.st_size > _BIG_SIZE
            and S_ISREG(st.st_mode)
            and st.st_nlink == 1
            and st.st_blocks * 512 >= st.st_size
            and settings.slice_cost > 0
            and not settings.dry_run
            and not (rules.verify or rules.durable)
        )

    def begin(self, node: Node) -> tuple[str, int, int] | None:
        """Make the temporary file; None: it is better copied as others are.

        Raises:
            OSError: it cannot be made.
        """
        source, target = self._places(node)
        fd = os.open(source.name, READ, dir_fd=source.dir_fd)
        try:
            st = os.fstat(fd)
            if not self.takes(st):
                return None
            temp = target.beside(self._context.temp_name())
            copy = os.open(temp.name, CREATE, 0o600, dir_fd=temp.dir_fd)
            try:
                if clone(fd, copy):
                    temp.discard()
                    return None
                os.ftruncate(copy, st.st_size)
            except BaseException:
                temp.discard()
                raise
            finally:
                os.close(copy)
        finally:
            os.close(fd)
        return temp.name, st.st_size, st.st_mtime_ns

    @staticmethod
    def ranges(node: Node) -> list[str]:
        """Return where the ranges begin, as names."""
        return [str(start) for start in range(0, node.token[1], _RANGE_SIZE)]

    def copy(self, node: Node, starts: list[str]) -> int:
        """Copy some ranges; returns what that costs, in bytes.

        Raises:
            OSError: they cannot be read or written.
        """
        temp, size, _ = node.token
        source, target = self._places(node)
        fd = os.open(source.name, READ, dir_fd=source.dir_fd)
        try:
            copy = os.open(temp, _WRITE, dir_fd=target.dir_fd)
            try:
                for start in map(int, starts):
                    end = min(start + _RANGE_SIZE, size)
                    copy_between(fd, copy, start, end, self._copier.beat)
            finally:
                os.close(copy)
        finally:
            os.close(fd)
        return len(starts) * _RANGE_SIZE

    def finish(self, node: Node) -> bool:
        """Give the file its metadata and its name; False: its source changed meanwhile.

        Raises:
            OSError: it cannot be given them.
        """
        temp_name, size, mtime_ns = node.token
        source, target = self._places(node)
        temp = target.beside(temp_name)
        try:
            fd = os.open(source.name, READ, dir_fd=source.dir_fd)
            try:
                st = os.fstat(fd)
                if (st.st_size, st.st_mtime_ns) != (size, mtime_ns):
                    temp.discard()
                    return False
                copy = os.open(temp_name, _WRITE, dir_fd=target.dir_fd)
                try:
                    for lost in apply_to_fd(copy, st, self._rules.keep, attributes_from=fd):
                        self._copier.warn_lost(target, lost)
                finally:
                    os.close(copy)
            finally:
                os.close(fd)
            old = target.lstat()
            if old is not None and self._copier.keep_old is not None:
                self._copier.keep_old(target, old)
            temp.rename(target)
        except BaseException:
            temp.discard()
            raise
        self._tally.changed = True
        return True

    def above(self, node: Node) -> Node:
        """Return the directory that holds a file."""
        if node.parent is not None:
            return node.parent
        head, _, node.name = node.path.rpartition("/")
        return self._above.setdefault((node.root, head), Node(None, "", node.root, head))

    def _places(self, node: Node) -> tuple[Place, Place]:
        above = self.above(node)
        return self._sources.at(above, node.name), self._targets.at(above, node.name)


def remove_temporary(root: Any, path: str, name: str) -> None:
    """Remove the temporary file of a file that will not be completed.

    Raises:
        OSError: it cannot be removed, or is not there.
    """
    with Doors(1, follow=True) as targets:
        directory = Node(None, "", root, path.rpartition("/")[0])
        os.unlink(name, dir_fd=targets.fd(directory))
