"""The operation `copy`: like cp -a, for files, trees and globs."""

import os
from dataclasses import dataclass
from functools import lru_cache
from stat import S_ISDIR
from typing import Annotated, Literal

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.values import Doc, ModeText, PathPattern, PathText
from batchrun.ops.failures import Tally, failure
from batchrun.ops.owners import group_id, user_id
from batchrun.ops.targets import (
    Names,
    check_not_inside,
    chosen,
    into,
    look_up,
    make_parents,
    onto_directory,
    target_for,
)
from batchrun.ops.tree.copying import Rules
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import PRESERVED, Keep
from batchrun.ops.tree.selection import selection
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


@lru_cache(maxsize=64)
def _rules(  # noqa: PLR0913 - the key of a cache: parameters that differ little between units
    if_: str,
    verify: bool,  # noqa: FBT001 - as above
    preserve: tuple[str, ...],
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    owners: tuple[str | None, str | None],
    mode: str | None,
) -> Rules:
    kept = {name: name in preserve for name in PRESERVED}
    keep = Keep(**kept, uid=user_id(owners[0]), gid=group_id(owners[1]), mode_text=mode)
    return Rules(keep=keep, when=if_, verify=verify, selection=selection(exclude, include))


def copy(params: Copy, context: Context) -> Done:
    """Copy files and trees with everything that belongs to them."""
    rules = _rules(
        params.if_,
        params.verify,
        params.preserve,
        params.exclude,
        params.include,
        (params.owner, params.group),
        params.mode,
    )
    inside = into(params.src, params.dest)
    tally = Tally()
    base = params.dest if inside else os.path.dirname(params.dest)
    copier = Copier(context, rules, tally, base)
    names = Names(params.src)
    for item in look_up(params.src):
        context.check()
        target = target_for(item.path, params.dest, inside=inside)
        names.take(item.path, target)
        try:
            if chosen(item, rules.selection):
                _copy_one(copier, item.path, target, inside=inside, dry=context.settings.dry_run)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _copy_one(copier: Copier, path: str, target: str, *, inside: bool, dry: bool) -> None:
    """Copy what one source stands for."""
    try:
        st = os.lstat(path)
    except OSError as error:
        raise failure(error, "copy", path) from error
    if S_ISDIR(st.st_mode):
        check_not_inside(path, target)
    elif not inside and os.path.isdir(target):
        raise onto_directory(path, target)
    make_parents(target, dry=dry)
    copier.copy(Place(None, path), st, Place(None, target))


OPERATIONS = {
    "copy": Operation(
        name="copy",
        summary="Copy files, trees and globs with everything that belongs to them.",
        params=Copy,
        function=copy,
        main="src",
        example="copy: {src: /data/exports/*.csv, dest: /srv/stage/}",
    )
}
