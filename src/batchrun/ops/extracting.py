"""Extract an archive in one worker, or its sections in several.

directories, in the first ──► sections, side by side ──► hard links ──► times of directories
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from math import inf
from typing import Any, NamedTuple

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.ops.archives import of_archive, read_members
from batchrun.ops.failures import Tally
from batchrun.ops.members import Member, Reader, parts_of
from batchrun.ops.paths import shown
from batchrun.ops.survey import Section, Survey, read_section, survey_tar
from batchrun.ops.tarreader import Rare
from batchrun.ops.tree.crawl import Listed, Node, Rest, begin, crawl, root_node
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import COMPLETE, FILES, Answer, Payload
from batchrun.ops.tree.selection import Selection, selection
from batchrun.ops.tree.temporary import PREFIX
from batchrun.ops.unpack import Unpacker

__all__ = [
    "ExtractForest", "Extraction", "extract_alone", "extract_chunk", "identity", "look_through",
    "share",
]  # fmt: skip


class Extraction(NamedTuple):
    """What everybody needs to know who works on it; of standard types."""

    path: str
    form: str
    dest: str
    #: Gitignore-style patterns of what stays in the archive, and of what alone is taken.
    patterns: tuple[tuple[str, ...], tuple[str, ...]]
    #: Of the archive: device, inode, size and time.
    identity: tuple[int, ...]
    #: How the names of temporary files begin that earlier attempts may have left.
    dead: tuple[str, ...] = ()
    #: Device and inode of the destination, where several workers go into it one after the other.
    root: tuple[int, ...] = ()

    @property
    def compression(self) -> str:
        """How it is compressed; empty: not at all."""
        return self.form.partition(".")[2]


def identity(path: str) -> tuple[int, ...]:
    """Return what tells an archive from one that replaces it."""
    st = os.stat(path)
    return st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns


def look_through(path: str, form: str, context: Context) -> tuple[Survey, list[Section]]:
    """Check all members; returns what was found, and the sections that can be extracted apart."""
    survey = Survey()

    def beat(_: int) -> None:
        context.check()

    if form != "zip":
        try:
            with of_archive(path) as fd:
                return survey, survey_tar(fd, form.partition(".")[2], survey, beat)
        except Rare:
            survey = Survey()
    with read_members(path, form, beat) as members:
        for member, _ in members:
            survey.take(member)
    return survey, []


def extract_alone(work: Extraction, context: Context, tally: Tally) -> Done:
    """Extract everything in this process."""
    with _unpacker(work, context, tally) as unpacker:
        with read_members(work.path, work.form, _beat(context, tally)) as members:
            _put_all(members, selection(*work.patterns), unpacker, context, tally)
        unpacker.finish_directories()
    return tally.done()


def _unpacker(work: Extraction, context: Context, tally: Tally) -> Unpacker:
    unpacker = Unpacker(work.dest, context, tally, root=work.root)
    unpacker.dead = tuple(work.dead)
    return unpacker


def _beat(context: Context, tally: Tally) -> Any:
    def beat(size: int) -> None:
        tally.bytes_done += size
        context.check()
        context.progress(tally.bytes_done)

    return beat


def _put_all(
    members: Iterator[tuple[Member, Reader | None]],
    selected: Selection | None,
    unpacker: Unpacker,
    context: Context,
    tally: Tally,
) -> None:
    """Extract what patterns mean."""
    for member, content in members:
        context.check()
        if _is_meant(member, selected):
            unpacker.put(member, content)
            tally.files_done += 1


def _is_meant(member: Member, selected: Selection | None) -> bool:
    """Tell whether patterns mean a member, and none of the directories above it is excluded."""
    if selected is None:
        return True
    parts = parts_of(member.name)
    above = ("/".join(parts[:end]) for end in range(1, len(parts)))
    return all(map(selected.enters, above)) and (
        selected.takes("/".join(parts), is_dir=member.kind == "directory")
    )


# ---- several workers --------------------------------------------------------------------------


def share(
    work: Extraction, found: tuple[list[Section], list[Member]], context: Context, tally: Tally
) -> Done:
    """Make the directories, and begin what several workers will do."""
    sections, late = found
    st = os.stat(work.dest)
    work = work._replace(root=(st.st_dev, st.st_ino))
    selected = selection(*work.patterns)
    meant = [member for member in late if _is_meant(member, selected)]
    with _unpacker(work, context, tally) as unpacker:
        for member in meant:
            if member.kind == "directory":
                context.check()
                unpacker.put(member, None)
    rest = begin([root_node(())], _Sections(work, context, tally, sections), 1, batch=1)
    answer: Answer = (tally.counted(), *rest, [])
    last = [{one.name: getattr(member, one.name) for one in fields(member)} for member in meant]
    seed = (_CHUNK, tuple(work), answer), last
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


class ExtractForest(Forest):
    """Sections that many workers extract, and what comes last."""

    def __init__(self, seed: tuple[tuple[str, Any, Answer], list[Any]]) -> None:
        of_sections, last = seed
        super().__init__(of_sections)
        self.clean_up(last)


def extract_chunk(payload: Payload, context: Context) -> Done:
    """Extract some sections, or what comes last."""
    config, deaths, items, lost = payload
    work, tally = Extraction(*config), Tally()
    rest: Rest = ([], [], [])
    if deaths >= 0:
        most = 1 if deaths else context.settings.slice_cost or inf
        rest = crawl(items, _Sections(work, context, tally, ()), most, batch=1)
    elif deaths == COMPLETE:
        dead = tuple(f"{PREFIX}{context.settings.run_id}-{number}-" for number in lost)
        for last in items:
            with _unpacker(work, context, tally) as unpacker:
                unpacker.dead += dead
                _finish(unpacker, [Member(**member) for member in last])
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{extract_chunk.__name__}"
_FOREST = f"{__name__}:{ExtractForest.__name__}"


def _finish(unpacker: Unpacker, late: list[Member]) -> None:
    """Make the hard links, then give directories their modes and times."""
    for member in late:
        if member.kind == "hardlink":
            unpacker.put(member, None)
        else:
            unpacker.adopt(member)
    unpacker.finish_directories()


class _Sections:
    """Visits the sections of an archive, which stands in for a directory of them."""

    def __init__(
        self,
        work: Extraction,
        context: Context,
        tally: Tally,
        sections: list[Section] | tuple[()],
    ) -> None:
        self._work = work
        self._context = context
        self._tally = tally
        self._sections = sections
        self._selected = selection(*work.patterns)

    def enter(self, node: Node) -> bool:  # noqa: ARG002 - the protocol's
        """There is nothing to be entered."""
        return False

    def listed(self, node: Node) -> Iterator[Listed]:  # noqa: ARG002 - there is one archive
        """Yield the sections, by where they begin and end."""
        return ((f"{one.start} {one.end}", FILES) for one in self._sections)

    def files(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - see `listed`
        """Extract some sections."""
        done = 0
        for name in names:
            start, _, end = name.partition(" ")
            done += self._extract(Section(int(start), int(end)))
        return done

    def _extract(self, section: Section) -> int:
        work, tally = self._work, self._tally
        before = tally.files_done
        with (
            self._opened() as fd,
            _unpacker(work, self._context, tally) as unpacker,
        ):
            beat = _beat(self._context, tally)
            found = read_section(fd, work.compression, section, beat)
            # What comes last is not for here.
            members = (one for one in found if one[0].kind not in {"directory", "hardlink"})
            _put_all(members, self._selected, unpacker, self._context, tally)
        return tally.files_done - before + 1

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the archive, which must be the one that was looked through."""
        work = self._work
        with of_archive(work.path) as fd:
            st = os.fstat(fd)
            if (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns) != tuple(work.identity):
                message = f"{shown(work.path)} was changed while it was extracted"
                raise OperationError(message)
            yield fd

    def others(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - the protocol's
        """There is nothing else."""
        return 0

    def leave(self, node: Node) -> None:
        """There is nothing to be done in the end."""
