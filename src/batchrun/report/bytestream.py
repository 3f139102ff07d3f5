"""What commands on hosts wrote, onto a text stream: as it is, or harmless on a terminal."""

import select
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TextIO

from batchrun.report.lines import nothing
from batchrun.report.text import decode

__all__ = ["ByteStream"]


class ByteStream:
    """A stream that takes lines of bytes.

    Args:
        stream: Where they go.
        before: Called before anything is written, if it is a terminal.
        raw: On a terminal, too, lines are written as they came.
        may_fail: What cannot be written is dropped, whatever the reason.
    """

    def __init__(
        self,
        stream: TextIO,
        before: Callable[[], None] = nothing,
        *,
        raw: bool = False,
        may_fail: bool = False,
    ) -> None:
        self._stream = stream
        is_terminal = not stream.closed and stream.isatty()
        self._before = before if is_terminal else nothing
        self._is_harmless = is_terminal and not raw
        self._may_fail = may_fail
        self._gone = False

    @property
    def gone(self) -> bool:
        """Whether nobody takes what is written any more."""
        return self._gone

    def look(self) -> bool:
        """Tell whether nobody reads any more, also where nothing was written yet.

        Only a pipe or a socket tells; of anything else it is known when it is written to.
        """
        if not self._gone and not self._stream.closed:
            with suppress(OSError, ValueError):  # it is no file at all
                poll = select.poll()
                poll.register(self._stream.fileno(), 0)
                self._gone = any(state & select.POLLERR for _, state in poll.poll(0))
        return self._gone

    def write(self, lines: Iterable[bytes], tag: bytes = b"") -> None:
        """Write lines, which have no newlines, each with a tag in front.

        Raises:
            OSError: it cannot be written. A reader that went away is none: whoever read it has
                seen enough, and the rest is dropped.
        """
        if self._gone:
            return
        begun = False
        try:
            for line in lines:
                if not begun:
                    self._before()
                    self._stream.flush()
                    begun = True
                self._stream.buffer.write(b"%s%s\n" % (tag, self._shown(line)))
            if begun:
                self._stream.buffer.flush()
        except BrokenPipeError:
            self._gone = True
        except (OSError, ValueError):  # the latter: the stream is closed
            self._gone = True
            if not self._may_fail:
                raise

    def _shown(self, line: bytes) -> bytes:
        if not self._is_harmless:
            return line
        return decode(line).encode(self._stream.encoding or "utf-8", "backslashreplace")
