"""What is here of what an upload sends: files, directories and symlinks, by the path they get."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from stat import S_ISDIR, S_ISLNK, S_ISREG

from batchrun.errors import OperationError
from batchrun.ops.failures import Tally, failure
from batchrun.ops.paths import shown
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.selection import Selection
from batchrun.ops.tree.walking import walk

__all__ = ["Here", "content_hash", "scan"]

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """One thing on this machine."""

    path: str
    st: os.stat_result
    #: What a symlink says.
    link: str = ""

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return S_ISDIR(self.st.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return S_ISREG(self.st.st_mode)


def scan(
    path: str, selection: Selection | None, check: Callable[[], None], tally: Tally
) -> dict[str, Here]:
    """Return a source and everything in it that is meant, by relative path; its own is empty.

    Held as a whole, because it is compared with what the host says as a whole: about 500 bytes for
    each file.

    Raises:
        OperationError: something cannot be looked at.
    """
    place = Place(None, path)
    st = place.lstat()
    if st is None:
        message = f"cannot send {shown(path)}: it does not exist"
        raise OperationError(message)
    found = {"": _here(path, st)}
    if not S_ISDIR(st.st_mode):
        _check_kind(path, st)
        return found
    for relative, where, each in _below(place, path, selection, check):
        if not (S_ISDIR(each.st_mode) or S_ISREG(each.st_mode) or S_ISLNK(each.st_mode)):
            tally.warn(f"{shown(where)} is neither a file, a directory nor a symlink; not sent")
            continue
        found[relative] = _here(where, each)
    return found


def _below(
    place: Place, path: str, selection: Selection | None, check: Callable[[], None]
) -> Iterator[tuple[str, str, os.stat_result]]:
    try:
        with Folders(place) as folders:
            for step in walk(folders, _raise, selection=selection, ordered=True):
                check()
                taken = (
                    selection is None or step.is_dir or selection.takes(step.relative, is_dir=False)
                )
                if taken and not step.left:
                    yield step.relative, f"{path}/{step.relative}", step.st
    except OSError as error:
        raise failure(error, "read", path) from error


def _check_kind(path: str, st: os.stat_result) -> None:
    if not (S_ISREG(st.st_mode) or S_ISLNK(st.st_mode)):
        message = f"cannot send {shown(path)}: it is neither a file, a directory nor a symlink"
        raise OperationError(message, retryable=False)


def _here(path: str, st: os.stat_result) -> Here:
    try:
        return Here(path=path, st=st, link=os.readlink(path) if S_ISLNK(st.st_mode) else "")
    except OSError as error:
        raise failure(error, "read", path) from error


def _raise(error: OperationError) -> None:
    raise error


def content_hash(path: str, check: Callable[[], None]) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        OperationError: it cannot be read.
    """
    digest = hashlib.sha256()
    buffer = bytearray(_PIECE_BYTES)
    try:
        with open(path, "rb", buffering=0) as file:
            while size := file.readinto(buffer):
                check()
                digest.update(memoryview(buffer)[:size])
    except OSError as error:
        raise failure(error, "read", path) from error
    return digest.hexdigest()
