"""The operation `perms`: mode, owner and group of files and trees."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from stat import S_ISDIR, S_ISLNK
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
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
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.walking import Step, walk

__all__ = ["OPERATIONS", "Perms", "perms"]

_ENTER = 0o500


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
    task = _Perms(params, context)
    for item in look_up(params.path, task.tally.found_nothing):
        context.check()
        if chosen(item, task.selection):
            try:
                task.take(item.path, exact=item.exact)
            except OperationError as error:
                task.tally.fail(error)
    return task.tally.done()


class _Perms:
    """What the paths of one unit have in common."""

    def __init__(self, params: Perms, context: Context) -> None:
        problems = _check(
            {
                name: value
                for name in ("mode", "dir_mode", "owner", "group")
                if (value := getattr(params, name)) is not None
            }
        )
        if problems:
            raise refusal(problems[0])
        user_id(params.owner), group_id(params.group)  # refused before anything is changed
        self._params = params
        self._context = context
        self._dry = context.settings.dry_run
        self._files = Ownership(params.owner, params.group, params.mode)
        self._octal = params.mode is not None and parse_mode(params.mode) is not None
        self.selection = selection(params.exclude, params.include)
        self.tally = Tally()

    def take(self, path: str, *, exact: bool) -> None:
        """Change a path, and everything below it if that was asked for.

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
        first = self._opens(st)
        if first:
            self._change(place, st)
        try:
            with Folders(place) as folders:
                self._below(folders)
        except OSError as error:
            if not self._is_closed(error, st, path):
                raise failure(error, "open the directory", path) from error
        if not first:
            self._change(place, st)

    def _below(self, folders: Folders) -> None:
        """Change everything below a directory; directories that would be closed at last."""
        for step in walk(folders, self.tally.fail, selection=self.selection):
            self._context.check()
            if not self._takes(step):
                continue
            if not step.is_dir or self._opens(step.st) != step.left:
                try:
                    self._change(folders.at(step.name), step.st)
                except OperationError as error:
                    self.tally.fail(error)
            if step.is_dir and not step.left and self._dry and not _may_enter(folders, step.name):
                step.skip = self._opens(step.st)
                if step.skip:
                    self._warn_closed(folders.prefix + step.name)

    def _takes(self, step: Step) -> bool:
        """Tell whether patterns mean this entry itself, not only what is in it."""
        selected = self.selection
        return selected is None or selected.takes(step.relative, is_dir=step.is_dir)

    def _opens(self, st: os.stat_result) -> bool:
        """Tell whether a directory may be entered by its owner when it has its new mode."""
        change = change_of(st, self._wanted(st))
        return change is None or change.mode is None or change.mode & _ENTER == _ENTER

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
        change = change_of(st, self._wanted(st))
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
        if self._context.settings.diff:
            from batchrun.ops.diff import facts_diff  # noqa: PLC0415 - only where one is asked for

            self.tally.differ(facts_diff(place.path, *change.facts(st)))


def _give(place: Place, st: os.stat_result, change: Change) -> None:
    """Change one thing and nothing else, whatever has its name by now."""
    if S_ISLNK(st.st_mode):
        os.chown(place.name, change.uid, change.gid, dir_fd=place.dir_fd, follow_symlinks=False)
    else:
        give(place.name, st, change, dir_fd=place.dir_fd)


def _may_enter(folders: Folders, name: str) -> bool:
    """Tell whether a directory can be read by this process as it is."""
    return os.access(name, os.R_OK | os.X_OK, dir_fd=folders.fd, effective_ids=True)


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
