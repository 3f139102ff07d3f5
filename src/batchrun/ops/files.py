"""The operations `mkdir` and `touch`."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from stat import S_ISDIR
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, ModeText, PathText
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.owners import Ownership, group_id, own_new, set_ownership, user_id
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, trimmed
from batchrun.ops.tree.folders import Place

__all__ = ["OPERATIONS", "Mkdir", "Touch", "mkdir", "touch"]


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
    # Those above first: what one of them is made in may be another one.
    for path in sorted(params.path, key=lambda path: trimmed(path).count("/")):
        context.check()
        try:
            _make_directory(trimmed(path), wanted, context, tally)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _make_directory(path: str, wanted: Ownership, context: Context, tally: Tally) -> None:
    dry = context.settings.dry_run
    try:
        st = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        user_id(wanted.owner), group_id(wanted.group)  # refused before anything is made
        make_parents(path, dry=dry)
        if os.path.lexists(path):
            raise refusal(f"{shown(path)} is a symlink to something that is not there") from None
        if dry:
            check_may_write(Place(None, path), "make the directory")
        else:
            _mkdir(path)
            own_new(path, wanted)
        tally.changed = True
        return
    except OSError as error:
        raise failure(error, "make the directory", path) from error
    if not S_ISDIR(st.st_mode):
        raise refusal(f"{shown(path)} exists and is not a directory")
    set_ownership(path, st, wanted, context, tally)


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
            _touch(trimmed(path), wanted, mtime_ns, context, tally)
        except OperationError as error:
            tally.fail(error)
    return tally.done()


def _touch(
    path: str, wanted: Ownership, mtime_ns: int | None, context: Context, tally: Tally
) -> None:
    dry = context.settings.dry_run
    try:
        st = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        user_id(wanted.owner), group_id(wanted.group)  # refused before anything is made
        make_parents(path, dry=dry)
        if os.path.lexists(path):
            # Refused rather than written through.
            raise refusal(f"{shown(path)} is a symlink to something that is not there") from None
        tally.changed = True
        if dry:
            check_may_write(Place(None, path))
        else:
            _create(path, context)
            own_new(path, wanted)
            _set_time(path, mtime_ns)
        return
    except OSError as error:
        raise failure(error, "touch", path) from error
    set_ownership(path, st, wanted, context, tally)
    if mtime_ns is not None and st.st_mtime_ns != mtime_ns:
        tally.changed = True
        if not dry:
            _set_time(path, mtime_ns)


def _create(path: str, context: Context) -> None:
    """Make an empty file."""
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


OPERATIONS = {
    "mkdir": Operation(
        name="mkdir",
        summary="Make directories, with those above them.",
        params=Mkdir,
        function=mkdir,
        main="path",
        uses=(PathUse(field="path", effect="changes", whole=False),),
        example="mkdir: {path: /srv/stage, mode: 0750, owner: www-data}\n",
    ),
    "touch": Operation(
        name="touch",
        summary="Make files exist.",
        params=Touch,
        function=touch,
        main="path",
        check=_check_touch,
        uses=(PathUse(field="path", effect="changes", whole=False),),
        example="touch: /srv/stage/.ready\n",
    ),
}
