"""Compute the checksums of files, one after the other, or of those of whole trees."""

import os
from typing import NamedTuple

from batchrun.model.operation import Context
from batchrun.model.values import Glob
from batchrun.ops.failures import Tally, failure
from batchrun.ops.manifest import line_of
from batchrun.ops.tree.crawl import Node
from batchrun.ops.tree.data import BLOCK_SIZE, blocks, borrow, give_back
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.sides import OneSide
from batchrun.ops.tree.spool import Spool

__all__ = ["USUAL_SIZE", "Hasher", "Job"]

#: Size of a file of usual size, in bytes, for the cost of bigger ones.
USUAL_SIZE = 64 * 1024


class Job(NamedTuple):
    """What everybody needs to know who computes checksums for one unit."""

    algorithm: str
    #: Gitignore-style patterns of what is left out, and of what alone is taken.
    patterns: tuple[tuple[str, ...], tuple[str, ...]]
    #: The manifest, absolute.
    manifest: str
    #: As the user has written it.
    dest: str
    #: Where lines are kept until it is complete.
    spool: str
    sources: tuple[str | Glob, ...]


class Hasher(OneSide):
    """Hashes files, one after the other, or those of whole trees."""

    def __init__(self, job: Job, context: Context, tally: Tally) -> None:
        import hashlib  # noqa: PLC0415 - loads OpenSSL: only when used

        super().__init__(context, tally, selection(*job.patterns))
        self._job = job
        self._empty = hashlib.new(job.algorithm, usedforsecurity=False)
        #: How many hexadecimal digits a checksum has.
        self.digits = self._empty.digest_size * 2
        self._buffer = borrow()
        #: Lines of the manifest, as far as they are not in the spool.
        self.lines: list[bytes] = []

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        give_back(self._buffer)

    def _beat(self, size: int) -> None:
        self.tally.bytes_done += size
        self.context.check()
        self.context.progress(self.tally.bytes_done)

    def _count(self, size: int) -> None:
        self.tally.bytes_done += size

    def of(self, path: str) -> str:
        """Return the checksum of a file, or what a symlink leads to, in hexadecimal digits.

        Raises:
            OSError: it cannot be read.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return self._digest(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def _digest(self, fd: int, size: int) -> str:
        digest = self._empty.copy()
        if 0 < size < BLOCK_SIZE:
            # Small enough for one read, which says by its length that this was all.
            buffer = self._buffer
            if os.preadv(fd, [buffer], 0) == size:
                digest.update(buffer[:size])
                self.tally.bytes_done += size
                return digest.hexdigest()
        # A file that grows all the time has an end, too: where it was at the beginning.
        beat = self._count if size <= BLOCK_SIZE else self._beat
        for block in blocks(fd, beat, most=size or None):
            digest.update(block)
        return digest.hexdigest()

    def single(self, name: str, path: str) -> None:
        """List a file that was named, or found by a pattern."""
        if path in {self._job.manifest, self._job.spool}:
            return
        try:
            self.lines.append(line_of(self.of(path), name))
        except OSError as error:
            self.tally.fail(failure(error, "read", path))

    def files(self, node: Node, names: list[str]) -> int:
        """List files of a directory."""
        fd = self.directory(node, "read the directory")
        if fd is None:
            return 1
        prefix, listed_as = self.doors.prefix(node), f"{node.root[3]}{node.path}/".lstrip("/")
        if not node.path:
            listed_as = str(node.root[3])
        before = self.tally.bytes_done
        names = [name for name in self.meant(node, names) if prefix + name != self._job.manifest]
        self.tally.files_done += len(names)
        for name, file, size in self.opened(node, fd, names):
            try:
                self.lines.append(line_of(self._digest(file, size), listed_as + name))
            except OSError as error:
                self.tally.fail(failure(error, "read", prefix + name))
        self._beat(0)
        return len(names) + (self.tally.bytes_done - before) // USUAL_SIZE

    def others(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - the protocol's
        """Pass over what has no content."""
        return 0

    def put_aside(self) -> None:
        """Put the lines where all workers put theirs."""
        try:
            Spool(self._job.spool).add(self.lines)
        except OSError as error:
            raise failure(error, "write", self._job.dest) from error
        self.lines = []
