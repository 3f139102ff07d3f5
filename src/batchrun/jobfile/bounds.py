"""What templates may not grow to: a slip such as `'a' * 10**9` must not eat the machine.

Everything that makes much out of little is asked for its size before it is done: products,
padding, replacing, formats. What remains grows by no more than the length of the template itself.
"""

import re
from collections.abc import Callable, Mapping, Sized
from typing import Any

__all__ = ["MOST_CHARACTERS", "check_call", "check_operator", "check_value", "guarded"]

#: Of one value, in characters or items.
MOST_CHARACTERS = 16 * 1024 * 1024
#: Powers and products with more bits than this are a mistake, too.
_MOST_BITS = 1_000_000
_WIDTH = re.compile(r"\d{5,}|\*")
_NESTED = re.compile(r"\{[^{}]*\{")


def _too_large(what: str) -> ValueError:
    return ValueError(f"{what} is too large, over {MOST_CHARACTERS} characters")


def check_value(value: Any) -> Any:
    """Return a value unless it is too large to be kept.

    Raises:
        ValueError: it is.
    """
    if isinstance(value, Sized) and len(value) > MOST_CHARACTERS:
        raise _too_large("the value")
    return value


def check_operator(operator: str, left: Any, right: Any) -> None:
    """Refuse `**`, `*` and `%` whose result would be too large.

    Raises:
        ValueError: it would be.
    """
    if operator == "%":
        if isinstance(left, str):
            _check_format(left)
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else 0
        if bits > _MOST_BITS or left.bit_length() + right.bit_length() > _MOST_BITS:
            message = f"the {'power' if operator == '**' else 'product'} is too large"
            raise ValueError(message)
    elif operator == "*":
        _check_product(left, right)


def _check_product(left: Any, right: Any) -> None:
    for one, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(one, Sized) and len(one) * times > MOST_CHARACTERS:
            raise _too_large("the product")


def _check_format(text: str) -> None:
    """Refuse widths that are large, or computed."""
    if _WIDTH.search(text) or _NESTED.search(text):
        message = "a width in a format is too large, or computed"
        raise ValueError(message)


def _check_padding(text: Any, *arguments: Any) -> None:
    """Refuse a number that would make much of each character or line."""
    size = max(len(text), 1) if isinstance(text, Sized) else 1
    for one in arguments:
        if isinstance(one, int) and one * size > MOST_CHARACTERS:
            raise _too_large("what is padded")


def _check_replacing(text: Any, old: Any = "", new: Any = "", *_more: Any) -> None:
    text, old, new = str(text), str(old), str(new)
    count = text.count(old) if old else len(text) + 1
    if len(text) + count * len(new) > MOST_CHARACTERS:
        raise _too_large("what is replaced")


def _check_joined(separator: Any, items: Any = (), *_more: Any) -> None:
    if isinstance(items, Sized) and len(items) * len(str(separator)) > MOST_CHARACTERS:
        raise _too_large("what is joined")


def _check_joining(items: Any, separator: Any = "", *_more: Any) -> None:
    _check_joined(separator, items)


def _check_formatting(text: Any, *_arguments: Any) -> None:
    _check_format(str(text))


_METHODS: Mapping[str, Callable[..., None]] = {
    "center": _check_padding,
    "expandtabs": _check_padding,
    "format": _check_formatting,
    "format_map": _check_formatting,
    "join": _check_joined,
    "ljust": _check_padding,
    "replace": _check_replacing,
    "rjust": _check_padding,
    "to_bytes": _check_padding,
    "zfill": _check_padding,
}
_FILTERS: Mapping[str, Callable[..., None]] = {
    "batch": _check_padding,
    "center": _check_padding,
    "format": _check_formatting,
    "indent": _check_padding,
    "join": _check_joining,
    "replace": _check_replacing,
    "slice": _check_padding,
    "tojson": _check_padding,
}


def check_call(function: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Refuse a method of a value whose result would be too large.

    Raises:
        ValueError: it would be.
    """
    check = _METHODS.get(getattr(function, "__name__", ""))
    if check is not None:
        # The sandbox wraps some methods, such as `format` of a text.
        owner = getattr(getattr(function, "__wrapped__", function), "__self__", None)
        if isinstance(owner, str | bytes | int):
            check(owner, *arguments, *named.values())


def guarded(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return those of Jinja2's filters that can make much of little, with their size asked first.

    Args:
        filters: All there are, by name.
    """
    return {name: _guard(filters[name], check) for name, check in _FILTERS.items()}


def _guard(function: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    # Some take the environment or their context first, and say so in an attribute.
    passes = hasattr(function, "jinja_pass_arg")

    def bounded(*arguments: Any, **named: Any) -> Any:
        check(*(arguments[1:] if passes else arguments), *named.values())
        return function(*arguments, **named)

    if passes:
        bounded.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return bounded
