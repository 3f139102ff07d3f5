"""A compiled value: a constant, or a function that makes it for each unit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from batchrun.jobfile.scope import Names
from batchrun.model.values import NEW_FILE

__all__ = [
    "Compiled",
    "Constant",
    "Given",
    "Render",
    "compiled_of",
    "converted",
    "mapping",
    "sequence",
    "without_nul",
]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is the same for all units."""

    value: Any


@dataclass(frozen=True, slots=True)
class Given(Constant):
    """The value of a variable that does not stand in the job file: `-e`, or another file."""


Render: TypeAlias = Callable[[Names], Any]
Compiled: TypeAlias = Constant | Render


def compiled_of(result: Any) -> Compiled:
    """Take a function as one, and anything else as a constant."""
    return result if callable(result) else Constant(result)


def converted(source: Render, convert: Callable[[Any], Any]) -> Render:
    """Convert what a function makes."""
    return lambda names: convert(source(names))


def without_nul(render: Callable[[Names], str]) -> Render:
    """Refuse the one character that no argument can hold."""

    def checked(names: Names) -> str:
        text = render(names)
        if "\0" in text and "\0" in text.replace(NEW_FILE, ""):
            message = "text cannot hold a NUL character"
            raise ValueError(message)
        return text

    return checked


def sequence(parts: Sequence[Compiled], kind: type[Any]) -> Compiled:
    """Put compiled items together; constant when all of them are."""
    if all(isinstance(part, Constant) for part in parts):
        return Constant(kind(part.value for part in parts if isinstance(part, Constant)))
    renders = [_render(part) for part in parts]
    if kind is tuple and len(renders) == 1:
        only = renders[0]
        return lambda names: (only(names),)
    return lambda names: kind([render(names) for render in renders])


def mapping(parts: Mapping[str, Compiled]) -> Compiled:
    """Put compiled entries together; constant when all of them are."""
    if all(isinstance(part, Constant) for part in parts.values()):
        return Constant(
            {key: part.value for key, part in parts.items() if isinstance(part, Constant)}
        )
    renders = {key: _render(part) for key, part in parts.items()}
    return lambda names: {key: render(names) for key, render in renders.items()}


def _render(part: Compiled) -> Render:
    if isinstance(part, Constant):
        value = part.value
        return lambda _names: value
    return part
