"""`output`: the one file that a command makes, which gets its name when the command ended well.

Promised: under its final name there is never half a file. The temporary one is removed when the
attempt ends in any other way than well; when its worker is killed, by whoever ends what the worker
has left behind; and at last by the next attempt of the same unit. Only when everything dies at
once, as in a power cut, and the unit is never run again, does it stay.

Where we may not look or write ourselves and the unit has `sudo`, its user does (`AsUser`).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from batchrun.errors import OperationError
from batchrun.model.around import Around, OutputFile
from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Ok
from batchrun.ops.failures import failure, refusal
from batchrun.ops.paths import shown

if TYPE_CHECKING:
    from batchrun.ops.asuser import AsUser

__all__ = ["discard_output", "is_fresh", "make_output", "unit_user"]

_T = TypeVar("_T")
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})


def is_fresh(output: OutputFile, around: Around, context: Context) -> bool:
    """Tell whether the file is there and older than none of its sources."""
    return _or_as_user(
        lambda: _looks_fresh(output, context),
        lambda user: user.is_fresh(output.path, output.sources),
        around,
    )


def _or_as_user(
    ourselves: Callable[[], _T], as_user: "Callable[[AsUser], _T]", around: Around
) -> _T:
    """Do something ourselves, or, where we may not, have the unit's user do it."""
    try:
        return ourselves()
    except OperationError as error:
        user = unit_user(around) if error.errno in _FORBIDDEN else None
        if user is None:
            raise
    return as_user(user)


def _looks_fresh(output: OutputFile, context: Context) -> bool:
    made_ns = _changed_ns(output.path)
    if made_ns is None:
        return False
    for source in output.sources:
        context.check()
        source_ns = _changed_ns(source)
        if source_ns is not None and source_ns > made_ns:
            return False
    return True


def _changed_ns(path: str) -> int | None:
    """Return when a file was changed last; None when there is none.

    Raises:
        OperationError: that cannot be found out, or it is a directory where a file is meant.
    """
    try:
        return os.stat(path).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise failure(error, "look at", path) from error


def make_output(
    output: OutputFile, around: Around, operation: Callable[[], Done], context: Context
) -> Done:
    """Run the operation; what it has written gets its name if it ends well."""
    if os.path.isdir(output.path):
        raise refusal(f"{shown(output.path)} is a directory; `output` needs the name of a file")
    if context.settings.dry_run:
        return Done.changed(f"would write {shown(output.path)}")
    folder = os.path.dirname(output.path)
    _or_as_user(
        lambda: _prepare(output), lambda user: user.prepare(folder, output.temporary), around
    )
    complete = False
    try:
        done = operation()
        if isinstance(done.outcome, Ok):
            _or_as_user(lambda: _publish(output), lambda user: _publish_as(user, output), around)
            complete = True
            return replace(done, outcome=replace(done.outcome, changed=True))
        return done
    finally:
        if not complete:
            discard_output(around, "")


def _prepare(output: OutputFile) -> None:
    """Make the directory, and have nothing under the temporary name."""
    folder = os.path.dirname(output.path)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise failure(error, "make the directory", folder) from error
    try:
        _remove(output.temporary)
    except OSError as error:
        raise failure(error, "remove", output.temporary) from error


def _remove(path: str) -> None:
    """Remove a file of ours, or the tree that a command has made instead of one."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        import shutil  # noqa: PLC0415 - hardly ever

        shutil.rmtree(path)


def _publish(output: OutputFile) -> None:
    """Give the file its name."""
    temporary = output.temporary
    try:
        mode = os.lstat(temporary).st_mode
    except FileNotFoundError:
        raise _nothing(temporary) from None
    except OSError as error:
        raise failure(error, "look at", temporary) from error
    if stat.S_ISDIR(mode):
        raise _directory(temporary)
    try:
        os.rename(temporary, output.path)
    except OSError as error:
        raise failure(error, "rename what was written to", output.path) from error


def _publish_as(user: "AsUser", output: OutputFile) -> None:
    """Have the unit's user give the file its name."""
    match user.publish(output.temporary, output.path):
        case "nothing":
            raise _nothing(output.temporary)
        case "a directory":
            raise _directory(output.temporary)


def _nothing(temporary: str) -> OperationError:
    return refusal(
        "the command ended well but wrote no {{ output }}: nothing is at "
        f"{shown(temporary)}; have it write to {{{{ output }}}}"
    )


def _directory(temporary: str) -> OperationError:
    return refusal(f"the command has made a directory of {shown(temporary)}, not a file")


def discard_output(around: Around | None, base_dir: str) -> None:
    """Remove what a unit that did not end well may have written under the temporary name."""
    if around is None or around.output is None:
        return
    temporary = os.path.join(base_dir, around.output.temporary)
    try:
        _remove(temporary)
    except PermissionError:
        with contextlib.suppress(OSError, OperationError):
            if user := unit_user(around):
                user.remove(temporary)
    except OSError:
        return  # the next attempt meets it, and says why


def unit_user(around: Around) -> "AsUser | None":
    """Return who may do what we may not; None: nobody.

    Raises:
        OperationError: sudo is not there.
    """
    if not around.command.get("sudo"):
        return None
    from batchrun.ops.asuser import user_of  # noqa: PLC0415 - few units need it

    return user_of(around.command)
