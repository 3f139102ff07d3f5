"""Keep the beginning and the end of a command's output, whatever it writes, in bounded memory."""

from batchrun.model.outcome import NO_STREAM, Captured

__all__ = ["Capture"]


class Capture:
    """The head and the tail of one stream; what lies between is counted, not kept.

    Args:
        head_bytes: How much of the beginning is kept.
        tail_bytes: How much of the end is kept; up to twice as much, and one piece, is held.
    """

    __slots__ = ("_fed_bytes", "_head", "_head_room", "_tail", "_tail_bytes")

    def __init__(self, head_bytes: int, tail_bytes: int) -> None:
        self._head = bytearray()
        self._head_room = head_bytes
        self._tail = bytearray()
        self._tail_bytes = tail_bytes
        self._fed_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self._fed_bytes += len(data)
        if self._head_room:
            self._head += data[: self._head_room]
            data, self._head_room = (
                data[self._head_room :],
                max(0, self._head_room - len(data)),
            )
        self._tail += data
        # Cutting at twice the size moves each byte once on average; cutting every time would
        # move the whole tail for each piece.
        if len(self._tail) > 2 * self._tail_bytes:
            self._cut()

    def _cut(self) -> None:
        """Drop what is no longer among the last bytes."""
        del self._tail[: max(0, len(self._tail) - self._tail_bytes)]

    def result(self) -> Captured:
        """Return what was kept, and how much was not."""
        if not self._fed_bytes:
            return NO_STREAM
        self._cut()
        omitted_bytes = self._fed_bytes - len(self._head) - len(self._tail)
        return Captured(head=bytes(self._head), tail=bytes(self._tail), omitted_bytes=omitted_bytes)
