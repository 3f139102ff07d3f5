"""Cut what a scan finds into pieces: some members, or a part of a big file, for one worker."""

from collections.abc import Iterable, Iterator
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple, TypeAlias

from batchrun.ops.tree.crawl import Node
from batchrun.ops.tree.ordered import Found, name_in
from batchrun.ops.tree.parcels import Root, joined

__all__ = ["BigPart", "Linked", "Piece", "Sizes", "cut"]

#: Names in one directory: its root, its path below that, names with their kinds, joined.
Group: TypeAlias = tuple[Root, str, str]
#: One of several names of a file: place in the piece, device and inode; when it has been found,
#: its own name and how many there are; when it is given out, the first name if that is another.
Linked: TypeAlias = tuple[int, int, int, str, int]
#: Part of a file: where it begins and ends; size, time and inode of the whole.
BigPart: TypeAlias = tuple[int, int, int, int, int]


class Sizes(NamedTuple):
    """How big pieces are."""

    #: Names in one.
    files: int
    #: Bytes in one; a single file may be twice as big.
    bytes: int


class Piece(NamedTuple):
    """What one worker does at a time, and what comes out in one go."""

    groups: list[Group]
    links: list[Linked]
    #: The one name is a part of a big file.
    part: BigPart | None
    files: int
    size_bytes: int
    #: How much of the whole that is likely to be.
    share: float


class _Open:
    """A piece to which more is added."""

    def __init__(self) -> None:
        self.groups: list[tuple[Node, list[str]]] = []
        self.links: list[Linked] = []
        self.files = 0
        self.size_bytes = 0
        self.share = 0.0

    def add(self, found: Found) -> None:
        """Add a name."""
        st, node = found.st, found.node
        if not self.groups or self.groups[-1][0] is not node:
            self.groups.append((node, []))
        self.groups[-1][1].append(found.key)
        if st.st_nlink > 1 and not S_ISDIR(st.st_mode):
            name = name_in(node, found.key)
            self.links.append((self.files, st.st_dev, st.st_ino, name, st.st_nlink))
        self.files += 1
        self.size_bytes += st.st_size if S_ISREG(st.st_mode) else 0
        self.share += found.share

    def closed(self) -> Piece:
        """Return it as it travels."""
        groups = [(node.root, node.path, joined(keys)) for node, keys in self.groups]
        return Piece(groups, self.links, None, self.files, self.size_bytes, self.share)


def cut(found: Iterable[Found], sizes: Sizes) -> Iterator[list[Piece]]:
    """Yield pieces of what is found, in order: each time all of what was found until then."""
    piece = _Open()
    for one in found:
        # A file with several names may turn out to be a hard link, which has no content.
        is_big = S_ISREG(one.st.st_mode) and one.st.st_size > 2 * sizes.bytes
        if is_big and one.st.st_nlink == 1:
            before = [piece.closed()] if piece.files else []
            piece = _Open()
            yield before + _parts(one, sizes.bytes)
            continue
        piece.add(one)
        if piece.files >= sizes.files or piece.size_bytes >= sizes.bytes:
            yield [piece.closed()]
            piece = _Open()
    if piece.files:
        yield [piece.closed()]


def _parts(found: Found, size: int) -> list[Piece]:
    """Cut a big file."""
    st, node = found.st, found.node
    groups = [(node.root, node.path, found.key)]
    pieces: list[Piece] = []
    for start in range(0, st.st_size, size):
        end = min(start + size, st.st_size)
        part = start, end, st.st_size, st.st_mtime_ns, st.st_ino
        share = found.share * (end - start) / st.st_size
        pieces.append(Piece(groups, [], part, int(end == st.st_size), end - start, share))
    return pieces
