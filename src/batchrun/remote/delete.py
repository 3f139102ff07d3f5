"""The operation `delete` on hosts, and what must not go there by a slip."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Done, Operation, PathUse
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.delete import allowed_deletions
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.paths import shown
from batchrun.ops.protected import SYSTEM_DIRECTORIES
from batchrun.remote.broken import broken_is_lost
from batchrun.remote.errand import SudoField, ask, ask_all
from batchrun.remote.launch import NoShellError
from batchrun.remote.lookup import look_up_there
from batchrun.remote.words import path_word

__all__ = ["OPERATIONS", "Delete", "delete"]

_FORCE = "to delete it all the same, name it in `force`"
_OCTAL = re.compile(r"\\([0-7]{3})")
#: For each path: a letter for what it is, a letter for whether it may be removed, its real name
#: with everything but the last name resolved; NUL.
_LOOK = rb"""
for p; do
  b=${p##*/} d=${p%/*}
  [ "$d" != "$p" ] || d=.
  [ -n "$d" ] || d=/
  case $b in
  ''|.|..) r=$(CDPATH= cd -P -- "$p" 2>/dev/null && pwd -P; echo .); r=${r%??} ;;
  *) r=$(CDPATH= cd -P -- "$d" 2>/dev/null && pwd -P; echo .); r=${r%??}; r=${r%/}/$b ;;
  esac
  k=f
  if [ -L "$p" ]; then k=l
  elif [ -d "$p" ]; then k=d
  elif [ ! -e "$p" ]; then k=-
  fi
  w=-
  [ -w "$d" ] && w=w
  printf '%s%s%s\0' "$k" "$w" "$r"
done
"""
_PRECIOUS = rb"""
pwd -P
{ getent passwd || cat /etc/passwd; } 2>/dev/null | cut -d: -f6
echo //
cut -d' ' -f5 /proc/self/mountinfo 2>/dev/null || df -P | sed '1d;s/.*% *//'
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
    sudo: SudoField = field(default=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Something that is to be deleted."""

    #: As the job file, or a pattern in it, names it.
    path: str
    #: `d`: a directory, `l`: a symlink, `f`: anything else.
    kind: str
    may: bool
    real: str


@broken_is_lost
def delete(params: Delete, context: HostContext) -> Done:
    """Delete files and trees there; what is missing already is as asked."""
    problems = _check({"max_delete": params.max_delete})
    if problems:
        raise refusal(problems[0])
    try:
        return _delete(params, context)
    except NoShellError:
        from batchrun.remote.sftp import delete_by_sftp  # noqa: PLC0415 - only without a shell

        return delete_by_sftp(params.path, context)


def _delete(params: Delete, context: HostContext) -> Done:
    tally = Tally()
    # Nothing is missed: what a pattern does not find is as asked.
    paths = look_up_there(params.path, context, params.sudo, lambda _pattern: None)
    found = _look(paths, params, context)
    _check_protected(found, params, context)
    if params.max_delete is not None and found:
        _check_limit(found, params, context)
    for one in found:
        context.check()
        try:
            _delete_one(one, params, context, tally)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _delete_one(one: _Found, params: Delete, context: HostContext, tally: Tally) -> None:
    if not one.may:
        message = f"cannot delete {shown(one.path)} on {context.host.name}: Permission denied"
        raise OperationError(message)
    tally.changed = True
    if context.settings.dry_run:
        return
    # `rm` refuses a path that ends in `.`; the real one never does.
    path = one.real if os.path.basename(one.path) in {".", "..", ""} else one.path
    answer = ask(b"rm -rf -- " + path_word(path), context, params.sudo)
    if answer.status:
        message = f"cannot delete {shown(one.path)} on {context.host.name}: {answer.complaint}"
        raise OperationError(message)


def _look(paths: list[str], params: Delete, context: HostContext) -> list[_Found]:
    """Look at what there is to be deleted."""
    answers = ask_all(_LOOK, [path_word(path) for path in paths], context, params.sudo)
    records = [record for answer in answers for record in answer.stdout.split(b"\0")[:-1]]
    if len(records) != len(paths):
        message = "the host did not say how its files are"
        raise OperationError(message)
    told = [(os.fsdecode(record), path) for record, path in zip(records, paths, strict=True)]
    return [
        _Found(path=path, kind=text[0], may=text[1] == "w", real=text[2:] or "/")
        for text, path in told
        if text[0] != "-"
    ]


def _check_protected(found: list[_Found], params: Delete, context: HostContext) -> None:
    """Refuse what a slip must not delete, however the path is spelled.

    Raises:
        OperationError: it is `/`, a system directory, a home, or a mount point, or holds one.
    """
    suspects = [
        one for one in found if one.kind == "d" or os.path.basename(one.real) in SYSTEM_DIRECTORIES
    ]
    if not suspects:
        return
    text = os.fsdecode(ask(_PRECIOUS, context, params.sudo).stdout)
    before, _, mounts = text.partition("\n//\n")
    homes = [home for home in before.splitlines() if home.startswith("/") and home != "/"]
    points = [
        _OCTAL.sub(lambda match: chr(int(match[1], 8)), point) for point in mounts.split("\n")
    ]
    for one in suspects:
        reason = _reason(one, homes, [point for point in points if point])
        exceptions = {os.path.normpath(path) for path in params.force}
        if reason and not exceptions & {os.path.normpath(one.path), one.real}:
            raise refusal(
                f"refused to delete {shown(one.path)} on {context.host.name}: it {reason}; {_FORCE}"
            )


def _reason(one: _Found, homes: list[str], points: list[str]) -> str:
    """Say why a path is protected; empty when it is not."""
    real = one.real
    if real == "/":
        return "is the root of the filesystem"
    if os.path.dirname(real) == "/" and os.path.basename(real) in SYSTEM_DIRECTORIES:
        return "is a system directory"
    if one.kind != "d":
        return ""
    precious = [(home, "a home directory") for home in homes]
    precious += [(point, "a mount point") for point in points]
    for path, what in precious:
        if path == real:
            return f"is {what}"
    for path, what in precious:
        if path.startswith(real + "/"):
            return f"holds {what}, {shown(path)}"
    return ""


def _check_limit(found: list[_Found], params: Delete, context: HostContext) -> None:
    """Count everything before the first deletion.

    Raises:
        OperationError: it is more than allowed; nothing was deleted.
    """
    limit = params.max_delete if params.max_delete is not None else 0
    words = [path_word(one.path) for one in found]
    meant = sum(_numbers(_COUNT, words, params, context))
    inside = meant - len(found)
    folders = sorted({os.path.dirname(one.path) or "." for one in found})
    around = sum(_numbers(_COUNT_IN, [path_word(path) for path in folders], params, context))
    if meant > allowed_deletions(limit, inside + around):
        raise refusal(
            f"{meant} of {inside + around} entries would be deleted, which is more than "
            f"max_delete ({limit}) allows; nothing was deleted"
        )


def _numbers(text: bytes, words: list[bytes], params: Delete, context: HostContext) -> list[int]:
    answers = ask_all(text, words, context, params.sudo)
    return [int(line) for answer in answers for line in answer.stdout.split()]


def _check(given: Mapping[str, Any]) -> list[str]:
    """Refuse a limit that is none."""
    limit = given.get("max_delete")
    if isinstance(limit, str):
        try:
            allowed_deletions(limit, 0)
        except OperationError as error:
            return [str(error)]
    return []


OPERATIONS = {
    "delete": Operation(
        name="delete",
        summary="Delete files, globs and trees on the host; a missing path is fine.",
        params=Delete,
        function=delete,
        main="path",
        check=_check,
        uses=(PathUse(field="path", effect="removes"),),
        example='delete: {path: /srv/releases/old-*, max_delete: 100}\nhosts: "@web"\n',
    )
}
