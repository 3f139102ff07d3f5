"""Paths of a job file: where `~` and relative ones lead, and which characters are glob."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchrun.jobfile.expressions import Expression
from batchrun.jobfile.scope import Names
from batchrun.jobfile.template import Part, insert
from batchrun.model.values import Glob
from batchrun.ops.paths import escape, has_magic

__all__ = ["PathRules", "absolute", "opened_pattern", "path_renderer", "pattern_renderer"]

#: Inside braces that are written in the file, a comma or brace of a value must stay one, too.
_SPECIAL = re.compile(r"([*?\[{},])")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRules:
    """How the paths of one parameter are read."""

    #: Against which relative paths resolve; absolute.
    base_dir: str
    #: No part of it may come out empty: what is named would be destroyed.
    fragile: bool = False


def absolute(base_dir: str, path: str) -> str:
    """Resolve a path against a directory, without looking at the disk.

    A slash at the end is kept.

    >>> absolute("/jobs", "a/"), absolute("/jobs", "/x"), absolute("/jobs", "./a")
    ('/jobs/a/', '/x', '/jobs/a')

    Raises:
        ValueError: it is empty, or holds a NUL character.
    """
    if not path:
        message = "the path is empty"
        raise ValueError(message)
    if "\0" in path:
        message = "a path cannot hold a NUL character"
        raise ValueError(message)
    if path[0] == "/":
        return path
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    if path in ("", "."):
        return base_dir
    return f"{base_dir.rstrip('/')}/{path}"


def _home(parts: Sequence[Part]) -> list[Part]:
    """Expand a `~` that is written at the start.

    Raises:
        ValueError: there is no such user, or the name is computed.
    """
    if not parts or not isinstance(parts[0], str) or not parts[0].startswith("~"):
        return list(parts)
    name, slash, rest = parts[0].partition("/")
    if not slash and len(parts) > 1:
        message = (
            "the user's name after `~` must be written out; or write ./~ for a file of that name"
        )
        raise ValueError(message)
    home = os.path.expanduser(name)
    if home == name:
        message = f"there is no user {name[1:]!r} whose home `{name}` could be; write ./{name} for "
        raise ValueError(message + "a file of that name")
    return [(home.rstrip("/") + slash + rest) or "/", *parts[1:]]


def path_renderer(parts: Sequence[Part], rules: PathRules) -> str | Callable[[Names], str]:
    """Resolve a path now, or make the function that does so for each unit."""
    parts = _home(parts)
    if all(isinstance(part, str) for part in parts):
        return absolute(rules.base_dir, "".join(str(part) for part in parts))
    base_dir, fragile = rules.base_dir, rules.fragile

    def render(names: Names) -> str:
        inserted = [
            part if isinstance(part, str) else _insert(part, names, fragile=fragile)
            for part in parts
        ]
        path = "".join(inserted)
        if path[:1] == "/" and "\0" not in path:
            return path
        return absolute(base_dir, path)

    return render


def _insert(expression: Expression, names: Names, *, fragile: bool) -> str:
    text = insert(expression, names)
    if fragile and not text:
        message = (
            f"`{{{{ {expression.source} }}}}` came out empty, so that the path would name "
            "something else; nothing was done"
        )
        raise ValueError(message)
    return text


def pattern_renderer(
    parts: Sequence[Part], rules: PathRules
) -> str | Glob | Callable[[Names], str | Glob]:
    """Resolve a pattern now, or make the function that does so for each unit.

    Without glob characters in the file, and without `| glob`, it is a path.
    """
    parts = _home_escaped(parts)
    opened = any(isinstance(part, Expression) and part.glob for part in parts)
    magic = has_magic("".join(part if isinstance(part, str) else "x" for part in parts))
    if not magic and not opened:
        return path_renderer(parts, rules)
    if magic:
        _refuse_in_brackets(parts)
    if all(isinstance(part, str) for part in parts):
        return _glob("".join(str(part) for part in parts), rules.base_dir)
    return _dynamic_pattern(parts, rules, magic=magic)


def opened_pattern(text: str, rules: PathRules) -> str | Glob:
    """Read a computed text as a pattern, as `| glob` asks for."""
    path = absolute(rules.base_dir, text)
    return _glob(text, rules.base_dir) if has_magic(text) else path


def _home_escaped(parts: Sequence[Part]) -> list[Part]:
    expanded = _home(parts)
    if parts and expanded[0] != parts[0] and has_magic(str(expanded[0])):
        before = str(parts[0]).partition("/")[2]
        home = str(expanded[0])[: len(str(expanded[0])) - len(before)]
        return [escape(home) + before, *expanded[1:]]
    return expanded


def _refuse_in_brackets(parts: Sequence[Part]) -> None:
    """Refuse `[{{ x }}]`: what is inserted would be a set of characters, not a name."""
    literal = ""
    for part in parts:
        if isinstance(part, str):
            literal += part
        elif re.search(r"\[[!^]?\]?[^\]]*\Z", literal):
            message = (
                f"`{{{{ {part.source} }}}}` stands behind an open `[`; write [[] where the "
                "character itself is meant"
            )
            raise ValueError(message)


def _glob(pattern: str, base_dir: str) -> Glob:
    if not pattern.startswith("/"):
        pattern = absolute(escape(base_dir), pattern)
    return Glob(pattern)


def _dynamic_pattern(
    parts: Sequence[Part], rules: PathRules, *, magic: bool
) -> Callable[[Names], str | Glob]:
    def render(names: Names) -> str | Glob:
        special = magic
        plain: list[str] = []
        pattern: list[str] = []
        for part in parts:
            if isinstance(part, str):
                plain.append(part)
                pattern.append(part)
                continue
            text = _insert(part, names, fragile=rules.fragile)
            special = special or (part.glob and has_magic(text))
            plain.append(text)
            pattern.append(text if part.glob else _SPECIAL.sub(r"[\1]", text))
        path = absolute(rules.base_dir, "".join(plain))
        return _glob("".join(pattern), rules.base_dir) if special else path

    return render
