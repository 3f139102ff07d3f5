"""What is looked at before an operation begins: guards, as the user of the unit where need be."""

import os
from collections.abc import Callable
from dataclasses import replace

from batchrun.errors import OperationError
from batchrun.model.around import Around, OutputFile
from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Skipped
from batchrun.model.values import Glob
from batchrun.ops.outputfile import is_fresh, make_output, unit_user
from batchrun.ops.paths import expand, shown

__all__ = ["within"]


def within(around: Around, operation: Callable[[], Done], context: Context) -> Done:
    """Run an operation if its guards let it, and see to its output file.

    Raises:
        OperationError: a guard could not be asked, or something is not as it must be.
        UnitStoppedError: the unit was stopped, or its time is over.
    """
    _check_mounted(around, context)
    because = _reason_to_skip(around, context)
    if because:
        return Done(outcome=Skipped(because=because))
    if around.output is None:
        return operation()
    output = _absolute(around.output, context)
    return make_output(output, replace(around, output=output), operation, context)


def _path(path: str, context: Context) -> str:
    return os.path.join(context.settings.base_dir, path)


def _check_mounted(around: Around, context: Context) -> None:
    """Fail unless each path of `mounted` is a mount point."""
    if not around.mounted:
        return
    from batchrun.ops.protected import mount_points  # noqa: PLC0415 - few tasks ask for it

    for path in around.mounted:
        place = _path(path, context)
        try:
            os.stat(os.path.join(place, "."))  # has an automounter mount it
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"{shown(path)} is not mounted (`mounted`): {reason}; mount it first"
            raise OperationError(message, errno=getattr(error, "errno", None)) from error
        if os.path.realpath(place) not in mount_points():
            message = f"{shown(path)} is no mount point (`mounted`): nothing was done; mount it"
            raise OperationError(message)


def _reason_to_skip(around: Around, context: Context) -> str:
    """Say because of what there is nothing to do; empty when there is."""
    if around.creates and not _first_missing(around.creates, around, context):
        return f"creates: {_names(around.creates)} {_is_there(around.creates)}"
    if missing := _first_missing(around.removes, around, context):
        return f"removes: {missing} is not there"
    if because := _answer(around, context):
        return because
    output = around.output
    if output is not None and is_fresh(_absolute(output, context), around, context):
        newer = " and not older than what it is made from" if output.sources else ""
        return f"output: {shown(output.path)} is there{newer}"
    return ""


def _answer(around: Around, context: Context) -> str:
    """Ask the commands."""
    if around.unless is None and around.onlyif is None:
        return ""
    from batchrun.ops.guards import Guard  # noqa: PLC0415 - needs what commands need
    from batchrun.ops.launch import CommandFields  # noqa: PLC0415 - likewise

    fields = CommandFields(**around.command)
    if around.unless is not None:
        guard = Guard(name="unless", command=around.unless, fields=fields)
        if guard.status(context) == 0:
            return f"unless: {guard} succeeded"
    if around.onlyif is not None:
        guard = Guard(name="onlyif", command=around.onlyif, fields=fields)
        if status := guard.status(context):
            return f"onlyif: {guard} ended with exit status {status}"
    return ""


def _first_missing(paths: tuple[str | Glob, ...], around: Around, context: Context) -> str:
    """Return the first of the paths that is not there, as people may see it; empty: none."""
    for path in paths:
        if isinstance(path, Glob):
            there = next(expand(Glob(_path(path.pattern, context))), None) is not None
        else:
            there = _exists(_path(path, context), around)
        if not there:
            return _name(path)
    return ""


def _exists(path: str, around: Around) -> bool:
    """Tell whether there is anything of that name, a broken symlink included."""
    try:
        os.lstat(path)
    except PermissionError:
        user = unit_user(around)
        return user is not None and user.is_there(path)
    except (OSError, ValueError):
        return False
    return True


def _name(path: str | Glob) -> str:
    return shown(path.pattern if isinstance(path, Glob) else path)


def _names(paths: tuple[str | Glob, ...]) -> str:
    return ", ".join(map(_name, paths))


def _is_there(paths: tuple[str | Glob, ...]) -> str:
    return "is there" if len(paths) == 1 else "are there"


def _absolute(output: OutputFile, context: Context) -> OutputFile:
    """Resolve the names against the job's directory."""
    return OutputFile(
        path=_path(output.path, context),
        temporary=_path(output.temporary, context),
        sources=tuple(_path(source, context) for source in output.sources),
    )
