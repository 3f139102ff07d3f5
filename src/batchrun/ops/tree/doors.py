"""Open directories of a tree that is worked on in parcels: found by node, bounded in number.

What is given out is a path below a root. The root is opened as the user has named it and must be
what it was when the operation began; below it each component is opened in the one above and never
through a symlink. Nothing stays open between chunks: a filesystem must be free to be unmounted as
soon as the operation has ended.
"""

import os
from types import TracebackType
from typing import Self

from batchrun.errors import OperationError
from batchrun.ops.paths import shown
from batchrun.ops.tree.crawl import Node
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.parcels import Root

__all__ = ["Doors", "root_of"]

#: Directories kept open; two sides of a tree and a batch of files must fit beside each other.
_MOST_OPEN = 48


def root_of(path: str, fd: int) -> tuple[str, int, int]:
    """Describe one side of a root: its path, device and inode."""
    st = os.fstat(fd)
    return path, st.st_dev, st.st_ino


class Doors:
    """The open directories of one side of a tree.

    Args:
        side: Which side: a root holds path, device and inode of each, one after the other.
        follow: The root may be a symlink to a directory.
    """

    def __init__(self, side: int, *, follow: bool = False) -> None:
        self._at = 3 * side
        self._flags = OPEN_DIRECTORY & ~os.O_NOFOLLOW if follow else OPEN_DIRECTORY
        self._open: dict[Node, int] = {}
        self._roots: dict[Root, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for fd in (*self._open.values(), *self._roots.values()):
            os.close(fd)

    def fd(self, node: Node) -> int:
        """Return the descriptor of a directory, which is opened when it is not.

        Raises:
            OSError: it cannot be opened, or is no directory any more.
        """
        fd = self._open.get(node)
        return self._reopen(node) if fd is None else fd

    def enter(self, node: Node) -> int:
        """Open a directory that lies in its parent."""
        above = node.parent
        if above is None:
            return self._reopen(node)
        return self._keep(node, os.open(node.name, OPEN_DIRECTORY, dir_fd=self.fd(above)))

    def leave(self, node: Node) -> None:
        """Close a directory."""
        fd = self._open.pop(node, None)
        if fd is not None:
            os.close(fd)

    def prefix(self, node: Node) -> str:
        """Return the path of a directory with a slash at its end, for messages."""
        top = str(node.root[self._at]).rstrip("/")
        return f"{top}/{node.path}/" if node.path else f"{top}/"

    def at(self, node: Node, name: str) -> Place:
        """Return the place of a name in a directory."""
        return Place(self.fd(node), name, self.prefix(node))

    def _keep(self, node: Node, fd: int) -> int:
        if len(self._open) >= _MOST_OPEN:
            # Depth first, the first one is the one that is needed last.
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))
        self._open[node] = fd
        return fd

    def _reopen(self, node: Node) -> int:
        """Open a directory by way of the nearest one above that is open."""
        way: list[Node] = []
        at: Node | None = node
        while at is not None and at.path and at.parent is not None and at not in self._open:
            way.append(at)
            at = at.parent
        if at is not None and at not in self._open:
            self._keep(at, self._walk(at))
        for one in reversed(way):
            self.enter(one)
        return self._open[node]

    def _walk(self, node: Node) -> int:
        """Open a directory component by component from its root."""
        fd = os.dup(self._root(node.root))
        for name in node.path.split("/") if node.path else ():
            try:
                deeper = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = deeper
        return fd

    def _root(self, root: Root) -> int:
        fd = self._roots.get(root)
        if fd is None:
            path, device, inode = root[self._at : self._at + 3]
            fd = os.open(path, self._flags)
            self._roots[root] = fd
            st = os.fstat(fd)
            if (st.st_dev, st.st_ino) != (device, inode):
                message = f"{shown(path)} was replaced by another directory meanwhile"
                raise OperationError(message)
        return fd
