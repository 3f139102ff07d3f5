"""What visitors of one or two trees have in common: open directories, and what goes wrong there."""

import os
from collections.abc import Iterator
from typing import Self

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.tree.crawl import Listed, Node
from batchrun.ops.tree.doors import Doors
from batchrun.ops.tree.listing import entries
from batchrun.ops.tree.selection import Selection

__all__ = ["OneSide"]


class OneSide:
    """A visitor that looks at one tree and changes no directory of it.

    Args:
        context: Of the unit.
        tally: Where everything is counted.
        selected: What is meant; None: everything is.
    """

    def __init__(self, context: Context, tally: Tally, selected: Selection | None) -> None:
        self.context = context
        self.tally = tally
        self.selected = selected
        self.doors = Doors(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.doors.__exit__(None, None, None)

    def enter(self, node: Node) -> bool:
        """Open a directory that is meant."""
        self.context.check()
        if self.selected is not None and not self.selected.enters(node.path):
            return False
        try:
            self.doors.enter(node)
        except FileNotFoundError:
            self.tally.vanished(self.doors.prefix(node).rstrip("/"))
            return False
        except OSError as error:
            path = self.doors.prefix(node).rstrip("/")
            self.tally.fail(failure(error, "open the directory", path))
            return False
        return True

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield what is in a directory."""
        try:
            yield from entries(self.doors.fd(node), temporaries=False)
        except OSError as error:
            self.tally.fail(failure(error, "list the directory", self.doors.prefix(node)))

    def leave(self, node: Node) -> None:
        """Close a directory."""
        self.doors.leave(node)

    def meant(self, node: Node, names: list[str]) -> list[str]:
        """Return the names that are meant."""
        chosen = self.selected
        if chosen is None:
            return names
        prefix = f"{node.path}/" if node.path else ""
        return [name for name in names if chosen.takes(prefix + name, is_dir=False)]

    def directory(self, node: Node, doing: str) -> int | None:
        """Return the descriptor of a directory; None: it cannot be had, which was counted."""
        self.context.check()
        try:
            return self.doors.fd(node)
        except OSError as error:
            self.tally.fail(failure(error, doing, self.doors.prefix(node)))
        except OperationError as error:
            self.tally.fail(error)
        return None

    def opened(self, node: Node, fd: int, names: list[str]) -> Iterator[tuple[str, int, int]]:
        """Open files for reading, all of them before the first, and have the kernel fetch them.

        Yields:
            Name, descriptor and size of each; it is closed when the next one is asked for.
        """
        files: list[tuple[str, int, int]] = []
        for name in reversed(names):
            try:
                file = os.open(name, _READ, dir_fd=fd)
            except FileNotFoundError:
                self.tally.vanished(self.doors.prefix(node) + name)
                continue
            except OSError as error:
                self.tally.fail(failure(error, "read", self.doors.prefix(node) + name))
                continue
            size = os.fstat(file).st_size
            if size:
                os.posix_fadvise(file, 0, size, os.POSIX_FADV_WILLNEED)
            files.append((name, file, size))
        try:
            while files:
                yield files[-1]
                os.close(files.pop()[1])
        finally:
            for _, file, _ in files:
                os.close(file)


_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
