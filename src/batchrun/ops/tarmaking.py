"""Write a tar archive: piece after piece in one worker, or pieces by all of them.

Alone, a worker compresses one stream, with threads. Where several share the work each piece becomes
a stream of its own (a frame of zstd, a member of gzip, a stream of xz); they are written one after
the other, which every program reads as one.
"""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from batchrun.model.operation import Context
from batchrun.model.values import Glob
from batchrun.ops.atomic import new_file
from batchrun.ops.codecs import compressor, packed
from batchrun.ops.failures import Tally, failure
from batchrun.ops.members import Links
from batchrun.ops.packer import Packer
from batchrun.ops.sharedfile import SharedFile, begin_shared
from batchrun.ops.tarheader import end_after
from batchrun.ops.tree.assembly import END, JOIN, MAKE, SCAN, Assembly, Ending, Errand, Joining
from batchrun.ops.tree.data import BLOCK_SIZE, write_all
from batchrun.ops.tree.ordered import Frame, Scanner
from batchrun.ops.tree.pieces import Piece, Sizes, cut
from batchrun.ops.tree.selection import selection

__all__ = [
    "Found",
    "Making",
    "TarAssembly",
    "make_part",
    "scan",
    "share",
    "sizes_for",
    "write_alone",
]

#: As other programs make files; the umask applies.
_MODE = 0o666
_MEGABYTE = 1024 * 1024
#: Of a piece: what is compressed on its own costs some compression, less when it is longer.
_USUAL_SIZE = 4 * _MEGABYTE
#: Three times the dictionary, as xz(1) does.
_XZ_SIZE = 24 * _MEGABYTE
#: From this level on zstd looks farther back.
_FAR_LEVEL, _FAR_SIZE = 10, 32 * _MEGABYTE
_MOST_FILES = 1024
#: Pieces that one scan looks for.
_SCANNED = 8


class Making(NamedTuple):
    """What everybody needs to know who works on an archive; of standard types."""

    compression: str
    level: int | None
    #: The archive.
    dest: str
    #: Gitignore-style patterns of what is left out, and of what alone is taken.
    patterns: tuple[tuple[str, ...], tuple[str, ...]]
    sizes: tuple[int, int]
    #: The sources, to be deleted when the archive has been read again; empty: they stay.
    remove: tuple[str | Glob, ...]
    #: What the archive is called until it is complete; its device and inode.
    temp: str = ""
    identity: tuple[int, int] = (0, 0)

    @property
    def format(self) -> Any:
        """The format of the archive."""
        return f"tar.{self.compression}" if self.compression else "tar"


class Found(NamedTuple):
    """What a scan has come to."""

    pieces: list[Piece]
    #: Not looked at yet.
    frames: list[Frame]


def sizes_for(compression: str, level: int | None, slice_cost: int) -> Sizes:
    """Return how big pieces are."""
    size = _USUAL_SIZE
    if compression == "xz":
        size = _XZ_SIZE
    elif compression == "zst" and level is not None and level >= _FAR_LEVEL:
        size = _FAR_SIZE
    return Sizes(min(2 * slice_cost or _MOST_FILES, _MOST_FILES), size)


def scan(making: Making, frames: Iterable[Frame], context: Context, tally: Tally) -> Found:
    """Look for some pieces."""
    pieces: list[Piece] = []
    chosen = selection(*making.patterns)
    with Scanner(frames, chosen, context.check, tally.vanished) as scanner:
        for some in cut(scanner.found(), Sizes(*making.sizes)):
            pieces += some
            if len(pieces) >= _SCANNED:
                break
        return Found(pieces, scanner.rest())


def _linked(piece: Piece, links: Links) -> Piece:
    """Say in a piece which of its names are hard links to what comes before; in order."""
    if not piece.links:
        return piece
    found = [
        (place, device, inode, links.first(device, inode, names, name) or "", 0)
        for place, device, inode, name, names in piece.links
    ]
    return piece._replace(links=found)


# ---- one worker -------------------------------------------------------------------------------


def write_alone(making: Making, found: Found, threads: int, context: Context, tally: Tally) -> None:
    """Write all of an archive in this process.

    Raises:
        OperationError: something cannot be read or written; there is no new archive.
    """
    packer, links = Packer(context, tally), Links()
    with new_file(making.dest, context, mode=_MODE, durable=bool(making.remove)) as fd:
        output = _Output(fd, making.compression, making.level, threads)
        while found.pieces:
            for piece in found.pieces:
                output.write(packer.pack(_linked(piece, links)))
            found = scan(making, found.frames, context, tally)
        output.finish()


class _Output:
    """The archive as one stream: compresses what it is given."""

    def __init__(self, fd: int, form: str, level: int | None, threads: int) -> None:
        self._fd = fd
        self._machine = compressor(form, level, threads) if form else None
        self._size = 0

    def write(self, data: bytes | bytearray) -> None:
        """Add something."""
        self._size += len(data)
        whole = memoryview(data)
        for start in range(0, len(data), BLOCK_SIZE):
            part = whole[start : start + BLOCK_SIZE]
            ready = part if self._machine is None else self._machine.compress(part)
            if ready:
                write_all(self._fd, ready)

    def finish(self) -> None:
        """Add the end."""
        self.write(end_after(self._size))
        if self._machine is not None:
            write_all(self._fd, self._machine.flush())


# ---- several workers --------------------------------------------------------------------------


class TarAssembly(Assembly):
    """An archive that several workers make."""

    def __init__(self, seed: Any) -> None:
        self._links = Links()
        super().__init__(seed)

    def known(self, piece: Any) -> Any:
        """Find the hard links in a piece."""
        return tuple(_linked(Piece(*piece), self._links))

    def share(self, piece: Any) -> float:
        """Return how much of the whole a piece is likely to be."""
        return Piece(*piece).share


def share(making: Making, found: Found, context: Context) -> tuple[Making, list[Any], list[Any]]:
    """Begin an archive for several workers; returns that, frames and pieces as they travel."""
    temp, identity = begin_shared(making.dest, context, mode=_MODE)
    making = making._replace(temp=temp, identity=identity)
    return making, *_travelling(found)


def _travelling(found: Found) -> tuple[list[Any], list[Any]]:
    return [tuple(frame) for frame in found.frames], [tuple(piece) for piece in found.pieces]


def make_part(errand: Errand, context: Context, tally: Tally) -> Any:
    """Do one errand; returns what the assembly is to know."""
    config, kind, content = errand
    making = Making(*config)
    file = SharedFile(making.dest, making.temp, making.identity)
    if kind == SCAN:
        frames = [Frame(*frame) for frame in content]
        return _travelling(scan(making, frames, context, tally))
    if kind == MAKE:
        place, piece = content
        data = Packer(context, tally).pack(Piece(*piece))
        return file.put(place, packed(making.compression, making.level, data)), len(data)
    if kind == JOIN:
        file.join(Joining(*content))
    elif kind == END:
        _finish(file, making, Ending(*content))
    else:
        file.undo(Ending(*content).segments)
    return None


def _finish(file: SharedFile, making: Making, ending: Ending) -> None:
    """Complete the archive, and give it its name; safe to be done twice."""
    file.remove(ending.segments)
    if file.is_named():
        return
    last = packed(making.compression, making.level, end_after(ending.content_size))
    try:
        fd = file.opened()
        try:
            os.lseek(fd, ending.size, os.SEEK_SET)
            write_all(fd, memoryview(last))
            if making.remove:
                os.fsync(fd)
        finally:
            os.close(fd)
        file.name()
    except OSError as error:
        raise failure(error, "write", making.dest) from error
