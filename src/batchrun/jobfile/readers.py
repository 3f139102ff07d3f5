"""How single values are read: from the characters of the file, or from what a template made."""

import re
from collections.abc import Callable
from typing import Any

from batchrun.jobfile.paths import absolute
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.scalars import Plain, resolve, text_of
from batchrun.jobfile.shapes import Scalar
from batchrun.model.values import Kind, parse_duration, parse_mode, parse_size

__all__ = ["expected", "read_bool", "read_float", "read_int", "read_scalar"]


def read_bool(value: object) -> bool:
    """Read `true` or `false`.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool):
        return value
    text = str(value)
    if text.lower() in ("true", "false") and isinstance(value, str):
        return text.lower() == "true"
    hint = " (in YAML 1.2 that is text)" if text.lower() in ("yes", "no", "on", "off") else ""
    message = f"write true or false, not {_shown(value)}{hint}"
    raise ValueError(message)


_INT = re.compile(r"[-+]?\d{1,300}|0x[0-9a-fA-F]{1,80}|0o[0-7]{1,80}", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:[eE][-+]?\d{1,4})?", re.ASCII
)


def read_int(value: object) -> int:
    """Read a whole number.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, str) and _INT.fullmatch(value):
        value = resolve(Plain(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    message = f"write a whole number, not {_shown(value)}"
    raise ValueError(message)


def read_float(value: object) -> float:
    """Read a number.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    message = f"write a number, not {_shown(value)}"
    raise ValueError(message)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or value == "":
        return "nothing"
    return repr(str(value) if isinstance(value, str) else value)


def _text(value: object) -> str:
    text = text_of(value)
    if "\0" in text:
        message = "text cannot hold a NUL character"
        raise ValueError(message)
    return text


def _mode(value: object) -> str:
    text = text_of(value).strip()
    parse_mode(text)
    return text


def _size(value: object) -> int:
    return parse_size(text_of(value))


def _duration(value: object) -> float:
    return parse_duration(text_of(value))


def _anything(value: object) -> Any:
    return resolve(value)


_BY_KIND: dict[Kind, Callable[[object], Any]] = {
    Kind.MODE: _mode,
    Kind.SIZE: _size,
    Kind.DURATION: _duration,
    Kind.SHELL: _text,
}
_BY_TYPE: dict[type[Any], Callable[[object], Any]] = {
    bool: read_bool,
    int: read_int,
    float: read_float,
    str: _text,
    object: _anything,
}


def read_scalar(scalar: Scalar, value: object, base_dir: str) -> Any:
    """Read one value.

    Raises:
        ValueError: it cannot be read so; the message says how it is written.
    """
    if scalar.kind in (Kind.PATH, Kind.PATTERN):
        return absolute(base_dir, text_of(value))
    if scalar.choices:
        return _choice(scalar.choices, value)
    if scalar.kind is not None:
        return _BY_KIND[scalar.kind](value)
    return _BY_TYPE[scalar.type](value)


def _choice(choices: tuple[str, ...], value: object) -> str:
    text = text_of(value)
    if text not in choices:
        listed = ", ".join(choices[:-1]) + f" or {choices[-1]}" if len(choices) > 1 else choices[0]
        message = f"write {listed}, not {text!r}{did_you_mean(text, choices)}"
        raise ValueError(message)
    return text


_NAMES = {
    Kind.PATH: "a path",
    Kind.PATTERN: "a path",
    Kind.MODE: "a file mode",
    Kind.SIZE: "a size",
    Kind.DURATION: "a duration",
    Kind.SHELL: "a command",
}
_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    object: "a value",
}


def expected(scalar: Scalar) -> str:
    """Say in two words what a scalar takes."""
    if scalar.choices:
        return "one of " + ", ".join(scalar.choices)
    return _NAMES[scalar.kind] if scalar.kind else _TYPE_NAMES[scalar.type]
