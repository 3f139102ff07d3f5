"""A terminal to draw on that can never hold up the work."""

import contextlib
import os
import select
from typing import TextIO

__all__ = ["Terminal"]

#: How long to wait for a terminal that takes nothing before text is written over the bars.
_PATIENCE_MS = 200


class Terminal:
    """The file that tqdm draws on: collects a frame, and writes it at once without blocking.

    A terminal stopped with Ctrl-S, or whose other end does not read, blocks whoever writes to
    it. So it is opened once more, which gives a file description of our own that may be
    non-blocking without changing the one that we share with the shell. Where it cannot be
    opened (another user's, after `su`), it is asked first whether it takes something.

    What a terminal does not take at once is kept, and nothing new is drawn until it is through:
    a frame is never torn. A terminal that is gone is left alone.
    """

    def __init__(self, stream: TextIO) -> None:
        #: tqdm picks the characters of its bars by it.
        self.encoding = stream.encoding
        self._frame: list[str] = []
        self._pending = b""
        own = _open_again(stream.fileno())
        self._owned = own is not None
        self._fd = stream.fileno() if own is None else own
        self.gone = False

    def write(self, text: str) -> None:
        """Add to the frame; this is what tqdm calls."""
        self._frame.append(text)

    def flush(self) -> None:
        """Do nothing: tqdm flushes every piece, and a frame should appear at once."""

    def columns_and_rows(self) -> tuple[int, int]:
        """Ask the terminal for its size; 80 and 24 where it does not say."""
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            return 80, 24
        return columns or 80, rows or 24

    def is_ready(self) -> bool:
        """Say whether a frame may be drawn: it is ours to draw on, and the last one is through."""
        if self.gone or not self._is_foreground():
            return False
        self._push()
        return not self._pending and not self.gone

    def present(self) -> None:
        """Write the frame, as far as the terminal takes it now."""
        data = "".join(self._frame).encode(self.encoding or "utf-8", "replace")
        self._frame.clear()
        self._pending += data
        self._push()

    def settle(self) -> None:
        """Wait a moment for the rest of a frame, then forget it: text is about to be written."""
        if self._pending and not self.gone:
            self._takes(_PATIENCE_MS)
            self._push()
        self._pending = b""

    def close(self) -> None:
        """Close what was opened here; never raises."""
        self.settle()
        self.gone = True
        if self._owned:
            self._owned = False
            with contextlib.suppress(OSError):
                os.close(self._fd)

    def _is_foreground(self) -> bool:
        """Say whether we may draw: a job in the background must not scribble over the prompt."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # not our controlling terminal: nobody's prompt is there
            return True

    def _push(self) -> None:
        """Write what is pending, as far as the terminal takes it now."""
        while self._pending and not self.gone:
            if not self._owned and not self._takes(0):
                return
            try:
                written = os.write(self._fd, self._pending)
            except BlockingIOError:
                return
            except OSError:
                self.gone = True
                return
            self._pending = self._pending[written:]

    def _takes(self, timeout_ms: int) -> bool:
        """Ask whether the terminal takes something."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout_ms))


def _open_again(fd: int) -> int | None:
    """Open a terminal once more, non-blocking; None when it is none, or may not be opened.

    A plain file is never opened again: writing would begin at its start.
    """
    if not os.isatty(fd):
        return None
    try:
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        return None
