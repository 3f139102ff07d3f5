"""The formats of compressed files, behind one small interface each way."""

import bz2
import lzma
import os
import zlib
from collections.abc import Callable, Generator, Iterable
from importlib import import_module
from typing import Any, Protocol

from batchrun.errors import OperationError
from batchrun.ops.failures import refusal

__all__ = [
    "LEVELS",
    "SUFFIXES",
    "Compressor",
    "compressor",
    "decompressed",
    "format_of",
    "is_compressed",
    "level_problem",
    "packed",
]

#: Format by suffix.
SUFFIXES = {".gz": "gz", ".tgz": "gz", ".zst": "zst", ".xz": "xz", ".bz2": "bz2"}
_COMPRESSED = frozenset(SUFFIXES) | {".zip", ".7z", ".lz4", ".br", ".lzma", ".lz", ".Z", ".rar"}
_COMPRESSED_TARS = frozenset({".tbz2", ".txz", ".tzst", ".tbz"})
#: Lowest and highest level of each format.
LEVELS = {"gz": (0, 9), "zst": (1, 22), "xz": (0, 9), "bz2": (1, 9)}

#: Compressed bytes given to a decompressor at a time: a small piece can stand for a thousand
#: times its size, which is held in memory.
_PIECE = 16 * 1024
#: More threads than this are fed no faster than they empty.
_MOST_THREADS = 16
#: What isal takes for a good balance; it has 0 to 3.
_ISAL_LEVEL = 2
_AS_GZIP, _AS_RAW = 31, -15
#: Three times the dictionary, as xz(1) does: less costs compression, more costs memory.
_XZ_PIECE = 24 * 1024 * 1024
_BZIP2_BLOCK = 100_000


class Compressor(Protocol):
    """Compresses one stream."""

    def compress(self, data: Any, /) -> bytes:
        """Take more data; return what is ready."""

    def flush(self) -> bytes:
        """Return the end of the stream."""


class _Decompressor(Protocol):
    """Decompresses one member of a stream."""

    @property
    def eof(self) -> bool:
        """The end of the member was reached."""

    @property
    def unused_data(self) -> bytes:
        """What came after the end."""

    def decompress(self, data: Any, /) -> bytes:
        """Take more data; return what is ready."""


def format_of(path: str) -> str | None:
    """Return the format that a file's suffix promises; None: it promises none."""
    return next((form for suffix, form in SUFFIXES.items() if path.endswith(suffix)), None)


def is_compressed(path: str) -> bool:
    """Tell by its suffix whether compressing a file is of no use."""
    return any(path.endswith(suffix) for suffix in _COMPRESSED | _COMPRESSED_TARS)


def level_problem(form: str, level: int | None) -> str:
    """Say what is wrong with a level; empty when it exists."""
    low, high = LEVELS[form]
    if level is None or low <= level <= high:
        return ""
    return f"level {level} does not exist for {form}; it goes from {low} to {high}"


def compressor(form: str, level: int | None, threads: int = 1) -> Compressor:
    """Make a compressor.

    Args:
        form: The format.
        level: How hard to try; None: as the format's own tool, for gz what is fast.
        threads: How many at most; 0: one for each CPU that this process may use.

    Raises:
        OperationError: the format needs a library that is not installed.
    """
    count = _usable_threads(threads)
    if form == "gz":
        return _gzip(level, count)
    if form == "zst":
        return _zstandard(3 if level is None else level, count)
    if form == "xz":
        preset = 6 if level is None else level

        def make() -> Compressor:
            return lzma.LZMACompressor(preset=preset)

        size = _XZ_PIECE
    else:
        blocks = 9 if level is None else level

        def make() -> Compressor:
            return bz2.BZ2Compressor(blocks)

        size = blocks * _BZIP2_BLOCK
    if count == 1:
        return make()
    from batchrun.ops.parallel import ParallelStreams  # noqa: PLC0415 - threads: only when used

    return ParallelStreams(make, size, count)


def packed(form: str, level: int | None, data: bytes | bytearray) -> bytes | bytearray:
    """Compress a piece to a stream of its own; streams are joined by writing them in a row.

    Args:
        form: The format; empty: none.
        level: As for `compressor`.
        data: All of the piece.
    """
    if not form:
        return data
    machine = compressor(form, level)
    return machine.compress(data) + machine.flush()


def _usable_threads(asked: int) -> int:
    """Return how many threads to use; 0 asks for one per CPU that this process may use."""
    return min(asked or len(os.sched_getaffinity(0)), _MOST_THREADS)


def _zstandard(level: int, threads: int) -> Compressor:
    library = _zstd()
    if library.__name__ == "zstandard":
        made: Compressor = library.ZstdCompressor(
            level=level, write_checksum=True, threads=threads if threads > 1 else 0
        ).compressobj()
        return made
    parameter = library.CompressionParameter
    options = {parameter.checksum_flag: 1, parameter.compression_level: level}
    if threads > 1 and parameter.nb_workers.bounds()[1] > 0:
        options[parameter.nb_workers] = threads
    newer: Compressor = library.ZstdCompressor(options=options)
    return newer


def _gzip(level: int | None, threads: int) -> Compressor:
    """Compress with isal where nobody asked for a level: several times faster than zlib."""
    library: Any = zlib
    if level is None:
        try:
            library, level = import_module("isal.isal_zlib"), _ISAL_LEVEL
        except ImportError:
            level = 6
    if threads == 1:
        made: Compressor = library.compressobj(level, zlib.DEFLATED, _AS_GZIP)
        return made
    from batchrun.ops.parallel import ParallelGzip  # noqa: PLC0415 - threads: only when used

    def raw(before: bytes) -> Any:
        return library.compressobj(level, zlib.DEFLATED, _AS_RAW, zdict=before)

    return ParallelGzip(raw, library.crc32, threads)


def _zstd() -> Any:
    """Return the library for zst.

    Raises:
        OperationError: there is none.
    """
    for name in ("compression.zstd", "zstandard"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise refusal("zst needs a library that is not installed: pip install 'batchrun[fast]'")


def _decompressor(form: str) -> _Decompressor:
    if form == "gz":
        try:
            fast = import_module("isal.isal_zlib")
        except ImportError:
            return zlib.decompressobj(31)
        made: _Decompressor = fast.decompressobj(31)
        return made
    if form == "xz":
        return lzma.LZMADecompressor()
    if form == "bz2":
        return bz2.BZ2Decompressor()
    library = _zstd()
    if library.__name__ == "zstandard":
        old: _Decompressor = library.ZstdDecompressor().decompressobj()
        return old
    new: _Decompressor = library.ZstdDecompressor()
    return new


def _errors(form: str) -> tuple[type[Exception], ...]:
    """Return what the decompressors of a format raise for broken data."""
    errors: list[type[Exception]] = [zlib.error, lzma.LZMAError, EOFError, ValueError, OSError]
    if form == "zst":
        errors.append(_zstd().ZstdError)
    if form == "gz":
        try:
            errors.append(import_module("isal.isal_zlib").error)
        except ImportError:
            return tuple(errors)
    return tuple(errors)


def decompressed(
    form: str,
    pieces: Iterable[memoryview],
    began: Callable[[int, int], object] = lambda *_: None,
) -> Generator[bytes, None, None]:
    """Yield the content of a compressed stream of one or more members, checked to its end.

    Zeros after the last member are padding, as for gzip(1).

    Args:
        form: The format.
        pieces: What is compressed.
        began: Told where each member begins: in what is compressed, and in its content.

    Raises:
        OperationError: the data is broken, cut off, or followed by something else.
    """
    machine = _decompressor(form)
    errors = _errors(form)
    fresh, begun = True, False
    before = content = 0
    began(0, 0)
    for piece in pieces:
        at = 0
        while at < len(piece):
            if fresh and begun and not any(piece[at:]):
                break
            part = piece[at : at + _PIECE]
            try:
                data = machine.decompress(part)
            except errors as error:
                what = "it is followed by something else" if fresh and begun else str(error)
                raise OperationError(f"not valid {form} data: {what}") from error
            fresh = False
            if data:
                content += len(data)
                yield data
            at += len(part)
            if machine.eof:
                at -= len(machine.unused_data)
                began(before + at, content)
                machine, fresh, begun = _decompressor(form), True, True
        before += len(piece)
    if not fresh or not begun:
        raise OperationError(f"not valid {form} data: it ends too early")
