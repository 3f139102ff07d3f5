"""Items of `foreach` that a host itself has: no job can ask for these operations by name.

Each answers with its items on standard output, all of them, as nobody could use a part.
"""

import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Final

from batchrun.model.operation import Done, Operation
from batchrun.model.outcome import Captured, Failed, Ok, Output
from batchrun.model.session import HostContext
from batchrun.model.values import Glob
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown
from batchrun.ops.patterns import compiled
from batchrun.ops.spawn import encode
from batchrun.ops.sudo import NO_SUDO, SudoValue
from batchrun.remote.broken import broken_is_lost
from batchrun.remote.errand import SudoField, ask
from batchrun.remote.facts import Facts
from batchrun.remote.globs import expand_there
from batchrun.remote.listing import below
from batchrun.remote.words import path_word, words

__all__ = ["OPERATIONS"]

_TYPES: Final[Mapping[str, Callable[[int], bool]]] = {
    "file": S_ISREG,
    "directory": S_ISDIR,
    "symlink": S_ISLNK,
    "any": lambda _mode: True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Globs:
    """Which paths."""

    patterns: tuple[str | Glob, ...]
    sudo: SudoField = field(default=NO_SUDO, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of which file."""

    path: str
    sudo: SudoField = field(default=NO_SUDO, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What which program writes."""

    argv: tuple[str, ...]
    sudo: SudoField = field(default=NO_SUDO, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """What lies below directories and meets all conditions; as `find` on this machine."""

    path: tuple[str, ...]
    name: tuple[str, ...] = ()
    older_than: float | None = None
    newer_than: float | None = None
    larger_than: int | None = None
    smaller_than: int | None = None
    type: str = "file"
    max_depth: int | None = None
    hidden: bool = False
    sudo: SudoField = field(default=NO_SUDO, repr=False)


def globs(params: Globs, context: HostContext) -> Done:
    """Look up paths and patterns."""
    found: list[str] = []
    for pattern in params.patterns:
        if isinstance(pattern, Glob):
            found += expand_there(pattern, context, params.sudo)
        elif _is_there(pattern, context, params.sudo):
            found.append(pattern)
    return _answer(found)


def _is_there(path: str, context: HostContext, sudo: SudoValue) -> bool:
    word = path_word(path)
    answer = ask(b"[ -e %b ] || [ -L %b ] && echo there; exit 0" % (word, word), context, sudo)
    return bool(answer.stdout)


def lines(params: Lines, context: HostContext) -> Done:
    """Read a file."""
    answer = ask(b"exec cat <" + path_word(params.path), context, params.sudo)
    if answer.status:
        message = f"the items in {shown(params.path)} cannot be read: {answer.complaint}"
        return Done(outcome=Failed(message=message))
    return _said(answer.stdout)


def command(params: Command, context: HostContext) -> Done:
    """Run a program."""
    if not params.argv or not params.argv[0]:
        raise refusal("the items cannot be computed: the command is empty")
    argv = (encode(word, "An argument of the command") for word in params.argv)
    answer = ask(b"exec " + words(*argv), context, params.sudo, env={})
    if answer.status:
        said = f": {answer.complaint}" if answer.complaint else ""
        how = f"ended with exit status {answer.status}{said}"
        message = f"the command {shown(shlex.join(params.argv))} for the items {how}"
        return Done(outcome=Failed(message=message, exit_status=answer.status))
    return _said(answer.stdout)


def find(params: Find, context: HostContext) -> Done:
    """Walk below directories."""
    conditions = list(_conditions(params))
    return _answer(
        path
        for root in params.path
        for path, facts in below(root, context, params.sudo)
        if _is_near(path, root, params.max_depth)
        and all(condition(path, facts) for condition in conditions)
    )


def _is_near(path: str, root: str, max_depth: int | None) -> bool:
    return max_depth is None or path[len(root.rstrip("/")) :].count("/") <= max_depth


def _conditions(params: Find) -> Iterable[Callable[[str, Facts], bool]]:
    """Make what must hold of a path and what is there."""
    is_type, now = _TYPES[params.type], time.time()
    yield lambda _path, facts: is_type(facts.mode)
    if params.name:
        matches = _names(params)
        yield lambda path, _facts: matches(path.rpartition("/")[2])
    if params.older_than is not None:
        before = now - params.older_than
        yield lambda _path, facts: facts.mtime_s < before
    if params.newer_than is not None:
        after = now - params.newer_than
        yield lambda _path, facts: facts.mtime_s > after
    if params.larger_than is not None:
        least = params.larger_than
        yield lambda _path, facts: facts.is_file and facts.size > least
    if params.smaller_than is not None:
        most = params.smaller_than
        yield lambda _path, facts: facts.is_file and facts.size < most


def _names(params: Find) -> Callable[[str], bool]:
    try:
        parts = [compiled(pattern, params.hidden) for pattern in params.name]
    except ValueError as error:
        raise refusal(str(error)) from None
    plain = frozenset(part for part in parts if isinstance(part, str))
    expressions = [part for part in parts if isinstance(part, re.Pattern)]
    if None in parts:
        return lambda _name: True
    return lambda name: name in plain or any(one.match(name) for one in expressions)


def _answer(paths: Iterable[str]) -> Done:
    return _said(b"".join(os.fsencode(path) + b"\0" for path in paths))


def _said(data: bytes) -> Done:
    """Answer with all items; `ask` sees to it that they are no more than 64 MiB."""
    return Done(outcome=Ok(changed=False), output=Output(stdout=Captured(head=data)))


OPERATIONS: Mapping[str, Operation] = {
    name: Operation(
        name=name,
        summary="Look up items.",
        params=params,
        function=broken_is_lost(function),
        main="",
    )
    for name, params, function in (
        ("glob", Globs, globs),
        ("lines", Lines, lines),
        ("command", Command, command),
        ("find", Find, find),
    )
}
