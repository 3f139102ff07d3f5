"""JSON values of a page, waiting in a file until the run has ended."""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from batchrun.report.html.markup import script_json

__all__ = ["Shelf"]

_COPY_CHARS = 256 * 1024
#: Up to here they stay in memory.
_MEMORY_BYTES = 32 * 1024


class Shelf:
    """The elements of a JSON array; memory stays flat, however many there are."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None
        self.number = 0

    def add(self, value: Any) -> int:
        """Put a value behind the others; return how many characters it takes.

        Raises:
            OSError: the file cannot be written.
        """
        text = script_json(value)
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 (lives as long as the sink)
                _MEMORY_BYTES, "w+", encoding="ascii", prefix="batchrun-"
            )
        self._file.write(f",\n{text}" if self.number else text)
        self.number += 1
        return len(text)

    def pieces(self) -> Iterator[str]:
        """Read the array, a piece at a time."""
        yield "["
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(_COPY_CHARS):
                yield piece
        yield "]"

    def close(self) -> None:
        """Let go of the file; never raises."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
