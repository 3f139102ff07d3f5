"""Pieces of streams put together to whole lines, so that those of two commands never mix."""

from collections.abc import Iterator

__all__ = ["MOST_OF_LINE", "LineBuffer", "end_of_character"]

#: A longer line is given in pieces: a command that never ends its line must not fill memory.
MOST_OF_LINE = 64 * 1024


class LineBuffer:
    """Keeps what came since the last newline, for each unit and stream."""

    def __init__(self) -> None:
        self._partial: dict[tuple[int, str], bytes] = {}

    def add(self, number: int, stream: str, data: bytes) -> list[bytes]:
        """Take a piece; return the lines that are complete now, without their newlines.

        Args:
            number: The unit's.
            stream: Which of its streams.
            data: What came.
        """
        key = (number, stream)
        *lines, rest = (self._partial.pop(key, b"") + data).split(b"\n")
        while len(rest) > MOST_OF_LINE:
            end = end_of_character(rest, MOST_OF_LINE)
            lines.append(rest[:end])
            rest = rest[end:]
        if rest:
            self._partial[key] = rest
        return lines

    def end(self, number: int) -> Iterator[tuple[str, bytes]]:
        """Give what a unit left without a newline, with the name of the stream."""
        for stream in ("stdout", "stderr"):
            data = self._partial.pop((number, stream), b"")
            if data:
                yield stream, data

    def units(self) -> list[int]:
        """Return the numbers of the units of which something waits, in the order of its coming."""
        return list(dict.fromkeys(number for number, _ in self._partial))


def end_of_character(data: bytes, limit: int) -> int:
    """Return where to cut so that no UTF-8 character is cut, at or up to three bytes before."""
    for end in range(limit, limit - 4, -1):
        if data[end] & 0xC0 != 0x80:
            return end
    return limit
