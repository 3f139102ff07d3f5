"""What must not be deleted on a host by a slip: system directories, homes, mount points."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown
from batchrun.ops.protected import SYSTEM_DIRECTORIES
from batchrun.ops.sudo import SudoValue
from batchrun.remote.errand import ask, ask_all
from batchrun.remote.words import path_word

__all__ = ["Found", "check_protected", "look"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that is to be deleted."""

    #: As the job file, or a pattern in it, names it.
    path: str
    #: `d`: a directory, `l`: a symlink, `f`: anything else.
    kind: str
    #: Whether the directory that holds it may be written to.
    may: bool
    #: The same with everything but its last name resolved.
    real: str


def look(paths: list[str], context: HostContext, sudo: SudoValue) -> list[Found]:
    """Look at what of paths is there."""
    answers = ask_all(_LOOK, [path_word(path) for path in paths], context, sudo)
    records = [record for answer in answers for record in answer.stdout.split(b"\0")[:-1]]
    if len(records) != len(paths):
        message = "the host did not say how its files are"
        raise OperationError(message)
    told = [(os.fsdecode(record), path) for record, path in zip(records, paths, strict=True)]
    return [
        Found(path=path, kind=text[0], may=text[1] == "w", real=text[2:] or "/")
        for text, path in told
        if text[0] != "-"
    ]


def check_protected(
    found: list[Found], force: Iterable[str], context: HostContext, sudo: SudoValue
) -> None:
    """Refuse what a slip must not delete, however the path is spelled.

    Args:
        found: What is to be deleted.
        force: Paths that are deleted all the same.
        context: The unit's.
        sudo: As whom.

    Raises:
        OperationError: it is `/`, a system directory, a home, or a mount point, or holds one.
    """
    suspects = [
        one for one in found if one.kind == "d" or os.path.basename(one.real) in SYSTEM_DIRECTORIES
    ]
    if not suspects:
        return
    text = os.fsdecode(ask(_PRECIOUS, context, sudo).stdout)
    before, _, mounts = text.partition("\n//\n")
    homes = [home for home in before.splitlines() if home.startswith("/") and home != "/"]
    points = [
        _OCTAL.sub(lambda match: chr(int(match[1], 8)), point) for point in mounts.split("\n")
    ]
    for one in suspects:
        reason = _reason(one, homes, [point for point in points if point])
        exceptions = {os.path.normpath(path) for path in force}
        if reason and not exceptions & {os.path.normpath(one.path), one.real}:
            raise refusal(
                f"refused to delete {shown(one.path)} on {context.host.name}: it {reason}; {_FORCE}"
            )


def _reason(one: Found, homes: list[str], points: list[str]) -> str:
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
