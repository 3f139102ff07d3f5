"""The operation `extract`: an archive into a directory, and nowhere else."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathText
from batchrun.ops.archives import ArchiveFormat, read_members
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, trimmed
from batchrun.ops.tree.selection import Selection, selection
from batchrun.ops.unpack import Unpacker, parts_of

if TYPE_CHECKING:
    from batchrun.ops.members import Member

__all__ = ["OPERATIONS", "Extract", "extract"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Parameters of `extract`."""

    src: Annotated[PathText, Doc("The archive.")]
    dest: Annotated[PathText, Doc("The directory that its members go into.")]
    format: Annotated[ArchiveFormat | None, Doc("Its format; by default what its suffix says.")] = (
        None
    )
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of members to leave in the archive.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only members that match one are extracted.")
    ] = ()


def extract(params: Extract, context: Context) -> Done:
    """Extract an archive; members that are there with the same size and time are left alone.

    Every member is checked before the first one is written. Owners are restored (by number) when
    this process may give files away; setuid and setgid bits of files never are.
    """
    from batchrun.ops.members import archive_format  # noqa: PLC0415 - heavy: only when used

    path, dest = trimmed(params.src), trimmed(params.dest)
    form = archive_format(path, params.format)
    tally = Tally()
    selected = selection(params.exclude, params.include)
    with read_members(path, form, lambda _: context.check()) as members:
        check = _NameCheck()
        for member, _ in members:
            check.take(member)
    if os.path.lexists(dest) and not os.path.isdir(dest):
        raise refusal(f"cannot extract into {shown(dest)}: it is not a directory")
    if make_parents(dest + "/", dry=context.settings.dry_run):
        tally.changed = True
    with Unpacker(dest, context, tally) as unpacker:

        def beat(size: int) -> None:
            tally.bytes_done += size
            context.check()
            context.progress(tally.bytes_done)

        with read_members(path, form, beat) as members:
            for member, content in members:
                context.check()
                if _is_meant(member, selected):
                    unpacker.put(member, content)
        unpacker.finish_directories()
    return tally.done()


def _is_meant(member: "Member", selected: Selection | None) -> bool:
    """Tell whether patterns mean a member, and none of the directories above it is excluded."""
    if selected is None:
        return True
    parts = parts_of(member.name)
    above = ("/".join(parts[:end]) for end in range(1, len(parts)))
    return all(map(selected.enters, above)) and (
        selected.takes("/".join(parts), is_dir=member.kind == "directory")
    )


class _NameCheck:
    """Refuses members that would lead outside of the destination.

    Holds the names of symlinks: a later member must not go through one.
    """

    def __init__(self) -> None:
        self._links: set[tuple[str, ...]] = set()
        self._is_root = os.geteuid() == 0

    def take(self, member: "Member") -> None:
        """Check one member.

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

    def _check_way(self, member: "Member", name: str, parts: tuple[str, ...]) -> None:
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise _refused(member, f"{shown(name)} leads outside of the destination")
        if any(parts[:end] in self._links for end in range(1, len(parts))):
            raise _refused(member, f"{shown(name)} leads through a symlink of the archive")


def _refused(member: "Member", why: str) -> OperationError:
    return refusal(f"refused to extract {shown(member.name)}: {why}; nothing was extracted")


OPERATIONS = {
    "extract": Operation(
        name="extract",
        summary="Extract an archive into a directory, and nowhere else.",
        params=Extract,
        function=extract,
        main="src",
        uses=(
            PathUse(field="src", effect="reads", whole=False),
            PathUse(field="dest", effect="changes"),
        ),
        example="extract: {src: /data/incoming/site.tar.gz, dest: /srv/site}\n",
    )
}
