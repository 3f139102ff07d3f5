"""Output that waits for its turn: in memory, then in a file; where that is full, its ends only."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from batchrun.model.outcome import Captured
from batchrun.report.whole import file_pieces, kept

__all__ = ["Place", "Waiting"]

_COPY_BYTES = 256 * 1024
#: Output is kept in memory up to here, then in a file without a name.
_HELD_BYTES = 4 * 1024 * 1024
#: What memory takes besides when the file takes nothing more, and how much of each end of a stream;
#: after that only a note stays of each.
_SPARE_BYTES = 4 * 1024 * 1024
_END_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a stream waits."""

    #: All of it, in memory.
    data: bytes = b""
    #: Offset and size in the file for what memory does not hold.
    at: tuple[int, int] | None = None
    #: A file with nothing else.
    spool: str = ""


class Waiting:
    """Keeps what was put aside until it is taken; never fails for want of room."""

    def __init__(self) -> None:
        #: Why some of it could not be kept whole, as the system says; empty: all could.
        self.problem = ""
        self._held_bytes = 0
        self._file: IO[bytes] | None = None

    def put(self, captured: Captured) -> Place:
        """Put a stream aside."""
        if captured.spool and not captured.parts:
            # Whoever comes after us in the row of sinks removes the file that was named.
            moved = f"{captured.spool}.held"
            try:
                os.rename(captured.spool, moved)
            except OSError:
                return self._put(captured)
            return Place(spool=moved)
        return self._put(captured)

    def _put(self, captured: Captured) -> Place:
        data = kept(captured)
        if not data or self._held_bytes + len(data) <= _HELD_BYTES:
            return self._in_memory(data)
        try:
            return Place(at=self._append(data))
        except OSError as error:
            self.problem = self.problem or error.strerror or str(error)
        ends = kept(_shortened(captured, _END_BYTES))
        if self._held_bytes + len(ends) > _HELD_BYTES + _SPARE_BYTES:
            ends = kept(_shortened(captured, 0))
        return self._in_memory(min(data, ends, key=len))

    def _in_memory(self, data: bytes) -> Place:
        self._held_bytes += len(data)
        return Place(data=data)

    def _append(self, data: bytes) -> tuple[int, int]:
        """Add to the file, all or nothing; return where.

        Raises:
            OSError: there is no room, or no place for such a file.
        """
        if self._file is None:
            # Without a buffer, so that a write that fails does it here.
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 (lives as long as the sink)
                prefix="batchrun-", buffering=0
            )
        start = self._file.seek(0, os.SEEK_END)
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            self._file.truncate(start)
            raise
        return start, len(data)

    def take(self, place: Place) -> Iterator[bytes]:
        """Give back what was put aside."""
        if place.spool:
            yield from file_pieces(place.spool)
            with contextlib.suppress(OSError):
                os.unlink(place.spool)
        elif place.at is not None and self._file is not None:
            at, left = place.at
            self._file.seek(at)
            while left and (piece := self._file.read(min(left, _COPY_BYTES))):
                left -= len(piece)
                yield piece
        elif place.data:
            self._held_bytes -= len(place.data)
            yield place.data

    def close(self) -> None:
        """Let go of the file; never raises."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def _shortened(captured: Captured, end_bytes: int) -> Captured:
    """Keep at most so much of each end of a stream."""
    head = captured.head[:end_bytes]
    rest = captured.tail or captured.head[len(head) :]
    tail = rest[max(0, len(rest) - end_bytes) :]
    omitted_bytes = captured.size_bytes - len(head) - len(tail)
    return Captured(head=head, tail=tail, omitted_bytes=omitted_bytes)
