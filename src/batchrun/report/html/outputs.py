"""What commands wrote, as text for the page: the ends of long streams, equal ones once."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from batchrun.model.outcome import Captured
from batchrun.report.html.shelf import Shelf
from batchrun.report.text import decode

__all__ = ["NOTHING", "NO_ROOM", "Ends", "Excerpt", "Extent", "Outputs", "ends", "excerpt"]

#: Instead of the place of an output: nothing was written, or the page is full.
NOTHING = -1
NO_ROOM = -2
#: Head of a stream, bytes left out between them, tail.
Ends: TypeAlias = tuple[bytes, int, bytes]
#: Outputs that later ones are compared with.
_COMPARED = 1000
#: Where a stream is cut, so far from the place meant a line end is looked for.
_LINE_BYTES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of each stream is shown, and of all of them together."""

    head_bytes: int
    tail_bytes: int
    #: Characters of JSON; what comes later is left out.
    all_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A stream, ready to be shown: lines without anything that acts on a terminal."""

    head: str
    #: Between head and tail.
    left_out_bytes: int = 0
    tail: str = ""

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.head or self.left_out_bytes)

    def as_json(self) -> str | list[str | int]:
        """Return a string, or of a stream that is cut a list: head, bytes left out, tail."""
        return [self.head, self.left_out_bytes, self.tail] if self.left_out_bytes else self.head


def ends(captured: Captured, extent: Extent) -> Ends:
    """Take beginning and end of a stream; they are equal where what is shown is."""
    if not captured.omitted_bytes and captured.size_bytes <= extent.head_bytes + extent.tail_bytes:
        return captured.head + captured.tail, 0, b""
    whole = b"" if captured.omitted_bytes else captured.head + captured.tail
    head = _beginning(whole or captured.head, extent.head_bytes)
    tail = _end(whole or captured.tail, extent.tail_bytes)
    return head, captured.size_bytes - len(head) - len(tail), tail


def excerpt(kept: Ends) -> Excerpt:
    """Make beginning and end of a stream ready to be shown."""
    head, left_out_bytes, tail = kept
    return Excerpt(head=_text(head), left_out_bytes=left_out_bytes, tail=_text(tail))


class Outputs:
    """The texts of a page: each stands in it once, however many units wrote it.

    Args:
        extents: By class of unit, how much of each stream is kept.
    """

    def __init__(self, extents: dict[str, Extent]) -> None:
        self._extents = extents
        self._used = dict.fromkeys(extents, 0)
        self._shelf = Shelf()
        #: Digest -> place, of the outputs that were seen last: the table must not grow.
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def place(self, captured: Captured, class_name: str) -> int:
        """Return which of the texts a stream is, or one of NOTHING and NO_ROOM.

        Raises:
            OSError: the file in which they wait cannot be written.
        """
        if not captured.size_bytes:
            return NOTHING
        extent = self._extents[class_name]
        kept = ends(captured, extent)
        key = _digest(kept)
        place = self._known.get(key)
        if place is not None:
            self._known.move_to_end(key)
            return place
        if self._used[class_name] >= extent.all_chars:
            return NO_ROOM
        place = self._shelf.number
        self._used[class_name] += self._shelf.add(excerpt(kept).as_json())
        self._known[key] = place
        if len(self._known) > _COMPARED:
            self._known.popitem(last=False)
        return place

    def pieces(self) -> Iterator[str]:
        """Read all texts as a JSON array, a piece at a time."""
        return self._shelf.pieces()

    def close(self) -> None:
        """Let go of what was kept; never raises."""
        self._shelf.close()


def _digest(kept: Ends) -> bytes:
    head, left_out_bytes, tail = kept
    hashed = blake2b(f"{len(head)} {left_out_bytes} ".encode(), digest_size=16)
    hashed.update(head)
    hashed.update(tail)
    return hashed.digest()


def _beginning(data: bytes, size: int) -> bytes:
    """Cut at the end of a line, or of a character, when there is one near."""
    if len(data) <= size:
        return data
    line_end = data.rfind(b"\n", max(size - _LINE_BYTES, 0), size)
    if line_end >= 0:
        return data[: line_end + 1]
    return data[: _character(data, size, -1)]


def _end(data: bytes, size: int) -> bytes:
    """Begin at the beginning of a line, or of a character, when there is one near."""
    if len(data) <= size:
        return data
    begin = len(data) - size
    line_end = data.find(b"\n", begin, begin + _LINE_BYTES)
    if line_end >= 0:
        return data[line_end + 1 :]
    return data[_character(data, begin, 1) :]


def _character(data: bytes, at: int, step: int) -> int:
    """Move to where a character of UTF-8 begins, three bytes at most."""
    for near in range(at, at + 4 * step, step):
        if 0 <= near < len(data) and not 0x80 <= data[near] < 0xC0:
            return near
    return at


def _text(data: bytes) -> str:
    """Make lines harmless; the newline at the end goes."""
    if not data:
        return ""
    return "\n".join(map(decode, data.removesuffix(b"\n").split(b"\n")))
