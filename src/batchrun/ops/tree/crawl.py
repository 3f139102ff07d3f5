"""Work on parcels of a tree for as long as a slice lasts, and say what is left of them.

What is in a directory is worked on at once and in place, its own directories next, depth first; so
a small tree never leaves this process. When the slice is over, what has not been done goes back,
with the directories that it lies in.
"""

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, Protocol

from batchrun.ops.tree.parcels import (
    DIRS,
    FILES,
    FRAME_NAMES,
    LEAVE,
    LIST,
    OTHERS,
    Item,
    OpenNode,
    Root,
    Work,
    joined,
    split,
)

__all__ = ["Listed", "Node", "Rest", "Visitor", "begin", "crawl", "root_node"]

#: An entry of a directory: its name and FILES, DIRS or OTHERS.
Listed = tuple[str, int]
#: What is left: directories left open, work left, numbers of given directories that are marked.
Rest = tuple[list[OpenNode], list[Work], list[int]]
#: Names that a visitor gets at a time.
_BATCH = 64
#: What entering and leaving a directory counts, in files.
_DIRECTORY_COST = 2


class Node:
    """A directory that is being worked on."""

    __slots__ = (
        "later",
        "local",
        "marked",
        "name",
        "number",
        "parent",
        "path",
        "pending",
        "root",
        "token",
    )

    def __init__(self, parent: "Node | None", name: str, root: Root, path: str) -> None:
        self.parent = parent
        self.name = name
        self.root = root
        #: Below the root; empty: it is the root.
        self.path = path
        #: What the visitor knows of it: standard types only.
        self.token: Any = None
        #: Something that the visitor does not want to forget is true of it or of something below.
        self.marked = False
        #: Names that are to be entered as if they were directories: there is much to do in them.
        self.later: list[str] = []
        #: Who has given it knows it by this; for one that was opened here 0.
        self.number = 0
        #: It was opened here, so it is left here, unless the slice is over before.
        self.local = True
        #: Parcels of work, and open directories in it.
        self.pending = 0

    def child(self, name: str) -> "Node":
        """Make the node of a directory in this one."""
        return Node(self, name, self.root, f"{self.path}/{name}" if self.path else name)


class Visitor(Protocol):
    """What one operation does with directories and with what is in them.

    What goes wrong with an entry is counted by the visitor; what it raises ends everything.
    """

    def enter(self, node: Node) -> bool:
        """Open a directory whose parent and name are known; False: it is not gone into."""

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield what is in a directory and is meant."""

    def files(self, node: Node, names: list[str]) -> int:
        """Work on regular files; returns how much that was, in files of usual size."""

    def others(self, node: Node, names: list[str]) -> int:
        """Work on what is neither a file nor a directory."""

    def leave(self, node: Node) -> None:
        """Finish a directory in which nothing is left to be done."""


def root_node(root: Root, token: Any = None) -> Node:
    """Make the node of a root, which its operation has entered."""
    node = Node(Node(None, "", (), ""), "", root, "")
    node.token = token
    return node


def begin(
    roots: Iterable[Node], visitor: Visitor, most: float = inf, *, batch: int = _BATCH
) -> Rest:
    """Work on whole trees, for as long as they cost less than `most`, `batch` names at a time."""
    work = _Crawl(visitor, batch)
    for root in roots:
        work.begin(root)
    work.run(most)
    return work.rest()


def crawl(
    items: Iterable[Item], visitor: Visitor, most: float = inf, *, batch: int = _BATCH
) -> Rest:
    """Work on items, for as long as they cost less than `most`, `batch` names at a time."""
    work = _Crawl(visitor, batch)
    for item in items:
        work.give(item)
    work.run(most)
    return work.rest()


class _Crawl:
    def __init__(self, visitor: Visitor, batch: int) -> None:
        self._visitor = visitor
        self._batch = batch
        self._given: dict[int, Node] = {}
        #: Work to be done, the next last: directory, kind, names.
        self._stack: list[tuple[Node, int, str]] = []
        self._cost = 0

    def begin(self, root: Node) -> None:
        """Take a root."""
        if root.parent is not None:
            root.parent.local = False
        root.pending = 1
        self._stack.append((root, LIST, ""))

    def give(self, item: Item) -> None:
        """Take an item."""
        number, root, path, token, marked, kind, names = item
        node = self._given.get(number)
        if node is None:
            node = self._given[number] = Node(None, "", root, path)
            node.number, node.token, node.marked, node.local = number, token, marked, False
        self._stack.append((node, kind, names))

    def run(self, most: float) -> None:
        """Do at least one step, and more while the slice lasts."""
        stack = self._stack
        while stack:
            node, kind, names = stack.pop()
            if kind == LIST:
                self._list(node)
                self._less(node)
            elif kind == LEAVE:
                self._leave(node)
            elif kind == DIRS:
                self._enter(node, names)
            else:
                self._entries(node, kind, names, most)
            if self._cost >= most:
                return

    def rest(self) -> Rest:
        """Write down what is left."""
        opened: list[OpenNode] = []
        numbers: dict[Node, int] = {}
        works = [
            (self._numbered(node, opened, numbers), kind, names)
            for node, kind, names in self._stack
        ]
        marks = [number for number, node in self._given.items() if node.marked]
        return opened, works, marks

    def _numbered(self, node: Node, opened: list[OpenNode], numbers: dict[Node, int]) -> int:
        """Return the number of a directory, after writing down those that it lies in."""
        way = []
        at: Node | None = node
        while at is not None and at.local and at not in numbers:
            way.append(at)
            at = at.parent
        for one in reversed(way):
            above = one.parent
            number = 0 if above is None else numbers.get(above, above.number)
            is_root = above is None or above.root is not one.root
            root = one.root if is_root else None
            opened.append((number, one.name, one.token, one.marked, root))
            numbers[one] = -len(opened)
        return numbers.get(node, node.number)

    def _list(self, node: Node) -> None:
        """Read a directory; its files are done first."""
        found: dict[int, list[str]] = {DIRS: [], OTHERS: [], FILES: []}
        full: list[tuple[Node, int, str]] = []
        for name, kind in self._visitor.listed(node):
            names = found[kind]
            names.append(name)
            if len(names) == FRAME_NAMES:
                full.append((node, kind, joined(names)))
                names.clear()
        full += [(node, kind, joined(names)) for kind, names in found.items() if names]
        full.sort(key=_is_files)
        node.pending += len(full)
        self._stack += full
        self._cost += _DIRECTORY_COST

    def _enter(self, node: Node, names: str) -> None:
        """Go into the first of some directories."""
        name, _, others = names.partition("\0")
        if others:
            self._stack.append((node, DIRS, others))
            node.pending += 1
        child = node.child(name)
        self._cost += _DIRECTORY_COST
        if self._visitor.enter(child):
            node.pending += 1
            child.pending = 1
            self._stack.append((child, LIST, ""))
        elif child.marked:
            node.marked = True
        self._less(node)

    def _entries(self, node: Node, kind: int, names: str, most: float) -> None:
        """Work on files or others, in batches."""
        visit = self._visitor.files if kind == FILES else self._visitor.others
        todo = split(names)
        at = 0
        while at < len(todo):
            batch = todo[at : at + self._batch]
            self._cost += visit(node, batch)
            at += self._batch
            if node.later:
                self._stack.append((node, DIRS, joined(node.later)))
                node.pending += 1
                node.later = []
            if self._cost >= most and at < len(todo):
                node.pending += 1
                self._stack.append((node, kind, joined(todo[at:])))
                break
        self._less(node)

    def _less(self, node: Node) -> None:
        """Take note that a parcel was worked on; leave the directories that were complete by it."""
        while True:
            node.pending -= 1
            if node.pending or not node.local:
                return
            self._leave(node)
            above = node.parent
            if above is None:
                return
            above.marked |= node.marked
            node = above

    def _leave(self, node: Node) -> None:
        self._visitor.leave(node)
        self._cost += 1


def _is_files(work: tuple[Node, int, str]) -> bool:
    return work[1] != DIRS
