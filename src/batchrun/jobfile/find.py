"""`{find: {...}}`: a walk below directories that hands out what meets all conditions."""

import errno
import os
import pwd
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batchrun.errors import OperationError, SourceError
from batchrun.ops.paths import shown
from batchrun.ops.patterns import compiled
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.walking import Step, walk

__all__ = ["TYPES", "Search"]

#: Words for the types of what is found, and how the mode tells them; None: any.
TYPES: dict[str, Callable[[int], bool] | None] = {
    "file": stat.S_ISREG,
    "directory": stat.S_ISDIR,
    "symlink": stat.S_ISLNK,
    "any": None,
}
#: Gone since its directory was listed, or no longer what it was: nobody is to blame.
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What `find` looks for: everything that is given must hold.

    Each directory is listed as a whole before anything in it is handed out, so a job that
    works on what it finds never meets its own output there. Symlinks to directories are not
    entered; the directories that the search begins with may be such links.
    """

    path: tuple[str, ...]
    #: Patterns of the last component; empty: any name.
    name: tuple[str, ...] = ()
    #: By mtime, in seconds.
    older_than: float | None = None
    newer_than: float | None = None
    #: Of regular files, in bytes.
    larger_than: int | None = None
    smaller_than: int | None = None
    type: str = "file"
    #: Name or number.
    owner: str | None = None
    #: 1: only what lies in the directory itself.
    max_depth: int | None = None
    #: Gitignore-style patterns; an excluded directory is not entered.
    exclude: tuple[str, ...] = ()
    one_file_system: bool = False
    #: Wildcards match names that start with a dot, too.
    hidden: bool = False

    def found(self) -> Iterator[str]:
        """Return the paths, bytewise within each directory, a directory before what is in it.

        Raises:
            SourceError: the conditions mean nothing here; or, from the iterator after everything
                else was found, a directory could not be read.
        """
        return self._all(self._conditions())

    def _all(self, meets: "list[Callable[[Step], bool]]") -> Iterator[str]:
        unread = _Unread()
        for root in self.path:
            yield from self._below(root, meets, unread)
        unread.raise_if_any()

    def _below(
        self, root: str, meets: "list[Callable[[Step], bool]]", unread: "_Unread"
    ) -> Iterator[str]:
        try:
            folders = Folders(Place(None, root), follow=True)
        except OSError as error:
            unread.missing(root, error)
            return
        with folders:
            device = os.fstat(folders.fd).st_dev
            chosen = selection(self.exclude, ())
            try:
                for step in walk(folders, unread.note, selection=chosen, ordered=True):
                    if step.left:
                        continue
                    if step.is_dir:
                        step.skip = self._stays_out(step, device)
                    if all(condition(step) for condition in meets):
                        yield folders.prefix + step.name
            except OperationError as error:
                unread.note(error)

    def _stays_out(self, step: Step, device: int) -> bool:
        """Tell whether a directory is not gone into."""
        if self.max_depth is not None and step.relative.count("/") + 1 >= self.max_depth:
            return True
        return self.one_file_system and step.st.st_dev != device

    def _conditions(self) -> "list[Callable[[Step], bool]]":
        """Return what must hold, the cheap ones first."""
        conditions: list[Callable[[Step], bool]] = []
        is_type = TYPES[self.type]
        if is_type is not None:
            conditions.append(lambda step: is_type(step.st.st_mode))
        if self.name:
            matches = _names(self.name, hidden=self.hidden)
            conditions.append(lambda step: matches(step.name))
        conditions += self._times()
        if self.larger_than is not None or self.smaller_than is not None:
            conditions.append(self._is_of_size)
        if self.owner is not None:
            owner = _user(self.owner)
            conditions.append(lambda step: step.st.st_uid == owner)
        return conditions

    def _times(self) -> "list[Callable[[Step], bool]]":
        now = time.time()
        conditions: list[Callable[[Step], bool]] = []
        if self.older_than is not None:
            before = now - self.older_than
            conditions.append(lambda step: step.st.st_mtime < before)
        if self.newer_than is not None:
            after = now - self.newer_than
            conditions.append(lambda step: step.st.st_mtime > after)
        return conditions

    def _is_of_size(self, step: Step) -> bool:
        if not stat.S_ISREG(step.st.st_mode):
            return False
        size = step.st.st_size
        if self.larger_than is not None and size <= self.larger_than:
            return False
        return self.smaller_than is None or size < self.smaller_than


def _names(patterns: tuple[str, ...], *, hidden: bool) -> Callable[[str], bool]:
    """Make the test of a name.

    Raises:
        SourceError: the braces of a pattern stand for too many alternatives.
    """
    try:
        parts = [compiled(pattern, hidden) for pattern in patterns]
    except ValueError as error:
        raise SourceError(str(error)) from None
    plain = frozenset(part for part in parts if isinstance(part, str))
    expressions = [part for part in parts if isinstance(part, re.Pattern)]
    if None in parts:
        return lambda _name: True
    return lambda name: name in plain or any(one.match(name) for one in expressions)


def _user(owner: str) -> int:
    """Look up a user.

    Raises:
        SourceError: there is none of this name.
    """
    if owner.isascii() and owner.isdigit():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        message = f"there is no user {owner!r} whose files could be found; write a name or a number"
        raise SourceError(message) from None


class _Unread:
    """Directories that could not be read: the first one is named, the others are counted."""

    def __init__(self) -> None:
        self._first = ""
        self._count = 0

    def note(self, error: OperationError) -> None:
        """Count one, unless it is only gone."""
        if error.errno not in _VANISHED:
            self._add(str(error))

    def missing(self, root: str, error: OSError) -> None:
        """Count a directory that was named: that it is not there is a mistake."""
        self._add(f"cannot look into {shown(root)}: {error.strerror}")

    def _add(self, sentence: str) -> None:
        self._first = self._first or sentence
        self._count += 1

    def raise_if_any(self) -> None:
        """End the source if anything could not be read.

        Raises:
            SourceError: it says what.
        """
        if self._count:
            more = f", and {self._count - 1} more" if self._count > 1 else ""
            message = f"not everything was found: {self._first}{more}"
            raise SourceError(message)
