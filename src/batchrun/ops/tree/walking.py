"""Walk a tree depth first, one entry at a time, by directory descriptors."""

import os
from collections.abc import Callable, Iterator
from stat import S_ISDIR

from batchrun.errors import OperationError
from batchrun.ops.failures import failure
from batchrun.ops.tree.folders import Folders
from batchrun.ops.tree.selection import Selection
from batchrun.ops.tree.temporary import is_temporary

__all__ = ["Step", "walk"]

#: Directories that are listed bit by bit; further up, the names left are held in memory, because
#: each open listing costs a descriptor.
_MOST_LISTING = 32


class Step:
    """One entry of a tree; a directory comes twice: before it is entered, and after it is left."""

    __slots__ = ("broken", "is_dir", "left", "name", "relative", "skip", "st")

    def __init__(self, name: str, relative: str, st: os.stat_result) -> None:
        self.name = name
        #: Path below the root of the walk.
        self.relative = relative
        self.st = st
        self.is_dir = S_ISDIR(st.st_mode)
        #: A directory whose entries have all been seen.
        self.left = False
        #: A directory that could not be read to its end; the error has been reported.
        self.broken = False
        #: Set by who looks at the step: do not go into this directory.
        self.skip = False


def walk(
    folders: Folders,
    fail: Callable[[OperationError], None],
    *,
    selection: Selection | None = None,
    ordered: bool = False,
    temporaries: bool = False,
) -> Iterator[Step]:
    """Yield everything below the directory where `folders` stands.

    While a step is looked at, `folders` stands in the directory that holds it.

    Args:
        folders: Moved along by the walk; at the end it is where it was.
        fail: Told of what cannot be looked at; the walk goes on, unless it raises.
        selection: What is meant; None: everything.
        ordered: Bytewise by whole path, at the price of holding one directory for each level.
        temporaries: Also what this program is writing, or has left half-written.
    """
    listing = _names(folders, fail, None, ordered=ordered)
    stack: list[tuple[Step | None, Iterator[str]]] = [(None, listing)]
    while stack:
        parent, names = stack[-1]
        name = next(names, None)
        if name is None:
            stack.pop()
            if parent is not None:
                folders.leave()
                parent.left = True
                yield parent
            continue
        if not temporaries and is_temporary(name):
            continue
        step = _look(folders, fail, name, parent, selection)
        if step is None:
            continue
        yield step
        if step.is_dir and not step.skip:
            if _enter(folders, fail, step):
                stack.append((step, _names(folders, fail, step, ordered=ordered)))
                if len(stack) > _MOST_LISTING:
                    above, rest = stack[-_MOST_LISTING]
                    stack[-_MOST_LISTING] = above, iter(list(rest))
            else:
                step.left = True
                yield step


def _look(
    folders: Folders,
    fail: Callable[[OperationError], None],
    name: str,
    parent: Step | None,
    selection: Selection | None,
) -> Step | None:
    """Make the step for a name; None: it is not meant, or it is gone or not to be seen."""
    relative = name if parent is None else f"{parent.relative}/{name}"
    try:
        st = os.stat(name, dir_fd=folders.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        fail(failure(error, "look at", folders.prefix + name))
        return None
    if selection is not None and not _is_meant(selection, relative, S_ISDIR(st.st_mode)):
        return None
    return Step(name, relative, st)


def _is_meant(selection: Selection, relative: str, is_dir: bool) -> bool:  # noqa: FBT001 - internal
    """Tell whether an entry is to be seen: a directory is looked into to find out."""
    if is_dir:
        return selection.enters(relative)
    return selection.takes(relative, is_dir=False)


def _enter(folders: Folders, fail: Callable[[OperationError], None], step: Step) -> bool:
    try:
        folders.enter(step.name)
    except OSError as error:
        step.broken = True
        fail(failure(error, "open the directory", folders.prefix + step.name))
        return False
    return True


def _names(
    folders: Folders,
    fail: Callable[[OperationError], None],
    step: Step | None,
    *,
    ordered: bool,
) -> Iterator[str]:
    """List the directory where the walk is, as a stream unless it has to be sorted."""
    prefix = folders.prefix
    try:
        with os.scandir(folders.fd) as entries:
            if not ordered:
                for entry in entries:
                    yield entry.name
                return
            keys = [
                entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
            ]
    except OSError as error:
        if step is not None:
            step.broken = True
        fail(failure(error, "list the directory", prefix))
        return
    for key in sorted(keys, key=os.fsencode):
        yield key.removesuffix("/")
