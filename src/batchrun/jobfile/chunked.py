"""`chunk: N` beside any source of `foreach`: lists of its items."""

from dataclasses import dataclass
from typing import Any

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.scope import Names
from batchrun.jobfile.sources import Items, Source, value_of
from batchrun.model.ports import Drawn, Waker

__all__ = ["ChunkedSource", "chunks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkedSource:
    """`chunk: N` beside a source: lists of up to N of its items."""

    source: Source
    size: Compiled

    @property
    def described(self) -> str:
        """The source, as written."""
        size = self.size.value if isinstance(self.size, Constant) else "?"
        return f"{self.source.described}, {size} at a time"

    @property
    def total(self) -> int | None:
        """How many lists there are, when that is known at load."""
        if isinstance(self.size, Constant):
            return _chunks(self.source.total, self.size.value)
        return None

    @property
    def standard_input(self) -> bool:
        """Whether it reads batchrun's standard input."""
        return self.source.standard_input

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to read."""
        size = value_of(self.size, names)
        if size < 1:
            message = f"the items cannot be computed: `chunk` must be at least 1, not {size}"
            raise SourceError(message)
        return chunks(self.source.open(names, waker), size)


def chunks(items: Items, size: int) -> Items:
    """Put the items of an open source together."""
    return Items(
        next=_Chunks(items, size).next, total=_chunks(items.total, size), close=items.close
    )


def _chunks(total: int | None, size: int) -> int | None:
    return None if total is None else -(-total // size)


class _Chunks:
    """Puts items together; what is there when the source ends or fails is the last list."""

    def __init__(self, items: Items, size: int) -> None:
        self._items = items
        self._size = size
        self._chunk: list[Any] = []
        self._error: SourceError | None = None

    def next(self) -> Any:
        """Return the next list, or what the source says."""
        if self._error is not None:
            raise self._error
        while len(self._chunk) < self._size:
            try:
                item = self._items.next()
            except SourceError as error:
                if not self._chunk:
                    raise
                self._error = error
                break
            if item is Drawn.PENDING:
                return item
            if item is Drawn.EXHAUSTED:
                break
            self._chunk.append(item)
        chunk, self._chunk = self._chunk, []
        return chunk or Drawn.EXHAUSTED
