"""YAML 1.2 core: which plain words are numbers, booleans and null, and what their text is."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["Plain", "SourceFloat", "SourceInt", "is_null", "resolve", "resolve_word", "text_of"]


class Plain(str):
    """A scalar written without quotes that YAML 1.2 core gives a type other than text.

    Where text is expected it is its own characters; elsewhere `resolve` gives the value.
    """

    __slots__ = ()


class SourceInt(int):
    """A whole number that remembers how it was written."""

    source: str

    def __str__(self) -> str:
        return self.source


class SourceFloat(float):
    """A number that remembers how it was written."""

    source: str

    def __str__(self) -> str:
        return self.source


_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_WORDS = {
    word: word[0] in "tT"
    for base in ("true", "false")
    for word in (base, base.capitalize(), base.upper())
}
#: First characters of everything that is not text: spares the pattern for most words.
_FIRST = frozenset("+-.0123456789tTfFnN~")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)"
)
#: No number that anybody means is longer; Python itself refuses to read 4 301 digits.
_LONGEST_NUMBER = 300


def resolve_word(text: str) -> str:
    """Mark a plain scalar as `Plain` when YAML 1.2 core would type it."""
    if text and text[0] not in _FIRST:
        return text
    if text in _NULLS or text in _WORDS:
        return Plain(text)
    return Plain(text) if not text[0].isalpha() and _is_number(text) else text


def _is_number(text: str) -> bool:
    return len(text) <= _LONGEST_NUMBER and bool(_INT.fullmatch(text) or _FLOAT.fullmatch(text))


def is_null(raw: object) -> bool:
    """Tell whether a value of the document is null (an empty one is)."""
    return raw is None or (type(raw) is Plain and raw in _NULLS)


def resolve(raw: object) -> Any:
    """Turn the scalars of a document into values, all the way down.

    >>> resolve([Plain("1.10"), Plain("true"), Plain("~"), "yes"])
    [1.1, True, None, 'yes']
    """
    if type(raw) is Plain:
        return _resolve_plain(raw)
    if isinstance(raw, dict):
        return {str(key): resolve(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [resolve(value) for value in raw]
    return raw


def _resolve_plain(raw: Plain) -> object:
    text = str(raw)
    if text in _NULLS:
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        value = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if str(value) == text:
            return value
        whole = SourceInt(value)
        whole.source = text
        return whole
    number = float(_plain_float(text))
    if str(number) == text:
        return number
    fraction = SourceFloat(number)
    fraction.source = text
    return fraction


def _plain_float(text: str) -> str:
    """Write the spellings of infinity and not-a-number as Python reads them."""
    return text.lower().replace(".inf", "inf").replace(".nan", "nan")


def text_of(value: object) -> str:
    """Turn a value into text, as it is inserted by a template.

    >>> text_of(True), text_of(None), text_of(1.5)
    ('true', '', '1.5')

    Raises:
        ValueError: it is a list, a mapping, or nothing that has a text.
    """
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        message = "is a mapping where text is expected; name one of its entries, as in `x.name`"
    elif isinstance(value, list | tuple | set | frozenset | range):
        message = "is a list where text is expected; join it, as in `x | join(',')`"
    else:
        message = f"is a {type(value).__name__} where text is expected"
    raise ValueError(message)
