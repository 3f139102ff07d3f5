"""The operation `move`: rename, or across filesystems copy, verify and delete."""

import errno
import os
from dataclasses import dataclass, replace
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Annotated

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import escape, shown
from batchrun.ops.patterns import split_braces
from batchrun.ops.protected import check_deletable
from batchrun.ops.relocate import copy_then_delete
from batchrun.ops.targets import (
    Item,
    Names,
    check_not_inside,
    chosen,
    finds,
    into,
    look_up,
    make_parents,
    onto_directory,
    target_for,
)
from batchrun.ops.tree.data import same_data
from batchrun.ops.tree.exclusive import rename_exclusive
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.removing import Removing, remove
from batchrun.ops.tree.selection import selection

__all__ = ["OPERATIONS", "Move", "move"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Parameters of `move`."""

    src: Annotated[tuple[PathPattern, ...], Doc("Files, directories or globs to move.")]
    dest: Annotated[
        PathText, Doc("The exact new path; with a slash at its end: the directory to move into.")
    ]
    overwrite: Annotated[bool, Doc("Replace what has the new name and is different.")] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of names that a glob finds in vain.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; a glob finds only names that match one.")
    ] = ()


def move(params: Move, context: Context) -> Done:
    """Move files and trees, never losing the only copy of anything."""
    inside = into(params.src, params.dest)
    tally = Tally()
    names = Names(params.src)
    patterns = selection(params.exclude, params.include)

    def missed(pattern: str) -> None:
        if not _was_moved(pattern, params.dest):
            tally.found_nothing(pattern)

    # Held whole: the moves must not change what the patterns find.
    for item in list(look_up(params.src, missed)):
        context.check()
        if not chosen(item, patterns):
            continue
        target = target_for(item.path, params.dest, inside=inside)
        names.take(item.path, target)
        try:
            _move_one(_Move(item, target, inside, params.overwrite), context, tally)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _was_moved(pattern: str, dest: str) -> bool:
    """Tell whether what a pattern finds no more is where it should go: then all is as asked.

    Its directory must still be there, or a directory that is written wrongly would look the same
    as soon as anything has been moved.
    """
    for one in split_braces(pattern):
        directory, _, name = one.rstrip("/").rpartition("/")
        if (not directory or finds(f"{directory}/")) and finds(f"{escape(dest)}{name}"):
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Move:
    """One thing to move."""

    item: Item
    target: str
    inside: bool
    overwrite: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that is moved, as it was when that was decided."""

    path: str
    st: os.stat_result
    target: str
    #: What had the new name; None: nothing, and nothing is replaced.
    old: os.stat_result | None


def _move_one(one: _Move, context: Context, tally: Tally) -> None:
    path, target = one.item.path, one.target
    st, old = Place(None, path).lstat(), Place(None, target).lstat()
    if st is None:
        if old is None and one.item.exact:
            raise OperationError(
                f"there is nothing to move: {shown(path)} does not exist", errno=errno.ENOENT
            )
        return
    if old is not None and (st.st_dev, st.st_ino) == (old.st_dev, old.st_ino):
        _check_other_name(path, target, st)
    if S_ISDIR(st.st_mode):
        check_not_inside(path, target)
    elif not one.inside and os.path.isdir(target):
        raise onto_directory(path, target)
    if old is not None and not one.overwrite and not _is_equal(path, st, target, old, context):
        raise refusal(
            f"{shown(target)} exists and is different from {shown(path)}; "
            "remove it first, or say `overwrite: true`"
        )
    make_parents(target, dry=context.settings.dry_run)
    if context.settings.dry_run:
        check_may_write(Place(None, path), "move")
        check_may_write(Place(None, target), "move")
    tally.changed = True
    if not context.settings.dry_run:
        _rename(_Step(path, st, target, old), context, tally)


def _check_other_name(path: str, target: str, st: os.stat_result) -> None:
    """Let two hard links be merged into one name, but refuse the very same name."""
    if st.st_nlink < 2 or os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(
        path
    ) == os.path.realpath(os.path.dirname(target)) + "/" + os.path.basename(target):
        raise refusal(f"{shown(path)} and {shown(target)} are the same")


def _is_equal(
    path: str, st: os.stat_result, target: str, old: os.stat_result, context: Context
) -> bool:
    """Tell whether two files hold the same; then the new name may be taken without loss."""
    if (st.st_dev, st.st_ino) == (old.st_dev, old.st_ino):
        return True
    try:
        if S_ISLNK(st.st_mode) and S_ISLNK(old.st_mode):
            return os.readlink(path) == os.readlink(target)
        if not S_ISREG(st.st_mode) or not S_ISREG(old.st_mode) or st.st_size != old.st_size:
            return False
        with open(path, "rb", buffering=0) as one, open(target, "rb", buffering=0) as other:
            return same_data(one.fileno(), other.fileno(), lambda _: context.check())
    except OSError as error:
        raise failure(error, "compare", path) from error


def _rename(step: _Step, context: Context, tally: Tally) -> None:
    """Rename, with whatever is in the way put aside until it has worked."""
    st, old, target = step.st, step.old, step.target
    aside: Place | None = None
    try:
        if old is not None and (S_ISDIR(st.st_mode) or S_ISDIR(old.st_mode)):
            # rename(2) replaces files only: a directory is put aside first.
            check_deletable(target, context, (), is_dir=S_ISDIR(old.st_mode))
            aside = Place(None, target).beside(context.temp_name())
            os.rename(target, aside.name)
            step = replace(step, old=None)
        try:
            _rename_or_copy(step, context, tally)
        except BaseException:
            if aside is not None:
                os.rename(aside.name, target)
            raise
        if aside is not None:
            remove(aside, Removing(check=_never), tally)
    except OSError as error:
        raise failure(error, "move", step.path) from error


def _never() -> None:
    """Do not stop between the two halves of a replacement."""


def _rename_or_copy(step: _Step, context: Context, tally: Tally) -> None:
    path, st, target, old = step.path, step.st, step.target, step.old
    try:
        if old is None:
            rename_exclusive(path, target)
        elif (st.st_dev, st.st_ino) == (old.st_dev, old.st_ino):
            # Two names of one file: rename(2) would do nothing.
            os.unlink(path)
        else:
            os.rename(path, target)
    except FileExistsError as error:
        raise OperationError(
            f"{shown(target)} has appeared while {shown(path)} was moved; both are still there",
            errno=error.errno,
        ) from error
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_then_delete(path, st, target, context, tally)


OPERATIONS = {
    "move": Operation(
        name="move",
        summary="Rename, or across filesystems copy, verify and delete.",
        params=Move,
        function=move,
        main="src",
        uses=(
            PathUse(field="src", effect="removes"),
            PathUse(field="dest", effect="changes", into="src"),
        ),
        example="move: {src: /data/incoming/*.csv, dest: /data/done/}\n",
    )
}
