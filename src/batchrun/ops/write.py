"""The operation `write`: a file from text."""

import os
from dataclasses import dataclass
from stat import S_IMODE, S_ISDIR, S_ISREG
from typing import Annotated

from batchrun.model.operation import Context, Done, Operation
from batchrun.model.values import Doc, ModeText, PathText, apply_mode
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.owners import Ownership, group_id, set_ownership, user_id
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, trimmed
from batchrun.ops.tree.data import write_all
from batchrun.ops.tree.folders import Place

__all__ = ["OPERATIONS", "Write", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Parameters of `write`."""

    dest: Annotated[PathText, Doc("The file; a symlink of this name is replaced, not followed.")]
    text: Annotated[str, Doc("What the file shall hold.")]
    mode: Annotated[
        ModeText | None, Doc("Its mode; by default what it has, or 0666 less the umask.")
    ] = None
    owner: Annotated[str | None, Doc("Its user, by name or number; by default unchanged.")] = None
    group: Annotated[str | None, Doc("Its group, by name or number; by default unchanged.")] = None
    backup: Annotated[bool, Doc("Keep the file that is replaced, as DEST~.")] = False


def write(params: Write, context: Context) -> Done:
    """Make a file hold a text, whole or not at all."""
    context.check()
    if params.dest.endswith("/"):
        raise refusal(f"{shown(params.dest)} names a directory; write needs the name of a file")
    path = trimmed(params.dest)
    data = params.text.encode("utf-8", "surrogateescape")
    old = Place(None, path).lstat()
    if old is not None and S_ISDIR(old.st_mode):
        raise refusal(f"{shown(path)} is a directory; write needs the name of a file")
    make_parents(path, dry=context.settings.dry_run)
    tally = Tally()
    if old is None or not S_ISREG(old.st_mode) or not _holds(path, old, data):
        tally.changed = True
        if not context.settings.dry_run:
            _replace(path, data, params, old, context)
            tally.bytes_done = len(data)
    elif set_ownership(
        path, old, Ownership(params.owner, params.group, params.mode), dry=context.settings.dry_run
    ):
        tally.changed = True
    return tally.done()


def _holds(path: str, old: os.stat_result, data: bytes) -> bool:
    """Tell whether a file has exactly this content."""
    if old.st_size != len(data):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(data) + 1) == data
    except OSError as error:
        raise failure(error, "read", path) from error


def _replace(
    path: str, data: bytes, params: Write, old: os.stat_result | None, context: Context
) -> None:
    """Write the new file with the mode and owner that it shall have, and put it in place."""
    kept = old is not None and S_ISREG(old.st_mode)
    with new_file(path, context, mode=0o600 if kept or params.mode else 0o666) as fd:
        write_all(fd, data)
        now = os.fstat(fd)
        uid, gid = user_id(params.owner), group_id(params.group)
        if old is not None and kept and os.geteuid() == 0:
            uid = old.st_uid if uid is None else uid
            gid = old.st_gid if gid is None else gid
        if uid not in {None, now.st_uid} or gid not in {None, now.st_gid}:
            os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)
        current = S_IMODE(old.st_mode) if old is not None and kept else S_IMODE(now.st_mode)
        if params.mode:
            os.fchmod(fd, apply_mode(params.mode, current, is_dir=False))
        elif kept:
            os.fchmod(fd, current)
        if params.backup and kept:
            _back_up(path, context)


def _back_up(path: str, context: Context) -> None:
    """Give the old file a second name, so that its first is never missing."""
    temp = Place(None, path).beside(context.temp_name())
    os.link(path, temp.name, follow_symlinks=False)
    try:
        os.rename(temp.name, path + "~")
        if os.path.lexists(temp.name):
            # It was that file already: rename(2) does nothing then.
            os.unlink(temp.name)
    except BaseException:
        os.unlink(temp.name)
        raise


OPERATIONS = {
    "write": Operation(
        name="write",
        summary="Make a file hold a text.",
        params=Write,
        function=write,
        main="dest",
        example="write: {dest: /etc/motd, text: Welcome, mode: 0644}",
    )
}
