"""The operation `archive`: files and trees into one tar or zip archive."""

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from stat import S_ISDIR
from typing import TYPE_CHECKING, Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.archives import (
    ArchiveFormat,
    check_member,
    kept_by,
    new_writer,
    only_there,
    read_members,
)
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_read, check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.protected import check_deletable
from batchrun.ops.targets import check_not_inside, look_up, make_parents, without_matches
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.removing import Guard, Removing, remove
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.temporary import is_leftover

if TYPE_CHECKING:
    from batchrun.ops.members import Entry, Reader, Writer

__all__ = ["OPERATIONS", "Archive", "archive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Parameters of `archive`."""

    src: Annotated[
        tuple[PathPattern, ...],
        Doc("Files, directories or globs to archive; nothing at all to archive is a failure."),
    ]
    dest: Annotated[PathText, Doc("The archive.")]
    format: Annotated[ArchiveFormat | None, Doc("Its format; by default what its suffix says.")] = (
        None
    )
    level: Annotated[int | None, Doc("How hard to compress; by default as the format's tool.")] = (
        None
    )
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what to leave out, below each source.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only files that match one are archived.")
    ] = ()
    threads: Annotated[int, Doc("Threads that compress; 0: as many as there are CPUs to use.")] = 0
    remove: Annotated[
        bool, Doc("Delete the sources when the archive has been read again and compared.")
    ] = False


def _check(given: Mapping[str, Any]) -> list[str]:
    """Check while the job file is read that the format is known."""
    from batchrun.ops.members import archive_format  # noqa: PLC0415 - heavy: only when used

    dest = given.get("dest")
    if isinstance(dest, str) and given.get("format") is None:
        try:
            archive_format(dest, None)
        except OperationError as error:
            return [str(error)]
    return []


def archive(params: Archive, context: Context) -> Done:
    """Write an archive, unless it is there and holds the same."""
    task = _Archiving(params, context)
    return task.run()


class _Archiving:
    """One archive being written, compared or verified."""

    def __init__(self, params: Archive, context: Context) -> None:
        from batchrun.ops.members import archive_format  # noqa: PLC0415 - heavy: only when used

        if not params.dest or params.dest.endswith("/"):
            raise refusal(f"{shown(params.dest)} does not name a file for the archive")
        self._params = params
        self._context = context
        self._dry = context.settings.dry_run
        self._tally = Tally()
        self._format = archive_format(params.dest, params.format)
        self._selection = selection(params.exclude, params.include)

    def run(self) -> Done:
        """Do all of it."""
        params = self._params
        sources = self._sources()
        if not sources and params.remove and os.path.isfile(params.dest):
            return Done.unchanged("the sources are gone and the archive is there")
        if not sources:
            # No warning as elsewhere: a backup that is not there must not look like one that is.
            why = without_matches(params.src)
            message = f"there is nothing to put into {shown(params.dest)}: {why}"
            raise OperationError(message, errno=errno.ENOENT, retryable=False)
        make_parents(params.dest, dry=self._dry)
        if not self._is_current():
            self._tally.changed = True
            if params.remove:
                self._check_nothing_lost()
            if self._dry:
                self._foresee()
            else:
                self._write()
        if params.remove:
            self._tally.changed = True
            if not self._dry:
                self._remove(sources)
            for source in sources if self._dry else ():
                check_may_write(Place(None, source), "delete")
        return self._tally.done()

    def _sources(self) -> list[str]:
        """Look the sources up, and refuse what must not be archived there or deleted."""
        params = self._params
        found: list[str] = []
        for item in look_up(params.src, self._tally.found_nothing):
            try:
                st = os.lstat(item.path)
            except FileNotFoundError:
                if params.remove:
                    continue
                raise OperationError(
                    f"cannot archive {shown(item.path)}: it does not exist", errno=errno.ENOENT
                ) from None
            except OSError as error:
                raise failure(error, "archive", item.path) from error
            is_dir = S_ISDIR(st.st_mode)
            if is_dir:
                check_not_inside(item.path, params.dest)
            if params.remove:
                check_deletable(item.path, self._context, (), is_dir=is_dir)
            found.append(item.path)
        return found

    def _plan(self, tally: Tally | None = None) -> "Iterator[Entry]":
        from batchrun.ops.members import plan  # noqa: PLC0415 - as above

        present = tuple(
            source
            for source in self._params.src
            if not isinstance(source, str) or os.path.lexists(source.rstrip("/") or "/")
        )
        links = self._format != "zip"
        check = self._context.check
        return plan(present, self._selection, check, tally or Tally(), links=links)

    def _is_current(self) -> bool:
        """Tell whether the archive holds the same members, by size and time."""
        if not os.path.lexists(self._params.dest):
            return False
        kept = kept_by(self._format)
        try:
            with read_members(self._params.dest, self._format, self._count) as members:
                pairs = zip_longest(self._plan(), members)
                return all(
                    entry is not None and found is not None and kept(entry.member) == found[0]
                    for entry, found in pairs
                )
        except OperationError:
            # What is there is no archive of this format, or a broken one: it is replaced.
            return False

    def _check_nothing_lost(self) -> None:
        """Refuse to replace an archive whose members were deleted when it was made.

        So it is after an attempt that died while it deleted, and when a name is used again.
        """
        dest, kept = self._params.dest, kept_by(self._format)
        if not os.path.lexists(dest):
            return
        # Grows with the number of members, and only where an archive is to be replaced.
        known = {entry.member.name: kept(entry.member) for entry in self._plan()}
        name = only_there(dest, self._format, known, self._count)
        if name:
            raise refusal(
                f"{shown(dest)} holds what is not among its sources (any more), such as "
                f"{shown(name)}, and would be the last copy of it; take another name for the "
                "new archive, or move this one away"
            )

    def _count(self, size: int) -> None:
        """Count bytes, and stop when the unit has to."""
        self._tally.bytes_done += size
        self._context.check()
        self._context.progress(self._tally.bytes_done)

    def _write(self) -> None:
        """Write the archive; when one source cannot be read, there is none."""
        params = self._params
        with new_file(params.dest, self._context, mode=0o666, durable=params.remove) as fd:
            writer = new_writer(fd, self._format, params.level, params.threads)
            try:
                for entry in self._plan(self._tally):
                    self._add(writer, entry)
                writer.finish()
            except BaseException:
                writer.abandon()
                raise

    def _foresee(self) -> None:
        """Find in a dry run what cannot be read or written."""
        check_may_write(Place(None, self._params.dest))
        for entry in self._plan(self._tally):
            check_member(entry.member, self._format)
            if entry.member.kind == "file":
                check_may_read(entry.place, "archive")

    def _add(self, writer: "Writer", entry: "Entry") -> None:
        if entry.member.kind != "file":
            writer.add(entry.member, None)
            return
        with self._content(entry) as content:
            writer.add(entry.member, content)
            content.check_same()

    @contextmanager
    def _content(self, entry: "Entry") -> "Iterator[_Content]":
        """Open a source file, and check that it is the one that was looked at."""
        place = entry.place
        try:
            fd = os.open(place.name, READ, dir_fd=place.dir_fd)
        except OSError as error:
            raise failure(error, "archive", place.path) from error
        try:
            yield _Content(fd, entry, self)
        finally:
            os.close(fd)

    def count(self, size: int) -> None:
        """Count bytes of a source."""
        self._count(size)

    def _remove(self, sources: list[str]) -> None:
        """Read the archive again, compare it with the sources, and delete those."""
        known = self._verify()

        def guard_of(root: str) -> Guard:
            def is_archived(relative: str, st: os.stat_result) -> bool:
                path = f"{root}/{relative}" if relative else root
                if known.get(path) == (st.st_ino, st.st_size, st.st_mtime_ns):
                    return True
                return is_leftover(os.path.basename(relative), st, time.time())

            return is_archived

        for source in sources:
            how = Removing(
                check=self._context.check,
                patterns=(self._params.exclude, self._params.include),
                guard=guard_of(source),
            )
            remove(Place(None, source), how, self._tally)

    def _verify(self) -> dict[str, tuple[int, int, int]]:
        """Compare the archive with the sources, content and all.

        Returns:
            What was found in it, by path: grows with the number of members, because only these
            and nothing that came later may be deleted.
        """
        kept = kept_by(self._format)
        known: dict[str, tuple[int, int, int]] = {}
        path = self._params.dest
        with read_members(path, self._format, self._count) as members:
            for entry, found in zip_longest(self._plan(), members):
                if entry is None or found is None or kept(entry.member) != found[0]:
                    raise OperationError(
                        f"{shown(path)} is not what its sources are now; nothing was deleted"
                    )
                if entry.member.kind == "file" and not self._same(entry, found[1]):
                    raise _changed(entry)
                st = entry.st
                known[entry.place.path] = (st.st_ino, st.st_size, st.st_mtime_ns)
        return known

    def _same(self, entry: "Entry", archived: "Reader | None") -> bool:
        with self._content(entry) as content:
            while block := content.read(64 * 1024):
                there = b"" if archived is None else _read_exactly(archived, len(block))
                if block != there:
                    return False
        return archived is None or not archived.read(1)


def _read_exactly(reader: "Reader", size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := reader.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class _Content:
    """A source file being read into the archive, neither shorter nor longer than it was."""

    def __init__(self, fd: int, entry: "Entry", task: _Archiving) -> None:
        self._fd = fd
        self._entry = entry
        self._task = task
        self._left = entry.st.st_size
        self.check_same()

    def read(self, size: int = -1, /) -> bytes:
        """Read at most this much."""
        try:
            data = os.read(self._fd, min(size, self._left) if size >= 0 else self._left)
        except OSError as error:
            raise failure(error, "archive", self._entry.place.path) from error
        if not data and self._left:
            raise _changed(self._entry)
        self._left -= len(data)
        self._task.count(len(data))
        return data

    def check_same(self) -> None:
        """Raise if the file is not what it was when it was looked at."""
        now, st = os.fstat(self._fd), self._entry.st
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (st.st_ino, st.st_size, st.st_mtime_ns):
            raise _changed(self._entry)


def _changed(entry: "Entry") -> OperationError:
    return OperationError(
        f"{shown(entry.place.path)} changed while it was archived; there is no new archive, "
        "and nothing was deleted"
    )


OPERATIONS = {
    "archive": Operation(
        name="archive",
        summary="Put files and trees into one tar or zip archive.",
        params=Archive,
        function=archive,
        main="src",
        check=_check,
        uses=(
            PathUse(field="src", effect="reads"),
            PathUse(field="src", effect="removes", only_if="remove"),
            PathUse(field="dest", effect="changes", whole=False),
        ),
        example="""\
archive:
  src: /srv/www
  dest: "/backup/www-{{ now('%F') }}.tar.zst"
  exclude: [cache/, "*.tmp"]
""",
    )
}
