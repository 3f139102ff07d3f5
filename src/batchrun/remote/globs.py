"""Look up patterns on a host: its shell finds what could match, and our own language decides."""

import os
import re
from collections.abc import Iterator

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.model.values import Glob
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown
from batchrun.ops.patterns import ANY_DEPTH, Part, compiled, split_braces
from batchrun.ops.sudo import NO_SUDO, SudoValue
from batchrun.ops.tree.temporary import is_temporary
from batchrun.remote.errand import ask
from batchrun.remote.words import path_word, quote

__all__ = ["expand_there", "fixed_part"]

_SPECIAL = re.compile(r"[*?\[{]")
#: Writes what `$@` names, NUL-terminated, each with a letter: is it a directory, or leads to one?
_TELL = rb"""
for p; do
  if [ -d "$p" ]; then printf 'd%s\0' "$p"
  elif [ -e "$p" ] || [ -L "$p" ]; then printf 'f%s\0' "$p"
  fi
done
"""
#: The same for everything below them, however deep; symlinks are not followed.
_TELL_BELOW = rb"""
tell=$1
shift
for r; do
  [ ! -d "$r" ] || find "$r/." -mindepth 1 -exec sh -c "$tell" sh {} +
done
"""


def fixed_part(pattern: str) -> str:
    """Return the directories at the beginning of a pattern that are no pattern, with a slash.

    >>> fixed_part("/var/log/app-*/x.log"), fixed_part("*.log"), fixed_part("~/logs/*")
    ('/var/log/', '', '~/logs/')
    """
    found = _SPECIAL.search(pattern)
    return pattern[: pattern.rfind("/", 0, found.start() if found else None) + 1]


def expand_there(pattern: Glob, context: HostContext, sudo: SudoValue = NO_SUDO) -> list[str]:
    """Return the paths on the host that match, each once, in bytewise order.

    The rules are those of `batchrun.ops.paths.expand`. A relative pattern gives relative paths.

    Raises:
        OperationError: it could not be looked up.
    """
    try:
        found = {
            path
            for one in split_braces(pattern.pattern)
            for path in _expand_one(one, context, sudo)
        }
    except ValueError as error:
        raise refusal(str(error)) from error
    return sorted(found, key=os.fsencode)


def _expand_one(text: str, context: HostContext, sudo: SudoValue) -> Iterator[str]:
    fixed = fixed_part(text)
    only_directories = text.endswith("/")
    parts = tuple(compiled(part, False) for part in text[len(fixed) :].split("/") if part)  # noqa: FBT003 - a cache keys on positions
    shallow = parts[: parts.index(ANY_DEPTH)] if ANY_DEPTH in parts else parts
    start = path_word(fixed, keep_slash=True) if fixed else b"./"
    names = [name for name in text[len(fixed) :].split("/") if name][: len(shallow)]
    where = start + b"/".join(map(_loose, names)) + b"\n"
    deep = b"set -- '%b' " % _TELL.replace(b"'", b"'\\''")
    script = b"set -- " + where + _TELL if shallow is parts else deep + where + _TELL_BELOW
    answer = ask(script, context, sudo)
    if answer.status and not answer.stdout:
        message = f"cannot look up {shown(text)} on the host: {answer.complaint}"
        raise OperationError(message)
    prefix = _prefix_said(fixed)
    for record in answer.stdout.split(b"\0")[:-1]:
        path = os.fsdecode(record[1:]).replace("/./", "/")
        relative = path.removeprefix(prefix)
        names = [name for name in relative.split("/") if name not in {"", "."}]
        if only_directories and record[:1] != b"d":
            continue
        if names and names[-1] != ".." and not is_temporary(names[-1]) and _matches(parts, names):
            yield fixed + "/".join(names)


def _prefix_said(fixed: str) -> str:
    """Return how the host writes the fixed part at the beginning of each path."""
    if not fixed:
        return "./"
    if fixed.startswith("~/"):
        return "./" + fixed[2:].lstrip("/")
    return fixed if fixed.startswith(("/", "./", "../")) else "./" + fixed


def _loose(part: str) -> bytes:
    """Write a component for a shell, which then finds at least what the component matches."""
    found = _SPECIAL.search(part)
    return quote(part.encode("utf-8", "surrogateescape")) if found is None else _widened(part)


def _widened(part: str) -> bytes:
    """Keep what stands before the first wildcard, and take whatever follows."""
    first = _SPECIAL.search(part)
    before = part[: first.start()] if first else part
    return (quote(os.fsencode(before)) if before else b"") + b"*"


def _matches(parts: tuple[Part, ...], names: list[str]) -> bool:
    """Tell whether names, one below the other, match a pattern."""
    if not parts:
        return not names
    first, rest = parts[0], parts[1:]
    if first is ANY_DEPTH:
        if not rest:  # at the end it stands for anything below, and hidden names are not meant
            return bool(names) and not any(name.startswith(".") for name in names)
        return any(
            _matches(rest, names[at:])
            for at in range(len(names))
            if not any(name.startswith(".") for name in names[:at])
        )
    if not names:
        return False
    name = names[0]
    fits = first == name if isinstance(first, str) else first.match(name) is not None
    return fits and _matches(rest, names[1:])
