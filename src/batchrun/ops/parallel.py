"""Compress one stream with several threads: pieces side by side, their results in order.

Source: pigz(1), for how the pieces of a gzip stream are joined into one; measured by
bench/compress.py.
"""

import struct
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

__all__ = ["ParallelGzip", "ParallelStreams"]

#: Pieces in work for each thread, so that none waits for the next to be read.
_AHEAD = 2
_GZIP_PIECE = 1024 * 1024
#: How far back deflate looks.
_WINDOW = 32 * 1024
#: Deflate, no name, no time, fastest or unknown, Unix.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
_TRAILER = struct.Struct("<II")
#: Makes a compressor of raw deflate that knows what went before.
RawDeflate = Callable[[bytes], Any]


class _Pieces:
    """Cuts a stream into pieces, gives them to threads, and returns results in order.

    Holds at most two pieces, and what became of them, for each thread. Threads are started with
    the second piece; what is short is done at once.
    """

    def __init__(self, size: int, threads: int) -> None:
        self._size = size
        self._threads = threads
        self._waiting: deque[Future[bytes]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._buffer = bytearray()

    def compress(self, data: Any, /) -> bytes:
        """Take more data; return what is ready."""
        self._buffer += data
        if len(self._buffer) <= self._size:
            return b""
        ready: list[bytes] = []
        while len(self._buffer) > self._size:
            # The last piece is another one: it is kept until it is known to be the last.
            piece = bytes(memoryview(self._buffer)[: self._size])
            del self._buffer[: self._size]
            ready.append(self._submit(piece))
        return b"".join(ready)

    def flush(self) -> bytes:
        """Return the end of the stream."""
        last = bytes(self._buffer)
        self._buffer.clear()
        end = self._end(last)
        rest = [done.result() for done in self._waiting]
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        return b"".join([*rest, end])

    def _submit(self, piece: bytes) -> bytes:
        """Put a piece to work; wait for the oldest when there are enough of them."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="compress")
        self._waiting.append(self._pool.submit(self._work(piece)))
        if len(self._waiting) <= self._threads * _AHEAD:
            return b""
        return self._waiting.popleft().result()

    def _work(self, piece: bytes) -> Callable[[], bytes]:
        """Return what a thread does with a piece that is not the last."""
        raise NotImplementedError

    def _end(self, last: bytes) -> bytes:
        """Compress the last piece, and end the stream."""
        raise NotImplementedError


class ParallelGzip(_Pieces):
    """One gzip member whose blocks were compressed side by side."""

    def __init__(self, raw: RawDeflate, crc32: Callable[[bytes, int], int], threads: int) -> None:
        super().__init__(_GZIP_PIECE, threads)
        self._raw = raw
        self._crc32 = crc32
        self._crc = 0
        self._count = 0
        #: The end of the piece before, in which deflate may find what it knows.
        self._before = b""
        self._head = _GZIP_HEADER

    def compress(self, data: Any, /) -> bytes:
        """Take more data; return what is ready."""
        head, self._head = self._head, b""
        return head + super().compress(data)

    def _work(self, piece: bytes) -> Callable[[], bytes]:
        before = self._note(piece)
        return partial(_deflate, self._raw, piece, before)

    def _end(self, last: bytes) -> bytes:
        before = self._note(last)
        machine = self._raw(before)
        body = machine.compress(last) + machine.flush()
        head, self._head = self._head, b""
        return b"".join([head, body, _TRAILER.pack(self._crc, self._count & 0xFFFFFFFF)])

    def _note(self, piece: bytes) -> bytes:
        """Take a piece into the checksum; return what went before it."""
        before, self._before = self._before, piece[-_WINDOW:]
        self._crc = self._crc32(piece, self._crc)
        self._count += len(piece)
        return before


def _deflate(raw: RawDeflate, piece: bytes, before: bytes) -> bytes:
    """Compress a piece to a whole number of bytes, without an end."""
    machine = raw(before)
    return b"".join([machine.compress(piece), machine.flush(zlib.Z_SYNC_FLUSH)])


class ParallelStreams(_Pieces):
    """Several streams, one after the other, which every tool reads as one (xz, bzip2)."""

    def __init__(self, make: Callable[[], Any], size: int, threads: int) -> None:
        super().__init__(size, threads)
        self._make = make

    def _work(self, piece: bytes) -> Callable[[], bytes]:
        return partial(self._whole, piece)

    def _end(self, last: bytes) -> bytes:
        return self._whole(last)

    def _whole(self, piece: bytes) -> bytes:
        machine = self._make()
        return b"".join([machine.compress(piece), machine.flush()])
