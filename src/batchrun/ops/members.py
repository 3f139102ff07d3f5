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
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import KEEP_ALL, attributes
from batchrun.ops.tree.ordered import SINGLE, Frame, Scanner, key_of, name_in
from batchrun.ops.tree.parcels import joined
from batchrun.ops.tree.selection import Selection

__all__ = [
    "FORMATS", "Entry", "Links", "Member", "Reader", "archive_format", "changed_meanwhile",
    "entry_of", "first_frame", "member_of", "parts_of", "plan", "sources_of",
]  # fmt: skip

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


def parts_of(name: str) -> tuple[str, ...]:
    """Split a member's name into its components."""
    return tuple(part for part in name.split("/") if part not in {"", "."})


def sources_of(
    sources: tuple[str | Glob, ...],
    selection: Selection | None,
    passes: Callable[[os.stat_result], bool],
) -> list[str]:
    """Return the paths of what sources stand for and is meant, in the order of an archive.

    Args:
        sources: Paths and globs.
        selection: What is meant of what globs find.
        passes: Tells what is passed over, by a look at it.

    Raises:
        OperationError: two sources have one name.
    """
    names = Names(sources)
    items: dict[str, str] = {}
    for item in look_up(sources):
        st = Place(None, item.path).lstat()
        if st is not None and passes(st):
            continue
        name = target_for(item.path, "/", inside=True)[1:]
        names.take(item.path, name)
        if chosen(item, selection):
            items[name] = item.path
    return [items[name] for name in sorted(items, key=os.fsencode)]


def first_frame(paths: list[str]) -> Frame:
    """Return what a scan of these sources begins with.

    Raises:
        OperationError: one of them is not there.
    """
    keys: list[str] = []
    for path in paths:
        st = Place(None, path).lstat()
        if st is None:
            message = f"cannot archive {shown(path)}: it does not exist"
            raise OperationError(message, errno=errno.ENOENT)
        keys.append(key_of(path, st))
    return Frame(SINGLE, "", joined(keys), 1.0)


def plan(
    paths: list[str],
    selection: Selection | None,
    check: Callable[[], None],
    tally: Tally,
    *,
    links: bool = True,
) -> Iterator[Entry]:
    """Yield what an archive of these sources holds, names relative to each source's parent.

    Args:
        paths: As `sources_of` has returned them.
        selection: What is meant below them.
        check: Called between members.
        tally: Told of what cannot be archived.
        links: Further names of one file are hard links; False: files of their own.

    Raises:
        OperationError: something cannot be looked at.
    """
    known = Links()
    with Scanner([first_frame(paths)], selection, check, tally.vanished) as scanner:
        for found in scanner.found():
            check()
            st, name = found.st, name_in(found.node, found.key)
            first = known.first_of(st, name) if links else None
            if first is not None:
                yield Entry(member_of(name, st, link=first), found.place, st)
            elif (entry := entry_of(name, found.place, st, tally)) is not None:
                yield entry


class Links:
    """Finds out which names are further names of one file.

    Holds the first name of each file until all of its names have been seen.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], tuple[str, int]] = {}

    def first_of(self, st: os.stat_result, name: str) -> str | None:
        """Return the first name of a file; None: this one is it."""
        if st.st_nlink < 2 or S_ISDIR(st.st_mode):
            return None
        return self.first(st.st_dev, st.st_ino, st.st_nlink, name)

    def first(self, device: int, inode: int, names: int, name: str) -> str | None:
        """Return the first name of a file, known by its numbers, that has so many names."""
        key = device, inode
        first, left = self._names.pop(key, (None, names))
        if left > 1:
            self._names[key] = first or name, left - 1
        return first


def member_of(name: str, st: os.stat_result, *, link: str = "") -> Member:
    """Describe a member by what a look at it says; with `link` it is a hard link to that one."""
    kind = "hardlink" if link else _kind(st) or ""
    return Member(
        name=name,
        kind=kind,
        size_bytes=st.st_size if kind == "file" else 0,
        mtime_ns=st.st_mtime_ns,
        mode=S_IMODE(st.st_mode),
        uid=st.st_uid,
        gid=st.st_gid,
        link=link,
    )


def entry_of(name: str, place: Place, st: os.stat_result, tally: Tally) -> Entry | None:
    """Describe one thing; None: it is of a kind that archives do not hold."""
    kind = _kind(st)
    if kind is None:
        tally.warn(f"{shown(place.path)} is a socket, which cannot be archived")
        return None
    member = member_of(name, st)
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


def changed_meanwhile(path: str) -> OperationError:
    """Make the error for a file that is not what it was when it was looked at."""
    return OperationError(
        f"{shown(path)} changed while it was archived; there is no new archive, "
        "and nothing was deleted"
    )


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
