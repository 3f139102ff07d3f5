"""Reads what options are given the short way; what has to be refused is left to typer.

typer makes a validator of pydantic for every option of the called command, whether it is given or
not, and loads pydantic for that: together about 0.1 s of CPU, a quarter of a start.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, TypeAlias, get_args, get_origin, get_type_hints

from typer.core import TyperCommand, TyperGroup
from typer.models import ParameterInfo

__all__ = ["CommandGroup", "command_class", "group_class"]

#: Returns the value of what was written, or was the default.
_Reader: TypeAlias = Callable[[Any], Any]


class _LongWayError(Exception):
    """Typer has to read this one, or to say what is wrong with it."""


class _Short:
    """Something of typer's with parameters; they are read the short way."""

    readers: ClassVar[Mapping[str, _Reader]] = {}
    params: list[Any]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for parameter in self.params:
            _shorten(parameter, self.readers.get(parameter.name, _long_way))

    def get_help_option(self, *args: Any) -> Any:
        """Return the option `--help`, which is not among the others."""
        found: Any = super()
        return _shorten(found.get_help_option(*args))


class CommandGroup(_Short, TyperGroup):
    """Several commands, before which nothing but flags is given."""


def command_class(kind: type[Any]) -> type[TyperCommand]:
    """Make the class of a command that takes what this class says."""
    return type("Command", (_Short, TyperCommand), {"readers": _readers(kind)})


def group_class(kind: type[Any]) -> type[TyperGroup]:
    """Make the class of a command that takes what this class says, and has others below it."""
    return type("Group", (_Short, TyperGroup), {"readers": _readers(kind)})


def _readers(kind: type[Any]) -> Mapping[str, _Reader]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: _reader(*get_args(hint)[:2]) for name, hint in hints.items()}


def _long_way(_value: Any) -> Any:
    raise _LongWayError


def _shorten(parameter: Any, read: _Reader = _long_way) -> Any:
    """Put a shorter way before the one that a parameter of typer's has; return the parameter."""
    if parameter is None or "process_value" in vars(parameter):
        return parameter
    long_way = parameter.process_value
    several = parameter.multiple or parameter.nargs == -1

    def process_value(context: Any, value: Any) -> Any:
        given = value is not None and value != ()
        try:
            if not given:
                found = _nothing(parameter, several=several)
            else:
                found = [read(one) for one in _listed(value)] if several else read(value)
        except (_LongWayError, ValueError):
            return long_way(context, value)
        callback = parameter.callback
        return found if callback is None else callback(context, parameter, found)

    parameter.process_value = process_value
    return parameter


def _nothing(parameter: Any, *, several: bool) -> Any:
    """Return what a parameter is that was not given."""
    if parameter.required:
        raise _LongWayError
    return () if several else None


def _listed(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise _LongWayError
    return value


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
