"""Move across filesystems: copy, verify, give the name, and only then delete what was copied."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from stat import S_IFMT
from typing import NamedTuple

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.paths import shown
from batchrun.ops.tree.copying import Rules
from batchrun.ops.tree.copyvisitor import CopyConfig
from batchrun.ops.tree.exclusive import rename_exclusive
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.parcels import Answer, Root
from batchrun.ops.tree.removing import Guard, Removing, remove
from batchrun.ops.tree.treecopy import Copier, end_traces

__all__ = ["Begun", "Relocation", "Step", "copy_then_delete", "deleting", "name_copy", "not_moved"]

#: The clock of a filesystem may be this much behind ours.
_CLOCK_STEP_NS = 50_000_000
#: FAT keeps times to two seconds.
_ROUGH_TIMES_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is moved, as it was when that was decided."""

    path: str
    st: os.stat_result
    target: str
    #: What had the new name; None: nothing, and nothing is replaced.
    old: os.stat_result | None


class Relocation(NamedTuple):
    """What everybody needs to know who works on the move of a tree; of standard types."""

    path: str
    target: str
    #: What the copy is called until it is complete.
    temp: str
    #: Something has the new name, and is replaced.
    replaces: bool
    #: When the copying began, by our clock.
    started_ns: int
    #: How to copy.
    config: CopyConfig
    #: The source and the copy.
    root: Root


class Begun(NamedTuple):
    """A move that is more than a slice: what it is, and what came of its beginning."""

    relocation: Relocation
    answer: Answer


def copy_then_delete(
    step: Step, context: Context, tally: Tally, *, most: float = inf
) -> Begun | None:
    """Move one thing to an exact path on another filesystem.

    The copy is complete, compared and on the disk before it gets its name, and only what is in
    it is deleted: the only copy of anything is never lost.

    Args:
        step: What goes where.
        context: Of the unit.
        tally: Where everything is counted.
        most: How much of a directory to copy, in files; by default all of it.

    Returns:
        None: it was moved. Otherwise there is more to be copied, and nothing is counted yet.

    Raises:
        OperationError: the copy is not complete; the source is untouched, the target not there.
    """
    own = Tally()
    temp = Place(None, step.target).beside(context.temp_name())
    relocation = Relocation(
        path=step.path,
        target=step.target,
        temp=temp.name,
        replaces=os.path.lexists(step.target),
        started_ns=time.time_ns(),
        config=(_RULES, temp.name, "", ()),
        root=(),
    )
    try:
        copier = Copier(context, _RULES, own, temp.name)
        copier.copy(Place(None, step.path), step.st, temp, None)
        rest, extras = copier.begin(most)
        if rest[1]:
            begun = relocation._replace(config=copier.config, root=copier.roots[0].root)
            return Begun(begun, (own.counted(), *rest, extras))
        end_traces(extras, copier.config[2])
        if own.failed:
            raise not_moved(step.path, own)
        name_copy(relocation)
    except BaseException as error:
        remove(temp, Removing(check=_never), Tally())
        if isinstance(error, OSError):
            raise failure(error, "move", step.path) from error
        raise
    tally.changed = True
    tally.add(own.counted())
    remove(Place(None, step.path), deleting(relocation, context), tally)
    return None


_RULES = Rules(verify=True, durable=True, temporaries=True)


def not_moved(path: str, own: Tally) -> OperationError:
    """Make the error of something whose copy is not complete."""
    reason = getattr(own.done().outcome, "message", "")
    return OperationError(f"{shown(path)} was not moved, nothing was deleted: {reason}")


def name_copy(relocation: Relocation) -> None:
    """Give a complete copy its name; safe to be done twice.

    Raises:
        OSError: it cannot have it.
    """
    if relocation.root:
        end_traces([relocation.temp], relocation.config[2])
        with suppress(FileNotFoundError):
            if _is_named(relocation):
                return
    rename = os.rename if relocation.replaces else rename_exclusive
    rename(relocation.temp, relocation.target)


def _is_named(relocation: Relocation) -> bool:
    """Tell whether the copy has its name already: who gave it may have died before saying so."""
    st = os.lstat(relocation.target)
    return (st.st_dev, st.st_ino) == relocation.root[4:6]


def deleting(relocation: Relocation, context: Context) -> Removing:
    """Say how the source is deleted, of which there is a copy now."""
    guard = _guard(relocation.target, relocation.started_ns)
    return Removing(check=context.check, guard=guard)


def _never() -> None:
    """Do not stop while cleaning up."""


def _guard(twin: str, started_ns: int) -> Guard:
    """Let go only what its copy has, as it was when the copying began."""

    def has(relative: str, st: os.stat_result) -> bool:
        try:
            copy = os.lstat(f"{twin}/{relative}" if relative else twin)
        except OSError:
            return False
        if S_IFMT(copy.st_mode) != S_IFMT(st.st_mode) or copy.st_size != st.st_size:
            return False
        apart_ns = abs(copy.st_mtime_ns - st.st_mtime_ns)
        # A filesystem may keep times only roughly; then the last change must be old as well.
        untouched = st.st_ctime_ns < started_ns - _CLOCK_STEP_NS
        return apart_ns == 0 or (apart_ns <= _ROUGH_TIMES_NS and untouched)

    return has
