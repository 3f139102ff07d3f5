"""Delete trees, in one worker or in many: contents first, never into another filesystem."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from stat import S_ISDIR
from typing import Any, Self, TypeAlias

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.protected import mount_points
from batchrun.ops.tree.crawl import Listed, Node, begin, crawl, root_node
from batchrun.ops.tree.doors import Doors, root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Folders, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.listing import entries
from batchrun.ops.tree.parcels import Answer, Payload
from batchrun.ops.tree.selection import Selection, selection
from batchrun.ops.tree.walking import walk

__all__ = ["Guard", "RemoveVisitor", "Remover", "Removing", "count", "remove", "remove_chunk"]

#: Says whether an entry may go, by its path below the root and what it is; None: everything may.
Guard = Callable[[str, os.stat_result], bool]

_Patterns: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
#: Entries deleted for each file that is copied in the same time.
_PER_COST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Removing:
    """How something is deleted."""

    #: Called between entries; raises when the unit has to stop.
    check: Callable[[], None]
    dry_run: bool = False
    #: Gitignore-style patterns of what stays, and of what alone goes.
    patterns: _Patterns = ((), ())
    guard: Guard | None = None


def count(place: Place, selection: Selection | None, check: Callable[[], None]) -> tuple[int, int]:
    """Return how many entries below a directory are meant, and how many there are.

    Raises:
        OperationError: something cannot be looked at, so that the count would be wrong.
    """
    meant = seen = 0
    with Folders(place) as folders:
        for step in walk(folders, _raise, temporaries=True):
            if step.left:
                continue
            check()
            seen += 1
            meant += selection is None or selection.takes(step.relative, is_dir=step.is_dir)
    return meant, seen


def _raise(error: OperationError) -> None:
    raise error


def remove(place: Place, how: Removing, tally: Tally) -> None:
    """Delete what has this name, and everything below it that is meant, in this process.

    A directory stays when something below it stays: because it is not meant, or could not be
    deleted (counted), or because the guard says no (counted).
    """
    remover = Remover(how, tally)
    remover.remove(place)
    remover.finish()


class Remover:
    """Deletes things of any kind for one unit."""

    def __init__(self, how: Removing, tally: Tally) -> None:
        self._how = how
        self._tally = tally
        self._visitor = RemoveVisitor(how, tally)
        self._roots: list[Node] = []

    def remove(self, place: Place) -> None:
        """Delete one thing; a directory, and what is in it, waits for `finish`."""
        st = place.lstat()
        if st is None:
            return
        if not S_ISDIR(st.st_mode):
            self._visitor.file(place, "")
            return
        try:
            fd = os.open(place.name, OPEN_DIRECTORY, dir_fd=place.dir_fd)
            try:
                self._roots.append(root_node(root_of(place.path, fd)))
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, "delete", place.path) from error

    def finish(self, *, slice_cost: int = 0) -> Spread | None:
        """Delete the directories; what is more than a slice is to be spread.

        Args:
            slice_cost: As in `RunSettings`; 0: delete all of it here.
        """
        with self._visitor as visitor:
            rest = begin(reversed(self._roots), visitor, slice_cost or inf)
        if not rest[1]:
            return None
        answer: Answer = (self._tally.counted(), *rest, [])
        return Spread(coordinator=_FOREST, seed=(_CHUNK, self._how.patterns, answer))


def remove_chunk(payload: Payload, context: Context) -> Done:
    """Work on a piece of a deletion."""
    patterns, deaths, items, _ = payload
    tally = Tally()
    how = Removing(check=context.check, dry_run=context.settings.dry_run, patterns=patterns)
    with RemoveVisitor(how, tally) as visitor:
        rest = crawl(items, visitor, 1 if deaths else context.settings.slice_cost or inf)
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=tally.changed), answer=answer)


_CHUNK = f"{__name__}:{remove_chunk.__name__}"
_FOREST = f"{Forest.__module__}:{Forest.__name__}"


class RemoveVisitor:
    """Deletes what is in directories, then the directories; a marked one is kept."""

    def __init__(self, how: Removing, tally: Tally, *, side: int = 0) -> None:
        self._how = how
        self._device_at = 3 * side + 1
        #: Deletes what is no directory.
        self.unlink: Callable[..., None] = os.unlink
        self._dry = how.dry_run
        self._guard = how.guard
        self._selection = selection(*how.patterns)
        self._tally = tally
        self._doors = Doors(side, follow=side > 0)
        #: Directories that hold those that were given, by their place.
        self._above: dict[Any, Node] = {}
        #: Where something is mounted below each root.
        self._mounted: dict[Any, set[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.__exit__(None, None, None)

    # ---- the Visitor ----------------------------------------------------------------------

    def enter(self, node: Node) -> bool:
        """Open a directory, unless it is not meant or another filesystem."""
        self._how.check()
        selected = self._selection
        if selected is not None and not selected.enters(node.path):
            node.marked = True
            return False
        path = self._doors.prefix(node).rstrip("/")
        try:
            fd = self._doors.enter(node)
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            above = node.parent
            if above is not None:
                self.others(above, [node.name])
            return False
        except OSError as error:
            node.marked = True
            self._tally.fail(failure(error, "open the directory", path))
            return False
        if os.fstat(fd).st_dev != node.root[self._device_at] or self._is_mounted(node):
            self._doors.leave(node)
            node.marked = True
            self._tally.fail(refusal(f"{shown(path)} is another filesystem and was kept"))
            return False
        return True

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield what is in a directory."""
        try:
            yield from entries(self._doors.fd(node), temporaries=True)
        except FileNotFoundError:
            # It lay in another one that was to be deleted, or somebody else was faster.
            return
        except OSError as error:
            node.marked = True
            path = self._doors.prefix(node)
            self._tally.fail(failure(error, "list the directory", path))

    def files(self, node: Node, names: list[str]) -> int:
        """Delete what is no directory."""
        self._how.check()
        try:
            place = self._doors.at(node, "")
        except OSError as error:
            node.marked = True
            self._tally.fail(failure(error, "delete", self._doors.prefix(node)))
            return 1
        self._tally.files_done += len(names)
        quick = self._selection is None and self._guard is None and not self._dry
        for name in self._quickly(place, names) if quick else names:
            relative = f"{node.path}/{name}" if node.path else name
            if self._takes(relative, is_dir=False):
                place.name = name
                node.marked |= not self.file(place, relative)
            else:
                node.marked = True
        return len(names) // _PER_COST + 1

    #: Whatever it is, it goes in the same way.
    others = files

    def close(self, node: Node) -> None:
        """Let go of a directory that stays."""
        self._doors.leave(node)

    def leave(self, node: Node) -> None:
        """Delete a directory that should be empty by now."""
        self._doors.leave(node)
        if not node.marked and node.path and not self._takes(node.path, is_dir=True):
            node.marked = True
        if node.marked:
            return
        try:
            place = self._place(node)
        except OSError as error:
            node.marked = True
            self._tally.fail(failure(error, "delete", self._doors.prefix(node)))
            return
        node.marked = not self._gone(os.rmdir, place)

    # ---- how ------------------------------------------------------------------------------

    def _is_mounted(self, node: Node) -> bool:
        """Tell whether something is mounted here: of the same filesystem, no device says so."""
        top = node.root
        mounted = self._mounted.get(top)
        if mounted is None:
            path = os.path.realpath(str(top[self._device_at - 1]))
            prefix = path.rstrip("/") + "/"
            below = [point for point in mount_points() if point.startswith(prefix)]
            mounted = self._mounted[top] = {point.removeprefix(prefix) for point in below}
        return node.path in mounted

    def file(self, place: Place, relative: str) -> bool:
        """Delete something that is not a directory; False: it stays."""
        if self._guard is not None:
            st = place.lstat()
            if st is not None and not self._guard(relative, st):
                message = f"{shown(place.path)} changed meanwhile and was kept"
                self._tally.fail(OperationError(message))
                return False
        return self._gone(self.unlink, place)

    def _quickly(self, place: Place, names: list[str]) -> list[str]:
        """Delete files until something is the matter; returns what is left from there on."""
        unlink, fd = self.unlink, place.dir_fd
        done = 0
        try:
            for name in names:
                unlink(name, dir_fd=fd)
                done += 1
        except OSError:
            # Looked at one by one: what is the matter?
            pass
        self._tally.changed |= done > 0
        return names[done:]

    def _takes(self, relative: str, *, is_dir: bool) -> bool:
        """Tell whether the patterns mean the entry itself."""
        selected = self._selection
        return selected is None or selected.takes(relative, is_dir=is_dir)

    def _place(self, node: Node) -> Place:
        """Return where a directory is, in the one that holds it."""
        if not node.path:
            return Place(None, str(node.root[self._device_at - 1]))
        above = node.parent
        if above is None or above.root is not node.root:
            head, _, node.name = node.path.rpartition("/")
            above = self._above.setdefault((node.root, head), Node(None, "", node.root, head))
        return self._doors.at(above, node.name)

    def _gone(self, delete: Callable[..., None], place: Place) -> bool:
        """Delete one thing; False: it stays, which was counted."""
        try:
            if self._dry:
                check_may_write(place, "delete")
            else:
                delete(place.name, dir_fd=place.dir_fd)
        except FileNotFoundError:
            return True
        except OperationError as error:
            self._tally.fail(error)
            return False
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                message = f"{shown(place.path)} was written into meanwhile and was kept"
                self._tally.fail(OperationError(message))
            else:
                self._tally.fail(failure(error, "delete", place.path))
            return False
        self._tally.changed = True
        return True
