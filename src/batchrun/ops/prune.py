"""The operation `prune`: delete by age, size and name, and keep what a retention rule names."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Any, Literal, NamedTuple

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathPattern, Seconds, SizeBytes
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.patterns import compiled
from batchrun.ops.protected import check_deletable
from batchrun.ops.targets import look_up
from batchrun.ops.tree.crawl import Listed, Node, begin, crawl, root_node
from batchrun.ops.tree.doors import root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import DIRS, FILES, Answer, Payload
from batchrun.ops.tree.removing import Removing, remove
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.sides import OneSide

__all__ = ["OPERATIONS", "Prune", "prune", "prune_chunk"]

#: Files deleted in the time that one is copied, and what a directory counts.
_PER_COST = 4
_DIRECTORY_COST = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Parameters of `prune`."""

    path: Annotated[tuple[PathPattern, ...], Doc("Directories in which things are deleted.")]
    name: Annotated[
        tuple[str, ...], Doc("Patterns of the names that are meant, such as `*.log`; empty: all.")
    ] = ()
    type: Annotated[
        Literal["file", "directory"],
        Doc("Delete files, or the directories that lie in `path`, with what is in them."),
    ] = "file"
    older_than: Annotated[Seconds | None, Doc("Only what was changed longer ago than this.")] = None
    larger_than: Annotated[SizeBytes | None, Doc("Only files of more than this.")] = None
    smaller_than: Annotated[SizeBytes | None, Doc("Only files of less than this.")] = None
    keep: Annotated[int | None, Doc("Keep so many, the newest ones.")] = None
    keep_daily: Annotated[
        int | None, Doc("Keep the newest one of each of the last so many days that have one.")
    ] = None
    keep_weekly: Annotated[int | None, Doc("The same for weeks, which begin on Monday.")] = None
    keep_monthly: Annotated[int | None, Doc("The same for months.")] = None
    group_by: Annotated[
        str | None,
        Doc(
            "Regular expression: names in which its first group is the same are counted together "
            "by `keep` and its like; those that it does not match are kept. By default all in a "
            "directory are."
        ),
    ] = None
    recursive: Annotated[
        bool, Doc("In the directories below as well, each of them counted by itself.")
    ] = False
    empty_dirs: Annotated[
        bool, Doc("Delete directories below that are empty, too; with `older_than`, old ones.")
    ] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what stays, below each path.")
    ] = ()


_CONDITIONS = ("older_than", "larger_than", "smaller_than", "name")
_KEEPS = ("keep", "keep_daily", "keep_weekly", "keep_monthly")


def _check(given: Mapping[str, Any]) -> list[str]:
    """Refuse to delete everything, and what means nothing."""
    problems = []
    if not any(given.get(name) is not None for name in (*_CONDITIONS, *_KEEPS, "empty_dirs")):
        problems.append(
            "prune needs `older_than`, a size, `name`, `keep` or its like; `delete` deletes all"
        )
    for name in _KEEPS:
        count = given.get(name)
        if isinstance(count, int) and count < 1:
            problems.append(f"`{name}` must be at least 1; leave it out to keep none by it")
    if given.get("type") == "directory" and any(
        given.get(name) for name in ("larger_than", "smaller_than", "recursive", "empty_dirs")
    ):
        problems.append("directories are not chosen by size, nor below others")
    pattern = given.get("group_by")
    if isinstance(pattern, str):
        try:
            if re.compile(pattern).groups < 1:
                problems.append("`group_by` needs a group in parentheses: what is to be the same")
        except re.error as error:
            problems.append(f"`group_by` is not a regular expression: {error}")
    return problems


class _Config(NamedTuple):
    """What everybody needs to know who prunes."""

    params: Prune
    #: By which ages are counted, in seconds since the epoch.
    now_s: float


def prune(params: Prune, context: Context) -> Done:
    """Delete what meets all conditions and is not kept."""
    fields = (*_CONDITIONS, *_KEEPS, "empty_dirs", "type", "recursive", "group_by")
    given = {name: value for name in fields if (value := getattr(params, name))}
    problems = _check(given)
    if problems:
        raise refusal(problems[0])
    tally, config = Tally(), _Config(params, time.time())
    with _Pruner(config, context, tally) as pruner:
        roots = []
        for item in look_up(params.path, tally.found_nothing):
            context.check()
            root = _root(item.path, tally)
            roots += [] if root is None else [root]
        rest = begin(reversed(roots), pruner, context.settings.slice_cost or inf)
    if not rest[1]:
        return tally.done()
    answer: Answer = (tally.counted(), *rest, [])
    seed = (_CHUNK, tuple(config), answer)
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


def prune_chunk(payload: Payload, context: Context) -> Done:
    """Prune a piece of a tree."""
    config, deaths, items, _ = payload
    tally = Tally()
    with _Pruner(_Config(*config), context, tally) as pruner:
        rest = crawl(items, pruner, 1 if deaths else context.settings.slice_cost or inf)
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=tally.changed), answer=answer)


_CHUNK = f"{__name__}:{prune_chunk.__name__}"
_FOREST = f"{Forest.__module__}:{Forest.__name__}"


def _root(path: str, tally: Tally) -> Node | None:
    """Open a directory to be pruned; None: it is missing, which is fine, or cannot be opened."""
    if os.path.realpath(path) == "/":
        tally.fail(refusal("refused to prune /: it is the root of the filesystem"))
        return None
    try:
        fd = os.open(path, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        tally.fail(failure(error, "prune", path))
        return None
    try:
        return root_node(root_of(os.path.realpath(path), fd))
    finally:
        os.close(fd)


class _Pruner(OneSide):
    """Deletes what is chosen in each directory."""

    def __init__(self, config: _Config, context: Context, tally: Tally) -> None:
        params = config.params
        super().__init__(context, tally, selection(params.exclude, ()))
        self._params = params
        self._now_s = config.now_s
        self._dry = context.settings.dry_run
        self._kind = DIRS if params.type == "directory" else FILES
        self._is_meant = _names(params.name)
        self._keeps = any(getattr(params, name) is not None for name in _KEEPS)
        self._group = None if params.group_by is None else re.compile(params.group_by)
        #: Only `empty_dirs` is asked for: no file is.
        self._files = self._keeps or any(
            getattr(params, name) not in {None, ()} for name in _CONDITIONS
        )

    def enter(self, node: Node) -> bool:
        """Open a directory, and remember when it was changed before anything is done to it."""
        entered = super().enter(node)
        if entered:
            node.token = os.fstat(self.doors.fd(node)).st_mtime
        return entered

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield what is to be deleted, as files whatever it is, and directories to go into."""
        candidates: list[str] = []
        for name, kind in super().listed(node):
            if kind == DIRS and self._params.recursive:
                yield name, DIRS
            if kind == self._kind and self._files and self._is_meant(name):
                if self._keeps:
                    candidates.append(name)
                else:
                    yield name, FILES
        for name in self._not_kept(node, self.meant(node, candidates)):
            yield name, FILES

    def files(self, node: Node, names: list[str]) -> int:
        """Delete what still meets all conditions."""
        if self.directory(node, "open the directory") is None:
            return 1
        place = self.doors.at(node, "")
        names = self.meant(node, names)
        self.tally.files_done += len(names)
        for name in names:
            place.name = name
            try:
                st = place.lstat()
                if st is not None and self._meets(st):
                    self._delete(place)
            except OperationError as error:
                self.tally.fail(error)
            except OSError as error:
                self.tally.fail(failure(error, "delete", place.path))
        return len(names) * (_DIRECTORY_COST if self._kind == DIRS else 1) // _PER_COST + 1

    def others(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - the protocol's
        """Pass over what is neither a file nor a directory."""
        return 0

    def leave(self, node: Node) -> None:
        """Delete a directory that is empty, when that is asked for."""
        if self._params.empty_dirs and node.path and not self._dry and self._may_go(node):
            self._remove_empty(node)
        super().leave(node)

    def _may_go(self, node: Node) -> bool:
        """Tell whether a directory is old enough, or was not empty before."""
        older_than, fd = self._params.older_than, self.directory(node, "open the directory")
        if fd is None:
            return False
        changed = os.fstat(fd).st_mtime != node.token
        return changed or older_than is None or self._now_s - node.token > older_than

    def _remove_empty(self, node: Node) -> None:
        head, _, name = node.path.rpartition("/")
        above = node.parent or Node(None, "", node.root, head)
        try:
            os.rmdir(name, dir_fd=self.doors.fd(above))
        except OSError:
            # Something is in it, or somebody else was faster: no reason to complain.
            return
        self.tally.changed = True

    def _delete(self, place: Place) -> None:
        if self._kind == DIRS:
            path = os.path.realpath(place.path)
            check_deletable(path, self.context, (), is_dir=True)
            remove(place, Removing(check=self.context.check, dry_run=self._dry), self.tally)
            return
        if self._dry:
            check_may_write(place, "delete")
        else:
            os.unlink(place.name, dir_fd=place.dir_fd)
        self.tally.changed = True

    def _meets(self, st: os.stat_result) -> bool:
        """Tell whether something is of the type that is meant, old enough and of the right size."""
        params = self._params
        if not (S_ISDIR if self._kind == DIRS else S_ISREG)(st.st_mode):
            return False
        if params.older_than is not None and self._now_s - st.st_mtime <= params.older_than:
            return False
        if params.larger_than is not None and st.st_size <= params.larger_than:
            return False
        return params.smaller_than is None or st.st_size < params.smaller_than

    def _not_kept(self, node: Node, names: list[str]) -> Iterator[str]:
        """Yield the names that no rule keeps."""
        groups: dict[str, list[tuple[float, str]]] = {}
        for name in names:
            group = "" if self._group is None else _group_of(self._group, name)
            st = None if group is None else self.doors.at(node, name).lstat()
            if group is not None and st is not None:
                groups.setdefault(group, []).append((st.st_mtime, name))
        for members in groups.values():
            members.sort(reverse=True)
            kept = self._kept(members)
            yield from (name for _, name in members if name not in kept)

    def _kept(self, members: list[tuple[float, str]]) -> set[str]:
        """Return what is kept of a group, the newest first."""
        params = self._params
        kept = {name for _, name in members[: params.keep or 0]}
        for most, period in (
            (params.keep_daily, "%Y-%m-%d"),
            (params.keep_weekly, "%G-%V"),
            (params.keep_monthly, "%Y-%m"),
        ):
            seen: set[str] = set()
            for mtime, name in members if most else ():
                when = datetime.fromtimestamp(mtime).astimezone().strftime(period)
                if when not in seen and len(seen) < (most or 0):
                    seen.add(when)
                    kept.add(name)
        return kept


def _group_of(pattern: re.Pattern[str], name: str) -> str | None:
    """Return with which others a name counts; None: with none, and it is kept."""
    match = pattern.search(name)
    return None if match is None else match.group(1) or ""


def _names(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what tells whether a name is meant."""
    if not patterns:
        return lambda _: True
    try:
        parts = [compiled(pattern, True) for pattern in patterns]  # noqa: FBT003 - see there
    except ValueError as error:
        raise refusal(f"name: {error}") from error
    plain = frozenset(part for part in parts if isinstance(part, str))
    expressions = [part for part in parts if isinstance(part, re.Pattern)]
    return lambda name: name in plain or any(one.match(name) for one in expressions)


OPERATIONS = {
    "prune": Operation(
        name="prune",
        summary="Delete by age, size and name, and keep the newest ones, or daily ones.",
        params=Prune,
        function=prune,
        main="path",
        check=_check,
        uses=(PathUse(field="path", effect="removes"),),
        example="prune: {path: /var/backups/db, name: '*.sql.gz', keep_daily: 7, keep_weekly: 4}\n",
    )
}
