"""The names that templates see, computed when they are first asked for."""

import datetime as dt
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from batchrun.jobfile.bounds import check_value
from batchrun.model.values import parse_duration

__all__ = ["BUILT_IN", "Definition", "Names", "environment_variable", "make_now"]

#: Names that the program gives, and that `vars` may not take.
BUILT_IN = frozenset(
    {
        *("item", "index", "job", "run", "env", "now", "results", "mine", "output", "failed"),
        *("secrets", "new", "host"),
    }
)

_DAY_S = 86400.0


class Names(dict[str, Any]):
    """A scope: values that are there, and definitions that make them on demand.

    Args:
        definitions: How to compute a name from the scope itself.
        outer: Where names are looked up that are neither.
    """

    __slots__ = ("_definitions", "_open", "_outer")

    def __init__(
        self, definitions: "Mapping[str, Definition] | None" = None, outer: "Names | None" = None
    ) -> None:
        super().__init__()
        self._definitions = definitions or {}
        self._outer = outer
        self._open: list[str] = []

    @classmethod
    def of(cls, **values: Any) -> "Names":
        """Make a scope of values that are there already."""
        names = cls()
        names.update(values)
        return names

    def __missing__(self, name: str) -> Any:
        definition = self._definitions.get(name)
        if definition is not None:
            value = self._compute(name, definition)
        elif self._outer is not None:
            value = self._outer[name]
        else:
            message = f"`{name}` is not known here"
            raise ValueError(message)
        self[name] = value
        return value

    def _compute(self, name: str, definition: "Definition") -> Any:
        if name in self._open:
            message = "the variables refer to each other in a circle: " + " -> ".join(
                [*self._open, name]
            )
            raise ValueError(message)
        self._open.append(name)
        try:
            return check_value(definition(self))
        except ValueError as error:
            message = f"in the variable `{name}`: {error}"
            raise ValueError(message) from None
        finally:
            self._open.pop()

    def __contains__(self, name: object) -> bool:
        return (
            dict.__contains__(self, name)
            or name in self._definitions
            or (self._outer is not None and name in self._outer)
        )

    def forget(self) -> None:
        """Drop what was computed from this scope's own definitions (the next unit's differ)."""
        for name in self._definitions:
            self.pop(name, None)


Definition: TypeAlias = Callable[[Names], Any]


def environment_variable(name: str, default: str | None = None) -> str:
    """Return a variable of batchrun's own environment, for `env('NAME')`.

    Raises:
        ValueError: it is not set and there is no default.
    """
    value = os.environ.get(name, default)
    if value is None:
        message = f"the environment variable {name} is not set; give a default: env('{name}', '')"
        raise ValueError(message)
    return value


def make_now(started_at: float) -> Callable[..., str]:
    """Make `now(FORMAT, OFFSET)` of a run that started at this time (seconds since the epoch)."""

    def now(form: str = "%Y-%m-%dT%H:%M:%S", offset: str = "") -> str:
        moment = dt.datetime.fromtimestamp(started_at, dt.UTC).astimezone()
        if offset:
            moment = _moved(moment, str(offset))
        return moment.strftime(form)

    return now


def _moved(moment: dt.datetime, offset: str) -> dt.datetime:
    """Move a local time: whole days by the calendar, the rest by the clock."""
    match = re.fullmatch(r"\s*([-+]?)\s*(.+)", offset)
    seconds = parse_duration(match.group(2)) if match else parse_duration(offset)
    if match and match.group(1) == "-":
        seconds = -seconds
    try:
        if seconds % _DAY_S:
            return (moment + dt.timedelta(seconds=seconds)).astimezone(moment.tzinfo)
        naive = moment.replace(tzinfo=None) + dt.timedelta(seconds=seconds)
        return naive.astimezone()
    except OverflowError:
        message = f"the offset {offset!r} leads out of the calendar"
        raise ValueError(message) from None
