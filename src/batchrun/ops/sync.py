"""The operation `sync`: one tree becomes like another."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from stat import S_ISDIR
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathText
from batchrun.ops.copy import Preserved
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.paths import escape, shown
from batchrun.ops.protected import real_path
from batchrun.ops.targets import check_not_inside, make_parents, trimmed
from batchrun.ops.tree.copying import Rules
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.forest import drive
from batchrun.ops.tree.limits import allowed_deletions
from batchrun.ops.tree.metadata import keeping
from batchrun.ops.tree.mirror import (
    CHUNK,
    FOREST,
    Mirror,
    MirrorForest,
    extras_of,
    keep_old,
    mirror_chunk,
)
from batchrun.ops.tree.treecopy import Copier

__all__ = ["OPERATIONS", "Sync", "sync"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """Parameters of `sync`."""

    src: Annotated[PathText, Doc("The directory to be mirrored.")]
    dest: Annotated[PathText, Doc("The directory that becomes like it; made when it is missing.")]
    delete: Annotated[bool, Doc("Delete in `dest` what `src` does not have.")] = False
    max_delete: Annotated[
        int | str,
        Doc(
            "Delete nothing, and fail, when it would be more than this: a number of files and "
            "directories, or a share such as `10%` of what is in `dest`."
        ),
    ] = "50%"
    checksum: Annotated[
        bool, Doc("Read files of the same size, instead of going by their times.")
    ] = False
    backup_dir: Annotated[
        PathText | None,
        Doc("Directory for what is replaced or deleted, under its path below `dest`."),
    ] = None
    preserve: Annotated[
        tuple[Preserved, ...], Doc("What of the metadata to keep; by default everything.")
    ] = ("mode", "owner", "times", "xattrs", "acl", "links")
    exclude: Annotated[
        tuple[str, ...],
        Doc("Gitignore-style patterns of what is left out; in `dest` that is protected."),
    ] = ()
    include: Annotated[
        tuple[str, ...],
        Doc("Gitignore-style patterns; only files that match one are copied, or deleted."),
    ] = ()


def _check(given: Mapping[str, Any]) -> list[str]:
    """Find a limit that is none."""
    limit = given.get("max_delete")
    if isinstance(limit, str):
        try:
            allowed_deletions(limit, 0)
        except OperationError as error:
            return [str(error)]
    return []


def sync(params: Sync, context: Context) -> Done:
    """Make one tree like another."""
    src, dest = trimmed(params.src), trimmed(params.dest)
    source, target = Place(None, src), Place(None, dest)
    st, old = _looked_at(params, src, dest)
    make_parents(dest, dry=context.settings.dry_run)
    tally = Tally()
    copier = Copier(context, _rules(params, dest), tally, dest)
    copier.copy(source, st, target, old)
    root = copier.roots[0].root
    if not root[4]:
        # Only in a dry run: there is nothing yet that could be deleted.
        params = replace(params, delete=False)
    mirror = Mirror(
        config=copier.config,
        root=root,
        delete=params.delete,
        max_delete=params.max_delete,
        backup=os.path.abspath(params.backup_dir) if params.backup_dir else "",
    )
    keep_old(copier.visitor, mirror, context)
    try:
        rest, _ = copier.begin(context.settings.slice_cost or inf)
    except OperationError as error:
        copier.abandon()
        raise tally.ended_early(error) from error
    except BaseException:
        copier.abandon()
        raise
    seed = (CHUNK, tuple(mirror), (tally.counted(), *rest, extras_of(copier.visitor)))
    if rest[1]:
        return replace(tally.done(), spread=Spread(coordinator=FOREST, seed=seed))
    forest = MirrorForest(seed)
    try:
        return drive(forest, partial(mirror_chunk, context=context))
    except OperationError as error:
        raise forest.tally.ended_early(error) from error


def _rules(params: Sync, dest: str) -> Rules:
    keep = keeping(params.preserve)
    exclude = params.exclude
    if params.backup_dir:
        inside = os.path.relpath(os.path.realpath(params.backup_dir), os.path.realpath(dest))
        if not inside.startswith(".."):
            exclude = (*exclude, f"/{escape(inside)}")
    return Rules(
        keep=keep,
        when="checksum" if params.checksum else "different",
        patterns=(exclude, params.include),
        mirror=params.delete,
    )


def _looked_at(params: Sync, src: str, dest: str) -> tuple[os.stat_result, os.stat_result | None]:
    """Look at both, and refuse what would be a disaster.

    Raises:
        OperationError: the source is missing, or empty while something would be deleted; one lies
            in the other; the destination is the root of the filesystem.
    """
    try:
        st = os.stat(src)
        if not S_ISDIR(st.st_mode):
            raise refusal(f"{shown(src)} is not a directory; sync mirrors directories")
        check_not_inside(src, dest)
        if os.path.isdir(dest):
            check_not_inside(dest, src)
        if params.delete and real_path(dest) == "/":
            raise refusal("refused to delete in /: it is the root of the filesystem")
        if params.delete and not _has_any(src) and os.path.isdir(dest) and _has_any(dest):
            raise refusal(
                f"{shown(src)} is empty, so everything in {shown(dest)} would be deleted; "
                "nothing was done"
            )
    except OSError as error:
        raise failure(error, "mirror", src) from error
    return st, Place(None, dest).lstat()


def _has_any(path: str) -> bool:
    with os.scandir(path) as entries:
        return next(entries, None) is not None


OPERATIONS = {
    "sync": Operation(
        name="sync",
        summary="Make one tree like another, and say what would be too much to delete.",
        params=Sync,
        function=sync,
        main="src",
        check=_check,
        uses=(
            PathUse(field="src", effect="reads"),
            PathUse(field="dest", effect="changes"),
            PathUse(field="backup_dir", effect="changes"),
        ),
        example="sync: {src: /srv/www, dest: /mnt/backup/www, delete: true, max_delete: 10%}\n",
    )
}
