"""What templates see of how units ended: `results.NAME` and `mine.NAME`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from batchrun.jobfile.problems import did_you_mean
from batchrun.model.event import Kept
from batchrun.model.outcome import Captured, Outcome, Skipped

__all__ = [
    "Lookup",
    "Origin",
    "Registration",
    "TaskResult",
    "UnitResult",
    "UnknownUntilRunError",
    "empty_result",
    "lines_of",
    "text_of_stream",
]

#: How a task ended whose units ended differently: the first of these that one of them has.
_WORST_FIRST = (
    *("failed", "timed_out", "lost", "unreachable", "cancelled", "aborted"),
    *("ok", "skipped"),
)
_GOOD = frozenset({"ok", "skipped"})


class UnknownUntilRunError(Exception):
    """A template asks for the result of a command that a dry run did not run.

    No ValueError: nobody may take it for a mistake of the template on its way up.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Where a name is registered."""

    name: str
    task_id: str
    #: The task has a unit for each item, or for each host, or for both; neither: it has one.
    with_items: bool = False
    on_hosts: bool = False
    #: The task stands under `finally`.
    final: bool = False
    #: Its section and position, when a step registers it.
    step: tuple[str, int] | None = None

    @property
    def single(self) -> bool:
        """Whether the task has exactly one unit."""
        return not (self.with_items or self.on_hosts)

    @property
    def same(self) -> str:
        """Say what `mine` means: of the same what."""
        words = ["host"] * self.on_hosts + ["item"] * self.with_items
        return " and ".join(words)

    def target(self, key: str, host: str) -> tuple[str, str]:
        """Return which of its units is of an item and a host."""
        return (key if self.with_items else ""), (host if self.on_hosts else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which unit a result is of."""

    index: int
    item: Any = None
    label: str = ""
    key: str = ""
    #: The name of its host; empty: it is for none.
    host: str = ""

    @property
    def target(self) -> tuple[str, str]:
        """Return what tells it from other units of its task, also in other tasks."""
        return self.key, self.host


class _Record(Mapping[str, Any]):
    """A mapping with fixed entries, each made when it is asked for."""

    __slots__ = ()
    entries: ClassVar[Mapping[str, Callable[[Any], Any]]]

    def __getitem__(self, name: str) -> Any:
        """Return an entry.

        Raises:
            ValueError: there is none of this name.
        """
        make = self.entries.get(name)
        if make is None:
            message = f"a result has no `{name}`{did_you_mean(str(name), self.entries)}"
            raise ValueError(message)
        return make(self)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class UnitResult(_Record):
    """How one unit ended, and what it wrote."""

    __slots__ = ("_data", "_origin", "_outcome", "_unknown")

    def __init__(self, origin: Origin, outcome: Outcome, data: bytes, unknown: str = "") -> None:
        self._origin = origin
        self._outcome = outcome
        self._data = data
        #: Why nothing is known of it; empty: it is.
        self._unknown = unknown

    @property
    def size_bytes(self) -> int:
        """How much it keeps."""
        return len(self._data)

    def __str__(self) -> str:
        """Say which unit it is of, for the name of a unit whose item it is."""
        return self._origin.label or self._origin.host or str(self._origin.index)

    def as_kept(self, name: str) -> Kept | None:
        """Return it for the record of the run, under its name; None: it is not known."""
        return None if self._unknown else Kept(name=name, outcome=self._outcome, data=self._data)

    @property
    def index(self) -> int:
        """The unit's position in its task."""
        return self._origin.index

    @property
    def target(self) -> tuple[str, str]:
        """Which item and host it is of."""
        return self._origin.target

    @property
    def host(self) -> str:
        """The name of its host; empty: it is for none."""
        return self._origin.host

    @property
    def kind(self) -> str:
        """The kind of its outcome."""
        return self.known.kind

    @property
    def known(self) -> Outcome:
        """Its outcome.

        Raises:
            UnknownUntilRunError: a dry run cannot know it.
        """
        self.raise_if_unknown()
        return self._outcome

    def raise_if_unknown(self) -> None:
        """Stop a template that needs more than a dry run can know.

        Raises:
            UnknownUntilRunError: this is such a result.
        """
        if self._unknown:
            raise UnknownUntilRunError(self._unknown)

    @property
    def text(self) -> str:
        """Its standard output, without the newlines at its end; bytes that are no UTF-8 stay."""
        self.raise_if_unknown()
        return _decoded(self._data)

    entries: ClassVar[Mapping[str, Callable[["UnitResult"], Any]]] = {
        "item": lambda self: self._origin.item,
        "index": lambda self: self._origin.index,
        "label": lambda self: self._origin.label,
        "host": lambda self: self._origin.host,
        "outcome": lambda self: self.kind,
        "changed": lambda self: getattr(self.known, "changed", False),
        "failed": lambda self: self.kind not in _GOOD,
        "exit_status": lambda self: getattr(self.known, "exit_status", None),
        "message": lambda self: _message(self.known),
        "stdout": lambda self: self.text,
        "lines": lambda self: lines_of(self.text),
    }


def empty_result(origin: Origin) -> UnitResult:
    """Make the result of a unit, or a step, that was not run."""
    return UnitResult(origin, Skipped(because="not run"), b"")


def _message(outcome: Outcome) -> str:
    for name in ("message", "because", "note"):
        text = getattr(outcome, name, "")
        if text:
            return str(text)
    return ""


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").rstrip("\n")


def lines_of(text: str) -> list[str]:
    r"""Return the lines of a text that has no newline at its end; only a newline ends a line.

    `str.splitlines` would also break names in which a form feed or U+2028 stands.

    >>> lines_of("a\x0cb\nc"), lines_of("")
    (['a\x0cb', 'c'], [])
    """
    return text.split("\n") if text else []


def text_of_stream(captured: Captured) -> str:
    """Return what was kept of a stream as text."""
    return _decoded(captured.head + captured.tail)


class TaskResult(_Record):
    """How the units of one task ended."""

    __slots__ = ("_by_index", "_registration", "_sorted")

    def __init__(self, registration: Registration, by_index: Mapping[int, UnitResult]) -> None:
        self._registration = registration
        self._by_index = by_index
        self._sorted: list[UnitResult] = []

    @property
    def units(self) -> list[UnitResult]:
        """The results of its units, in their order; sorted once, when all have ended."""
        if len(self._sorted) != len(self._by_index):
            self._sorted = [self._by_index[index] for index in sorted(self._by_index)]
        return self._sorted

    @property
    def by_host(self) -> Mapping[str, UnitResult]:
        """The results of its units by the name of their host; of several items the last one."""
        return {unit.host: unit for unit in self.units if unit.host}

    @property
    def kind(self) -> str:
        """The worst outcome among them; none at all: `skipped`."""
        kinds = {unit.kind for unit in self.units}
        return next((kind for kind in _WORST_FIRST if kind in kinds), "skipped")

    def only(self, name: str) -> Any:
        """Return an entry of its one unit.

        Raises:
            ValueError: it has more than one, or none.
        """
        registration, units = self._registration, self.units
        if len(units) == 1:
            return units[0][name]
        if not units and registration.single:
            return empty_result(Origin(index=1))[name]
        message = (
            f"`results.{registration.name}.{name}` is for exactly one unit, and "
            f"`{registration.task_id}` has {len(units)}; take `mine.{registration.name}` for that "
            f"of the same {registration.same}, or go through `results.{registration.name}.units`"
        )
        raise ValueError(message)

    entries: ClassVar[Mapping[str, Callable[["TaskResult"], Any]]] = {
        "units": lambda self: self.units,
        "by_host": lambda self: self.by_host,
        "outcome": lambda self: self.kind,
        "changed": lambda self: any(unit["changed"] for unit in self.units),
        "failed": lambda self: any(unit["failed"] for unit in self.units),
        "stdout": lambda self: self.only("stdout"),
        "lines": lambda self: self.only("lines"),
        "exit_status": lambda self: self.only("exit_status"),
        "message": lambda self: self.only("message"),
    }


class Lookup:
    """`results` and `mine` in templates: names that are looked up when they are asked for."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find = find

    def __getitem__(self, name: str) -> Any:
        return self._find(name)
