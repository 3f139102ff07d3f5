"""The operation `copy`: like cp -a, for files, trees and globs."""

import errno
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Literal

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, ModeText, PathPattern, PathText
from batchrun.ops.failures import Tally, failure
from batchrun.ops.owners import group_id, user_id
from batchrun.ops.targets import (
    Names,
    check_not_inside,
    chosen,
    into,
    is_directory,
    look_up,
    make_parents,
    onto_directory,
    target_for,
)
from batchrun.ops.tree.copying import Rules
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import PRESERVED, Keep
from batchrun.ops.tree.temporary import remove_past
from batchrun.ops.tree.treecopy import Copier

__all__ = ["OPERATIONS", "Copy", "Preserved", "copy"]

Preserved = Literal["mode", "owner", "times", "xattrs", "acl", "links"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Parameters of `copy`."""

    src: Annotated[tuple[PathPattern, ...], Doc("Files, directories or globs to copy.")]
    dest: Annotated[
        PathText, Doc("The exact new path; with a slash at its end: the directory to copy into.")
    ]
    if_: Annotated[
        Literal["different", "checksum", "missing", "always"],
        Doc(
            "When an existing file is copied again: its size or time is `different`, its content "
            "is (`checksum`), never (only what is `missing`), `always`."
        ),
    ] = "different"
    verify: Annotated[bool, Doc("Read both again and compare before the copy gets its name.")] = (
        False
    )
    preserve: Annotated[
        tuple[Preserved, ...], Doc("What of the metadata to keep; by default everything.")
    ] = ("mode", "owner", "times", "xattrs", "acl", "links")
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what to leave out, below each source.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only files that match one are copied.")
    ] = ()
    owner: Annotated[str | None, Doc("User to own the copies, by name or number.")] = None
    group: Annotated[str | None, Doc("Group of the copies, by name or number.")] = None
    mode: Annotated[
        ModeText | None,
        Doc("Mode of the copied files; directories may also be entered by who may read them."),
    ] = None


#: What opening a new file says when its directory is missing, or is something else.
_NO_DIRECTORY = frozenset({errno.ENOENT, errno.ENOTDIR})


@lru_cache(maxsize=64)
def _rules(
    when: str,
    verify: bool,  # noqa: FBT001 - the key of a cache
    preserve: tuple[str, ...],
    patterns: tuple[tuple[str, ...], tuple[str, ...]],
    owners: tuple[str | None, str | None, str | None],
) -> Rules:
    """Prepare what differs little between units, so that it is mostly there already."""
    owner, group, mode = owners
    kept = {name: name in preserve for name in PRESERVED}
    keep = Keep(**kept, uid=user_id(owner), gid=group_id(group), mode_text=mode)
    return Rules(keep=keep, when=when, verify=verify, patterns=patterns)


def copy(params: Copy, context: Context) -> Done:
    """Copy files and trees with everything that belongs to them."""
    src, dest = params.src, params.dest
    rules = _rules(
        params.if_,
        params.verify,
        params.preserve,
        (params.exclude, params.include),
        (params.owner, params.group, params.mode),
    )
    inside = into(src, dest)
    tally = Tally()
    task = _Copying(context, rules, tally, dest, inside=inside)
    names = Names(src)
    try:
        for item in look_up(src, tally.found_nothing):
            context.check()
            target = target_for(item.path, dest, inside=inside)
            names.take(item.path, target)
            try:
                if chosen(item, rules.selection):
                    task.copy(item.path, target)
            except OperationError as error:
                tally.fail(error)
        return task.done()
    except OperationError as error:
        task.abandon()
        raise tally.ended_early(error) from error
    except BaseException:
        task.abandon()
        raise


class _Copying:
    """What the sources of one unit have in common."""

    def __init__(
        self, context: Context, rules: Rules, tally: Tally, dest: str, *, inside: bool
    ) -> None:
        self._inside = inside
        self._dry = context.settings.dry_run
        self._diff = context.settings.diff
        self._tally = tally
        self._copier = Copier(context, rules, tally, dest.rstrip("/") or "/")
        if not self._dry:
            remove_past(dest if inside else os.path.dirname(dest), context.settings.past_runs)

    def copy(self, path: str, target: str) -> None:
        """Copy what one source stands for."""
        try:
            st = os.lstat(path)
        except OSError as error:
            raise failure(error, "copy", path) from error
        source, place = Place(None, path), Place(None, target)
        old = place.lstat()
        if S_ISDIR(st.st_mode):
            check_not_inside(path, target)
        elif old is not None and not self._inside and is_directory(target, old):
            raise onto_directory(path, target)
        if old is None and (self._dry or S_ISDIR(st.st_mode)):
            make_parents(target, dry=self._dry)
        if self._diff and S_ISREG(st.st_mode):
            self._copy_with_diff(source, st, place, old)
        else:
            self._put(source, st, place, old)

    def abandon(self) -> None:
        """Clean up: the copy will not be completed."""
        self._copier.abandon()

    def done(self) -> Done:
        """Copy what is in the directories, and answer; or let several workers go on with it."""
        spread = self._copier.finish()
        return self._tally.done() if spread is None else replace(self._tally.done(), spread=spread)

    def _put(
        self, source: Place, st: os.stat_result, place: Place, old: os.stat_result | None
    ) -> None:
        try:
            self._copier.copy(source, st, place, old)
        except OperationError as error:
            # Mostly the directory is there: it is looked for only when it turns out not to be.
            if error.errno not in _NO_DIRECTORY or not make_parents(place.name, dry=False):
                raise
            self._copier.copy(source, st, place, None)

    def _copy_with_diff(
        self, source: Place, st: os.stat_result, place: Place, old: os.stat_result | None
    ) -> None:
        """Copy a single file, and say how its content changes."""
        from batchrun.ops.diff import file_diff  # noqa: PLC0415 - only where one is asked for

        # Both are read before: the copying may take the old one away.
        diff = file_diff(place.name, old, source.name)
        before, self._tally.changed = self._tally.changed, False
        self._put(source, st, place, old)
        if self._tally.changed and diff:
            self._tally.differ(diff)
        self._tally.changed |= before


OPERATIONS = {
    "copy": Operation(
        name="copy",
        summary="Copy files, trees and globs with everything that belongs to them.",
        params=Copy,
        function=copy,
        main="src",
        uses=(
            PathUse(field="src", effect="reads"),
            PathUse(field="dest", effect="changes", into="src"),
        ),
        example="copy: {src: /data/exports/*.csv, dest: /srv/stage/, verify: true}\n",
    )
}
