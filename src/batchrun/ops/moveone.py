"""Move one thing: rename it, or begin to move it to another filesystem."""

import errno
import os
from dataclasses import replace
from math import inf
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import NamedTuple

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.protected import check_deletable
from batchrun.ops.relocate import Begun, Step, copy_then_delete
from batchrun.ops.targets import check_not_inside, make_parents, onto_directory
from batchrun.ops.tree.data import same_data
from batchrun.ops.tree.exclusive import rename_exclusive
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.removing import Removing, remove

__all__ = ["OneMove", "has_appeared", "move_one"]


class OneMove(NamedTuple):
    """One thing to move; of standard types, because it waits where others wait."""

    path: str
    #: It was named, and not found by a pattern.
    exact: bool
    target: str
    inside: bool
    overwrite: bool


def move_one(one: OneMove, context: Context, tally: Tally) -> Begun | None:
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
        raise has_appeared(path, target, error) from error
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return copy_then_delete(step, context, tally, most=most)
    return None


def has_appeared(path: str, target: str, error: OSError) -> OperationError:
    """Make the error of a name that somebody else has taken in the meantime."""
    return OperationError(
        f"{shown(target)} has appeared while {shown(path)} was moved; both are still there",
        errno=error.errno,
    )
