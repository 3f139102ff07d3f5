"""Whole lines onto a text stream, whatever its encoding, with the bars out of the way."""

import errno
import os
from collections.abc import Callable
from typing import TextIO

__all__ = ["Lines", "nothing"]


def nothing() -> None:
    """Do nothing: there are no bars to hide."""


class Lines:
    """A stream that takes whole lines.

    Args:
        stream: Where they go. What its encoding cannot hold is written as an escape.
        before: Called before anything is written, if it is a terminal: takes progress bars off.
    """

    def __init__(self, stream: TextIO, before: Callable[[], None] = nothing) -> None:
        self._stream = stream
        self._before = before if not stream.closed and stream.isatty() else nothing
        encoding = stream.encoding or "utf-8"
        self._encoding = None if encoding.lower() in {"utf-8", "utf8"} else encoding
        self._broken = False

    def write(self, text: str) -> None:
        """Write text that ends with a newline, and flush it.

        Raises:
            OSError: as the stream says it, also when it is closed; a reader that went away is a
                BrokenPipeError.
        """
        if not text:
            return
        self._before()
        if self._encoding is not None:
            text = text.encode(self._encoding, "backslashreplace").decode(self._encoding)
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._broken = True
            raise
        except ValueError as error:  # what Python says of a closed file
            self._broken = True
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error

    def attempt(self, text: str) -> None:
        """Write like `write`; a stream that is broken or closed is left alone from then on.

        For messages: a terminal that has gone must not cost the results on standard output.
        """
        if self._broken:
            return
        try:
            self.write(text)
        except OSError:
            return

    @property
    def broken(self) -> bool:
        """Whether a write has failed."""
        return self._broken
