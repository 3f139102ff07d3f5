"""What a source stands for, and where it goes: the rules about `src` and `dest`."""

import os
from collections.abc import Callable, Iterator
from stat import S_ISDIR, S_ISLNK
from typing import NamedTuple

from batchrun.errors import OperationError
from batchrun.model.values import Glob
from batchrun.ops.failures import failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import expand, shown
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.selection import Selection

__all__ = [
    "Item",
    "Names",
    "check_not_inside",
    "chosen",
    "finds",
    "into",
    "is_directory",
    "is_same_file",
    "look_up",
    "make_parents",
    "onto_directory",
    "target_for",
    "trimmed",
    "without_matches",
]


class Item(NamedTuple):
    """One path that a source stands for."""

    #: Without a slash at its end.
    path: str
    #: It was named; False: a pattern matched it.
    exact: bool


class Names:
    """Refuses two sources that would become the same path; counts only where there are several."""

    def __init__(self, sources: tuple[str | Glob, ...]) -> None:
        several = len(sources) != 1 or not isinstance(sources[0], str)
        self._taken: dict[str, str] | None = {} if several else None

    def take(self, path: str, target: str) -> None:
        """Note what a source becomes.

        Raises:
            OperationError: another source becomes the same.
        """
        if self._taken is None:
            return
        other = self._taken.setdefault(target, path)
        if other != path:
            raise refusal(f"{shown(other)} and {shown(path)} would both become {shown(target)}")


def chosen(item: Item, selection: Selection | None) -> bool:
    """Tell whether patterns mean what a glob has found; what was named is always meant."""
    if selection is None or item.exact:
        return True
    name = os.path.basename(item.path)
    if os.path.isdir(item.path) and not os.path.islink(item.path):
        return selection.enters(name)
    return selection.takes(name, is_dir=False)


def is_directory(path: str, st: os.stat_result) -> bool:
    """Tell whether something that was looked at is a directory, or a symlink to one."""
    return S_ISDIR(st.st_mode) or (S_ISLNK(st.st_mode) and os.path.isdir(path))


def is_same_file(st: os.stat_result, path: str) -> bool:
    """Tell whether a file that was looked at is what has this path."""
    try:
        return not S_ISDIR(st.st_mode) and os.path.samestat(st, os.stat(path))
    except OSError:
        return False


def onto_directory(path: str, target: str) -> OperationError:
    """Make the error for a file whose exact new name is that of a directory."""
    return refusal(
        f"{shown(target)} is a directory; write {shown(target)}/ to put {shown(path)} into it"
    )


def trimmed(path: str) -> str:
    """Return a path without the slashes at its end, which mean nothing in a source.

    Raises:
        OperationError: it is empty.
    """
    if path.endswith("/"):
        path = path.rstrip("/") or "/"
    if not path:
        raise refusal("a path is empty; an empty value was probably inserted into it")
    return path


def look_up(
    sources: tuple[str | Glob, ...], missed: Callable[[str], None] | None = None
) -> Iterator[Item]:
    """Yield what sources stand for, each path once.

    Patterns are looked up one after the other; an exact path need not exist. Holds the paths
    only when there are several sources.

    Args:
        sources: Paths and patterns.
        missed: Called with each pattern that matches nothing; mostly `Tally.found_nothing`.
    """
    if len(sources) == 1 and isinstance(sources[0], str):
        return iter((Item(trimmed(sources[0]), exact=True),))
    return _look_up_all(sources, missed)


def _look_up_all(
    sources: tuple[str | Glob, ...], missed: Callable[[str], None] | None
) -> Iterator[Item]:
    seen: set[str] = set()
    for source in sources:
        exact, matched = isinstance(source, str), False
        try:
            found = iter((trimmed(source),)) if isinstance(source, str) else expand(source)
            for path in found:
                matched = True
                if path not in seen:
                    if len(sources) > 1:
                        seen.add(path)
                    yield Item(path, exact)
        except OSError as error:
            raise failure(error, "look up", str(error.filename)) from error
        except ValueError as error:
            raise refusal(str(error)) from error
        if missed is not None and not matched and isinstance(source, Glob):
            missed(source.pattern)


def finds(pattern: str) -> bool:
    """Tell whether a pattern is known to match anything; what cannot be looked at matches not."""
    try:
        return next(expand(Glob(pattern)), None) is not None
    except OSError:
        return False


def without_matches(sources: tuple[str | Glob, ...]) -> str:
    """Say which sources lead to nothing, when none of them leads to anything.

    >>> without_matches((Glob("/a/*"),)), without_matches((Glob("/a/*"), "/b"))
    ('nothing matches /a/*', 'nothing is there of /a/*, /b')
    """
    names = ", ".join(
        shown(source if isinstance(source, str) else source.pattern) for source in sources
    )
    only_patterns = all(isinstance(source, Glob) for source in sources)
    return f"nothing {'matches' if only_patterns else 'is there of'} {names}"


def into(sources: tuple[str | Glob, ...], dest: str) -> bool:
    """Tell whether `dest` is a directory to put things into: it ends in a slash.

    Raises:
        OperationError: there may be several sources and it does not.
    """
    if not dest:
        raise refusal("the destination is empty; an empty value was probably inserted into it")
    if dest.endswith("/"):
        return True
    if len(sources) != 1 or not isinstance(sources[0], str):
        raise refusal(
            "several sources need a destination that ends in a slash; "
            f"write {shown(dest)}/ to put them into it"
        )
    return False


def target_for(path: str, dest: str, *, inside: bool) -> str:
    """Return the exact path that a source becomes.

    Raises:
        OperationError: it has no name of its own (`/`, `..`).
    """
    if not inside:
        return dest
    name = path.rpartition("/")[2]
    if name in {"", ".", ".."}:
        raise refusal(
            f"{shown(path)} has no name to put into {shown(dest)}; "
            "name the destination without the slash at its end"
        )
    return dest + name if not dest.endswith("//") else dest.rstrip("/") + "/" + name


def make_parents(path: str, *, dry: bool) -> bool:
    """Make the directories above a path; True when there is, or would be, something to make.

    Raises:
        OperationError: one of them cannot be made, or is something else.
    """
    parent = os.path.dirname(path)
    if not parent or os.path.isdir(parent):
        return False
    above = parent
    while above and not os.path.lexists(above):
        above = os.path.dirname(above)
    if above and not os.path.isdir(above):
        raise refusal(f"cannot make {shown(parent)}: {shown(above)} is not a directory")
    if dry:
        first = parent[len(above) :].lstrip("/").partition("/")[0]
        check_may_write(Place(None, os.path.join(above, first)), "make the directory")
    else:
        try:
            os.makedirs(parent, exist_ok=True)
        except OSError as error:
            raise failure(error, "make the directory", parent) from error
    return True


def check_not_inside(source: str, target: str) -> None:
    """Refuse a target that lies in the source directory, whatever symlinks lead there.

    Raises:
        OperationError: it does.
    """
    st = os.stat(source)
    above = os.path.realpath(target)
    while True:
        try:
            found = os.stat(above)
        except OSError:
            found = None
        if found is not None and (found.st_dev, found.st_ino) == (st.st_dev, st.st_ino):
            if above == os.path.realpath(target):
                raise refusal(f"{shown(source)} and {shown(target)} are the same directory")
            raise refusal(
                f"{shown(target)} lies in {shown(source)}, which would be put into itself"
            )
        if above in {"/", ""}:
            return
        above = os.path.dirname(above)
