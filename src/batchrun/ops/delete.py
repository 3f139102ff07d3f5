"""The operation `delete`: files, globs and trees, and what must not go by a slip."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from stat import S_ISDIR
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.protected import check_deletable, real_path
from batchrun.ops.targets import chosen, look_up
from batchrun.ops.trash import move_to_trash
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.limits import allowed_deletions
from batchrun.ops.tree.removing import Remover, Removing, count
from batchrun.ops.tree.selection import Selection, selection

__all__ = ["OPERATIONS", "Delete", "allowed_deletions", "check_delete", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Parameters of `delete`."""

    path: Annotated[tuple[PathPattern, ...], Doc("Files, directories or globs to delete.")]
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what stays, below each path.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only what matches one is deleted.")
    ] = ()
    max_delete: Annotated[
        int | str | None,
        Doc(
            "Delete nothing when it would be more than this: a number of files and directories, "
            "or a share such as `10%` of what is there, in the directories that hold the paths "
            "and in the directories that are deleted."
        ),
    ] = None
    force: Annotated[
        tuple[PathText, ...], Doc("Exact paths that are deleted although they are protected.")
    ] = ()
    trash: Annotated[
        PathText | None, Doc("Directory into which everything is moved instead of being deleted.")
    ] = None


def check_delete(given: Mapping[str, Any]) -> list[str]:
    """Find combinations and values that mean nothing."""
    problems = []
    if given.get("trash") and (given.get("exclude") or given.get("include")):
        problems.append("`trash` moves whole paths; it cannot be given with `exclude` or `include`")
    limit = given.get("max_delete")
    if isinstance(limit, str):
        try:
            allowed_deletions(limit, 0)
        except OperationError as error:
            problems.append(str(error))
    return problems


def delete(params: Delete, context: Context) -> Done:
    """Delete files and trees; what is missing already is as asked."""
    problems = check_delete(
        {"trash": params.trash, "exclude": params.exclude, "include": params.include}
    )
    if problems:
        raise refusal(problems[0])
    selected = selection(params.exclude, params.include)
    if params.max_delete is not None:
        _check_limit(params, context, selected, params.max_delete)
    tally = Tally()
    how = Removing(
        check=context.check,
        dry_run=context.settings.dry_run,
        patterns=(params.exclude, params.include),
    )
    remover = Remover(how, tally)
    for item in look_up(params.path):
        context.check()
        if chosen(item, selected):
            try:
                _delete_one(item.path, params, context, tally, remover)
            except OperationError as error:
                tally.fail(error)
    spread = remover.finish(slice_cost=context.settings.slice_cost)
    return tally.done() if spread is None else replace(tally.done(), spread=spread)


def _delete_one(
    path: str, params: Delete, context: Context, tally: Tally, remover: Remover
) -> None:
    st = _look(path, context, params.force)
    if st is None:
        return
    if params.trash is not None:
        move_to_trash(path, st, params.trash, context, tally)
    else:
        if os.path.basename(path) in {".", "..", ""}:
            path = real_path(path)
        remover.remove(Place(None, path))


def _look(path: str, context: Context, force: tuple[str, ...]) -> os.stat_result | None:
    """Look at what is to be deleted, and refuse it if it is protected."""
    try:
        st = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise failure(error, "delete", path) from error
    check_deletable(path, context, force, is_dir=S_ISDIR(st.st_mode))
    return st


def _check_limit(
    params: Delete, context: Context, selected: Selection | None, limit: int | str
) -> None:
    """Count everything before the first deletion.

    Raises:
        OperationError: it is more than allowed; nothing was deleted.
    """
    meant = seen = 0
    parents: set[str] = set()
    for item in look_up(params.path):
        context.check()
        st = _look(item.path, context, params.force)
        if st is None or not chosen(item, selected):
            continue
        parents.add(os.path.dirname(item.path))
        whole = (
            selected is None
            or item.exact
            or selected.takes(os.path.basename(item.path), is_dir=S_ISDIR(st.st_mode))
        )
        meant += whole
        if S_ISDIR(st.st_mode):
            below = count(Place(None, item.path), selected, context.check)
            meant, seen = meant + below[0], seen + below[1]
    for parent in parents:
        seen += len(os.listdir(parent or "."))
    if meant > allowed_deletions(limit, seen):
        raise refusal(
            f"{meant} of {seen} entries would be deleted, which is more than max_delete "
            f"({limit}) allows; nothing was deleted"
        )


OPERATIONS = {
    "delete": Operation(
        name="delete",
        summary="Delete files, globs and trees; a missing path is fine.",
        params=Delete,
        function=delete,
        main="path",
        check=check_delete,
        uses=(
            PathUse(field="path", effect="removes"),
            # What is put there gets a name of its own: it must only stay where it is.
            PathUse(field="trash", effect="reads", whole=False),
        ),
        example="delete: {path: /srv/stage/old-*, max_delete: 100}\n",
    )
}
