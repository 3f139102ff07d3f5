"""The operations `mkdir`, `touch` and `link`."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from stat import S_ISDIR, S_ISLNK
from typing import Annotated, Any, Literal

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.values import Doc, ModeText, PathText
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.owners import Ownership, group_id, set_ownership, user_id
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, target_for, trimmed
from batchrun.ops.tree.folders import Place

__all__ = ["OPERATIONS", "Link", "Mkdir", "Touch", "link", "mkdir", "touch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mkdir:
    """Parameters of `mkdir`."""

    path: Annotated[tuple[PathText, ...], Doc("Directories to make, with those above them.")]
    mode: Annotated[
        ModeText | None, Doc("Mode of the directories named; by default 0777 less the umask.")
    ] = None
    owner: Annotated[str | None, Doc("Their user, by name or number.")] = None
    group: Annotated[str | None, Doc("Their group, by name or number.")] = None


def mkdir(params: Mkdir, context: Context) -> Done:
    """Make directories; those that exist only get the mode and owner asked for."""
    tally = Tally()
    wanted = Ownership(params.owner, params.group, params.mode)
    for path in params.path:
        context.check()
        try:
            if _make_directory(trimmed(path), wanted, context):
                tally.changed = True
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _make_directory(path: str, wanted: Ownership, context: Context) -> bool:
    dry = context.settings.dry_run
    try:
        st = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        user_id(wanted.owner), group_id(wanted.group)  # refused before anything is made
        make_parents(path, dry=dry)
        if os.path.lexists(path):
            raise refusal(f"{shown(path)} is a symlink to something that is not there") from None
        if not dry:
            _mkdir(path)
            set_ownership(path, os.stat(path), wanted, dry=False)
        return True
    except OSError as error:
        raise failure(error, "make the directory", path) from error
    if not S_ISDIR(st.st_mode):
        raise refusal(f"{shown(path)} exists and is not a directory")
    return set_ownership(path, st, wanted, dry=dry)


def _mkdir(path: str) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        # Another unit was faster; what it made is looked at next.
        if not os.path.isdir(path):
            raise refusal(f"{shown(path)} exists and is not a directory") from None
    except OSError as error:
        raise failure(error, "make the directory", path) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """Parameters of `touch`."""

    path: Annotated[tuple[PathText, ...], Doc("Files that shall exist; a missing one is empty.")]
    mode: Annotated[ModeText | None, Doc("Their mode; by default 0666 less the umask.")] = None
    owner: Annotated[str | None, Doc("Their user, by name or number.")] = None
    group: Annotated[str | None, Doc("Their group, by name or number.")] = None
    mtime: Annotated[
        str | None,
        Doc(
            "Their time of modification: `2026-01-31T12:00:00+01:00` (without an offset: local "
            "time), `@SECONDS` since 1970, or `now`, which changes them each time."
        ),
    ] = None


def touch(params: Touch, context: Context) -> Done:
    """Make files exist, with the time and mode asked for."""
    tally = Tally()
    mtime_ns = None if params.mtime is None else _time_ns(params.mtime)
    wanted = Ownership(params.owner, params.group, params.mode)
    for path in params.path:
        context.check()
        try:
            if path.endswith("/"):
                raise refusal(f"{shown(path)} names a directory; touch needs the name of a file")
            if _touch(trimmed(path), wanted, mtime_ns, context):
                tally.changed = True
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _touch(path: str, wanted: Ownership, mtime_ns: int | None, context: Context) -> bool:
    dry = context.settings.dry_run
    try:
        st = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        user_id(wanted.owner), group_id(wanted.group)  # refused before anything is made
        make_parents(path, dry=dry)
        if not dry:
            _create(path, context)
            set_ownership(path, os.stat(path), wanted, dry=False)
            _set_time(path, mtime_ns)
        return True
    except OSError as error:
        raise failure(error, "touch", path) from error
    changed = set_ownership(path, st, wanted, dry=dry)
    if mtime_ns is not None and st.st_mtime_ns != mtime_ns:
        changed = True
        if not dry:
            _set_time(path, mtime_ns)
    return changed


def _create(path: str, context: Context) -> None:
    """Make an empty file; a broken symlink is refused rather than written through."""
    if os.path.lexists(path):
        raise refusal(f"{shown(path)} is a symlink to something that is not there")
    with new_file(path, context, mode=0o666):
        return


def _set_time(path: str, mtime_ns: int | None) -> None:
    if mtime_ns is None:
        return
    try:
        os.utime(path, ns=(mtime_ns, mtime_ns))
    except OSError as error:
        raise failure(error, "set the time of", path) from error


def _time_ns(text: str) -> int:
    """Read a point in time, in nanoseconds since 1970.

    Raises:
        OperationError: it is not one.
    """
    from datetime import datetime  # noqa: PLC0415 - only where a time is given

    text = text.strip()
    if text == "now":
        return time.time_ns()
    try:
        if text.startswith("@"):
            seconds, _, fraction = text[1:].partition(".")
            return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0") or "0")
        moment = datetime.fromisoformat(text).astimezone()
        return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
    except (ValueError, OverflowError):
        raise refusal(
            f"mtime: {text!r} is not a time; write it like 2026-01-31T12:00:00, @1767225600 or now"
        ) from None


def _check_touch(given: Mapping[str, Any]) -> list[str]:
    """Check the time while the job file is read."""
    mtime = given.get("mtime")
    if not isinstance(mtime, str):
        return []
    try:
        _time_ns(mtime)
    except OperationError as error:
        return [str(error)]
    return []


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
    if not context.settings.dry_run:
        _put_link(text, dest, context, hard=hard)
    return Done.changed()


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
    "mkdir": Operation(
        name="mkdir",
        summary="Make directories, with those above them.",
        params=Mkdir,
        function=mkdir,
        main="path",
        example="mkdir: {path: /srv/stage, mode: 0750}",
    ),
    "touch": Operation(
        name="touch",
        summary="Make files exist.",
        params=Touch,
        function=touch,
        main="path",
        check=_check_touch,
        example="touch: /srv/stage/.ready",
    ),
    "link": Operation(
        name="link",
        summary="Make a symbolic or hard link.",
        params=Link,
        function=link,
        main="src",
        example="link: {src: /srv/releases/42, dest: /srv/current}",
    ),
}
