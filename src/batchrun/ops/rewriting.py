"""Write a file anew beside itself, in another form with the same meaning; the old one goes."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from stat import S_ISREG

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.data import Beat, write_all
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import KEEP_ALL, apply_to_fd

__all__ = ["Rewrite", "changed_meanwhile", "give_metadata", "remove_original", "rewrite_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
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


def rewrite_file(path: str, target: str, rewrite: Rewrite) -> None:
    """Write one file anew.

    Raises:
        OperationError: it could not be written; what was there is as it was.
    """
    dry = rewrite.context.settings.dry_run
    try:
        st = os.lstat(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and os.path.isfile(target):
            return
        raise failure(error, rewrite.doing, path) from error
    if not S_ISREG(st.st_mode):
        rewrite.tally.warn(f"cannot {rewrite.doing} {shown(path)}: it is not a regular file")
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
        remove_original(path, st, rewrite)


def _foresee(fd: int, target: str, rewrite: Rewrite) -> None:
    """Look in a dry run whether the target may be made, and whether the source begins well."""
    check_may_write(Place(None, target))
    if rewrite.backward is None:
        with closing(rewrite.forward(fd, rewrite.beat)) as pieces:
            next(pieces, b"")


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


def _write(fd: int, path: str, target: str, rewrite: Rewrite) -> None:
    """Write the target; nothing is left when the source is broken or changes meanwhile."""
    st = os.fstat(fd)
    with new_file(target, rewrite.context, durable=not rewrite.keep) as copy:
        for data in rewrite.forward(fd, rewrite.beat):
            write_all(copy, data)
        give_metadata(copy, fd, st, target, rewrite.tally)
        _check_unchanged(os.fstat(fd), st, path, rewrite)


def give_metadata(copy: int, fd: int, st: os.stat_result, target: str, tally: Tally) -> None:
    """Give the new file all that the old one has beside its content."""
    for lost in apply_to_fd(copy, st, KEEP_ALL, attributes_from=fd):
        tally.warn(f"{shown(target)}: could not preserve {lost}")


def _check_unchanged(now: os.stat_result, st: os.stat_result, path: str, rewrite: Rewrite) -> None:
    """Raise if a file is not what it was."""
    if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != (
        st.st_dev,
        st.st_ino,
        st.st_size,
        st.st_mtime_ns,
    ):
        raise changed_meanwhile(path, rewrite.doing)


def changed_meanwhile(path: str, doing: str) -> OperationError:
    """Make the error for a file that is not what it was when it was begun."""
    return OperationError(f"{shown(path)} changed while it was {doing}ed; it was kept")


def remove_original(path: str, st: os.stat_result, rewrite: Rewrite) -> None:
    """Remove the source, if it still is what was read."""
    try:
        _check_unchanged(os.lstat(path), st, path, rewrite)
        os.unlink(path)
    except OSError as error:
        raise failure(error, "remove", path) from error


def _is_done(fd: int, st: os.stat_result, target: str, rewrite: Rewrite) -> bool:
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
