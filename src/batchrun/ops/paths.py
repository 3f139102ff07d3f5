"""Paths as people write and read them: glob look-up, escaping, and safe display."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

from batchrun.model.values import Glob

__all__ = ["escape", "expand", "has_magic", "shown"]

_MAGIC = re.compile(r"[*?\[]")
_SPECIAL = re.compile(r"([*?\[{])")
#: Alternatives that the braces of one pattern may stand for; more is a mistake in the pattern.
_MOST_ALTERNATIVES = 1_000

#: `**` as one whole component.
_ANY_DEPTH = None
_Part: TypeAlias = "str | re.Pattern[str] | None"


def shown(path: str) -> str:
    r"""Return a path as it may be printed: control characters and undecodable bytes escaped.

    >>> shown("/tmp/a b"), shown("two\nlines"), shown("caf\udce9")
    ('/tmp/a b', 'two\\nlines', 'caf\\xe9')
    """
    if path.isprintable():
        return path
    return "".join(map(_shown_character, path))


def _shown_character(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def has_magic(text: str) -> bool:
    """Tell whether a text, read as a pattern, must be looked up.

    >>> has_magic("*.csv"), has_magic("{a,b}"), has_magic("{a}"), has_magic("plain")
    (True, True, False, False)

    Escaped characters (`[*]`) count as magic: the text is not the name.
    """
    return _MAGIC.search(text) is not None or next(_braces(text), None) is not None


def escape(text: str) -> str:
    """Return a pattern that matches exactly this text.

    >>> escape("what?{a,b}[1].txt")
    'what[?][{]a,b}[[]1].txt'
    """
    return _SPECIAL.sub(r"[\1]", text)


def expand(pattern: Glob, *, hidden: bool = False) -> Iterator[str]:
    """Yield the paths that match, each once, in bytewise order of the whole path.

    `*`, `?`, `[...]`, `[!...]` match inside one component, `**` any number of directories
    (never through a symlink), `{a,b}` either. A name that starts with a dot is matched only
    when the pattern writes the dot. A slash at the end asks for directories only; it is not
    part of the result. Streams: one directory is held at a time for each level.

    Args:
        pattern: Absolute, or relative to the process's working directory.
        hidden: Wildcards match names that start with a dot, too.

    Raises:
        OSError: a directory that had to be read could not be; one that vanished is no error.
        ValueError: the braces stand for too many alternatives.
    """
    text = pattern.pattern
    whole = _split_braces_with_slash(text)
    if len(whole) == 1:
        yield from _expand_one(whole[0], hidden=hidden)
        return
    found = {path for one in whole for path in _expand_one(one, hidden=hidden)}
    yield from sorted(found, key=os.fsencode)


def _expand_one(text: str, *, hidden: bool) -> Iterator[str]:
    """Expand a pattern whose braces stay within one component."""
    root = "/" if text.startswith("/") else ""
    parts = tuple(_compile(part, hidden) for part in text.split("/") if part)
    if not parts:
        return
    walker = _Walker(parts, hidden=hidden, only_directories=text.endswith("/"))
    yield from walker.below(root, walker.closure({0}))


class _Walker:
    """Follows all components of one pattern at once, as a set of positions per directory."""

    def __init__(self, parts: tuple[_Part, ...], *, hidden: bool, only_directories: bool) -> None:
        self._parts = parts
        self._hidden = hidden
        self._only_directories = only_directories

    def closure(self, positions: set[int]) -> frozenset[int]:
        """Add the positions that `**` reaches by standing for no directory at all."""
        closed = set(positions)
        for position in sorted(positions):
            at = position
            while at < len(self._parts) - 1 and self._parts[at] is _ANY_DEPTH:
                at += 1
                closed.add(at)
        return frozenset(closed)

    def below(self, prefix: str, positions: frozenset[int]) -> Iterator[str]:
        """Yield the matches below the directory `prefix` (empty, or ending in a slash)."""
        parts = [self._parts[position] for position in positions]
        if all(isinstance(part, str) for part in parts):
            names: list[tuple[str, bool | None]] = [(str(part), None) for part in parts]
        else:
            names = _names_in(prefix)
        found: dict[str, frozenset[int] | None] = {}
        for name, is_real_dir in names:
            self._match(prefix, name, is_real_dir, positions, found)
        ordered = list(found) if len(found) == 1 else sorted(found, key=os.fsencode)
        for name in ordered:
            deeper = found[name]
            if deeper is None:
                yield prefix + name
            else:
                yield from self.below(prefix + name, deeper)

    def _match(
        self,
        prefix: str,
        name: str,
        is_real_dir: bool | None,  # noqa: FBT001 - a row of the listing: None when not known
        positions: frozenset[int],
        found: dict[str, frozenset[int] | None],
    ) -> None:
        """Note what one name of a directory leads to: a result, and places further down.

        A directory to enter is noted as `name/`, so that sorting gives the order of whole paths.
        """
        last = len(self._parts) - 1
        deeper: set[int] = set()
        matched = False
        for position in positions:
            part = self._parts[position]
            if part is _ANY_DEPTH:
                if self._hidden or not name.startswith("."):
                    matched |= position == last
                    if is_real_dir:
                        deeper.add(position)
            elif part == name if isinstance(part, str) else part.match(name):
                matched |= position == last
                if position < last:
                    deeper.add(position + 1)
        if matched and self._is_result(prefix + name, is_real_dir):
            found[name] = None
        if deeper and (is_real_dir is not False or os.path.isdir(prefix + name)):
            found[name + "/"] = self.closure(deeper)

    def _is_result(self, path: str, is_real_dir: bool | None) -> bool:  # noqa: FBT001 - as above
        if self._only_directories:
            return bool(is_real_dir) or os.path.isdir(path)
        return is_real_dir is not None or _exists(path)


def _exists(path: str) -> bool:
    """Tell whether there is anything of this name, a broken symlink included."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _names_in(prefix: str) -> list[tuple[str, bool | None]]:
    """List a directory as names, each with whether it is a directory and not a symlink to one."""
    try:
        with os.scandir(prefix or ".") as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


@lru_cache(maxsize=512)
def _compile(part: str, hidden: bool) -> _Part:  # noqa: FBT001 - lru_cache keys on positions
    """Turn one component into a plain name, an expression, or None for `**`."""
    if part == "**":
        return _ANY_DEPTH
    tokens = [_tokens(text) for text in _alternatives(part)]
    if len(tokens) == 1 and all(len(token) == 1 for token in tokens[0]):
        return "".join(tokens[0])
    expressions = (_expression(one, hidden=hidden) for one in tokens)
    return re.compile(rf"(?:{'|'.join(expressions)})\Z", re.DOTALL)


def _tokens(text: str) -> list[str]:
    """Split into literal characters (length 1) and wildcards (`**`, `??`, `[..]`: longer)."""
    tokens: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        end = _bracket_end(text, at) if character == "[" else None
        if end is not None:
            inside = text[at + 1 : end]
            tokens.append(inside if inside in {"*", "?", "[", "{"} else f"[{inside}]")
            at = end
        elif character in "*?":
            if not (character == "*" and tokens and tokens[-1] == "**"):
                tokens.append(character * 2)
        else:
            tokens.append(character)
        at += 1
    return tokens


def _bracket_end(text: str, start: int) -> int | None:
    """Find the `]` that ends the bracket at `start`; None: it is a plain `[`."""
    at = start + 1
    if text[at : at + 1] in {"!", "^"}:
        at += 1
    if text[at : at + 1] == "]":
        at += 1
    end = text.find("]", at)
    return None if end < 0 else end


def _expression(tokens: list[str], *, hidden: bool) -> str:
    """Write tokens as a regular expression; a `*` never gives back what it took."""
    no_dot = "" if hidden else r"(?!\A\.)"
    written: list[str] = []
    star_open = False
    for piece in tokens:
        if piece == "**":
            written.append((")" if star_open else "") + f"{no_dot}(?>.*?")
            star_open = True
        elif piece == "??":
            written.append(f"{no_dot}.")
        elif len(piece) > 1:
            written.append(f"{no_dot}{_character_class(piece[1:-1])}")
        else:
            written.append(re.escape(piece))
    if star_open:
        # Nothing but the end decides how far the last star goes.
        written.append(r"\Z)")
    return "".join(written)


def _character_class(inside: str) -> str:
    """Write the inside of `[...]` as a class; ranges that run backwards match nothing."""
    negated = inside[0] in "!^"
    body = inside[1:] if negated else inside
    written: list[str] = []
    at = 0
    while at < len(body):
        if body[at + 1 : at + 2] == "-" and at + 2 < len(body):
            low, high = body[at], body[at + 2]
            if low <= high:
                written.append(f"{re.escape(low)}-{re.escape(high)}")
            at += 3
        else:
            written.append(re.escape(body[at]))
            at += 1
    if not written:
        return "." if negated else r"(?!)"
    return f"[{'^' if negated else ''}{''.join(written)}]"


def _split_braces_with_slash(text: str) -> list[str]:
    """Write out the braces that hold a slash, so that the rest can be split into components."""
    pending, done = [text], []
    while pending:
        one = pending.pop()
        place = next((place for place in _braces(one) if "/" in one[place[0] : place[1]]), None)
        if place is None:
            done.append(one)
        else:
            pending.extend(_written_out(one, place))
        _refuse_too_many(text, len(pending) + len(done))
    return done


def _alternatives(part: str) -> list[str]:
    """Write out all braces of one component."""
    pending, done = [part], []
    while pending:
        one = pending.pop()
        place = next(_braces(one), None)
        if place is None:
            done.append(one)
        else:
            pending.extend(_written_out(one, place))
        _refuse_too_many(part, len(pending) + len(done))
    return done


def _refuse_too_many(text: str, count: int) -> None:
    if count > _MOST_ALTERNATIVES:
        message = (
            f"the pattern {shown(text)} stands for more than {_MOST_ALTERNATIVES} alternatives; "
            "use fewer braces"
        )
        raise ValueError(message)


def _written_out(text: str, place: tuple[int, int]) -> list[str]:
    """Replace one pair of braces by each of its alternatives."""
    start, end = place
    return [text[:start] + choice + text[end:] for choice in _choices(text[start + 1 : end - 1])]


def _braces(text: str) -> Iterator[tuple[int, int]]:
    """Find each outermost `{..}` that has a comma of its own: where it starts and ends."""
    at = 0
    while at < len(text):
        if text[at] == "[":
            end = _bracket_end(text, at)
            at = at if end is None else end
        elif text[at] == "{":
            end = _brace_end(text, at)
            if end is not None and len(_choices(text[at + 1 : end - 1])) > 1:
                yield at, end
                at = end - 1
        at += 1


def _brace_end(text: str, start: int) -> int | None:
    """Find the position after the `}` that belongs to the `{` at `start`."""
    depth = 0
    at = start
    while at < len(text):
        if text[at] == "[":
            end = _bracket_end(text, at)
            at = at if end is None else end
        elif text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return None


def _choices(inside: str) -> list[str]:
    """Split the inside of braces at its own commas."""
    choices, depth, begin, at = [], 0, 0, 0
    while at < len(inside):
        if inside[at] == "[":
            end = _bracket_end(inside, at)
            at = at if end is None else end
        elif inside[at] == "{":
            depth += 1
        elif inside[at] == "}":
            depth -= 1
        elif inside[at] == "," and depth == 0:
            choices.append(inside[begin:at])
            begin = at + 1
        at += 1
    choices.append(inside[begin:])
    return choices
