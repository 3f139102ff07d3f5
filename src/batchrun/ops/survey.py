"""Look through an archive before anything of it is extracted: what is refused, where to cut it.

Members may be extracted side by side when each has a name of its own, none is what another one lies
in, and the archive can be entered in several places: a plain one at each member, a compressed one
where a stream begins together with a member, as in those that several workers have made.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from batchrun.errors import OperationError
from batchrun.ops.codecs import decompressed
from batchrun.ops.failures import refusal
from batchrun.ops.members import Member, Reader, parts_of
from batchrun.ops.paths import shown
from batchrun.ops.tarreader import Stream, members_of
from batchrun.ops.tree.data import Beat, blocks

__all__ = ["Section", "Survey", "read_section", "survey_tar"]

#: A section is cut when it has so many members, or bytes.
_MEMBERS, _BYTES = 512, 4 * 1024 * 1024
#: Of names that are remembered, by their hashes; a few hundred MB in one worker.
_MOST_NAMES = 2_000_000
#: Directories and hard links, which come last, in one worker.
_MOST_LATE = 20_000


class Section(NamedTuple):
    """A part of an archive that can be read for itself."""

    #: In the file.
    start: int
    end: int


class Survey:
    """What is in an archive. Refuses members that would lead outside of the destination.

    Holds the names of symlinks: a later member must not go through one.
    """

    def __init__(self) -> None:
        self._links: set[tuple[str, ...]] = set()
        self._is_root = os.geteuid() == 0
        self._names: set[int] = set()
        self._parents: set[int] = set()
        self._files: set[int] = set()
        self._above: tuple[str, ...] = ()
        #: Each has a place of its own, and there are not too many.
        self.independent = True
        #: Directories and hard links, in order.
        self.late: list[Member] = []

    def take(self, member: Member) -> None:
        """Look at one member.

        Raises:
            OperationError: it is refused.
        """
        parts = parts_of(member.name)
        self._check_way(member, member.name, parts)
        if member.kind == "hardlink":
            self._check_way(member, member.link, parts_of(member.link))
        elif member.kind == "symlink":
            self._links.add(parts)
        elif member.kind in {"character", "block"} and not self._is_root:
            raise _refused(member, "it is a device, which only root can make")
        elif member.kind == "unknown":
            raise _refused(member, "it is of an unknown kind")
        if self.independent and parts:
            self._note(member, parts)

    def _check_way(self, member: Member, name: str, parts: tuple[str, ...]) -> None:
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise _refused(member, f"{shown(name)} leads outside of the destination")
        if self._links and any(parts[:end] in self._links for end in range(1, len(parts))):
            raise _refused(member, f"{shown(name)} leads through a symlink of the archive")

    def _note(self, member: Member, parts: tuple[str, ...]) -> None:
        """Find out whether the member is independent of those before it."""
        name = hash(parts)
        above = parts[:-1]
        if above != self._above:
            self._above = above
            ways = {hash(parts[:end]) for end in range(1, len(parts))}
            self._parents |= ways
            self.independent &= self._files.isdisjoint(ways)
        self.independent &= name not in self._names and len(self._names) < _MOST_NAMES
        self._names.add(name)
        if member.kind != "directory":
            self._files.add(name)
            self.independent &= name not in self._parents
        if member.kind in {"directory", "hardlink"}:
            self.late.append(member)
            self.independent &= len(self.late) <= _MOST_LATE
        if not self.independent:
            # Nobody asks any more.
            self._names, self._files, self._parents, self.late = set(), set(), set(), []


def _refused(member: Member, why: str) -> OperationError:
    return refusal(f"refused to extract {shown(member.name)}: {why}; nothing was extracted")


def survey_tar(fd: int, compression: str, survey: Survey, beat: Beat) -> list[Section]:
    """Look through a tar archive; returns the sections that it can be cut into.

    Raises:
        Rare: it holds what only tarfile reads; those before it have been looked at.
        OperationError: it is refused, or broken.
    """
    starts: list[tuple[int, int]] = []
    pieces = blocks(fd, beat)
    content: Iterator[bytes]
    if compression:
        content = decompressed(compression, pieces, lambda *start: starts.append(start))
    else:
        content = map(bytes, pieces)
    stream = Stream(content)
    cuts: list[int] = []
    members = last = 0
    for member, _, begin in members_of(stream):
        survey.take(member)
        is_start = not compression
        at = begin
        while starts and starts[0][1] <= begin:
            at, position = starts.pop(0)
            is_start = position == begin
        enough = members >= _MEMBERS or begin - last >= _BYTES
        if is_start and (enough or not cuts):
            cuts.append(at)
            members, last = 0, begin
        members += 1
    stream.drain()
    ends = [*cuts[1:], os.fstat(fd).st_size]
    return [Section(start, end) for start, end in zip(cuts, ends, strict=True)]


def read_section(
    fd: int, compression: str, section: Section, beat: Beat
) -> Iterator[tuple[Member, Reader | None]]:
    """Yield the members of a section; each content is valid until the next member."""
    os.lseek(fd, section.start, os.SEEK_SET)
    pieces = blocks(fd, beat, most=section.end - section.start)
    stream = Stream(decompressed(compression, pieces) if compression else map(bytes, pieces))
    for member, content, _ in members_of(stream):
        yield member, content
