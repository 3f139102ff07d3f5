"""Where the items of `foreach` come from, and those that need no reading: lists and numbers."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Compiled, Constant, Render
from batchrun.jobfile.scope import Names
from batchrun.model.ports import Drawn, Waker

__all__ = [
    "Items",
    "ListSource",
    "MatrixSource",
    "RangeSource",
    "Source",
    "ValueSource",
    "collected",
    "computed",
    "value_of",
]

#: Items that are read in one go before others get their turn.
_COLLECTED_AT_ONCE = 4096


@dataclass(slots=True)
class Items:
    """An open source: its items, one at a time."""

    #: The next item, `Drawn.PENDING`, or `Drawn.EXHAUSTED`; raises SourceError.
    next: Callable[[], Any]
    #: How many there are in all, when known.
    total: int | None = None
    close: Callable[[], None] = lambda: None


class Source(Protocol):
    """What `foreach` says, before the task opens."""

    @property
    def described(self) -> str:
        """The source, as written."""

    @property
    def total(self) -> int | None:
        """How many items there are, when that is known at load."""

    @property
    def standard_input(self) -> bool:
        """Whether it reads batchrun's standard input, which can be read once."""

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to read.

        Raises:
            SourceError: it cannot be opened.
        """


def collected(items: Items, waker: Waker) -> Items:
    """Read a source to its end before its first item is drawn, so that its total is known.

    Holds all items: for shares of a total that nothing else can tell. What came before a
    failure is handed out first.

    Args:
        items: The open source.
        waker: Called when there is more to be read: others have had their turn.
    """
    if items.total is not None:
        return items
    return _Collecting(items, waker).items


class _Collecting:
    """Reads ahead a piece at a time."""

    def __init__(self, items: Items, waker: Waker) -> None:
        self._source = items
        self._waker = waker
        self._held: list[Any] = []
        self._rest: Iterator[Any] = iter(())
        self._error: SourceError | None = None
        self.items = Items(next=self._next, close=items.close)

    def _next(self) -> Any:
        if self.items.total is None and not self._read():
            return Drawn.PENDING
        item = next(self._rest, Drawn.EXHAUSTED)
        if item is Drawn.EXHAUSTED and self._error is not None:
            raise self._error
        return item

    def _read(self) -> bool:
        """Read on; tell whether that was all."""
        try:
            for _ in range(_COLLECTED_AT_ONCE):
                item = self._source.next()
                if item is Drawn.PENDING:
                    return False
                if item is Drawn.EXHAUSTED:
                    break
                self._held.append(item)
            else:
                self._waker()
                return False
        except SourceError as error:
            self._error = error
        self.items.total = len(self._held)
        # Reversed and popped, so that what was handed out is held no longer.
        self._held.reverse()
        self._rest = _popped(self._held)
        return True


def _popped(held: list[Any]) -> Iterator[Any]:
    while held:
        yield held.pop()


def computed(compute: Callable[[Names], Any], names: Names) -> Any:
    """Compute a part of a source.

    Raises:
        SourceError: it cannot be computed.
    """
    try:
        return compute(names)
    except ValueError as error:
        message = f"the items cannot be computed: {error}"
        raise SourceError(message) from None


def value_of(part: Compiled, names: Names) -> Any:
    """Return a constant, or compute it.

    Raises:
        SourceError: it cannot be computed.
    """
    return part.value if isinstance(part, Constant) else computed(part, names)


def _iterate(iterator: Iterator[Any]) -> Callable[[], Any]:
    """Draw from an iterator made of the job file's own values."""

    def draw() -> Any:
        return computed(lambda _names: next(iterator, Drawn.EXHAUSTED), _NOTHING)

    return draw


_NOTHING = Names()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSource:
    """A list that is written in the file; its templates are computed when they are drawn."""

    items: tuple[Compiled, ...]
    standard_input: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return f"a list of {len(self.items)}"

    @property
    def total(self) -> int | None:
        """How many there are."""
        return len(self.items)

    def open(self, names: Names, waker: Waker) -> Items:  # noqa: ARG002 - the protocol's
        """Begin to read."""
        values = (item.value if isinstance(item, Constant) else item(names) for item in self.items)
        return Items(next=_iterate(values), total=len(self.items))


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSource:
    """`"{{ EXPR }}"`: whatever list that is when the task opens."""

    text: str
    compute: Render
    standard_input: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return self.text

    @property
    def total(self) -> int | None:
        """Not known at load."""
        return None

    def open(self, names: Names, waker: Waker) -> Items:  # noqa: ARG002 - the protocol's
        """Begin to read."""
        value = _listed(computed(self.compute, names), f"foreach {self.text}")
        total = len(value) if isinstance(value, list | tuple | range) else None
        return Items(next=_iterate_trusted(iter(value), self.text), total=total)


def _listed(value: Any, what: str) -> Iterable[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        message = (
            f"{what} is {_kind(value)}, not a list; for a text write "
            '"{{ x | lines }}" or "{{ x | words }}", for a mapping "{{ x | list }}"'
        )
        raise SourceError(message)
    return value


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def _iterate_trusted(iterator: Iterator[Any], text: str) -> Callable[[], Any]:
    """Draw from what an expression made; a generator may still fail on the way."""

    def draw() -> Any:
        try:
            return next(iterator, Drawn.EXHAUSTED)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            message = f"the items of foreach {text} cannot be computed: {error}"
            raise SourceError(message) from None

    return draw


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeSource:
    """`{range: [FIRST, LAST, STEP]}`, the last one included."""

    bounds: tuple[Compiled, ...]
    standard_input: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        known = [str(one.value) if isinstance(one, Constant) else "?" for one in self.bounds]
        return f"range {' to '.join(known[:2])}" + (f" by {known[2]}" if len(known) > 2 else "")

    @property
    def total(self) -> int | None:
        """How many there are, unless a bound is a template."""
        known = [one.value for one in self.bounds if isinstance(one, Constant)]
        return _length(_range(known)) if len(known) == len(self.bounds) else None

    def open(self, names: Names, waker: Waker) -> Items:  # noqa: ARG002 - the protocol's
        """Begin to read."""
        bounds = [value_of(one, names) for one in self.bounds]
        numbers = computed(lambda _names: _range(bounds), names)
        iterator = iter(numbers)
        return Items(next=lambda: next(iterator, Drawn.EXHAUSTED), total=_length(numbers))


def _range(bounds: list[int]) -> range:
    first, last, *rest = bounds
    step = rest[0] if rest else 1
    if step == 0:
        message = "the step of a range cannot be 0"
        raise ValueError(message)
    return range(first, last + (1 if step > 0 else -1), step)


def _length(numbers: range) -> int:
    """Count a range of any size (`len` ends at the machine's word)."""
    if not numbers:
        return 0
    return (numbers[-1] - numbers.start) // numbers.step + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSource:
    """`{matrix: {a: [...], b: [...]}}`: every combination, the last list varies fastest."""

    #: By name: the list, or its items when it is written out.
    axes: Mapping[str, Render | tuple[Compiled, ...]]
    standard_input: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return f"matrix of {', '.join(self.axes)}"

    @property
    def total(self) -> int | None:
        """How many combinations there are, when every list is written out."""
        known = [len(axis) for axis in self.axes.values() if isinstance(axis, tuple)]
        return prod(known) if len(known) == len(self.axes) else None

    def open(self, names: Names, waker: Waker) -> Items:  # noqa: ARG002 - the protocol's
        """Begin to combine; the lists are held, the combinations are not."""
        lists = [self._axis(name, axis, names) for name, axis in self.axes.items()]
        items = (dict(zip(self.axes, values, strict=True)) for values in itertools.product(*lists))
        return Items(
            next=lambda: next(items, Drawn.EXHAUSTED), total=prod(len(one) for one in lists)
        )

    def _axis(self, name: str, axis: Render | tuple[Compiled, ...], names: Names) -> list[Any]:
        if isinstance(axis, tuple):
            return [value_of(one, names) for one in axis]
        value = computed(axis, names)
        return list(_listed(value, f"`{name}` of the matrix"))
