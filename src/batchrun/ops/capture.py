"""Keep a command's output in bounded memory: its beginning, its end, and a file with all of it."""

import os

from batchrun.model.outcome import NO_STREAM, Captured

__all__ = ["Capture"]

_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Capture:
    """The head and the tail of one stream; what lies between is counted, or goes to a file.

    Args:
        head_bytes: How much of the beginning is kept.
        tail_bytes: How much of the end is kept; up to twice as much, and one piece, is held.
        spool: File for everything, made when the two are not enough; empty: none. Where there is
            a file of that name already, another is made beside it.
    """

    __slots__ = (
        "_fed_bytes",
        "_file",
        "_head",
        "_head_bytes",
        "_head_room",
        "_spool",
        "_tail",
        "_tail_bytes",
        "problem",
    )

    def __init__(self, head_bytes: int, tail_bytes: int, spool: str = "") -> None:
        self._head = bytearray()
        self._head_bytes = self._head_room = head_bytes
        self._tail = bytearray()
        self._tail_bytes = tail_bytes
        self._fed_bytes = 0
        self._spool = spool
        self._file: int | None = None
        #: Why there is no file with everything, as the system says; empty: nothing went wrong.
        self.problem = ""

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self._fed_bytes += len(data)
        if self._file is not None:
            self._write(data)
        if self._head_room:
            self._head += data[: self._head_room]
            data, self._head_room = (
                data[self._head_room :],
                max(0, self._head_room - len(data)),
            )
        self._tail += data
        if self._spool and self._file is None and len(self._tail) > self._tail_bytes:
            self._open()  # nothing has been dropped up to here
        # Cutting at twice the size moves each byte once on average; cutting every time would
        # move the whole tail for each piece.
        if len(self._tail) > 2 * self._tail_bytes:
            self._cut()

    def _open(self) -> None:
        """Begin the file, with all that was fed so far."""
        wanted, number = self._spool, 1
        while self._file is None:
            try:
                self._file = os.open(self._spool, _FILE_FLAGS, 0o600)
            except FileExistsError:  # of another step of the same unit
                number += 1
                self._spool = f"{wanted}.{number}"
            except OSError as error:
                self._spool = ""
                self.problem = error.strerror or str(error)
                return
        self._write(bytes(self._head))
        if self._file is not None:
            self._write(bytes(self._tail))

    def _write(self, data: bytes) -> None:
        """Add to the file; when it cannot take more, there is none."""
        view = memoryview(data)
        while view and self._file is not None:
            try:
                view = view[os.write(self._file, view) :]
            except OSError as error:
                self.problem = error.strerror or str(error)
                self.discard()

    def _cut(self) -> None:
        """Drop what is no longer among the last bytes."""
        del self._tail[: max(0, len(self._tail) - self._tail_bytes)]

    def discard(self) -> None:
        """Remove the file: nobody will ask for it."""
        file, self._file = self._file, None
        spool, self._spool = self._spool, ""
        if file is None:
            return
        os.close(file)
        try:
            os.unlink(spool)
        except OSError as error:
            self.problem = self.problem or error.strerror or str(error)

    def result(self) -> Captured:
        """Return what was kept, and how much was not; the stream is over."""
        if not self._fed_bytes:
            return NO_STREAM
        self._cut()
        spool = ""
        if self._file is not None:
            os.close(self._file)
            self._file, spool = None, self._spool
        return Captured(
            head=bytes(self._head),
            tail=bytes(self._tail),
            omitted_bytes=self._fed_bytes - len(self._head) - len(self._tail),
            spool=spool,
        )
