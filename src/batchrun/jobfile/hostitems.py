"""The items of a task on hosts: read once, and had by each host in its own time.

The first thousands are held in memory, the others in a file that has no name: eight bytes each
remain of them, so that a million items for a slow host cost little.
"""

import json
import os
import tempfile
from array import array
from typing import IO, Any

from batchrun.errors import SourceError
from batchrun.jobfile.sources import Items
from batchrun.model.ports import Drawn

__all__ = ["HostItems"]

_MOST_HELD = 4096
#: Items of the file that were read last: hosts are near each other mostly.
_MOST_CACHED = 256
_dump = json.JSONEncoder(separators=(",", ":")).encode


class HostItems:
    """Items by their position, from 0.

    Args:
        items: The open source.
        readers: How many hosts there are: what a single one has had is not needed again.
    """

    def __init__(self, items: Items, *, readers: int) -> None:
        self._items = items
        self._single = readers == 1
        self._count = 0
        self._has_all = False
        self._error: SourceError | None = None
        self._held: list[Any] = []
        #: What JSON cannot hold (results of units), by position.
        self._odd: dict[int, Any] = {}
        self._file: IO[bytes] | None = None
        #: Where each item of the file begins, and where the last one ends.
        self._starts = array("Q", [0])
        self._cache: dict[int, Any] = {}

    @property
    def total(self) -> int | None:
        """How many there are in all, when that is known."""
        return self._count if self._has_all else self._items.total

    def at(self, position: int) -> Any:
        """Return an item, `Drawn.PENDING` or `Drawn.EXHAUSTED`.

        Asked for in the order of positions by each host.

        Raises:
            SourceError: the source failed, after everything that came before was had.
        """
        if position < self._count:
            return self._known(position)
        if self._error is not None:
            raise self._error
        if self._has_all:
            return Drawn.EXHAUSTED
        try:
            item = self._items.next()
        except SourceError as error:
            self._error = error
            raise
        if item is Drawn.PENDING:
            return item
        if item is Drawn.EXHAUSTED:
            self._has_all = True
            return item
        self._keep(item)
        return item

    def _keep(self, item: Any) -> None:
        position, self._count = self._count, self._count + 1
        if self._single:
            return
        if position < _MOST_HELD:
            self._held.append(item)
            return
        try:
            data = _dump(item).encode()
        except TypeError:
            self._odd[position] = item
            data = b""
        self._write(data)

    def _write(self, data: bytes) -> None:
        """Append an item to the file.

        Raises:
            SourceError: it cannot be written.
        """
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="batchrun-")  # noqa: SIM115 - see close
            os.pwrite(self._file.fileno(), data, self._starts[-1])
        except OSError as error:
            message = f"the items cannot be kept for slow hosts in {tempfile.gettempdir()}: "
            raise SourceError(message + str(error.strerror)) from None
        self._starts.append(self._starts[-1] + len(data))

    def _known(self, position: int) -> Any:
        if position < len(self._held):
            return self._held[position]
        if position in self._odd:
            return self._odd[position]
        found = self._cache.get(position, Drawn.EXHAUSTED)
        if found is not Drawn.EXHAUSTED or self._file is None:
            return found
        at = position - _MOST_HELD
        start, end = self._starts[at], self._starts[at + 1]
        item = json.loads(os.pread(self._file.fileno(), end - start, start))
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        self._cache[position] = item
        return item

    def close(self) -> None:
        """Let go of the file and of the source."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._items.close()
