"""The operation `delete` on hosts, and what must not go there by a slip."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from batchrun.errors import OperationError
from batchrun.model.operation import Done, Operation, PathUse
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.delete import allowed_deletions, check_delete
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.paths import shown
from batchrun.ops.sudo import SudoValue
from batchrun.ops.trash import MOST_NAME
from batchrun.ops.tree.selection import Selection, selection
from batchrun.remote.broken import broken_is_lost
from batchrun.remote.changing import must
from batchrun.remote.errand import SudoField, ask_all
from batchrun.remote.extras import delete_below
from batchrun.remote.launch import NoShellError
from batchrun.remote.listing import entries_below
from batchrun.remote.lookup import look_up_there, named_exactly
from batchrun.remote.meant import is_chosen, is_meant, topmost
from batchrun.remote.protected import Found, check_protected, look
from batchrun.remote.words import path_word, quote

__all__ = ["OPERATIONS", "Delete", "delete"]

#: What is checked before anything is done, as when the job file is read.
_CHECKED = ("trash", "exclude", "include", "max_delete")
#: What is in the way is named before a directory is made inside of it.
_TRASH = rb"""
case $(CDPATH= cd -P -- "$folder" 2>/dev/null && pwd -P)/ in
"$real"/*) echo "the trash is inside of it" >&2; exit 1 ;;
esac
mkdir -p -- "$folder" && exec mv -- "$path" "$target"
"""
_COUNT = rb"""
for p; do
  find "$p" -print0 2>/dev/null | tr -dc '\0' | wc -c
done
"""
_COUNT_IN = rb"""
for p; do
  find "$p/." -mindepth 1 -maxdepth 1 -print0 2>/dev/null | tr -dc '\0' | wc -c
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Parameters of `delete`."""

    path: Annotated[
        tuple[PathPattern, ...], Doc("Files, directories or globs to delete on the host.")
    ]
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
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what stays, below each path.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only what matches one is deleted.")
    ] = ()
    trash: Annotated[
        PathText | None,
        Doc("Directory there into which everything is moved instead of being deleted."),
    ] = None
    sudo: SudoField = field(default=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What patterns mean of a directory of which something stays."""

    #: Paths below it, without what lies in them.
    names: list[str]
    #: How many entries that are, and how many there are in it.
    meant: int
    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doomed:
    """Something that is to be deleted, or of which a part is."""

    found: Found
    #: None: all of it.
    part: _Part | None = None


@broken_is_lost
def delete(params: Delete, context: HostContext) -> Done:
    """Delete files and trees there; what is missing already is as asked."""
    problems = check_delete({name: getattr(params, name) for name in _CHECKED})
    if problems:
        raise refusal(problems[0])
    try:
        return _delete(params, context)
    except NoShellError:
        from batchrun.remote.sftp import delete_by_sftp  # noqa: PLC0415 - only without a shell

        return delete_by_sftp(params, context)


def _delete(params: Delete, context: HostContext) -> Done:
    tally = Tally()
    # Nothing is missed: what a pattern does not find is as asked.
    paths = look_up_there(params.path, context, params.sudo, lambda _pattern: None)
    found = look(paths, context, params.sudo)
    check_protected(found, params.force, context, params.sudo)
    selected = selection(params.exclude, params.include)
    doomed = [_Doomed(found=one) for one in found]
    if selected is not None:
        doomed = list(_meant(found, selected, params, context))
    if params.max_delete is not None and doomed:
        _check_limit(doomed, params.max_delete, params, context)
    for one in doomed:
        context.check()
        try:
            _delete_one(one, params, context, tally)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _meant(
    found: list[Found], selected: Selection, params: Delete, context: HostContext
) -> Iterator[_Doomed]:
    """Yield what patterns mean, as on this machine: what was named exactly is always meant."""
    exact = named_exactly(params.path)
    for one in found:
        is_dir = one.kind == "d"
        if one.path not in exact and not is_chosen(one.path, selected, is_dir=is_dir):
            continue
        if not is_dir:
            yield _Doomed(found=one)
        else:
            there = entries_below(one.real, context, params.sudo, temporaries=True)
            gone = [path for path, facts in there.items() if is_meant(path, facts, selected)]
            if len(gone) == len(there):
                yield _Doomed(found=one)
            elif names := topmost(gone, there):
                part = _Part(names=names, meant=len(gone), seen=len(there))
                yield _Doomed(found=one, part=part)


def _delete_one(doomed: _Doomed, params: Delete, context: HostContext, tally: Tally) -> None:
    one, part = doomed.found, doomed.part
    if not one.may and part is None:
        message = f"cannot delete {shown(one.path)} on {context.host.name}: Permission denied"
        raise OperationError(message)
    tally.changed = True
    if context.settings.dry_run:
        return
    if part is not None:
        delete_below(one.real, part.names, context, params.sudo)
    elif params.trash is not None:
        _move_to_trash(one, params.trash, context, params.sudo)
    else:
        text = b"rm -rf -- " + path_word(_removable(one))
        must(text, f"delete {shown(one.path)}", context, params.sudo)


def _removable(one: Found) -> str:
    """Return a path that `rm` takes: it refuses one that ends in `.`; the real one never does."""
    return one.real if os.path.basename(one.path) in {".", "..", ""} else one.path


def _move_to_trash(one: Found, trash: str, context: HostContext, sudo: SudoValue) -> None:
    """Move one thing into the trash directory, under its name and a unique ending.

    Raises:
        OperationError: it could not be moved; it is still where it was.
    """
    path = _removable(one)
    if f"{os.path.normpath(trash)}/".startswith((f"{os.path.normpath(path)}/", f"{one.real}/")):
        raise refusal(f"the trash {shown(trash)} lies in {shown(one.path)}; move it elsewhere")
    name = os.fsdecode(os.fsencode(os.path.basename(path))[:MOST_NAME])
    ending = context.temp_name().removeprefix(".br-")
    text = b"real=%b folder=%b path=%b target=%b\n" % (
        quote(os.fsencode(one.real)),
        path_word(trash),
        path_word(path),
        path_word(os.path.join(trash, f"{name}.{ending}")),
    )
    must(text + _TRASH, f"move {shown(one.path)} to the trash", context, sudo)


def _check_limit(
    doomed: list[_Doomed], limit: int | str, params: Delete, context: HostContext
) -> None:
    """Count everything before the first deletion.

    Raises:
        OperationError: it is more than allowed; nothing was deleted.
    """
    parts = [one.part for one in doomed if one.part is not None]
    words = [path_word(one.found.path) for one in doomed if one.part is None]
    whole = sum(_numbers(_COUNT, words, params, context))
    meant = whole + sum(part.meant for part in parts)
    inside = whole - len(words) + sum(part.seen for part in parts)
    folders = sorted({os.path.dirname(one.found.path) or "." for one in doomed})
    around = sum(_numbers(_COUNT_IN, [path_word(path) for path in folders], params, context))
    if meant > allowed_deletions(limit, inside + around):
        raise refusal(
            f"{meant} of {inside + around} entries would be deleted, which is more than "
            f"max_delete ({limit}) allows; nothing was deleted"
        )


def _numbers(text: bytes, words: list[bytes], params: Delete, context: HostContext) -> list[int]:
    answers = ask_all(text, words, context, params.sudo)
    return [int(line) for answer in answers for line in answer.stdout.split()]


OPERATIONS = {
    "delete": Operation(
        name="delete",
        summary="Delete files, globs and trees on the host; a missing path is fine.",
        params=Delete,
        function=delete,
        main="path",
        check=check_delete,
        uses=(
            PathUse(field="path", effect="removes"),
            # What is put there gets a name of its own: it must only stay where it is.
            PathUse(field="trash", effect="reads", whole=False),
        ),
        example='delete: {path: /srv/releases/old-*, max_delete: 100}\nhosts: "@web"\n',
    )
}
