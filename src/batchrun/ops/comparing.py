"""Compare what is in the directories of two trees: what one worker does with each of them."""

import os
from collections.abc import Iterator
from stat import S_IFMT, S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, NamedTuple

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.paths import shown
from batchrun.ops.tree.crawl import Listed, Node
from batchrun.ops.tree.data import same_data
from batchrun.ops.tree.doors import Doors
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.glance import equals
from batchrun.ops.tree.listing import entries
from batchrun.ops.tree.metadata import Keep, attributes, keeping
from batchrun.ops.tree.parcels import DIRS
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.sides import OneSide
from batchrun.ops.tree.spool import Spool

__all__ = [
    "ADDED", "DIFFERENT", "MOST_LISTED", "REMOVED", "SAME", "Comparer", "Work",
]  # fmt: skip

#: Differences that the output of the unit lists; a report lists all.
MOST_LISTED = 1000
SAME, REMOVED, ADDED, DIFFERENT, _UNKNOWN = "=", "-", "+", "*", "!"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Files that are looked at in the time that one is copied.
_PER_COST = 4
_USUAL_SIZE = 64 * 1024


class Work(NamedTuple):
    """What everybody needs to know who compares."""

    checksum: bool
    metadata: tuple[str, ...]
    patterns: tuple[tuple[str, ...], tuple[str, ...]]
    #: The report, and where its lines are kept until it is complete; empty: none is asked for.
    report: str
    spool: str


class Comparer(OneSide):
    """Compares what is in the directories of one tree with those of the other one."""

    def __init__(self, context: Context, tally: Tally, work: Work) -> None:
        super().__init__(context, tally, selection(*work.patterns))
        self.doors = Doors(0, follow=True)
        self._others = Doors(1, follow=True)
        self._work = work
        #: How many have each mark.
        self.counts: dict[str, int] = {}
        #: Differences, as lines; at most `MOST_LISTED`.
        self.found: list[str] = []
        #: Lines for the report.
        self.lines: list[bytes] = []
        self._keep = keep = keeping(work.metadata)
        #: Most files can be told to be the same by what is known of them without opening them.
        self._at_a_glance = not (keep.xattrs or keep.acl or work.checksum or work.report)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._others.__exit__(None, None, None)

    def extras(self) -> list[Any]:
        """Return what the forest is to know; lines for the report go to all the others."""
        try:
            Spool(self._work.spool).add(self.lines)
        except OSError as error:
            raise failure(error, "write", self._work.report) from error
        return [(self.counts, self.found)]

    def compare_root(self, root: Node) -> None:
        """Compare the two directories themselves."""
        self._mark_of(".", self.doors.at(root, "."), self._others.at(root, "."))

    def enter(self, node: Node) -> bool:
        """Go into a directory that both sides have."""
        above = node.parent
        if above is None or not super().enter(node):
            return False
        here, there = self.doors.at(above, node.name), self._others.at(above, node.name)
        st = there.lstat()
        if st is None or not S_ISDIR(st.st_mode):
            self.doors.leave(node)
            self._mark(ADDED if st is None else DIFFERENT, node.path + "/")
            return False
        try:
            self._others.enter(node)
        except OSError as error:
            self.doors.leave(node)
            self._unknown(node.path + "/", failure(error, "open the directory", there.path))
            return False
        self._mark_of(node.path + "/", here, there)
        return True

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield what is in the first directory; what only the second one has is told at once."""
        names = set()
        for name, kind in super().listed(node):
            names.add(name)
            yield name, kind
        prefix = f"{node.path}/" if node.path else ""
        try:
            for name, kind in entries(self._others.fd(node), temporaries=False):
                if name not in names and self._is_meant(prefix + name, kind):
                    self._mark(REMOVED, prefix + name + ("/" if kind == DIRS else ""))
        except OSError as error:
            self.tally.fail(failure(error, "list the directory", self._others.prefix(node)))

    def files(self, node: Node, names: list[str]) -> int:
        """Compare what is no directory."""
        before = self.tally.bytes_done
        here = self.directory(node, "open the directory")
        if here is None:
            return 1
        prefix = f"{node.path}/" if node.path else ""
        try:
            one, other = self.doors.at(node, ""), self._others.at(node, "")
        except OSError as error:
            self._unknown(prefix, failure(error, "open the directory", self._others.prefix(node)))
            return 1
        names = self.meant(node, names)
        self.tally.files_done += len(names)
        if self._at_a_glance:
            same, names = equals(one, other, names)
            self.counts[SAME] = self.counts.get(SAME, 0) + same
        for name in names:
            one.name = other.name = name
            self._mark_of(prefix + name, one, other)
        read = self.tally.bytes_done - before
        return len(names) // _PER_COST + 1 + read // _USUAL_SIZE

    #: Whatever it is, it is looked at in the same way.
    others = files

    def leave(self, node: Node) -> None:
        """Close both directories."""
        super().leave(node)
        self._others.leave(node)

    def _is_meant(self, path: str, kind: int) -> bool:
        chosen = self.selected
        if chosen is None:
            return True
        return chosen.enters(path) if kind == DIRS else chosen.takes(path, is_dir=False)

    def _mark_of(self, path: str, one: Place, other: Place) -> None:
        """Compare two things of the same name."""
        try:
            here, there = one.lstat(), other.lstat()
            if here is None:
                self.tally.vanished(one.path)
                return
            if there is None:
                self._mark(ADDED, path)
            elif self._is_same(one, here, other, there):
                self._mark(SAME, path)
            else:
                self._mark(DIFFERENT, path)
        except OSError as error:
            self._unknown(path, failure(error, "compare", one.path))

    def _is_same(
        self, one: Place, here: os.stat_result, other: Place, there: os.stat_result
    ) -> bool:
        keep = self._keep
        if not _looks_the_same(here, there, keep):
            return False
        if (keep.xattrs or keep.acl) and attributes(one.via_proc(), keep) != attributes(
            other.via_proc(), keep
        ):
            return False
        if S_ISREG(here.st_mode):
            return not self._work.checksum or self._reads_the_same(one, other)
        return not S_ISLNK(here.st_mode) or one.readlink() == other.readlink()

    def _reads_the_same(self, one: Place, other: Place) -> bool:
        fd = os.open(one.name, _READ, dir_fd=one.dir_fd)
        try:
            another = os.open(other.name, _READ, dir_fd=other.dir_fd)
            try:
                return same_data(fd, another, self._beat)
            finally:
                os.close(another)
        finally:
            os.close(fd)

    def _beat(self, size: int) -> None:
        self.tally.bytes_done += size
        self.context.check()
        self.context.progress(self.tally.bytes_done)

    def _unknown(self, path: str, error: OperationError) -> None:
        self.tally.fail(error)
        self._mark(_UNKNOWN, path)

    def _mark(self, mark: str, path: str) -> None:
        self.counts[mark] = self.counts.get(mark, 0) + 1
        if mark != SAME and len(self.found) < MOST_LISTED:
            self.found.append(f"{mark} {shown(path)}")
        if self._work.report:
            self.lines.append(f"{mark} {shown(path)}\n".encode())


def _looks_the_same(here: os.stat_result, there: os.stat_result, keep: Keep) -> bool:
    """Compare two things by what is known of them without opening them."""
    mode = here.st_mode
    return (
        S_IFMT(mode) == S_IFMT(there.st_mode)
        and (not keep.times or here.st_mtime_ns == there.st_mtime_ns)
        and (not keep.mode or S_ISLNK(mode) or S_IMODE(mode) == S_IMODE(there.st_mode))
        and (not keep.owner or (here.st_uid, here.st_gid) == (there.st_uid, there.st_gid))
        and (not S_ISREG(mode) or here.st_size == there.st_size)
        and here.st_rdev == there.st_rdev
    )
