"""The operation `compare`: two trees, and what is different about them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from stat import S_IFMT, S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import Annotated, Any, Literal, NamedTuple, Self

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Captured, Failed, Ok, Output
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, trimmed
from batchrun.ops.tree.crawl import Listed, Node, Rest, begin, crawl, root_node
from batchrun.ops.tree.data import same_data, write_all
from batchrun.ops.tree.doors import Doors, root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.glance import equals
from batchrun.ops.tree.listing import entries
from batchrun.ops.tree.metadata import Keep, attributes, keeping
from batchrun.ops.tree.parcels import COMPLETE, DIRS, Answer, Payload
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.sides import OneSide
from batchrun.ops.tree.spool import Spool, spool_path

__all__ = ["OPERATIONS", "Compare", "CompareForest", "compare", "compare_chunk"]

#: Differences that the output of the unit lists; a report lists all.
_MOST_LISTED = 1000
_SAME, _REMOVED, _ADDED, _DIFFERENT, _UNKNOWN = "=", "-", "+", "*", "!"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Files that are looked at in the time that one is copied.
_PER_COST = 4
_USUAL_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """Parameters of `compare`."""

    src: Annotated[PathText, Doc("The one directory.")]
    dest: Annotated[PathText, Doc("The other directory, which should be like it.")]
    checksum: Annotated[bool, Doc("Read all files, instead of going by their sizes and times.")] = (
        False
    )
    metadata: Annotated[
        tuple[Literal["mode", "owner", "times", "xattrs", "acl"], ...],
        Doc("What else must be the same; without `times` files count as the same by size alone."),
    ] = ("mode", "owner", "times")
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what is not looked at, on both sides.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only files that match one are compared.")
    ] = ()
    report: Annotated[
        PathText | None,
        Doc(
            "File for the whole list: a mark and a path in each line. `=` the same, `-` only in "
            "`dest`, `+` only in `src`, `*` different, `!` cannot be compared."
        ),
    ] = None


def compare(params: Compare, context: Context) -> Done:
    """Compare two trees; fails where they differ."""
    tally, work = Tally(), _Work.of(params, context)
    if params.report is not None:
        make_parents(params.report, dry=context.settings.dry_run)
    with _Comparer(context, tally, work) as comparer:
        root = _root(params)
        # A dry run leaves nothing for the one who would put it together.
        most = inf if context.settings.dry_run else context.settings.slice_cost or inf
        comparer.compare_root(root)
        rest = begin([root], comparer, most)
        if not rest[1]:
            _write_report(work, sorted(comparer.lines, key=_key), context)
            return _judged(tally, comparer.counts, comparer.found)
        extras = comparer.extras()
    seed = (_CHUNK, tuple(work), (tally.counted(), *rest, extras))
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


class _Work(NamedTuple):
    """What everybody needs to know who compares."""

    checksum: bool
    metadata: tuple[str, ...]
    patterns: tuple[tuple[str, ...], tuple[str, ...]]
    #: The report, and where its lines are kept until it is complete; empty: none is asked for.
    report: str
    spool: str

    @classmethod
    def of(cls, params: Compare, context: Context) -> Self:
        """Take it from the parameters."""
        report = params.report or ""
        return cls(
            checksum=params.checksum,
            metadata=params.metadata,
            patterns=(params.exclude, params.include),
            report=report,
            spool=spool_path(report, context) if report else "",
        )


def _root(params: Compare) -> Node:
    """Open both trees.

    Raises:
        OperationError: one of them is not there, or no directory.
    """
    sides: list[Any] = []
    for path in (trimmed(params.src), trimmed(params.dest)):
        try:
            fd = os.open(path, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
        except OSError as error:
            raise failure(error, "compare", path) from error
        sides += root_of(path, fd)
        os.close(fd)
    if sides[1:3] == sides[4:6]:
        raise refusal(f"{shown(params.src)} and {shown(params.dest)} are the same directory")
    return root_node(tuple(sides))


class _Comparer(OneSide):
    """Compares what is in the directories of one tree with those of the other one."""

    def __init__(self, context: Context, tally: Tally, work: _Work) -> None:
        super().__init__(context, tally, selection(*work.patterns))
        self.doors = Doors(0, follow=True)
        self._others = Doors(1, follow=True)
        self._work = work
        #: How many have each mark.
        self.counts: dict[str, int] = {}
        #: Differences, as lines; at most `_MOST_LISTED`.
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
            self._mark(_ADDED if st is None else _DIFFERENT, node.path + "/")
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
                    self._mark(_REMOVED, prefix + name + ("/" if kind == DIRS else ""))
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
            self.counts[_SAME] = self.counts.get(_SAME, 0) + same
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
                self._mark(_ADDED, path)
            elif self._is_same(one, here, other, there):
                self._mark(_SAME, path)
            else:
                self._mark(_DIFFERENT, path)
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
        if mark != _SAME and len(self.found) < _MOST_LISTED:
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


class CompareForest(Forest):
    """Two trees that many workers compare."""

    def __init__(self, seed: tuple[str, Any, Answer]) -> None:
        self._counts: dict[str, int] = {}
        self._found: list[str] = []
        super().__init__(seed)
        if _Work(*self.config).report:
            self.clean_up("report")

    def heard(self, extras: list[Any]) -> None:
        """Add up what was found."""
        for counts, found in extras:
            for mark, count in counts.items():
                self._counts[mark] = self._counts.get(mark, 0) + count
            self._found += found[: _MOST_LISTED - len(self._found)]

    def result(self) -> Done:
        """Return how it ended."""
        return _judged(self.tally, self._counts, self._found)


def compare_chunk(payload: Payload, context: Context) -> Done:
    """Compare a piece of two trees, or put the report together."""
    config, deaths, items, _ = payload
    work, tally = _Work(*config), Tally()
    rest: Rest = ([], [], [])
    extras: list[Any] = []
    if deaths < 0:
        spool = Spool(work.spool)
        try:
            if deaths == COMPLETE:
                _write_report(work, spool.sorted(_key), context)
        finally:
            spool.remove()
    else:
        with _Comparer(context, tally, work) as comparer:
            rest = crawl(items, comparer, 1 if deaths else context.settings.slice_cost or inf)
            extras = comparer.extras()
    answer = (tally.counted(), *rest, extras)
    return Done(outcome=Ok(changed=False), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{compare_chunk.__name__}"
_FOREST = f"{__name__}:{CompareForest.__name__}"


def _key(line: bytes) -> bytes:
    """Return by what the lines of a report are put in order: the path."""
    return line[2:]


def _write_report(work: _Work, lines: list[bytes], context: Context) -> None:
    if not work.report:
        return
    if context.settings.dry_run:
        check_may_write(Place(None, os.path.abspath(work.report)))
        return
    from batchrun.ops.atomic import new_file  # noqa: PLC0415 - only where one is asked for

    with new_file(work.report, context, mode=0o666) as fd:
        write_all(fd, b"".join(lines))


def _judged(tally: Tally, counts: dict[str, int], found: list[str]) -> Done:
    """Say how a comparison ended, with what is different as the output."""
    said = {_DIFFERENT: "different", _ADDED: "only in src", _REMOVED: "only in dest"}
    parts = [f"{counts[mark]} {what}" for mark, what in said.items() if counts.get(mark)]
    if not parts:
        return tally.done(note=f"{counts.get(_SAME, 0)} are the same")
    done = tally.done()
    more = sum(counts.values()) - counts.get(_SAME, 0) - len(found)
    lines = [*sorted(found, key=lambda line: line[2:]), *([f"and {more} more"] if more else [])]
    listing = Captured(head="".join(f"{line}\n" for line in lines).encode())
    message = f"the trees differ: {', '.join(parts)}"
    if isinstance(done.outcome, Failed):
        message += f"; {done.outcome.message}"
    outcome = Failed(message=message, retryable=tally.failed, finding=not tally.failed)
    return replace(done, outcome=outcome, output=Output(stdout=listing))


OPERATIONS = {
    "compare": Operation(
        name="compare",
        summary="Compare two trees, and fail where they differ.",
        params=Compare,
        function=compare,
        main="src",
        uses=(
            PathUse(field="src", effect="reads"),
            PathUse(field="dest", effect="reads"),
            PathUse(field="report", effect="changes", whole=False),
        ),
        example="compare: {src: /srv/www, dest: /mnt/backup/www, checksum: true}\n",
    )
}
