"""The operation `archive`: files and trees into one tar or zip archive."""

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from stat import S_ISDIR
from typing import TYPE_CHECKING, Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.archives import ArchiveFormat, check_member
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_read, check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.protected import check_deletable
from batchrun.ops.targets import (
    check_not_inside,
    is_same_file,
    look_up,
    make_parents,
    without_matches,
)
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.selection import selection

if TYPE_CHECKING:
    from batchrun.ops.members import Entry
    from batchrun.ops.readback import ReadBack
    from batchrun.ops.tree.assembly import Errand

__all__ = ["OPERATIONS", "Archive", "archive", "archive_chunk"]

#: So many pieces are not worth a second worker.
_FEW_PIECES = 1


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
    threads: Annotated[
        int,
        Doc(
            "Threads that compress where one worker does all of it; 0: as many as there are CPUs "
            "to use. 1 also says that it shall: the archive is one compressed stream, not several "
            "in a row."
        ),
    ] = 0
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
    tally = Tally()
    try:
        return _Archiving(params, context, tally).run()
    except OperationError as error:
        raise tally.ended_early(error) from error


def archive_chunk(errand: "Errand", context: Context) -> Done:
    """Do a part of an archive that several workers make."""
    from batchrun.ops.tarmaking import Making, make_part  # noqa: PLC0415 - heavy: only when used

    config, kind, _ = errand
    making, tally = Making(*config), Tally()
    found = make_part(errand, context, tally)
    if kind == "end":
        tally.changed = True
        if making.remove:
            exclude, include = making.patterns
            params = Archive(
                src=making.remove,
                dest=making.dest,
                format=making.format,
                exclude=exclude,
                include=include,
                remove=True,
            )
            _Archiving(params, context, tally).remove()
    answer = tally.counted(), found
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


class _Archiving:
    """One archive being written, compared or verified."""

    def __init__(self, params: Archive, context: Context, tally: Tally) -> None:
        from batchrun.ops.members import archive_format  # noqa: PLC0415 - heavy: only when used

        if not params.dest or params.dest.endswith("/"):
            raise refusal(f"{shown(params.dest)} does not name a file for the archive")
        self._params = params
        self._context = context
        self._dry = context.settings.dry_run
        self._tally = tally
        self._format = archive_format(params.dest, params.format)
        self._selection = selection(params.exclude, params.include)

    def run(self) -> Done:
        """Do all of it, or begin what several workers will do."""
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
        if not self._read_back().is_current():
            self._tally.changed = True
            if params.remove:
                self._read_back().check_nothing_lost()
            if self._dry:
                self._foresee()
            elif (spread := self._write()) is not None:
                return replace(self._tally.done(), spread=spread)
        if params.remove:
            self._tally.changed = True
            if not self._dry:
                self.remove()
            for source in sources if self._dry else ():
                check_may_write(Place(None, source), "delete")
        return self._tally.done()

    def remove(self) -> None:
        """Delete the sources, when the archive has been read again and compared."""
        patterns = self._params.exclude, self._params.include
        self._read_back().remove(self._sources(), patterns)

    def _sources(self) -> list[str]:
        """Look the sources up, and refuse what must not be archived there or deleted."""
        params = self._params
        found: list[str] = []
        for item in look_up(params.src, self._tally.found_nothing):
            try:
                st = os.lstat(item.path)
                if is_same_file(st, params.dest):
                    # A glob finds the archive of yesterday, too.
                    if item.exact:
                        raise refusal(f"{shown(item.path)} is the archive, and not for itself")
                    continue
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

    def _paths(self) -> list[str]:
        """Return the paths of what is there of the sources and is meant, in order."""
        from batchrun.ops.members import sources_of  # noqa: PLC0415 - as above

        present = tuple(
            source
            for source in self._params.src
            if not isinstance(source, str) or os.path.lexists(source.rstrip("/") or "/")
        )
        dest = self._params.dest
        return sources_of(present, self._selection, lambda st: is_same_file(st, dest))

    def _plan(self, tally: Tally | None = None) -> "Iterator[Entry]":
        from batchrun.ops.members import plan  # noqa: PLC0415 - as above

        links = self._format != "zip"
        check = self._context.check
        return plan(self._paths(), self._selection, check, tally or Tally(), links=links)

    def _read_back(self) -> "ReadBack":
        from batchrun.ops.readback import ReadBack  # noqa: PLC0415 - as above

        archive = self._params.dest, self._format
        return ReadBack(archive, self._plan, self._context, self._tally)

    def _foresee(self) -> None:
        """Find in a dry run what cannot be read or written."""
        check_may_write(Place(None, self._params.dest))
        for entry in self._plan(self._tally):
            check_member(entry.member, self._format)
            if entry.member.kind == "file":
                check_may_read(entry.place, "archive")

    def _write(self) -> Spread | None:
        """Write the archive, or begin it; when one source cannot be read, there is none."""
        if self._format == "zip":
            self._write_zip()
            return None
        from batchrun.ops import tarmaking  # noqa: PLC0415 - as above
        from batchrun.ops.members import first_frame  # noqa: PLC0415 - as above

        params, settings = self._params, self._context.settings
        compression = self._format.partition(".")[2]
        making = tarmaking.Making(
            compression=compression,
            level=params.level,
            dest=params.dest,
            patterns=(params.exclude, params.include),
            sizes=tarmaking.sizes_for(compression, params.level, settings.slice_cost),
            remove=params.src if params.remove else (),
        )
        frames = [first_frame(self._paths())]
        found = tarmaking.scan(making, frames, self._context, self._tally)
        may_share = settings.slice_cost > 0 and settings.workers > 1 and params.threads != 1
        if may_share and (found.frames or len(found.pieces) > _FEW_PIECES):
            making, *begun = tarmaking.share(making, found, self._context)
            seed = (_CHUNK, tuple(making), (self._tally.counted(), *begun))
            return Spread(coordinator=_ASSEMBLY, seed=seed)
        tarmaking.write_alone(making, found, params.threads, self._context, self._tally)
        return None

    def _write_zip(self) -> None:
        from batchrun.ops.readback import content_of  # noqa: PLC0415 - as above
        from batchrun.ops.zipfiles import ZipWriter  # noqa: PLC0415 - as above

        params, count = self._params, self._read_back().count
        with new_file(params.dest, self._context, mode=0o666, durable=params.remove) as fd:
            writer = ZipWriter(fd, params.level)
            try:
                for entry in self._plan(self._tally):
                    if entry.member.kind != "file":
                        writer.add(entry.member, None)
                        continue
                    with content_of(entry, count) as content:
                        writer.add(entry.member, content)
                        content.check_same()
                writer.finish()
            except BaseException:
                writer.abandon()
                raise


_CHUNK = f"{__name__}:{archive_chunk.__name__}"
_ASSEMBLY = "batchrun.ops.tarmaking:TarAssembly"

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
