"""The operations `compress` and `decompress`: each file to or from `.gz`, `.zst`, `.xz`, `.bz2`."""

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Any, Literal

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathPattern
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.targets import Item, chosen, finds, look_up
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.data import Beat, blocks, write_all
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import KEEP_ALL, apply_to_fd
from batchrun.ops.tree.selection import selection

__all__ = ["OPERATIONS", "Compress", "Decompress", "compress", "decompress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compress:
    """Parameters of `compress`."""

    src: Annotated[
        tuple[PathPattern, ...], Doc("Files or globs; each file becomes one of its own.")
    ]
    format: Annotated[Literal["gz", "zst", "xz", "bz2"], Doc("How to compress.")] = "gz"
    level: Annotated[
        int | None, Doc("How hard to try; by default fast for gz, else as the format's own tool.")
    ] = None
    keep: Annotated[bool, Doc("Leave the original.")] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of names that a glob finds in vain.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; a glob finds only names that match one.")
    ] = ()
    threads: Annotated[
        int, Doc("Threads that compress one file; 0: as many as there are CPUs to use.")
    ] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decompress:
    """Parameters of `decompress`."""

    src: Annotated[tuple[PathPattern, ...], Doc("Compressed files or globs.")]
    keep: Annotated[bool, Doc("Leave the compressed file.")] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of names that a glob finds in vain.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; a glob finds only names that match one.")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rewrite:
    """How one file becomes another with the same meaning."""

    context: Context
    tally: Tally
    #: In a sentence: `compress` or `decompress`.
    doing: str
    keep: bool
    #: Turn the blocks of the source into those of the target.
    forward: Callable[[int, Beat], Generator[bytes, None, None]]
    #: Turn the blocks of the target into those of the source, to compare; None: `forward` does.
    backward: Callable[[int, Beat], Generator[bytes, None, None]] | None = None

    def beat(self, size: int) -> None:
        """Count bytes, and stop when the unit has to."""
        self.tally.bytes_done += size
        self.context.check()
        self.context.progress(self.tally.bytes_done)


def _check(given: Mapping[str, Any]) -> list[str]:
    """Check the level against the format."""
    from batchrun.ops.codecs import level_problem  # noqa: PLC0415 - loads the libraries

    level, form = given.get("level"), given.get("format", "gz")
    known = isinstance(level, int) and isinstance(form, str)
    problem = level_problem(form, level) if known else ""
    return [problem] if problem else []


def compress(params: Compress, context: Context) -> Done:
    """Compress each file beside itself, and remove the original when that has worked."""
    from batchrun.ops.codecs import compressor, decompressed, is_compressed  # noqa: PLC0415 - as above

    problems = _check({"format": params.format, "level": params.level})
    if problems:
        raise refusal(problems[0])

    def forward(fd: int, beat: Beat) -> Generator[bytes, None, None]:
        machine = compressor(params.format, params.level, params.threads)
        for block in blocks(fd, beat, most=os.fstat(fd).st_size):
            yield machine.compress(block)
        yield machine.flush()

    def backward(fd: int, beat: Beat) -> Generator[bytes, None, None]:
        return decompressed(params.format, blocks(fd, beat))

    rewrite = _Rewrite(
        context=context,
        tally=Tally(),
        doing="compress",
        keep=params.keep,
        forward=forward,
        backward=backward,
    )
    patterns = selection(params.exclude, params.include)

    def one(item: Item) -> None:
        if chosen(item, patterns) and not is_compressed(item.path):
            _one(item, f"{item.path}.{params.format}", rewrite)

    def missed(pattern: str) -> None:
        # What it found before has its other name by now: then this is a repetition.
        if params.keep or not finds(f"{pattern}.{params.format}"):
            rewrite.tally.found_nothing(pattern)

    return _each(look_up(params.src, missed), one, context, rewrite.tally)


def decompress(params: Decompress, context: Context) -> Done:
    """Decompress each file beside itself, checked to its end before it gets its name."""
    from batchrun.ops.codecs import SUFFIXES, decompressed, format_of  # noqa: PLC0415 - as above

    tally = Tally()
    patterns = selection(params.exclude, params.include)

    def one(item: Item) -> None:
        if not chosen(item, patterns):
            return
        form = format_of(item.path)
        if form is None:
            if item.exact:
                suffixes = ", ".join(SUFFIXES)
                message = f"{shown(item.path)} does not end in one of {suffixes}"
                raise refusal(message)
            return
        if os.path.basename(item.path) in SUFFIXES:
            raise refusal(f"{shown(item.path)} would have no name left without its suffix")

        def forward(fd: int, beat: Beat) -> Generator[bytes, None, None]:
            return decompressed(form, blocks(fd, beat, most=os.fstat(fd).st_size))

        rewrite = _Rewrite(
            context=context, tally=tally, doing="decompress", keep=params.keep, forward=forward
        )
        _one(item, _unpacked(item.path), rewrite)

    def missed(pattern: str) -> None:
        # As above.
        if params.keep or format_of(pattern) is None or not finds(_unpacked(pattern)):
            tally.found_nothing(pattern)

    return _each(look_up(params.src, missed), one, context, tally)


def _unpacked(path: str) -> str:
    """Return the name of a compressed file, or a pattern of such names, without its suffix."""
    stem, suffix = os.path.splitext(path)
    return stem + ".tar" if suffix == ".tgz" else stem


def _each(
    items: Iterator[Item], one: Callable[[Item], None], context: Context, tally: Tally
) -> Done:
    """Do one file after the other; one that fails does not stop the rest."""
    # Held whole: what is written must not be found.
    for item in list(items):
        context.check()
        try:
            one(item)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _one(item: Item, target: str, rewrite: _Rewrite) -> None:
    """Write one file anew beside itself."""
    path, dry = item.path, rewrite.context.settings.dry_run
    try:
        st = os.lstat(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and os.path.isfile(target):
            return
        raise failure(error, rewrite.doing, path) from error
    if not S_ISREG(st.st_mode):
        _refuse_kind(item, st, rewrite)
        return
    with _reading(path, rewrite.doing) as fd:
        st = os.fstat(fd)
        if os.path.lexists(target):
            if _is_done(fd, st, target, rewrite):
                if rewrite.keep:
                    return
            else:
                raise refusal(f"{shown(target)} exists and is not {shown(path)} {rewrite.doing}ed")
        elif dry:
            _foresee(fd, target, rewrite)
        else:
            _write(fd, path, target, rewrite)
    rewrite.tally.changed = True
    if not rewrite.keep and not dry:
        _remove_original(path, st, rewrite)


def _foresee(fd: int, target: str, rewrite: _Rewrite) -> None:
    """Look in a dry run whether the target may be made, and whether the source begins well."""
    check_may_write(Place(None, target))
    if rewrite.backward is None:
        with closing(rewrite.forward(fd, rewrite.beat)) as pieces:
            next(pieces, b"")


def _refuse_kind(item: Item, st: os.stat_result, rewrite: _Rewrite) -> None:
    """Refuse what is not a regular file; what a glob found by the way is only noted."""
    kind = "a directory" if S_ISDIR(st.st_mode) else "not a regular file"
    hint = f"; use a glob such as {shown(item.path)}/**" if S_ISDIR(st.st_mode) else ""
    message = f"cannot {rewrite.doing} {shown(item.path)}: it is {kind}{hint}"
    if item.exact:
        raise refusal(message)
    if not S_ISDIR(st.st_mode):
        rewrite.tally.warn(message)


@contextmanager
def _reading(path: str, doing: str) -> Iterator[int]:
    """Open a file, and put its read errors into a sentence."""
    try:
        fd = os.open(path, READ)
        try:
            yield fd
        finally:
            os.close(fd)
    except OperationError as error:
        if shown(path) in str(error):
            raise
        message = f"cannot {doing} {shown(path)}: {error}"
        raise OperationError(message, errno=error.errno, retryable=error.retryable) from error
    except OSError as error:
        raise failure(error, doing, path) from error


def _write(fd: int, path: str, target: str, rewrite: _Rewrite) -> None:
    """Write the target; nothing is left when the source is broken or changes meanwhile."""
    st = os.fstat(fd)
    with new_file(target, rewrite.context, durable=not rewrite.keep) as copy:
        for data in rewrite.forward(fd, rewrite.beat):
            write_all(copy, data)
        for lost in apply_to_fd(copy, st, KEEP_ALL, attributes_from=fd):
            rewrite.tally.warn(f"{shown(target)}: could not preserve {lost}")
        _check_unchanged(os.fstat(fd), st, path, rewrite)


def _check_unchanged(now: os.stat_result, st: os.stat_result, path: str, rewrite: _Rewrite) -> None:
    if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != (
        st.st_dev,
        st.st_ino,
        st.st_size,
        st.st_mtime_ns,
    ):
        raise OperationError(f"{shown(path)} changed while it was {rewrite.doing}ed; it was kept")


def _remove_original(path: str, st: os.stat_result, rewrite: _Rewrite) -> None:
    """Remove the source, if it still is what was read."""
    try:
        _check_unchanged(os.lstat(path), st, path, rewrite)
        os.unlink(path)
    except OSError as error:
        raise failure(error, "remove", path) from error


def _is_done(fd: int, st: os.stat_result, target: str, rewrite: _Rewrite) -> bool:
    """Tell whether the target is what the source would become.

    An original that is kept needs only the same time; one that is about to go, the same content.
    """
    with _reading(target, "read") as other:
        there = os.fstat(other)
        if not S_ISREG(there.st_mode):
            return False
        if rewrite.keep and there.st_mtime_ns == st.st_mtime_ns:
            return True
        if rewrite.backward is not None:
            same = _reads_as(fd, rewrite.backward(other, rewrite.beat))
        else:
            same = _reads_as(other, rewrite.forward(fd, rewrite.beat))
    os.lseek(fd, 0, os.SEEK_SET)
    return same


def _reads_as(fd: int, pieces: Iterator[bytes]) -> bool:
    """Compare a file with a stream of bytes."""
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            found = os.read(fd, len(rest))
            if not found or rest[: len(found)] != found:
                return False
            rest = rest[len(found) :]
    return os.read(fd, 1) == b""


#: The new file is beside the old one.
_USES = (
    PathUse(field="src", effect="changes", whole=False),
    PathUse(field="src", effect="removes", whole=False, unless="keep"),
)

OPERATIONS = {
    "compress": Operation(
        name="compress",
        summary="Compress each file beside itself, with its metadata.",
        params=Compress,
        function=compress,
        main="src",
        check=_check,
        uses=_USES,
        example="compress: {src: /var/log/app/*.log, format: zst}\n",
    ),
    "decompress": Operation(
        name="decompress",
        summary="Decompress each file beside itself, checked to its end.",
        params=Decompress,
        function=decompress,
        main="src",
        uses=_USES,
        example="decompress: /data/incoming/*.gz\n",
    ),
}
