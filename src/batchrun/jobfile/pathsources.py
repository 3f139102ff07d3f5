"""Items that are paths, looked up when the task starts: `glob` and `find`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.feeder import Feeder, in_batches
from batchrun.jobfile.find import Search
from batchrun.jobfile.scope import Names
from batchrun.jobfile.sources import Items, computed, value_of
from batchrun.model.ports import Waker
from batchrun.model.values import Glob
from batchrun.ops.paths import expand, shown

__all__ = ["FindSource", "GlobSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobSource:
    """`{glob: PATTERN}`: the paths that match, absolute, in bytewise order."""

    text: str
    patterns: tuple[Compiled, ...]
    hidden: bool = False
    standard_input: bool = False

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
        matches = (path for pattern in self.wanted(names) for path in self._matches(pattern))
        feeder = Feeder(in_batches(matches), waker)
        return Items(next=feeder.next, close=feeder.close)

    def wanted(self, names: Names) -> list[str | Glob]:
        """Compute the patterns.

        Raises:
            SourceError: one cannot be computed.
        """
        patterns: list[str | Glob] = []
        for one in self.patterns:
            if isinstance(one, Constant):
                patterns.append(one.value)
            else:
                patterns.extend(computed(one, names))
        return patterns

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
class FindSource:
    """`{find: {path: DIR, ...}}`: what lies below directories and meets all conditions."""

    text: str
    #: Fields of `Search`, compiled.
    fields: dict[str, Compiled]
    hidden: bool = False
    standard_input: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return f"find in {self.text}"

    @property
    def total(self) -> int | None:
        """Not known before it is looked up."""
        return None

    def open(self, names: Names, waker: Waker) -> Items:
        """Begin to walk, in a thread.

        Raises:
            SourceError: a condition cannot be computed, or names an owner that does not exist.
        """
        search = Search(**self.wanted(names))
        feeder = Feeder(in_batches(search.found()), waker)
        return Items(next=feeder.next, close=feeder.close)

    def wanted(self, names: Names) -> dict[str, Any]:
        """Compute the fields of the search.

        Raises:
            SourceError: one cannot be computed.
        """
        fields = {field: value_of(one, names) for field, one in self.fields.items()}
        return {**fields, "hidden": self.hidden}
