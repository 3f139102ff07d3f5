"""Put things into a trash directory instead of deleting them."""

import errno
import os
from stat import S_ISDIR

from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.foresee import check_may_write
from batchrun.ops.relocate import Step, copy_then_delete
from batchrun.ops.targets import check_not_inside, make_parents
from batchrun.ops.tree.folders import Place

__all__ = ["MOST_NAME", "move_to_trash"]

#: Room for the ending that makes a name unique, below the 255 bytes of a file name.
MOST_NAME = 180


def move_to_trash(
    path: str, st: os.stat_result, trash: str, context: Context, tally: Tally
) -> None:
    """Move one thing into the trash directory, under its name and a unique ending.

    Raises:
        OperationError: it could not be moved; it is still where it was.
    """
    directory = trash.rstrip("/") or "/"
    if S_ISDIR(st.st_mode):
        check_not_inside(path, directory)
    name = os.fsdecode(os.fsencode(os.path.basename(path))[:MOST_NAME])
    ending = context.temp_name().removeprefix(".br-")
    target = os.path.join(directory, f"{name}.{ending}")
    tally.changed = True
    make_parents(target, dry=context.settings.dry_run)
    if context.settings.dry_run:
        check_may_write(Place(None, path), "move to the trash")
        check_may_write(Place(None, target), "move to the trash")
        return
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise failure(error, "move to the trash", path) from error
        copy_then_delete(Step(path, st, target, None), context, tally)
