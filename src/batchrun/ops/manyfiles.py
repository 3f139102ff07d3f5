"""Compress or decompress many files side by side, and parts of big ones.

The list is to a forest what a directory is. So is a big file that is to be compressed: it is
entered (the new file is made), there is work in it (ranges, each of which becomes a stream of its
own), and it is left (the streams are joined, it gets its name, and the original goes).
"""

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import inf
from stat import S_ISREG
from typing import Any, NamedTuple

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.ops.failures import Tally, failure
from batchrun.ops.rewriting import (
    Rewrite,
    changed_meanwhile,
    give_metadata,
    remove_original,
    rewrite_file,
)
from batchrun.ops.sharedfile import SharedFile, begin_shared
from batchrun.ops.tree.assembly import Joining
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.crawl import Listed, Node, Rest, begin, crawl, root_node
from batchrun.ops.tree.data import Beat, blocks
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import FILES, Answer, Payload, Root

__all__ = ["Aim", "RewriteForest", "rewrite_all", "rewrite_chunk", "target_of", "unpacked"]

_MEGABYTE = 1024 * 1024
#: Files of more than this are compressed in ranges, of this size.
_BIG_SIZE = 64 * _MEGABYTE
_RANGE_SIZE = 16 * _MEGABYTE
#: What compressing so many bytes costs, in files of usual size that are copied.
_COST_SIZE = 32 * 1024


class Aim(NamedTuple):
    """What everybody needs to know who works on the files of one unit; of standard types."""

    #: In a sentence: `compress` or `decompress`.
    doing: str
    #: How to compress.
    form: str
    level: int | None
    threads: int
    keep: bool


def target_of(path: str, aim: Aim) -> str:
    """Return what a file becomes."""
    return f"{path}.{aim.form}" if aim.doing == "compress" else unpacked(path)


def unpacked(path: str) -> str:
    """Return the name of a compressed file, or a pattern of such names, without its suffix."""
    stem, suffix = os.path.splitext(path)
    return stem + ".tar" if suffix == ".tgz" else stem


def rewrite_all(paths: list[str], aim: Aim, context: Context, tally: Tally) -> Done:
    """Do all of the files, or begin what several workers will do; one that fails stops no other."""
    settings = context.settings
    most = inf if settings.dry_run else settings.slice_cost or inf
    rewriter = _Rewriter(aim, context, tally, paths)
    try:
        rest = begin([root_node(())], rewriter, most, batch=1)
    except BaseException as error:
        rewriter.big.abandon()
        if isinstance(error, OperationError):
            raise tally.ended_early(error) from error
        raise
    if not rest[1]:
        return tally.done()
    answer: Answer = (tally.counted(), *rest, [])
    seed = (_CHUNK, tuple(aim), answer)
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


class RewriteForest(Forest):
    """Files that many workers compress or decompress."""

    def abandoned(self, token: Any, root: Root, path: str) -> None:  # noqa: ARG002 - a hook
        """Have what is there of a big file removed."""
        if token is not None:
            self.clean_up((path, token))


def rewrite_chunk(payload: Payload, context: Context) -> Done:
    """Do some of the files."""
    config, deaths, items, _ = payload
    tally = Tally()
    rewriter = _Rewriter(Aim(*config), context, tally, ())
    rest: Rest = ([], [], [])
    if deaths < 0:
        for path, token in items:
            rewriter.big.undo(path, token)
    else:
        most = 1 if deaths else context.settings.slice_cost or inf
        rest = crawl(items, rewriter, most, batch=1)
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{rewrite_chunk.__name__}"
_FOREST = f"{__name__}:{RewriteForest.__name__}"


class _Rewriter:
    """Visits the list of files, and big files."""

    def __init__(self, aim: Aim, context: Context, tally: Tally, paths: Iterable[str]) -> None:
        self._aim = aim
        self._context = context
        self._tally = tally
        self._paths = paths
        self.big = _BigFiles(aim, context, tally)

    def enter(self, node: Node) -> bool:
        """Begin a big file."""
        try:
            node.token = self.big.begin(node.path)
        except OperationError as error:
            self._tally.fail(error)
        return node.token is not None

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield the files, or the ranges of a big one."""
        if node.token is None:
            return ((path, FILES) for path in self._paths)
        return ((str(place), FILES) for place in range(_ranges(node.token)))

    def files(self, node: Node, names: list[str]) -> int:
        """Do some of the files, or some ranges of a big one."""
        before = self._tally.bytes_done
        for name in names:
            self._context.check()
            try:
                if node.token is not None:
                    self.big.work(node.path, node.token, int(name))
                elif self.big.takes(name):
                    node.later.append(name)
                else:
                    self._one(name)
            except OperationError as error:
                node.marked |= node.token is not None
                self._tally.fail(error)
        return len(names) + (self._tally.bytes_done - before) // _COST_SIZE

    def others(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - the protocol's
        """There is nothing else."""
        return 0

    def leave(self, node: Node) -> None:
        """Complete a big file; what has failed in it was told, and is not what all of it is."""
        if node.token is None:
            return
        if node.marked:
            self.big.undo(node.path, node.token)
            node.marked = False
            return
        try:
            self.big.finish(node.path, node.token)
        except OperationError as error:
            self.big.undo(node.path, node.token)
            self._tally.fail(error)

    def _one(self, path: str) -> None:
        self._tally.files_done += 1
        rewrite = _rewrite(path, self._aim, self._context, self._tally)
        rewrite_file(path, target_of(path, self._aim), rewrite)


def _rewrite(path: str, aim: Aim, context: Context, tally: Tally) -> Rewrite:
    """Say how a file is compressed, or decompressed."""
    from batchrun.ops.codecs import compressor, decompressed, format_of  # noqa: PLC0415 - heavy

    def compress(fd: int, beat: Beat) -> Generator[bytes, None, None]:
        machine = compressor(aim.form, aim.level, aim.threads)
        for block in blocks(fd, beat, most=os.fstat(fd).st_size):
            yield machine.compress(block)
        yield machine.flush()

    form = format_of(path) or ""

    def decompress(fd: int, beat: Beat) -> Generator[bytes, None, None]:
        return decompressed(form, blocks(fd, beat, most=os.fstat(fd).st_size))

    def back(fd: int, beat: Beat) -> Generator[bytes, None, None]:
        return decompressed(aim.form, blocks(fd, beat))

    packing = aim.doing == "compress"
    return Rewrite(
        context=context,
        tally=tally,
        doing=aim.doing,
        keep=aim.keep,
        forward=compress if packing else decompress,
        backward=back if packing else None,
    )


def _ranges(token: Any) -> int:
    size: int = token[2]
    return -(-size // _RANGE_SIZE)


class _BigFiles:
    """Compresses files in ranges, each of them to a stream of its own.

    A token is the temporary name, its device and inode, size, time and inode of the source.
    """

    def __init__(self, aim: Aim, context: Context, tally: Tally) -> None:
        self._aim = aim
        self._context = context
        self._tally = tally
        #: Begun here and not completed: tokens, by path.
        self._begun: dict[str, Any] = {}

    def takes(self, path: str) -> bool:
        """Tell whether a file is big, and nothing speaks against ranges."""
        settings = self._context.settings
        alone = settings.workers < 2 or not settings.slice_cost or settings.dry_run
        if alone or self._aim.doing != "compress":
            return False
        with suppress(OSError):
            st = os.lstat(path)
            is_big = S_ISREG(st.st_mode) and st.st_size > _BIG_SIZE
            return is_big and not os.path.lexists(target_of(path, self._aim))
        return False

    def begin(self, path: str) -> tuple[Any, ...]:
        """Make the new file."""
        try:
            st = os.lstat(path)
        except OSError as error:
            raise failure(error, "compress", path) from error
        target = target_of(path, self._aim)
        temp, identity = begin_shared(target, self._context, mode=0o600)
        token = temp, identity, st.st_size, st.st_mtime_ns, st.st_ino
        self._begun[path] = token
        return token

    def work(self, path: str, token: Any, place: int) -> None:
        """Compress a range."""
        from batchrun.ops.codecs import packed  # noqa: PLC0415 - loads the libraries

        start = place * _RANGE_SIZE
        data = bytearray()
        with self._opened(path, token) as fd:
            os.lseek(fd, start, os.SEEK_SET)
            most = min(_RANGE_SIZE, token[2] - start)
            for block in blocks(fd, self._beat, most=most):
                data += block
            self._file(path, token).put(place, packed(self._aim.form, self._aim.level, data))

    def finish(self, path: str, token: Any) -> None:
        """Give the new file its name, and remove the original; safe to be done twice."""
        target = target_of(path, self._aim)
        file = self._file(path, token)
        places = list(range(_ranges(token)))
        if not os.path.lexists(path) and file.is_named():
            return
        with self._opened(path, token) as fd:
            st = os.fstat(fd)
            if not file.is_named():
                file.join(Joining(0, file.sizes(places), []))
                self._complete(file, fd, st, target)
        file.remove(places)
        self._begun.pop(path, None)
        self._tally.changed = True
        self._tally.files_done += 1
        if not self._aim.keep:
            remove_original(path, st, _rewrite(path, self._aim, self._context, self._tally))

    def _complete(self, file: SharedFile, fd: int, st: os.stat_result, target: str) -> None:
        try:
            copy = file.opened()
            try:
                give_metadata(copy, fd, st, target, self._tally)
                if not self._aim.keep:
                    os.fsync(copy)
            finally:
                os.close(copy)
            file.name()
        except OSError as error:
            raise failure(error, "write", target) from error

    def abandon(self) -> None:
        """Remove what was begun here: nobody else knows of it."""
        for path, token in list(self._begun.items()):
            self.undo(path, token)

    def undo(self, path: str, token: Any) -> None:
        """Remove what there is of a new file."""
        self._begun.pop(path, None)
        self._file(path, token).undo(list(range(_ranges(token))))

    def _beat(self, size: int) -> None:
        self._tally.bytes_done += size
        self._context.check()
        self._context.progress(self._tally.bytes_done)

    def _file(self, path: str, token: Any) -> SharedFile:
        return SharedFile(target_of(path, self._aim), token[0], tuple(token[1]))

    @contextmanager
    def _opened(self, path: str, token: Any) -> Iterator[int]:
        """Open a source, which must be what it was when it was begun."""
        try:
            fd = os.open(path, READ)
            try:
                st = os.fstat(fd)
                if (st.st_size, st.st_mtime_ns, st.st_ino) != tuple(token[2:]):
                    raise changed_meanwhile(path, self._aim.doing)
                yield fd
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, self._aim.doing, path) from error
