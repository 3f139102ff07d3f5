"""The operation `perms`: mode, owner and group of files and trees."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from stat import S_ISDIR, S_ISLNK
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, ModeText, PathPattern, apply_mode, parse_mode
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.owners import (
    Change,
    Ownership,
    change_of,
    check_may_change,
    give,
    group_id,
    user_id,
)
from batchrun.ops.paths import shown
from batchrun.ops.protected import real_path
from batchrun.ops.targets import chosen, look_up
from batchrun.ops.tree.crawl import Node, begin, crawl, root_node
from batchrun.ops.tree.doors import root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import Answer, Payload
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.sides import OneSide

__all__ = ["OPERATIONS", "Perms", "perms", "perms_chunk"]

_ENTER = 0o500
#: Files changed in the time that one is copied.
_PER_COST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Perms:
    """Parameters of `perms`."""

    path: Annotated[
        tuple[PathPattern, ...],
        Doc("Files, directories or globs; a symlink that is named means what it points to."),
    ]
    mode: Annotated[
        ModeText | None,
        Doc(
            "Their mode; `X` means x for directories and what somebody may execute. With "
            "`recursive`, directories may also be entered by who may read them when it is octal."
        ),
    ] = None
    dir_mode: Annotated[ModeText | None, Doc("Mode of directories, instead of `mode`.")] = None
    owner: Annotated[str | None, Doc("Their user, by name or number.")] = None
    group: Annotated[str | None, Doc("Their group, by name or number.")] = None
    recursive: Annotated[
        bool,
        Doc(
            "Everything below directories, too; symlinks are never followed, only their owner set."
        ),
    ] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what stays as it is, below each path.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only what matches one is changed.")
    ] = ()


def _check(given: Mapping[str, Any]) -> list[str]:
    """Refuse to change nothing."""
    if any(name in given for name in ("mode", "dir_mode", "owner", "group")):
        return []
    return ["perms needs `mode`, `dir_mode`, `owner` or `group`: what to change"]


def perms(params: Perms, context: Context) -> Done:
    """Give files and trees a mode and an owner, where they have others."""
    tally = Tally()
    with _Perms(params, context, tally) as task:
        for item in look_up(params.path, tally.found_nothing):
            context.check()
            if chosen(item, task.selected):
                try:
                    task.take(item.path, exact=item.exact)
                except OperationError as error:
                    tally.fail(error)
        rest = begin(reversed(task.roots), task, context.settings.slice_cost or inf)
    if not rest[1]:
        return tally.done()
    answer: Answer = (tally.counted(), *rest, [])
    seed = (_CHUNK, params, answer)
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


def perms_chunk(payload: Payload, context: Context) -> Done:
    """Change a piece of a tree."""
    params, deaths, items, _ = payload
    tally = Tally()
    with _Perms(params, context, tally) as task:
        rest = crawl(items, task, 1 if deaths else context.settings.slice_cost or inf)
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=tally.changed), answer=answer)


_CHUNK = f"{__name__}:{perms_chunk.__name__}"
_FOREST = f"{Forest.__module__}:{Forest.__name__}"


class _Perms(OneSide):
    """What the paths of one unit have in common, and what is done to trees.

    A directory is changed before it is entered, unless it would be closed by that: then last.
    """

    def __init__(self, params: Perms, context: Context, tally: Tally) -> None:
        problems = _check(
            {
                name: value
                for name in ("mode", "dir_mode", "owner", "group")
                if (value := getattr(params, name)) is not None
            }
        )
        if problems:
            raise refusal(problems[0])
        super().__init__(context, tally, selection(params.exclude, params.include))
        user_id(params.owner), group_id(params.group)  # refused before anything is changed
        self._params = params
        self._dry = context.settings.dry_run
        self._files = Ownership(params.owner, params.group, params.mode)
        self._octal = params.mode is not None and parse_mode(params.mode) is not None
        #: What has to be changed of files by kind, mode and owner.
        self._known: dict[tuple[int, int, int], Change | None] = {}
        #: What is different is not told one by one, and the system can change a mode by name.
        self._quick = not (self._dry or context.settings.diff)
        #: Directories below which everything is to be changed.
        self.roots: list[Node] = []

    def take(self, path: str, *, exact: bool) -> None:
        """Change a path; what is below it waits in `roots`, if that was asked for.

        A path that was named may be a symlink to what is meant; one that was found is itself.
        """
        if exact and os.path.islink(path):
            path = os.path.realpath(path)
        place = Place(None, path)
        st = place.lstat()
        if st is None:
            raise OperationError(
                f"cannot change the mode of {shown(path)}: it does not exist", errno=errno.ENOENT
            )
        if not self._params.recursive or not S_ISDIR(st.st_mode):
            self._change(place, st)
            return
        if real_path(path) == "/":
            raise refusal("refused to change everything below /: it is the root of the filesystem")
        closes = not self._opens(st)
        if not closes:
            self._change(place, st)
        try:
            fd = os.open(path, OPEN_DIRECTORY)
        except OSError as error:
            if not self._is_closed(error, st, path):
                raise failure(error, "open the directory", path) from error
            return
        try:
            self.roots.append(root_node(root_of(path, fd), closes))
        finally:
            os.close(fd)

    def enter(self, node: Node) -> bool:
        """Change a directory and go into it."""
        above = node.parent
        if above is None or (self.selected is not None and not self.selected.enters(node.path)):
            return False
        try:
            place = self.doors.at(above, node.name)
            st = place.lstat()
        except OSError as error:
            self.tally.fail(failure(error, "look at", self.doors.prefix(above) + node.name))
            return False
        if st is None:
            self.tally.vanished(place.path)
            return False
        takes, opens = self._takes(node.path, is_dir=True), self._opens(st)
        if takes and opens:
            self._try(place, st)
        node.token = takes and not opens
        if self._dry and opens and not _may_enter(place):
            self._warn_closed(place.path)
            return False
        return super().enter(node)

    def files(self, node: Node, names: list[str]) -> int:
        """Change what is no directory."""
        if self.directory(node, "look at") is None:
            return 1
        place = self.doors.at(node, "")
        names = self.meant(node, names)
        self.tally.files_done += len(names)
        for name in self._quickly(place, names) if self._quick else names:
            place.name = name
            try:
                st = place.lstat()
            except OSError as error:
                self.tally.fail(failure(error, "look at", place.path))
                continue
            if st is None:
                self.tally.vanished(place.path)
            else:
                self._try(place, st)
        return len(names) // _PER_COST + 1

    #: Whatever it is, it is changed in the same way.
    others = files

    def _quickly(self, place: Place, names: list[str]) -> list[str]:
        """Change files of which nothing but the mode is to change; returns those that need more.

        A file may be another one of the same name by now, as with chmod(1); a symlink is never
        followed.
        """
        fd, known, rest = place.dir_fd, self._known, []
        stat, chmod = os.stat, os.chmod
        for name in names:
            try:
                st = stat(name, dir_fd=fd, follow_symlinks=False)
                change = known[st.st_mode, st.st_uid, st.st_gid]
                if change is not None:
                    if change.mode is None or change.uid != -1 or change.gid != -1:
                        rest.append(name)
                        continue
                    chmod(name, change.mode, dir_fd=fd, follow_symlinks=False)
                    self.tally.changed = True
            except (OSError, KeyError, NotImplementedError):
                # Looked at again: a kind that was not seen before, or something is the matter.
                rest.append(name)
        return rest

    def leave(self, node: Node) -> None:
        """Change a directory that is closed by it."""
        if node.token:
            fd = self.directory(node, "look at")
            if fd is not None:
                self._try(self.doors.at(node, "."), os.fstat(fd))
        super().leave(node)

    def _takes(self, relative: str, *, is_dir: bool) -> bool:
        """Tell whether patterns mean this entry itself, not only what is in it."""
        selected = self.selected
        return selected is None or selected.takes(relative, is_dir=is_dir)

    def _try(self, place: Place, st: os.stat_result) -> None:
        """Change one thing of many."""
        try:
            self._change(place, st)
        except OperationError as error:
            self.tally.fail(error)

    def _opens(self, st: os.stat_result) -> bool:
        """Tell whether a directory may be entered by its owner when it has its new mode."""
        change = self._change_of(st)
        return change is None or change.mode is None or change.mode & _ENTER == _ENTER

    def _change_of(self, st: os.stat_result) -> Change | None:
        """Find what has to be changed: it is the same for most of the files of a tree."""
        key = st.st_mode, st.st_uid, st.st_gid
        try:
            return self._known[key]
        except KeyError:
            change = self._known[key] = change_of(st, self._wanted(st))
            return change

    def _is_closed(self, error: OSError, st: os.stat_result, path: str) -> bool:
        """Tell whether a directory could only not be entered because this is a dry run."""
        closed = self._dry and isinstance(error, PermissionError) and self._opens(st)
        if closed:
            self._warn_closed(path)
        return closed

    def _warn_closed(self, path: str) -> None:
        self.tally.warn(f"{shown(path)} cannot be looked into before its mode is changed")

    def _wanted(self, st: os.stat_result) -> Ownership:
        """Return what was asked for of a file or of a directory."""
        params = self._params
        if not S_ISDIR(st.st_mode):
            return self._files
        if params.dir_mode is not None:
            return self._files._replace(mode=params.dir_mode)
        if params.mode is not None and params.recursive and self._octal:
            mode = apply_mode(params.mode, 0, is_dir=True)
            return self._files._replace(mode=f"{mode | (mode & 0o444) >> 2:o}")
        return self._files

    def _change(self, place: Place, st: os.stat_result) -> None:
        """Change one thing, if it is not as asked."""
        change = self._change_of(st)
        if change is None:
            return
        if self._dry:
            check_may_change(place.path, st, change)
        else:
            try:
                _give(place, st, change)
            except OSError as error:
                raise failure(error, "set the owner and mode of", place.path) from error
        self.tally.changed = True
        if self.context.settings.diff:
            from batchrun.ops.diff import facts_diff  # noqa: PLC0415 - only where one is asked for

            self.tally.differ(facts_diff(place.path, *change.facts(st)))


def _give(place: Place, st: os.stat_result, change: Change) -> None:
    """Change one thing and nothing else, whatever has its name by now."""
    if S_ISLNK(st.st_mode):
        os.chown(place.name, change.uid, change.gid, dir_fd=place.dir_fd, follow_symlinks=False)
    else:
        give(place.name, st, change, dir_fd=place.dir_fd)


def _may_enter(place: Place) -> bool:
    """Tell whether a directory can be read by this process as it is."""
    return os.access(place.name, os.R_OK | os.X_OK, dir_fd=place.dir_fd, effective_ids=True)


OPERATIONS = {
    "perms": Operation(
        name="perms",
        summary="Set mode, owner and group of files and trees.",
        params=Perms,
        function=perms,
        main="path",
        check=_check,
        uses=(
            PathUse(field="path", effect="changes", whole=False),
            PathUse(field="path", effect="changes", only_if="recursive"),
        ),
        example="""\
perms:
  path: /srv/www
  mode: u=rwX,g=rX,o=
  owner: deploy
  group: www-data
  recursive: true
""",
    )
}
