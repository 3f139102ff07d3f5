"""Compare an archive with what it was made of, and delete that when it holds all of it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.archives import kept_by, only_there, read_members
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.members import changed_meanwhile
from batchrun.ops.paths import shown
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.removing import Guard, Removing, remove
from batchrun.ops.tree.temporary import is_leftover

if TYPE_CHECKING:
    from batchrun.ops.members import Entry, Reader

__all__ = ["Content", "ReadBack", "content_of"]

_BLOCK_SIZE = 64 * 1024
#: Looks at what is to be in an archive.
Plan: TypeAlias = "Callable[[], Iterator[Entry]]"


class ReadBack:
    """An archive, and what there is now of its sources.

    Args:
        archive: Its path and format.
        plan: Looks at the sources.
        context: Of the unit.
        tally: Where everything is counted.
    """

    def __init__(
        self, archive: tuple[str, str], plan: Plan, context: Context, tally: Tally
    ) -> None:
        self._path, self._format = archive
        self._plan = plan
        self._context = context
        self._tally = tally
        self._kept = kept_by(self._format)

    def count(self, size: int) -> None:
        """Count bytes, and stop when the unit has to."""
        self._tally.bytes_done += size
        self._context.check()
        self._context.progress(self._tally.bytes_done)

    def is_current(self) -> bool:
        """Tell whether the archive holds the same members, by size and time."""
        if not os.path.lexists(self._path):
            return False
        try:
            with read_members(self._path, self._format, self.count) as members:
                pairs = zip_longest(self._plan(), members)
                return all(
                    entry is not None and found is not None and self._kept(entry.member) == found[0]
                    for entry, found in pairs
                )
        except OperationError:
            # What is there is no archive of this format, or a broken one: it is replaced.
            return False

    def check_nothing_lost(self) -> None:
        """Refuse to replace an archive whose members were deleted when it was made.

        So it is after an attempt that died while it deleted, and when a name is used again.
        """
        if not os.path.lexists(self._path):
            return
        # Grows with the number of members, and only where an archive is to be replaced.
        known = {entry.member.name: self._kept(entry.member) for entry in self._plan()}
        name = only_there(self._path, self._format, known, self.count)
        if name:
            raise refusal(
                f"{shown(self._path)} holds what is not among its sources (any more), such as "
                f"{shown(name)}, and would be the last copy of it; take another name for the "
                "new archive, or move this one away"
            )

    def remove(self, sources: list[str], patterns: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        """Read the archive again, compare it with the sources, and delete those."""
        known = self._verify()

        def guard_of(root: str) -> Guard:
            def is_archived(relative: str, st: os.stat_result) -> bool:
                path = f"{root}/{relative}" if relative else root
                if known.get(path) == (st.st_ino, st.st_size, st.st_mtime_ns):
                    return True
                return is_leftover(os.path.basename(relative), st, time.time())

            return is_archived

        for source in sources:
            how = Removing(check=self._context.check, patterns=patterns, guard=guard_of(source))
            remove(Place(None, source), how, self._tally)

    def _verify(self) -> dict[str, tuple[int, int, int]]:
        """Compare the archive with the sources, content and all.

        Returns:
            What was found in it, by path: grows with the number of members, because only these
            and nothing that came later may be deleted.
        """
        known: dict[str, tuple[int, int, int]] = {}
        with read_members(self._path, self._format, self.count) as members:
            for entry, found in zip_longest(self._plan(), members):
                if entry is None or found is None or self._kept(entry.member) != found[0]:
                    raise OperationError(
                        f"{shown(self._path)} is not what its sources are now; nothing was deleted"
                    )
                if entry.member.kind == "file" and not self._same(entry, found[1]):
                    raise changed_meanwhile(entry.place.path)
                st = entry.st
                known[entry.place.path] = (st.st_ino, st.st_size, st.st_mtime_ns)
        return known

    def _same(self, entry: "Entry", archived: "Reader | None") -> bool:
        with content_of(entry, self.count) as content:
            while block := content.read(_BLOCK_SIZE):
                there = b"" if archived is None else _read_exactly(archived, len(block))
                if block != there:
                    return False
        return archived is None or not archived.read(1)


def _read_exactly(reader: "Reader", size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := reader.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@contextmanager
def content_of(entry: "Entry", count: Callable[[int], None]) -> "Iterator[Content]":
    """Open a source file, and check that it is the one that was looked at.

    Raises:
        OperationError: it cannot be opened, or is another one.
    """
    place = entry.place
    try:
        fd = os.open(place.name, READ, dir_fd=place.dir_fd)
    except OSError as error:
        raise failure(error, "archive", place.path) from error
    try:
        yield Content(fd, entry, count)
    finally:
        os.close(fd)


class Content:
    """A source file that is read, neither shorter nor longer than it was."""

    def __init__(self, fd: int, entry: "Entry", count: Callable[[int], None]) -> None:
        self._fd = fd
        self._entry = entry
        self._count = count
        self._left = entry.st.st_size
        self.check_same()

    def read(self, size: int = -1, /) -> bytes:
        """Read at most this much."""
        try:
            data = os.read(self._fd, min(size, self._left) if size >= 0 else self._left)
        except OSError as error:
            raise failure(error, "archive", self._entry.place.path) from error
        if not data and self._left:
            raise changed_meanwhile(self._entry.place.path)
        self._left -= len(data)
        self._count(len(data))
        return data

    def check_same(self) -> None:
        """Raise if the file is not what it was when it was looked at."""
        now, st = os.fstat(self._fd), self._entry.st
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (st.st_ino, st.st_size, st.st_mtime_ns):
            raise changed_meanwhile(self._entry.place.path)
