"""Reads what options are given the short way; what has to be refused is left to typer.

typer makes a validator of pydantic for every option of the called command, whether it is given or
not, and loads pydantic for that: together about 0.1 s of CPU, a quarter of a start.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from typer.core import TyperCommand
from typer.models import ParameterInfo

__all__ = ["command_class"]

#: Returns the value of what was written, or was the default.
_Reader: TypeAlias = Callable[[Any], Any]


class _LongWayError(Exception):
    """Typer has to read this one, or to say what is wrong with it."""


def command_class(kind: type[Any]) -> type[TyperCommand]:
    """Make the class of a command that takes what this class says."""
    readers = {
        name: _reader(*get_args(hint)[:2])
        for name, hint in get_type_hints(kind, include_extras=True).items()
    }

    class _Command(TyperCommand):
        """A command whose parameters are read the short way."""

        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            for parameter in self.params:
                _shorten(parameter, readers)

    return _Command


def _shorten(parameter: Any, readers: Mapping[str, _Reader]) -> None:
    """Put a shorter way before the one that a parameter of typer's has."""
    long_way, read = parameter.process_value, readers.get(parameter.name)
    several = parameter.multiple or parameter.nargs == -1
    if read is None or parameter.callback is not None:
        return

    def process_value(context: Any, value: Any) -> Any:
        if value is None or value == ():
            return long_way(context, value) if parameter.required else () if several else None
        if several and not isinstance(value, list | tuple):
            return long_way(context, value)
        try:
            return [read(one) for one in value] if several else read(value)
        except (_LongWayError, ValueError):
            return long_way(context, value)

    parameter.process_value = process_value


def _reader(kind: Any, info: ParameterInfo) -> _Reader:
    """Choose how a value of a type is read."""
    if info.parser is not None:
        return info.parser
    (kind,) = [one for one in get_args(kind) if one is not NoneType] or [kind]
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
    if kind is int:
        return _whole_number(info)
    if kind is Path:
        return _path(info)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: _same(kind, value, kind)
    return lambda value: _same(kind, value)


def _same(kind: type[Any], value: Any, read: _Reader | None = None) -> Any:
    """Return a value that has its type already, else what a reader makes of a text."""
    if isinstance(value, kind):
        return value
    if read is None or not isinstance(value, str):
        raise _LongWayError
    return read(value)


def _whole_number(info: ParameterInfo) -> _Reader:
    least, most = info.min, info.max

    def read(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is not int:
            raise _LongWayError
        if (least is not None and value < least) or (most is not None and value > most):
            raise _LongWayError
        return value

    return read


def _path(info: ParameterInfo) -> _Reader:
    looks = info.exists or info.readable or info.writable or info.resolve_path
    any_kind = info.file_okay and info.dir_okay

    def read(value: Any) -> Path:
        if looks or not any_kind:
            raise _LongWayError
        return Path(_same(str, value)) if not isinstance(value, Path) else value

    return read
