"""The formats of archives, behind one small interface; their libraries load when used."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from batchrun.errors import OperationError
from batchrun.ops.failures import failure
from batchrun.ops.paths import shown
from batchrun.ops.tree.data import Beat

if TYPE_CHECKING:
    from batchrun.ops.members import Member, Reader

__all__ = ["ArchiveFormat", "check_member", "kept_by", "of_archive", "only_there", "read_members"]

ArchiveFormat = Literal["tar", "tar.gz", "tar.zst", "tar.xz", "zip"]


def check_member(member: "Member", form: str) -> None:
    """Refuse what an archive of this format cannot hold.

    Raises:
        OperationError: it cannot hold this member.
    """
    if form == "zip":
        from batchrun.ops.zipfiles import check_zippable  # noqa: PLC0415 - heavy: only when used

        check_zippable(member)


def kept_by(form: str) -> "Callable[[Member], Member]":
    """Return what makes of a member what an archive of this format says of it."""
    if form != "zip":
        return lambda member: member
    from batchrun.ops.zipfiles import as_zipped  # noqa: PLC0415 - heavy: only when used

    return as_zipped


@contextmanager
def of_archive(path: str) -> Iterator[int]:
    """Open an archive; what goes wrong with it says which one it is.

    Raises:
        OperationError: it cannot be read, or is broken.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise failure(error, "read", path) from error
    try:
        yield fd
    except OperationError as error:
        if shown(path) in str(error):
            raise
        message = f"{shown(path)}: {error}"
        raise OperationError(message, errno=error.errno, retryable=error.retryable) from error
    finally:
        os.close(fd)


@contextmanager
def read_members(
    path: str, form: str, beat: Beat
) -> "Iterator[Iterator[tuple[Member, Reader | None]]]":
    """Open an archive to read its members in order.

    Raises:
        OperationError: it cannot be read, or is broken; says which archive.
    """
    with of_archive(path) as fd:
        if form == "zip":
            from batchrun.ops.zipfiles import read_zip  # noqa: PLC0415 - heavy: only when used

            yield read_zip(fd, beat)
        else:
            from batchrun.ops.tarfiles import read_tar  # noqa: PLC0415 - heavy: only when used

            yield read_tar(fd, form, beat)


def only_there(path: str, form: str, known: "Mapping[str, Member]", beat: Beat) -> str:
    """Return the first member of an archive, directories apart, that is not among these.

    Returns:
        Its name. Empty: there is none, no archive, or one that cannot be read.
    """
    try:
        with read_members(path, form, beat) as members:
            for member, _ in members:
                if member.kind != "directory" and known.get(member.name) != member:
                    return member.name
    except OperationError:
        return ""
    return ""
