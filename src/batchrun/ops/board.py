"""The board: what runs now, a line for each place, in memory that all processes of a run share.

Whoever runs a command notes it; it is read when all of them are dead (see `survivor`).
"""

import contextlib
import os

__all__ = ["BLANK", "LINE_BYTES", "Board", "put"]

#: One line; a cookie is shorter, or file names made with the id of its run are too long as well.
LINE_BYTES = 256
BLANK = b"%*b\n" % (LINE_BYTES - 1, b"")


class Board:
    """One line of the board, which one process at a time writes.

    Args:
        descriptor: The file of all lines, in memory.
        place: Which of them, from 1.
    """

    __slots__ = ("_at", "_descriptor", "_noted")

    def __init__(self, descriptor: int, place: int) -> None:
        self._descriptor = descriptor
        self._at = (place - 1) * LINE_BYTES
        self._noted = False

    def note(self, cookie: str, leader: int = 0) -> None:
        """Something is about to begin, or has begun.

        Args:
            cookie: By which all processes of it are known.
            leader: The process that leads its group; 0: not known yet.
        """
        line = os.fsencode(f"{leader} {cookie}")[: LINE_BYTES - 1].ljust(LINE_BYTES - 1)
        self._noted = put(self._descriptor, line + b"\n", self._at)

    def rest(self) -> None:
        """What was noted has ended, or may go on."""
        if self._noted:
            self.wipe()

    def wipe(self) -> None:
        """Blank the line, whoever has written it."""
        put(self._descriptor, BLANK, self._at)
        self._noted = False


def put(descriptor: int, data: bytes, at: int) -> bool:
    """Write on the board, and say whether that was possible.

    A process that may write no file of that size (`ulimit -f`) runs commands all the same.
    """
    with contextlib.suppress(OSError):
        return os.pwrite(descriptor, data, at) == len(data)
    return False
