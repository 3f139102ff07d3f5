"""The operation `link`."""

import os
from dataclasses import dataclass
from stat import S_ISDIR, S_ISLNK
from typing import Annotated, Literal

from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, target_for, trimmed
from batchrun.ops.tree.folders import Place

__all__ = ["OPERATIONS", "Link", "link"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Parameters of `link`."""

    src: Annotated[PathText, Doc("What the link points to.")]
    dest: Annotated[
        PathText, Doc("The link; with a slash at its end: the directory to make it in.")
    ]
    kind: Annotated[Literal["symbolic", "hard"], Doc("Which kind of link.")] = "symbolic"
    relative: Annotated[
        bool, Doc("Let a symbolic link say the way from its own directory to `src`.")
    ] = False
    force: Annotated[bool, Doc("Replace a file that has the link's name.")] = False


def link(params: Link, context: Context) -> Done:
    """Make a link; one that points elsewhere is replaced at once."""
    context.check()
    source = trimmed(params.src)
    if not params.dest:
        raise refusal("the destination is empty; an empty value was probably inserted into it")
    dest = target_for(source, params.dest, inside=params.dest.endswith("/"))
    hard = params.kind == "hard"
    text = source
    if params.relative and not hard:
        text = os.path.relpath(source, os.path.realpath(os.path.dirname(dest)))
    old = Place(None, dest).lstat()
    if _is_linked(source, text, dest, old, hard=hard):
        return Done.unchanged()
    if old is not None and not S_ISLNK(old.st_mode) and (S_ISDIR(old.st_mode) or not params.force):
        raise refusal(_in_the_way(source, dest, is_dir=S_ISDIR(old.st_mode)))
    make_parents(dest, dry=context.settings.dry_run)
    tally = Tally()
    tally.changed = True
    if context.settings.diff and not hard:
        tally.differ(_link_diff(dest, old, text))
    if context.settings.dry_run:
        check_may_write(Place(None, dest), "make the link")
    else:
        _put_link(text, dest, context, hard=hard)
    return tally.done()


def _link_diff(dest: str, old: os.stat_result | None, text: str) -> str:
    """Say where the link leads, before and after."""
    from batchrun.ops.diff import facts_diff  # noqa: PLC0415 - only where one is asked for

    before = []
    if old is not None:
        before = [f"link to {shown(os.readlink(dest))}" if S_ISLNK(old.st_mode) else "a file"]
    return facts_diff(dest, before, [f"link to {shown(text)}"])


def _in_the_way(source: str, dest: str, *, is_dir: bool) -> str:
    if is_dir:
        return (
            f"{shown(dest)} is a directory; write {shown(dest)}/ to make "
            f"the link {shown(os.path.basename(source))} in it"
        )
    return f"{shown(dest)} exists and is not such a link; remove it first, or say `force: true`"


def _is_linked(
    source: str, text: str, dest: str, old: os.stat_result | None, *, hard: bool
) -> bool:
    """Tell whether the link is there already.

    Raises:
        OperationError: a hard link is asked for to something that cannot have one.
    """
    if not hard:
        return old is not None and S_ISLNK(old.st_mode) and os.readlink(dest) == text
    try:
        st = os.lstat(source)
    except OSError as error:
        raise failure(error, "link to", source) from error
    if S_ISDIR(st.st_mode):
        raise refusal(f"{shown(source)} is a directory, which cannot have hard links")
    return old is not None and (old.st_dev, old.st_ino) == (st.st_dev, st.st_ino)


def _put_link(text: str, dest: str, context: Context, *, hard: bool) -> None:
    temp = Place(None, dest).beside(context.temp_name())
    try:
        if hard:
            os.link(text, temp.name, follow_symlinks=False)
        else:
            os.symlink(text, temp.name)
        os.rename(temp.name, dest)
    except OSError as error:
        temp.discard()
        raise failure(error, "make the link", dest) from error


OPERATIONS = {
    "link": Operation(
        name="link",
        summary="Make a symbolic or hard link.",
        params=Link,
        function=link,
        main="src",
        # What the link points to need not be there, and is not looked at.
        uses=(PathUse(field="dest", effect="changes", whole=False, into="src"),),
        example="link: {src: /srv/releases/42, dest: /srv/current}\n",
    ),
}
