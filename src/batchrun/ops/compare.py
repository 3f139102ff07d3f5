"""The operation `compare`: two trees, and what is different about them."""

import os
from dataclasses import dataclass, replace
from math import inf
from typing import Annotated, Any, Literal

from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Captured, Failed, Ok, Output
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathText
from batchrun.ops.comparing import ADDED, DIFFERENT, MOST_LISTED, REMOVED, SAME, Comparer, Work
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, trimmed
from batchrun.ops.tree.crawl import Node, Rest, begin, crawl, root_node
from batchrun.ops.tree.data import write_all
from batchrun.ops.tree.doors import root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import COMPLETE, Answer, Payload
from batchrun.ops.tree.spool import Spool, spool_path

__all__ = ["OPERATIONS", "Compare", "CompareForest", "compare", "compare_chunk"]


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
    tally, work = Tally(), _work_of(params, context)
    if params.report is not None:
        make_parents(params.report, dry=context.settings.dry_run)
    with Comparer(context, tally, work) as comparer:
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


def _work_of(params: Compare, context: Context) -> Work:
    """Take what everybody needs to know from the parameters."""
    report = params.report or ""
    return Work(
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


class CompareForest(Forest):
    """Two trees that many workers compare."""

    def __init__(self, seed: tuple[str, Any, Answer]) -> None:
        self._counts: dict[str, int] = {}
        self._found: list[str] = []
        super().__init__(seed)
        if Work(*self.config).report:
            self.clean_up("report")

    def heard(self, extras: list[Any]) -> None:
        """Add up what was found."""
        for counts, found in extras:
            for mark, count in counts.items():
                self._counts[mark] = self._counts.get(mark, 0) + count
            self._found += found[: MOST_LISTED - len(self._found)]

    def result(self) -> Done:
        """Return how it ended."""
        return _judged(self.tally, self._counts, self._found)


def compare_chunk(payload: Payload, context: Context) -> Done:
    """Compare a piece of two trees, or put the report together."""
    config, deaths, items, _ = payload
    work, tally = Work(*config), Tally()
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
        with Comparer(context, tally, work) as comparer:
            rest = crawl(items, comparer, 1 if deaths else context.settings.slice_cost or inf)
            extras = comparer.extras()
    answer = (tally.counted(), *rest, extras)
    return Done(outcome=Ok(changed=False), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{compare_chunk.__name__}"
_FOREST = f"{__name__}:{CompareForest.__name__}"


def _key(line: bytes) -> bytes:
    """Return by what the lines of a report are put in order: the path."""
    return line[2:]


def _write_report(work: Work, lines: list[bytes], context: Context) -> None:
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
    said = {DIFFERENT: "different", ADDED: "only in src", REMOVED: "only in dest"}
    parts = [f"{counts[mark]} {what}" for mark, what in said.items() if counts.get(mark)]
    if not parts:
        return tally.done(note=f"{counts.get(SAME, 0)} are the same")
    done = tally.done()
    more = sum(counts.values()) - counts.get(SAME, 0) - len(found)
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
