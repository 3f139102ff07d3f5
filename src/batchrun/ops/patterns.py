"""The pattern language: from text to names and expressions, one component at a time."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

__all__ = ["ANY_DEPTH", "Part", "compiled", "escape", "has_magic", "split_braces"]

_MAGIC = re.compile(r"[*?\[]")
_SPECIAL = re.compile(r"([*?\[{])")
#: Alternatives that the braces of one pattern may stand for; more is a mistake in the pattern.
_MOST_ALTERNATIVES = 1_000

#: `**` as one whole component.
ANY_DEPTH = None
#: A plain name, an expression, or `**`.
Part: TypeAlias = "str | re.Pattern[str] | None"


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


@lru_cache(maxsize=512)
def compiled(part: str, hidden: bool) -> Part:  # noqa: FBT001 - lru_cache keys on positions
    """Turn one component into a plain name, an expression, or None for `**`."""
    if part == "**":
        return ANY_DEPTH
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


def split_braces(text: str) -> list[str]:
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
            f"the pattern {text!r} stands for more than {_MOST_ALTERNATIVES} alternatives; "
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
