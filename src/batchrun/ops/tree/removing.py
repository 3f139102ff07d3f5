"""Delete trees: contents first, relative to open directories, never into another filesystem."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from stat import S_ISDIR

from batchrun.errors import OperationError
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.selection import Selection
from batchrun.ops.tree.walking import Step, walk

__all__ = ["Guard", "Removing", "count", "remove"]

#: Says whether an entry may go, by its path below the root and what it is; None: everything may.
Guard = Callable[[str, os.stat_result], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removing:
    """How something is deleted."""

    #: Called between entries; raises when the unit has to stop.
    check: Callable[[], None]
    dry_run: bool = False
    selection: Selection | None = None
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
    """Delete what has this name, and everything below it that is meant.

    A directory stays when something below it stays: because it is not meant, or could not be
    deleted (counted), or because the guard says no (counted).
    """
    st = place.lstat()
    if st is None:
        return
    removal = _Removal(how, tally, st.st_dev)
    if not S_ISDIR(st.st_mode):
        removal.file(place, "", st)
        return
    try:
        with Folders(place) as folders:
            for step in walk(folders, removal.fail, temporaries=True):
                how.check()
                removal.take(step, folders)
    except OSError as error:
        raise failure(error, "delete", place.path) from error
    if not removal.kept:
        removal.directory(place)


class _Removal:
    """What happens to each step of the walk."""

    def __init__(self, how: Removing, tally: Tally, device: int) -> None:
        self._dry = how.dry_run
        self._tally = tally
        self._guard = how.guard
        self._device = device
        self._selection = how.selection
        #: For each directory on the way, from the root on: something in it stays.
        self._keeping: list[bool] = [False]

    @property
    def kept(self) -> bool:
        """Something stays, and so does the root."""
        return self._keeping[0]

    def fail(self, error: OperationError) -> None:
        """Count a failure; what it happened in stays."""
        self._keeping[-1] = True
        self._tally.fail(error)

    def take(self, step: Step, folders: Folders) -> None:
        """Delete what a step shows, if it is meant."""
        place = folders.at(step.name)
        if step.left:
            if self._keeping.pop() or not self._takes(step):
                self._keeping[-1] = True
            else:
                self.directory(place)
        elif not step.is_dir:
            if self._takes(step):
                self.file(place, step.relative, step.st)
            else:
                self._keeping[-1] = True
        elif self._selection is not None and not self._selection.enters(step.relative):
            step.skip = True
            self._keeping[-1] = True
        elif step.st.st_dev != self._device:
            step.skip = True
            self.fail(refusal(f"{shown(place.path)} is another filesystem and was kept"))
        else:
            self._keeping.append(False)

    def _takes(self, step: Step) -> bool:
        """Tell whether the patterns mean the entry itself."""
        selection = self._selection
        return selection is None or selection.takes(step.relative, is_dir=step.is_dir)

    def file(self, place: Place, relative: str, st: os.stat_result) -> None:
        """Delete something that is not a directory."""
        if self._guard is not None and not self._guard(relative, st):
            self.fail(OperationError(f"{shown(place.path)} changed meanwhile and was kept"))
        elif self._dry:
            self._foresee(place)
        else:
            self._call(os.unlink, place)

    def directory(self, place: Place) -> None:
        """Delete a directory that should be empty by now."""
        if self._dry:
            self._foresee(place)
        else:
            self._call(os.rmdir, place)

    def _foresee(self, place: Place) -> None:
        """Look in a dry run whether it may be deleted."""
        try:
            check_may_write(place, "delete")
        except OperationError as error:
            self.fail(error)
        else:
            self._tally.changed = True

    def _call(self, delete: Callable[..., None], place: Place) -> None:
        try:
            delete(place.name, dir_fd=place.dir_fd)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                message = f"{shown(place.path)} was written into meanwhile and was kept"
                self.fail(OperationError(message))
            else:
                self.fail(failure(error, "delete", place.path))
            return
        self._tally.changed = True
