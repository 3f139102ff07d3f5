"""The operation `extract`: an archive into a directory, and nowhere else."""

import os
from dataclasses import dataclass
from typing import Annotated

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathText
from batchrun.ops.archives import ArchiveFormat
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, trimmed
from batchrun.ops.tree.temporary import PREFIX

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
    from batchrun.ops import extracting  # noqa: PLC0415 - heavy: only when used
    from batchrun.ops.members import archive_format  # noqa: PLC0415 - as above

    path, dest = trimmed(params.src), trimmed(params.dest)
    form = archive_format(path, params.format)
    tally = Tally()
    survey, sections = extracting.look_through(path, form, context)
    if os.path.lexists(dest) and not os.path.isdir(dest):
        raise refusal(f"cannot extract into {shown(dest)}: it is not a directory")
    if make_parents(dest + "/", dry=context.settings.dry_run):
        tally.changed = True
    work = extracting.Extraction(
        path=path,
        form=form,
        dest=dest,
        patterns=(params.exclude, params.include),
        identity=extracting.identity(path),
        dead=tuple(
            f"{PREFIX}{context.settings.run_id}-{context.number}-{past}-"
            for past in range(1, context.attempt)
        ),
    )
    settings = context.settings
    several = settings.slice_cost > 0 and settings.workers > 1 and not settings.dry_run
    try:
        if several and survey.independent and len(sections) > 1:
            return extracting.share(work, (sections, survey.late), context, tally)
        return extracting.extract_alone(work, context, tally)
    except OperationError as error:
        raise tally.ended_early(error) from error


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
