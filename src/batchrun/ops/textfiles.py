"""Give a file new content at once: compared first, backed up, validated, then renamed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from stat import S_IMODE, S_ISDIR, S_ISREG
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done
from batchrun.model.values import Doc, Mark, ModeText, PathText, apply_mode
from batchrun.ops.atomic import new_file
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.owners import UNASKED, Ownership, change_of, group_id, set_ownership, user_id
from batchrun.ops.paths import shown
from batchrun.ops.targets import make_parents, trimmed
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.data import write_all
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import Keep, copy_attributes

__all__ = ["Content", "TextFields", "check_text", "encoded", "put_content", "put_text"]

#: A file with a secret in it is for its owner, unless the job file says otherwise.
_SECRET_MODE = "0600"  # noqa: S105 - a mode
_ATTRIBUTES = Keep(mode=False, owner=False, times=False, links=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFields:
    """What operations that make a text file have in common."""

    dest: Annotated[PathText, Doc("The file; a symlink of this name is replaced, not followed.")]
    mode: Annotated[
        ModeText | None,
        Doc(
            "Its mode; by default what it has, or 0666 less the umask, and 0600 when a secret is "
            "in it."
        ),
    ] = None
    owner: Annotated[str | None, Doc("Its user, by name or number; by default unchanged.")] = None
    group: Annotated[str | None, Doc("Its group, by name or number; by default unchanged.")] = None
    backup: Annotated[
        bool, Doc("Keep the file that is replaced as DEST~, in the place of an older DEST~.")
    ] = False
    validate: Annotated[
        tuple[str, ...],
        Doc(
            "A program with arguments, without a shell, that has to succeed before the new file "
            "gets its name; `{{ new }}` is the new file. Not run in a dry run."
        ),
    ] = ()
    secret: Annotated[bool, Mark.GIVEN, Doc("A secret is in the text.")] = False


def check_text(given: Mapping[str, Any]) -> list[str]:
    """Check while the job file is read."""
    from batchrun.ops.validate import check_validate  # noqa: PLC0415 - only while it is read

    return check_validate(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file that shall hold something else."""

    path: str
    data: bytes
    #: The file as it is; None: nothing has this name.
    old: os.stat_result | None
    wanted: Ownership = UNASKED
    backup: bool = False
    validate: tuple[str, ...] = ()
    secret: bool = False

    @property
    def kept(self) -> os.stat_result | None:
        """The file whose metadata the new one shall have: a regular one."""
        return self.old if self.old is not None and S_ISREG(self.old.st_mode) else None


def put_text(params: TextFields, text: str, context: Context) -> Done:
    """Make a file hold a text, whole or not at all."""
    context.check()
    if params.dest.endswith("/"):
        raise refusal(f"{shown(params.dest)} names a directory; write the name of a file")
    path = trimmed(params.dest)
    data = encoded(text)
    old = Place(None, path).lstat()
    if old is not None and S_ISDIR(old.st_mode):
        raise refusal(f"{shown(path)} is a directory; write the name of a file in it")
    make_parents(path, dry=context.settings.dry_run)
    mode = _SECRET_MODE if params.secret and params.mode is None else params.mode
    wanted = Ownership(params.owner, params.group, mode)
    tally = Tally()
    if old is not None and S_ISREG(old.st_mode) and _holds(path, old, data):
        set_ownership(path, old, wanted, context, tally)
    else:
        content = Content(
            path=path,
            data=data,
            old=old,
            wanted=wanted,
            backup=params.backup,
            validate=params.validate,
            secret=params.secret,
        )
        try:
            put_content(content, context, tally)
        except OperationError as error:
            tally.refused(error)
    return tally.done()


def encoded(text: str) -> bytes:
    """Encode text so that bytes which were not UTF-8 come out as they went in.

    Raises:
        OperationError: it holds half of a character, which no encoding has.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        where = error.start + 1
        raise refusal(f"character {where} of the text is half of one; remove it") from None


def put_content(content: Content, context: Context, tally: Tally) -> None:
    """Put a file with new content in the place of the old one.

    Raises:
        OperationError: it could not be written, or was refused; the old one is still there.
    """
    user_id(content.wanted.owner), group_id(content.wanted.group)  # refused in a dry run as well
    diff = _diff(content) if context.settings.diff else ""
    if context.settings.dry_run:
        check_may_write(Place(None, content.path))
    else:
        _replace(content, context, tally)
        tally.bytes_done += len(content.data)
    tally.changed = True
    if diff:
        tally.differ(diff)


def _holds(path: str, old: os.stat_result, data: bytes) -> bool:
    """Tell whether a file has exactly this content."""
    if old.st_size != len(data):
        return False
    try:
        fd = os.open(path, READ)
        try:
            return os.read(fd, len(data) + 1) == data
        finally:
            os.close(fd)
    except OSError as error:
        raise failure(error, "read", path) from error


def _diff(content: Content) -> str:
    """Say what changes."""
    from batchrun.ops.diff import (  # noqa: PLC0415 - only where one is asked for
        content_diff,
        facts_diff,
        head_of,
        hidden_diff,
    )

    kept, path = content.kept, content.path
    change = change_of(kept, content.wanted) if kept is not None else None
    facts = facts_diff(path, *change.facts(kept)) if change is not None and kept is not None else ""
    if content.secret:
        return facts + hidden_diff(path, is_new=kept is None)
    before: bytes | None = None
    if kept is not None:
        try:
            fd = os.open(path, READ)
            try:
                before = head_of(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, "read", path) from error
    return facts + content_diff(path, before, content.data)


def _replace(content: Content, context: Context, tally: Tally) -> None:
    """Write the new file with the metadata that it shall have, and put it in place."""
    path, kept, mode = content.path, content.kept, content.wanted.mode

    def approve(temp: str) -> None:
        if content.validate:
            from batchrun.ops.validate import validate  # noqa: PLC0415 - only where one is given

            validate(content.validate, temp, path, context)
        if content.backup and kept is not None:
            _back_up(path, context)

    with new_file(
        path,
        context,
        mode=0o600 if kept or mode or content.secret else 0o666,
        approve=approve if content.validate or content.backup else None,
    ) as fd:
        write_all(fd, content.data)
        now = os.fstat(fd)
        _own(fd, now, content)
        if kept is not None:
            _keep_attributes(path, fd, tally)
        if kept is not None:
            os.fchmod(fd, _mode_after(kept, content.wanted))
        elif mode:
            os.fchmod(fd, apply_mode(mode, S_IMODE(now.st_mode), is_dir=False))


def _mode_after(kept: os.stat_result, wanted: Ownership) -> int:
    """Return the mode of the file that takes the place of another one."""
    change = change_of(kept, wanted)
    if change is None or change.mode is None:
        return S_IMODE(kept.st_mode)
    return change.mode


def _own(fd: int, now: os.stat_result, content: Content) -> None:
    """Give the new file to whom was asked for, else to the owner of the old one."""
    uid, gid = user_id(content.wanted.owner), group_id(content.wanted.group)
    kept = content.kept
    if kept is not None and os.geteuid() == 0:
        uid = kept.st_uid if uid is None else uid
        gid = kept.st_gid if gid is None else gid
    if uid not in {None, now.st_uid} or gid not in {None, now.st_gid}:
        os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)


def _keep_attributes(path: str, fd: int, tally: Tally) -> None:
    """Give the new file the extended attributes and the ACL of the old one."""
    lost: list[str] = []
    copy_attributes(path, fd, _ATTRIBUTES, lost)
    for what in lost:
        tally.warn(f"{shown(path)}: could not preserve {what}")


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
        temp.discard()
        raise
