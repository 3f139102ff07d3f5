"""The operation `move`: rename, or across filesystems copy, verify and delete."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Annotated, Any, NamedTuple

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import escape, shown
from batchrun.ops.patterns import split_braces
from batchrun.ops.protected import check_deletable
from batchrun.ops.relocate import (
    Begun,
    Relocation,
    Step,
    copy_then_delete,
    deleting,
    name_copy,
)
from batchrun.ops.targets import (
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
from batchrun.ops.tree.copyvisitor import CopyVisitor
from batchrun.ops.tree.crawl import Rest, crawl
from batchrun.ops.tree.data import same_data
from batchrun.ops.tree.exclusive import rename_exclusive
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.moving import COPY, DELETE, NAME, NEXT, Moving, MovingForest
from batchrun.ops.tree.parcels import Payload
from batchrun.ops.tree.removing import RemoveVisitor, Removing, remove
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.treecopy import copying

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
    patterns = selection(params.exclude, params.include)

    def missed(pattern: str) -> None:
        if not _was_moved(pattern, params.dest):
            tally.found_nothing(pattern)

    # Held whole: the moves must not change what the patterns find.
    items = [item for item in look_up(params.src, missed) if chosen(item, patterns)]
    moves = [
        _Move(item.path, item.exact, target_for(item.path, params.dest, inside=inside), inside,
              params.overwrite)
        for item in items
    ]  # fmt: skip
    names = Names(params.src)
    for one in moves:
        names.take(one.path, one.target)
    left = _move_all(moves, context, tally)
    if left is None:
        return tally.done()
    begun, waiting = left
    seed = (_CHUNK, (tally.counted(), tuple(begun.relocation), waiting), begun.answer)
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


def _move_all(
    moves: Sequence["_Move"], context: Context, tally: Tally
) -> tuple[Begun, tuple[tuple[Any, ...], ...]] | None:
    """Move one after the other, up to a tree that is more than a slice.

    Returns:
        The beginning of that, and what comes after it; None: everything was moved.
    """
    for number, one in enumerate(moves, start=1):
        context.check()
        try:
            begun = _move_one(one, context, tally)
        except OperationError as error:
            tally.fail(error)
            continue
        if begun is not None:
            return begun, tuple(map(tuple, moves[number:]))
    return None


def move_chunk(payload: Payload, context: Context) -> Done:
    """Work on a piece of the moves of trees."""
    config, deaths, items, lost = payload
    moving, tally = Moving(*config), Tally()
    rest: Rest = ([], [], [])
    extras: list[Any] = []
    if deaths < 0:
        for temp in items:
            remove(Place(None, temp), Removing(check=_never), Tally())
    elif moving.turn == NEXT:
        left = _move_all([_Move(*one) for one in moving.waiting], context, tally)
        if left is not None:
            (relocation, (counted, opened, works, marks, _)), waiting = left
            rest = opened, works, marks
            extras = [(tuple(relocation), counted, waiting)]
    elif moving.turn == NAME:
        _name(moving.relocation, tally)
    else:
        most = 1 if deaths else context.settings.slice_cost or inf
        with _visitor(moving, context, tally, lost) as visitor:
            rest = crawl(items, visitor, most)
    answer = (tally.counted(), *rest, extras)
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{move_chunk.__name__}"
_FOREST = f"{MovingForest.__module__}:{MovingForest.__name__}"


def _visitor(
    moving: Moving, context: Context, tally: Tally, lost: list[int]
) -> CopyVisitor | RemoveVisitor:
    relocation = moving.relocation
    if moving.turn == COPY:
        return copying(context, relocation.config, tally, lost)
    if moving.turn == DELETE:
        return RemoveVisitor(deleting(relocation, context), tally)
    return RemoveVisitor(Removing(check=context.check), tally, side=1)


def _name(relocation: Relocation, tally: Tally) -> None:
    """Give a complete copy its name."""
    try:
        name_copy(relocation)
    except FileExistsError as error:
        tally.fail(_has_appeared(relocation.path, relocation.target, error))
    except OSError as error:
        tally.fail(failure(error, "move", relocation.path))


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


class _Move(NamedTuple):
    """One thing to move; of standard types, because it waits where others wait."""

    path: str
    #: It was named, and not found by a pattern.
    exact: bool
    target: str
    inside: bool
    overwrite: bool


def _move_one(one: _Move, context: Context, tally: Tally) -> Begun | None:
    """Move one thing, or begin to move a big tree."""
    path, target = one.path, one.target
    st, old = Place(None, path).lstat(), Place(None, target).lstat()
    if st is None:
        if old is None and one.exact:
            raise OperationError(
                f"there is nothing to move: {shown(path)} does not exist", errno=errno.ENOENT
            )
        return None
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
    if context.settings.dry_run:
        return None
    return _rename(Step(path, st, target, old), context, tally)


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


def _rename(step: Step, context: Context, tally: Tally) -> Begun | None:
    """Move one thing, with whatever is in the way put aside until it has worked."""
    st, old, target = step.st, step.old, step.target
    aside: Place | None = None
    try:
        if old is not None and (S_ISDIR(st.st_mode) or S_ISDIR(old.st_mode)):
            # rename(2) replaces files only: a directory is put aside first.
            check_deletable(target, context, (), is_dir=S_ISDIR(old.st_mode))
            aside = Place(None, target).beside(context.temp_name())
            os.rename(target, aside.name)
            step = replace(step, old=None)
        # What was put aside comes back when it does not work: whoever put it there sees to that.
        most = inf if aside is not None else context.settings.slice_cost or inf
        try:
            begun = _rename_or_copy(step, context, tally, most)
        except BaseException:
            if aside is not None:
                os.rename(aside.name, target)
            raise
        if aside is not None:
            remove(aside, Removing(check=_never), tally)
    except OSError as error:
        raise failure(error, "move", step.path) from error
    return begun


def _never() -> None:
    """Do not stop between the two halves of a replacement."""


def _rename_or_copy(step: Step, context: Context, tally: Tally, most: float) -> Begun | None:
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
        raise _has_appeared(path, target, error) from error
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return copy_then_delete(step, context, tally, most=most)
    return None


def _has_appeared(path: str, target: str, error: OSError) -> OperationError:
    return OperationError(
        f"{shown(target)} has appeared while {shown(path)} was moved; both are still there",
        errno=error.errno,
    )


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
