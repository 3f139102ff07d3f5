"""All that a command wrote to one stream, in pieces: from memory, or from the file with it."""

import os
from collections.abc import Iterator

from batchrun.model.outcome import Captured
from batchrun.report.text import count

__all__ = ["file_pieces", "kept", "pieces", "spools"]

_COPY_BYTES = 256 * 1024


def pieces(captured: Captured) -> Iterator[bytes]:
    """Read a stream, with a line about what was not kept.

    Raises:
        OSError: the file that holds it cannot be read.
    """
    for part in captured.parts or (captured,):
        if part.spool and os.path.exists(part.spool):
            yield from file_pieces(part.spool)
        elif part:
            yield kept(part)


def kept(captured: Captured) -> bytes:
    """Return what memory holds of a stream, with a line about what it does not."""
    if not captured.omitted_bytes:
        return captured.head + captured.tail
    gap = f"\n[batchrun: {count(captured.omitted_bytes)} bytes were not kept]\n"
    return captured.head + gap.encode() + captured.tail


def file_pieces(path: str) -> Iterator[bytes]:
    """Read a file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        while piece := file.read(_COPY_BYTES):
            yield piece


def spools(captured: Captured) -> Iterator[str]:
    """Name the files that hold a stream, or parts of it."""
    for part in (captured, *captured.parts):
        if part.spool:
            yield part.spool
