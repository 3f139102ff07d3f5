"""The operation `upload`: files and trees to a host, those that differ, under a temporary name.

    here: scan ──┐
                 ├──► what differs ──► one file: cat; more: one tar stream ──► stage ──► renamed
    host: list ──┘                                                   (checked: size, end, checksum)

A new tree is unpacked beside its name and renamed as a whole. Into one that is there, files are
moved from a directory inside it, so that each is old or new at any moment, and never half.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Done, Operation, PathUse
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, ModeText, PathPattern, PathText
from batchrun.ops.delete import allowed_deletions
from batchrun.ops.failures import Tally
from batchrun.ops.targets import Names, chosen, into, look_up, target_for
from batchrun.ops.tree.selection import selection
from batchrun.remote.broken import broken_is_lost
from batchrun.remote.comparing import Target
from batchrun.remote.errand import SudoField
from batchrun.remote.launch import NoShellError
from batchrun.remote.localtree import scan
from batchrun.remote.putting import Put

__all__ = ["OPERATIONS", "Upload", "upload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Parameters of `upload`."""

    src: Annotated[
        tuple[PathPattern, ...],
        Doc(
            "Files, directories or globs on this machine. Content, modes, times and hard links "
            "are kept; from root to root also owners, by name; no ACLs or attributes."
        ),
    ]
    dest: Annotated[
        PathText,
        Doc(
            "The exact path on the host; with a slash at its end: the directory there to put "
            "things into."
        ),
    ]
    checksum: Annotated[
        bool, Doc("Compare content, not size and time, to find out what differs.")
    ] = False
    verify: Annotated[
        bool, Doc("Compare the checksum of what has arrived before it gets its name.")
    ] = False
    delete: Annotated[
        bool, Doc("Delete there what is in a directory of that name, and not here.")
    ] = False
    max_delete: Annotated[
        int | str,
        Doc(
            "Delete nothing, and fail, when it would be more than this: a number of entries, or "
            "a share of what is there."
        ),
    ] = "50%"
    exclude: Annotated[
        tuple[str, ...],
        Doc("Gitignore-style patterns of what is not sent, nor deleted, below each source."),
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only files that match one are sent.")
    ] = ()
    mode: Annotated[
        ModeText | None,
        Doc("Mode of the files; directories may also be entered by who may read them."),
    ] = None
    owner: Annotated[str | None, Doc("User to own them there, by name or number.")] = None
    group: Annotated[str | None, Doc("Their group there, by name or number.")] = None
    sudo: SudoField = field(default=False, repr=False)


@broken_is_lost
def upload(params: Upload, context: HostContext) -> Done:
    """Send what is different to the host."""
    inside = into(params.src, params.dest)
    tally = Tally()
    selected = selection(params.exclude, params.include)
    names = Names(params.src)
    puts = []
    for item in look_up(params.src, tally.found_nothing):
        context.check()
        target = target_for(item.path, params.dest, inside=inside)
        names.take(item.path, target)
        if chosen(item, selected):
            found = scan(item.path, selected, context.check, tally)
            puts.append((item.path, target, found))
    for source, path, found in puts:
        to = Target(params, path, found, context, tally)
        try:
            _put(to, onto=not inside, source=source)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _put(target: Target, *, onto: bool, source: str) -> None:
    """Put one source there, by a shell if there is one."""
    try:
        Put(target).perform(onto=onto, source=source)
    except NoShellError:
        from batchrun.remote.sftp import put_by_sftp  # noqa: PLC0415 - only without a shell

        put_by_sftp(target)


def _check(given: Mapping[str, Any]) -> list[str]:
    """Find combinations and values that mean nothing."""
    problems = []
    if "max_delete" in given and given.get("delete") is not True and "delete" not in given:
        problems.append("`max_delete` limits `delete`, which is not asked for; add `delete: true`")
    limit = given.get("max_delete")
    if isinstance(limit, str):
        try:
            allowed_deletions(limit, 0)
        except OperationError as error:
            problems.append(str(error))
    return problems


OPERATIONS = {
    "upload": Operation(
        name="upload",
        summary="Send files, trees and globs to the host, those that differ.",
        params=Upload,
        function=upload,
        main="src",
        check=_check,
        uses=(
            PathUse(field="src", effect="reads"),
            PathUse(field="dest", effect="changes", into="src"),
        ),
        example='upload: {src: build/site, dest: /srv/www, delete: true}\nhosts: "@web"\n',
    )
}
