"""Where the items of `foreach` come from: lists, expressions, ranges, globs, lines of files."""

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Constant, Render
from batchrun.jobfile.feeder import Feeder, LineSplitter
from batchrun.jobfile.scope import Names
from batchrun.model.ports import Drawn, Waker
from batchrun.model.values import Glob
from batchrun.ops.paths import expand, shown

__all__ = [
    "GlobSource",
    "Items",
    "LinesSource",
    "ListSource",
    "RangeSource",
    "Source",
    "ValueSource",
]

_BLOCK_BYTES = 256 * 1024


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

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to read.

        Raises:
            SourceError: it cannot be opened.
        """


def _computed(compute: Callable[[Names], Any], names: Names) -> Any:
    try:
        return compute(names)
    except ValueError as error:
        message = f"the items cannot be computed: {error}"
        raise SourceError(message) from None


def _iterate(iterator: Iterator[Any]) -> Callable[[], Any]:
    """Draw from an iterator made of the job file's own values."""

    def draw() -> Any:
        return _computed(lambda _names: next(iterator, Drawn.EXHAUSTED), _NOTHING)

    return draw


_NOTHING = Names()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSource:
    """A list that is written in the file; its templates are computed when they are drawn."""

    items: "tuple[Constant | Render, ...]"

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
        value = _computed(self.compute, names)
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            message = (
                f"foreach {self.text} is {_kind(value)}, not a list; for a text write "
                '"{{ x | lines }}" or "{{ x | words }}", for a mapping "{{ x | list }}"'
            )
            raise SourceError(message)
        total = len(value) if isinstance(value, list | tuple | range) else None
        return Items(next=_iterate_trusted(iter(value), self.text), total=total)


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

    bounds: "tuple[Constant | Render, ...]"

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
        bounds = [
            one.value if isinstance(one, Constant) else _computed(one, names) for one in self.bounds
        ]
        numbers = _computed(lambda _names: _range(bounds), names)
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
class GlobSource:
    """`{glob: PATTERN}`: the paths that match, absolute, in bytewise order."""

    text: str
    patterns: "tuple[Constant | Render, ...]"
    hidden: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return f"glob {self.text}"

    @property
    def total(self) -> int | None:
        """Not known before it is looked up."""
        return None

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to look up, in a thread: a slow disk must not hold the engine."""
        patterns: list[str | Glob] = []
        for one in self.patterns:
            if isinstance(one, Constant):
                patterns.append(one.value)
            else:
                patterns.extend(_computed(one, names))
        feeder = Feeder(self._batches(patterns), waker)
        return Items(next=feeder.next, close=feeder.close)

    def _batches(self, patterns: list[str | Glob]) -> Generator[list[str], None, None]:
        batch: list[str] = []
        for pattern in patterns:
            for path in self._matches(pattern):
                batch.append(path)
                if len(batch) >= 1024:
                    yield batch
                    batch = []
        yield batch

    def _matches(self, pattern: str | Glob) -> Iterator[str]:
        if isinstance(pattern, str):
            if os.path.lexists(pattern):
                yield pattern
            return
        try:
            yield from expand(pattern, hidden=self.hidden)
        except OSError as error:
            where = shown(os.fsdecode(error.filename or pattern.pattern))
            message = f"the glob {shown(pattern.pattern)} cannot be read: {error.strerror}: {where}"
            raise SourceError(message) from None
        except ValueError as error:
            raise SourceError(str(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesSource:
    """`{lines: FILE}`: the lines of a file, or of standard input; only the line end is removed."""

    text: str
    #: The path; `-` means standard input.
    path: "Constant | Render"
    null_separated: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return "lines of standard input" if self.text == "-" else f"lines of {self.text}"

    @property
    def total(self) -> int | None:
        """Not known before it is read."""
        return None

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to read: a regular file as it is drawn, anything else in a thread."""
        path = self.path.value if isinstance(self.path, Constant) else _computed(self.path, names)
        separator = b"\0" if self.null_separated else b"\n"
        if path == "-":
            feeder = Feeder.of_lines(0, LineSplitter(separator, "standard input"), waker)
            return Items(next=feeder.next, close=feeder.close)
        try:
            # A fifo that nobody writes to yet must not block here.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            message = f"the items in {shown(path)} cannot be read: {error.strerror}"
            raise SourceError(message) from None
        return _open_lines(fd, path, separator, waker)


def _open_lines(fd: int, path: str, separator: bytes, waker: Waker) -> Items:
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        os.close(fd)
        message = f"the items in {shown(path)} cannot be read: it is a directory"
        raise SourceError(message)
    if not stat.S_ISREG(mode):
        feeder = Feeder.of_lines(fd, LineSplitter(separator, shown(path)), waker, owned=True)
        return Items(next=feeder.next, close=feeder.close)
    lines = _lines_of(fd, shown(path), separator)
    return Items(next=lambda: next(lines, Drawn.EXHAUSTED), close=_closer(fd))


def _closer(fd: int) -> Callable[[], None]:
    opened = [fd]
    return lambda: os.close(opened.pop()) if opened else None


def _lines_of(fd: int, name: str, separator: bytes) -> Iterator[str]:
    splitter = LineSplitter(separator, name)
    while True:
        try:
            block = os.read(fd, _BLOCK_BYTES)
        except OSError as error:
            message = f"{name} cannot be read to its end: {error.strerror}"
            raise SourceError(message) from None
        yield from splitter.feed(block)
        if not block:
            return
