"""Walk trees in order, bit by bit: what has not been looked at is written down as frames.

    frames ──scan──► entries, in order ──► pieces of work
       ▲      │
       └──────┘ what is left, in the same order

The order is always the same: bytewise by name, directories before what is in them. Each frame is
names in one directory, so whoever goes on needs nothing else; memory is what lies beside the way
down to where the scan stands, as in any walk that is depth first.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple, Self

from batchrun.ops.failures import failure
from batchrun.ops.tree.crawl import Node
from batchrun.ops.tree.doors import Doors
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.listing import entries
from batchrun.ops.tree.parcels import DIRS, FILES, Root, joined, split
from batchrun.ops.tree.selection import Selection

__all__ = [
    "SINGLE", "Found", "Frame", "Scanner", "directory_node", "has_content", "key_of", "name_in",
    "place_in",
]  # fmt: skip

#: What stands behind a name, which holds no slash itself: it is a directory, or neither that nor
#: a regular file.
_DIRECTORY, _OTHER = "/", "/-"
#: The root of what was named by the user, and is looked at by its whole path.
SINGLE: Root = ()
#: Names in a frame.
_FRAME_NAMES = 1024
#: Files that a directory counts for as long as nobody knows what is in it.
_WEIGHT = 16


class Frame(NamedTuple):
    """Names in a directory that have not been looked at, in order."""

    #: Of the tree: its path, device and inode, and what its members' names begin with; SINGLE:
    #: the names are paths.
    root: Root
    #: Of the directory, below the root.
    path: str
    #: With what says of which kind they are; joined.
    names: str
    #: How much of the whole they are likely to be.
    share: float


class Found(NamedTuple):
    """Something in a tree; it is where it says only until the next one is asked for."""

    #: The directory that it lies in.
    node: Node
    #: Its name there, with what says of which kind it is.
    key: str
    place: Place
    st: os.stat_result
    share: float


def directory_node(root: Root, path: str) -> Node:
    """Make the node of a directory."""
    return Node(None, "", root, path)


def key_of(name: str, st: os.stat_result) -> str:
    """Put a name, and what says of which kind it is, into one text."""
    if S_ISREG(st.st_mode):
        return name
    return name + (_DIRECTORY if S_ISDIR(st.st_mode) else _OTHER)


def has_content(key: str) -> bool:
    """Tell whether a name was that of a regular file when it was listed."""
    return not key.endswith((_DIRECTORY, _OTHER))


def name_in(node: Node, key: str) -> str:
    """Return the name of a member, relative to the parent of its source, without its kind."""
    if node.root == SINGLE:
        return os.path.basename(_path(key))
    name = key.partition("/")[0]
    top = str(node.root[3])
    return f"{top}/{node.path}/{name}" if node.path else f"{top}/{name}"


def place_in(doors: Doors, node: Node, key: str) -> Place:
    """Return where a name is.

    Raises:
        OperationError: its directory cannot be opened.
    """
    if node.root == SINGLE:
        return Place(None, _path(key))
    try:
        return doors.at(node, key.partition("/")[0])
    except OSError as error:
        raise failure(error, "open the directory", doors.prefix(node)) from error


def _path(key: str) -> str:
    """Return the path of what the user has named."""
    return key.removesuffix(_OTHER) if key.endswith(_OTHER) else key.removesuffix(_DIRECTORY)


def _weight(key: str) -> int:
    return _WEIGHT if key.endswith(_DIRECTORY) else 1


class _Level:
    """A directory of which names are left."""

    __slots__ = ("keys", "node", "share", "weight")

    def __init__(self, node: Node, keys: list[str], share: float) -> None:
        self.node = node
        #: The next last.
        self.keys = keys
        self.share = share
        self.weight = sum(map(_weight, keys))

    def next(self) -> tuple[str, float]:
        """Take the next name off, with its share."""
        key = self.keys.pop()
        weight = _weight(key)
        share = self.share * weight / self.weight
        self.share -= share
        self.weight -= weight
        return key, share

    def frames(self) -> Iterator[Frame]:
        """Write down what is left."""
        keys = self.keys[::-1]
        for start in range(0, len(keys), _FRAME_NAMES):
            part = keys[start : start + _FRAME_NAMES]
            share = self.share * sum(map(_weight, part)) / self.weight
            yield Frame(self.node.root, self.node.path, joined(part), share)


class Scanner:
    """Looks at what is in frames, and in the directories that it finds.

    Args:
        frames: Where it begins.
        selected: What is meant below the roots; None: everything is.
        check: Called now and then; raises when the unit has to stop.
        vanished: Told of what was listed, and is gone.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        selected: Selection | None,
        check: Callable[[], None],
        vanished: Callable[[str], None],
    ) -> None:
        self._selected = selected
        self._check = check
        self._vanished = vanished
        self._doors = Doors(0)
        self._levels = [
            _Level(directory_node(one.root, one.path), split(one.names)[::-1], one.share)
            for one in frames
        ][::-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.__exit__(None, None, None)

    def found(self) -> Iterator[Found]:
        """Yield everything, until whoever asks has enough.

        Raises:
            OperationError: something cannot be looked at.
        """
        levels = self._levels
        while levels:
            level = levels[-1]
            if not level.keys:
                self._doors.leave(level.node)
                levels.pop()
                continue
            key, share = level.next()
            node = level.node
            place = place_in(self._doors, node, key)
            st = self._look(node, place)
            if st is None:
                continue
            if not key.endswith(_DIRECTORY):
                yield Found(node, key, place, st, share)
            elif self._enter(node, key, place, share):
                yield Found(node, key, place, st, 0.0)

    def rest(self) -> list[Frame]:
        """Write down what is left, in order."""
        return [frame for level in reversed(self._levels) for frame in level.frames()]

    def _look(self, node: Node, place: Place) -> os.stat_result | None:
        try:
            st = place.lstat()
        except OSError as error:
            raise failure(error, "look at", place.path) from error
        if st is None and node.root == SINGLE:
            gone = FileNotFoundError(errno.ENOENT, "")
            raise failure(gone, "archive", place.path)
        if st is None:
            self._vanished(place.path)
        return st

    def _enter(self, node: Node, key: str, place: Place, share: float) -> bool:
        """Go into a directory, before anybody is told of it; False: it has vanished."""
        self._check()
        try:
            is_root = node.root == SINGLE
            child = _root(_path(key)) if is_root else node.child(key.partition("/")[0])
            self._doors.enter(child)
            keys = self._keys(child)
        except FileNotFoundError:
            self._vanished(place.path)
            return False
        except OSError as error:
            raise failure(error, "read the directory", place.path) from error
        self._levels.append(_Level(child, keys, share))
        return True

    def _keys(self, node: Node) -> list[str]:
        """List a directory: what is meant in it, the first name last."""
        others: set[str] = set()
        keys: list[str] = []
        prefix = f"{node.path}/" if node.path else ""
        for name, kind in entries(self._doors.fd(node), temporaries=False):
            if self._selected is not None and not self._means(prefix + name, kind):
                continue
            if kind == DIRS:
                keys.append(name + _DIRECTORY)
                continue
            keys.append(name)
            if kind != FILES:
                others.add(name)
        keys.sort(key=os.fsencode, reverse=True)
        return [key + _OTHER if key in others else key for key in keys] if others else keys

    def _means(self, relative: str, kind: int) -> bool:
        chosen = self._selected
        if chosen is None:
            return True
        if kind == DIRS:
            return chosen.enters(relative)
        return chosen.takes(relative, is_dir=False)


def _root(path: str) -> Node:
    st = os.lstat(path)
    return directory_node((path, st.st_dev, st.st_ino, os.path.basename(path)), "")
