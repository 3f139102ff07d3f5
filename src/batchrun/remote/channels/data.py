"""Data of a channel, from the packet that it came in to who reads it."""

from collections import deque
from struct import Struct
from typing import Final

__all__ = ["Data", "Pipe"]

_NUMBER: Final = Struct(">I")


class Data:
    """A message with data of a channel, read in place, where paramiko's copies it three times."""

    __slots__ = ("_at", "_payload", "seqno")

    def __init__(self, payload: memoryview) -> None:
        self._payload = payload
        self._at = 1
        self.seqno = 0

    def get_int(self) -> int:
        """Return the next number."""
        (number,) = _NUMBER.unpack_from(self._payload, self._at)
        self._at += _NUMBER.size
        return int(number)

    def get_binary(self) -> memoryview:
        """Return what follows behind its length."""
        size = self.get_int()
        return self._payload[self._at : self._at + size]


class Pipe:
    """What has come on a stream of a channel; one thread feeds it, and one reads.

    Neither needs a lock: nothing is taken but what was put in before. Who reads waits elsewhere.
    """

    __slots__ = ("_pieces", "closed")

    def __init__(self) -> None:
        self._pieces: deque[memoryview | bytes] = deque()
        #: Nothing more comes.
        self.closed = False

    def feed(self, data: memoryview | bytes) -> None:
        """Put a piece in."""
        if data:
            self._pieces.append(data)

    def close(self) -> None:
        """Say that nothing more comes."""
        self.closed = True

    def has_data(self) -> bool:
        """Whether there is data."""
        return bool(self._pieces)

    def says(self) -> bool:
        """Whether reading would say something: data, or its end."""
        return bool(self._pieces) or self.closed

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def take(self, size: int) -> bytes:
        """Take what there is, at most so much."""
        taken: list[memoryview | bytes] = []
        pieces = self._pieces
        while size and pieces:
            piece = pieces.popleft()
            if len(piece) > size:
                pieces.appendleft(piece[size:])
                piece = piece[:size]
            size -= len(piece)
            taken.append(piece)
        return bytes(taken[0]) if len(taken) == 1 else b"".join(taken)
