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

    #: Against which relative paths resolve; absolute. Empty: they are paths of a host, where
    #: relative ones mean the login directory, and a `~` that is written is expanded there.
    base_dir: str
    #: No part of it may come out empty: what is named would be destroyed.
    fragile: bool = False


def absolute(base_dir: str, path: str) -> str:
    """Resolve a path against a directory, without looking at the disk.

    A slash at the end is kept. Without a directory it is a path of a host, and stays relative to
    the login directory; a `~` at its start was not written, so it is a name.

    >>> absolute("/jobs", "a/"), absolute("/jobs", "/x"), absolute("/jobs", "./a")
    ('/jobs/a/', '/x', '/jobs/a')
    >>> absolute("", "a/"), absolute("", "~x")
    ('a/', './~x')

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
    if not base_dir:
        return f"./{path}" if path[0] == "~" else path
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    if path in ("", "."):
        return base_dir
    return f"{base_dir.rstrip('/')}/{path}"


def _is_home(parts: Sequence[Part]) -> bool:
    """Tell whether a `~` is written at the start."""
    return bool(parts) and isinstance(parts[0], str) and parts[0].startswith("~")


def _home(parts: Sequence[Part], rules: PathRules) -> list[Part]:
    """Expand a `~` that is written at the start; that of a host is left to the host.

    Raises:
        ValueError: there is no such user, or the name is computed.
    """
    if not _is_home(parts):
        return list(parts)
    name, slash, rest = str(parts[0]).partition("/")
    if not slash and len(parts) > 1:
        message = (
            "the user's name after `~` must be written out; or write ./~ for a file of that name"
        )
        raise ValueError(message)
    if not rules.base_dir:
        return list(parts)
    home = os.path.expanduser(name)
    if home == name:
        message = f"there is no user {name[1:]!r} whose home `{name}` could be; write ./{name} for "
        raise ValueError(message + "a file of that name")
    return [(home.rstrip("/") + slash + rest) or "/", *parts[1:]]


def path_renderer(parts: Sequence[Part], rules: PathRules) -> str | Callable[[Names], str]:
    """Resolve a path now, or make the function that does so for each unit."""
    parts = _home(parts, rules)
    resolve = _resolver(parts, rules)
    if all(isinstance(part, str) for part in parts):
        return resolve("".join(str(part) for part in parts))
    fragile = rules.fragile

    def render(names: Names) -> str:
        inserted = [
            part if isinstance(part, str) else _insert(part, names, fragile=fragile)
            for part in parts
        ]
        path = "".join(inserted)
        if path[:1] == "/" and "\0" not in path:
            return path
        return resolve(path)

    return render


def _resolver(parts: Sequence[Part], rules: PathRules) -> Callable[[str], str]:
    """Return what makes the text of a path complete."""
    if not rules.base_dir and _is_home(parts):
        # Checked as any other, and then as it is written: the host expands it.
        return lambda path: absolute("", f"/{path}")[1:]
    return lambda path: absolute(rules.base_dir, path)


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
    parts = _home_escaped(parts, rules)
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
    if not has_magic(text):
        return path
    return _glob(text if rules.base_dir else path, rules.base_dir)


def _home_escaped(parts: Sequence[Part], rules: PathRules) -> list[Part]:
    expanded = _home(parts, rules)
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
    if base_dir and not pattern.startswith("/"):
        pattern = absolute(escape(base_dir), pattern)
    return Glob(pattern)


def _dynamic_pattern(
    parts: Sequence[Part], rules: PathRules, *, magic: bool
) -> Callable[[Names], str | Glob]:
    resolve = _resolver(parts, rules)

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
        path = resolve("".join(plain))
        if not special:
            return path
        # What is inserted at the start of a path on a host is a name, also when it begins with `~`.
        start = "./" if path.startswith("./~") and plain[0][:1] == "~" else ""
        return _glob(start + "".join(pattern), rules.base_dir)

    return render
