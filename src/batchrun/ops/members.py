"""What goes into an archive and comes out of one: members, whatever the format."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from stat import S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG
from typing import Protocol

from batchrun.errors import OperationError
from batchrun.model.values import Glob
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.paths import shown
from batchrun.ops.targets import Names, chosen, look_up, target_for
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.metadata import KEEP_ALL, attributes
from batchrun.ops.tree.selection import Selection
from batchrun.ops.tree.walking import walk

__all__ = ["FORMATS", "Entry", "Member", "Reader", "Writer", "archive_format", "plan"]

#: Formats, longest suffix first.
FORMATS = {
    ".tar.gz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".tar.xz": "tar.xz",
    ".tgz": "tar.gz",
    ".txz": "tar.xz",
    ".tzst": "tar.zst",
    ".tar": "tar",
    ".zip": "zip",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One thing in an archive."""

    #: Relative path with `/`, without one at its end.
    name: str
    #: `file`, `directory`, `symlink`, `hardlink`, `fifo`, `character`, `block`.
    kind: str
    #: Size of a file's content; 0 for everything else.
    size_bytes: int = 0
    mtime_ns: int = 0
    #: Permission bits.
    mode: int = 0
    #: Owner; None: the archive does not say.
    uid: int | None = None
    gid: int | None = None
    #: What a symlink points to, or which member a hard link is another name of.
    link: str = ""
    #: Major and minor number of a device.
    device: tuple[int, int] = (0, 0)
    #: Extended attributes; not compared.
    attributes: Mapping[str, bytes] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A member to be written, and where it is now."""

    member: Member
    place: Place
    st: os.stat_result


class Reader(Protocol):
    """Something to read a member's content from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most this many bytes; empty at the end."""


class Writer(Protocol):
    """Writes members into an archive."""

    def add(self, member: Member, content: Reader | None) -> None:
        """Write a member; `content` is what a file holds."""

    def finish(self) -> None:
        """Write the end of the archive."""

    def abandon(self) -> None:
        """Let go of the file after an error."""


def archive_format(path: str, given: str | None) -> str:
    """Return the format asked for, or the one that the name promises.

    Raises:
        OperationError: neither says one.
    """
    if given is not None:
        return given
    for suffix, form in FORMATS.items():
        if path.endswith(suffix):
            return form
    raise refusal(
        f"{shown(path)} does not end in one of {', '.join(FORMATS)}; write the suffix or `format`"
    )


def plan(
    sources: tuple[str | Glob, ...],
    selection: Selection | None,
    check: Callable[[], None],
    tally: Tally,
    *,
    links: bool = True,
) -> Iterator[Entry]:
    """Yield what an archive of these sources holds, names relative to each source's parent.

    The order is always the same: sources bytewise by name, directories before what is in them.

    Args:
        sources: Paths and globs.
        selection: What is meant below them.
        check: Called between members.
        tally: Told of what cannot be archived.
        links: Further names of one file are hard links; False: files of their own.

    Raises:
        OperationError: something cannot be looked at, or two sources have one name.
    """
    first_names: dict[tuple[int, int], str] | None = {} if links else None
    names = Names(sources)
    items: dict[str, str] = {}
    for item in look_up(sources):
        name = target_for(item.path, "/", inside=True)[1:]
        names.take(item.path, name)
        if chosen(item, selection):
            items[name] = item.path
    for name in sorted(items, key=os.fsencode):
        for entry in _below(name, items[name], selection):
            check()
            found = _member(entry, first_names, tally)
            if found is not None:
                yield found


def _below(
    name: str, path: str, selection: Selection | None
) -> Iterator[tuple[str, Place, os.stat_result]]:
    """Yield a source and everything in it that is meant."""
    place = Place(None, path)
    st = place.lstat()
    if st is None:
        raise OperationError(f"cannot archive {shown(path)}: it does not exist", errno=errno.ENOENT)
    yield name, place, st
    if S_ISDIR(st.st_mode):
        try:
            with Folders(place) as folders:
                for step in walk(folders, _raise, selection=selection, ordered=True):
                    if not step.left:
                        yield f"{name}/{step.relative}", folders.at(step.name), step.st
        except OSError as error:
            raise failure(error, "archive", path) from error


def _raise(error: OperationError) -> None:
    raise error


def _member(
    found: tuple[str, Place, os.stat_result],
    links: dict[tuple[int, int], str] | None,
    tally: Tally,
) -> Entry | None:
    """Describe one thing; None: it is of a kind that archives do not hold."""
    name, place, st = found
    kind = _kind(st)
    if kind is None:
        tally.warn(f"{shown(place.path)} is a socket, which cannot be archived")
        return None
    member = Member(
        name=name,
        kind=kind,
        size_bytes=st.st_size if kind == "file" else 0,
        mtime_ns=st.st_mtime_ns,
        mode=S_IMODE(st.st_mode),
        uid=st.st_uid,
        gid=st.st_gid,
    )
    if links is not None and st.st_nlink > 1 and kind != "directory":
        first = links.setdefault((st.st_dev, st.st_ino), name)
        if first != name:
            return Entry(replace(member, kind="hardlink", size_bytes=0, link=first), place, st)
    try:
        if kind == "symlink":
            text = os.readlink(place.name, dir_fd=place.dir_fd)
            member = replace(member, link=text)
        elif kind in {"character", "block"}:
            member = replace(member, device=(os.major(st.st_rdev), os.minor(st.st_rdev)))
        more = attributes(place.via_proc(), KEEP_ALL)
    except OSError as error:
        raise failure(error, "archive", place.path) from error
    return Entry(replace(member, attributes=more) if more else member, place, st)


def _kind(st: os.stat_result) -> str | None:
    kinds = (
        (S_ISREG, "file"),
        (S_ISDIR, "directory"),
        (S_ISLNK, "symlink"),
        (S_ISFIFO, "fifo"),
        (S_ISCHR, "character"),
        (S_ISBLK, "block"),
    )
    return next((kind for test, kind in kinds if test(st.st_mode)), None)
