"""What commands on hosts read from their standard input, and count what was read of it."""

import os
from collections.abc import Callable

__all__ = ["FileSource", "TextSource"]


class TextSource:
    """A text in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, size: int, /) -> memoryview:
        """Return the next piece."""
        piece, self._data = self._data[:size], self._data[size:]
        return piece


class FileSource:
    """So many bytes of an open file, into one buffer: what has grown meanwhile is not read.

    Args:
        fd: Where it is read; the caller closes it.
        size: How many bytes are read, fewer when the file has become shorter.
        count: Told of each piece's length; None: nobody is.
    """

    def __init__(self, fd: int, size: int, count: Callable[[int], None] | None = None) -> None:
        self._fd = fd
        self._left = size
        self._count = count
        self._buffer = bytearray(0)

    def read(self, size: int, /) -> memoryview:
        """Return the next piece, which is good until the next call."""
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        view = memoryview(self._buffer)[: min(size, self._left)]
        length = os.readv(self._fd, [view]) if view else 0
        self._left -= length
        if self._count is not None and length:
            self._count(length)
        return view[:length]
