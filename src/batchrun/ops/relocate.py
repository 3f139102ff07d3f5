"""Move across filesystems: copy, verify, give the name, and only then delete what was copied."""

import os
import time
from stat import S_IFMT

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.paths import shown
from batchrun.ops.tree.copying import Rules
from batchrun.ops.tree.exclusive import rename_exclusive
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.removing import Guard, Removing, remove
from batchrun.ops.tree.treecopy import Copier

__all__ = ["copy_then_delete"]

#: The clock of a filesystem may be this much behind ours.
_CLOCK_STEP_NS = 50_000_000
#: FAT keeps times to two seconds.
_ROUGH_TIMES_NS = 2_000_000_000


def copy_then_delete(
    path: str, st: os.stat_result, target: str, context: Context, tally: Tally
) -> None:
    """Move one thing to an exact path on another filesystem.

    The copy is complete, compared and on the disk before it gets its name, and only what is in
    it is deleted: the only copy of anything is never lost.

    Raises:
        OperationError: the copy is not complete; the source is untouched, the target not there.
    """
    started_ns = time.time_ns()
    replaces = os.path.lexists(target)
    temp = Place(None, target).beside(context.temp_name())
    own = Tally()
    rules = Rules(verify=True, durable=True, temporaries=True)
    try:
        copier = Copier(context, rules, own, temp.name)
        copier.copy(Place(None, path), st, temp, None)
        copier.finish(alone=True)
        _check_complete(path, own)
        rename = os.rename if replaces else rename_exclusive
        rename(temp.name, target)
    except BaseException as error:
        remove(temp, Removing(check=_never), Tally())
        if isinstance(error, OSError):
            raise failure(error, "move", path) from error
        raise
    tally.changed = True
    tally.bytes_done += own.bytes_done
    for sentence in own.done().warnings:
        tally.warn(sentence)
    how = Removing(check=context.check, guard=_guard(target, started_ns))
    remove(Place(None, path), how, tally)


def _check_complete(path: str, own: Tally) -> None:
    if own.failed:
        outcome = own.done().outcome
        reason = getattr(outcome, "message", "")
        raise OperationError(f"{shown(path)} was not moved, nothing was deleted: {reason}")


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
