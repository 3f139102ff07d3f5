"""What waits in a forest: directories that are open, and parcels of work on them."""

from typing import Any

from batchrun.ops.tree.parcels import DIRS, FILES, LEAVE, LIST, OTHERS, Item, Root, joined

__all__ = ["OpenDirectory", "Parcel", "halved"]

#: Weight of one name, by kind of work; what is in a directory is not known before.
_WEIGHTS = {LIST: 64, FILES: 1, OTHERS: 1, DIRS: 32, LEAVE: 4}


class OpenDirectory:
    """A directory that is open."""

    __slots__ = ("marked", "name", "number", "parent", "path", "pending", "root", "token")

    def __init__(self, number: int, parent: "OpenDirectory | None", name: str, token: Any) -> None:
        self.number = number
        self.parent = parent
        self.name = name
        self.token = token
        #: Parcels of work, and open directories in it.
        self.pending = 0
        self.marked = False
        #: What root it is, or lies in; None: it lies in its parent.
        self.root: Root | None = None
        #: Its path below the root, when that is given.
        self.path = ""

    def place(self) -> tuple[Root, str]:
        """Return the root and the path below it."""
        names, node = [], self
        while node.root is None and node.parent is not None:
            names.append(node.name)
            node = node.parent
        if node.path:
            names.append(node.path)
        return node.root or (), "/".join(reversed(names))


class Parcel:
    """Work that waits."""

    __slots__ = ("kind", "names", "node", "share")

    def __init__(
        self, node: OpenDirectory, kind: int, names: list[str], share: float = 0.0
    ) -> None:
        self.node = node
        self.kind = kind
        self.names = names
        #: How much of the whole operation it is likely to be.
        self.share = share

    @property
    def weight(self) -> int:
        """How much work it is."""
        return _WEIGHTS[self.kind] * max(1, len(self.names))

    def part(self, most: int) -> "Parcel":
        """Take some of the names off."""
        count = max(1, most // _WEIGHTS[self.kind])
        if count >= len(self.names):
            return self
        taken = Parcel(self.node, self.kind, self.names[-count:])
        taken.share = self.share * count / len(self.names)
        self.share -= taken.share
        del self.names[-count:]
        return taken

    def packed(self) -> Item:
        """Write it as it travels."""
        node = self.node
        root, path = node.place()
        return node.number, root, path, node.token, node.marked, self.kind, joined(self.names)


def halved(parcels: list[Parcel]) -> list[list[Parcel]] | None:
    """Cut work into two; None: it is a single step."""
    if len(parcels) > 1:
        middle = len(parcels) // 2
        return [parcels[:middle], parcels[middle:]]
    parcel = parcels[0]
    middle = len(parcel.names) // 2
    if not middle:
        return None
    cut = parcel.names[:middle], parcel.names[middle:]
    of_one = parcel.share / len(parcel.names)
    return [[Parcel(parcel.node, parcel.kind, names, of_one * len(names))] for names in cut]
