"""What all commands have in common: what they are given, and how one is started and waited for."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.model.values import Doc, Mark, PathText, Seconds
from batchrun.ops.processes import cookie, end_command
from batchrun.ops.spawn import Launch, encode, start
from batchrun.ops.sudo import SudoValue
from batchrun.ops.watch import Ending, Listening, NeverRanError, watch

if TYPE_CHECKING:
    from batchrun.ops.elevated import Wanted

__all__ = ["CommandFields", "argv_of", "execute", "given_env", "stdin_bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFields:
    """What every command takes, whatever it runs."""

    shell: Annotated[
        str,
        Doc("The shell that runs a command text: a path, or a name that is looked up in PATH."),
    ] = "/bin/sh"
    env: Annotated[
        Mapping[str, str],
        Doc("Environment variables, added to those that batchrun itself was started with."),
        Mark.MAY_HOLD_SECRET,
    ] = field(default_factory=dict)
    cwd: Annotated[
        PathText | None,
        Doc("The working directory; without it the directory of the job file."),
    ] = None
    stdin: Annotated[
        str | None,
        Doc("Text that the command reads from its standard input; without it that is empty."),
        Mark.MAY_HOLD_SECRET,
    ] = None
    ok_codes: Annotated[
        tuple[int, ...],
        Doc("The exit statuses that mean success."),
    ] = (0,)
    changed_codes: Annotated[
        tuple[int, ...],
        Doc(
            "The exit statuses that mean success and a change; then the other ones that mean "
            "success stand for no change. Without it every success is a change."
        ),
    ] = ()
    readonly: Annotated[
        bool,
        Doc("It changes nothing: never counted as a change, run in a dry run too."),
    ] = False
    idle_timeout: Annotated[
        Seconds | None,
        Doc("Ended as timed out when it writes nothing for so long."),
    ] = None
    sudo: Annotated[
        SudoValue,
        Doc(
            "Run by sudo: true as root, or the name of a user; with a password, a mapping with "
            "`password: secrets.NAME` and perhaps `user`. Of the environment it gets `env` and "
            "what sudo lets through."
        ),
        Mark.SUDO,
    ] = field(default=False, repr=False)


def argv_of(command: str | tuple[str, ...], shell: str = "/bin/sh") -> tuple[str, ...]:
    """Return the words of a command: a text is wrapped for a shell, a list has them."""
    if not isinstance(command, str):
        return command
    # A text such as `-x` would be taken for an option; `--` is not known to every shell.
    return (shell, "-c", f" {command}" if command.startswith(("-", "+")) else command)


def execute(
    argv: Sequence[str], fields: CommandFields, context: Context, listening: Listening
) -> Ending:
    """Start a command and wait until it has ended, or was ended.

    Raises:
        OperationError: it could not be started.
    """
    mark = cookie(context.settings.run_id, context.number, context.attempt)
    if fields.sudo:
        from batchrun.ops.elevated import run_behind_sudo  # noqa: PLC0415 - few commands need it

        return run_behind_sudo(
            _wanted(argv, fields, context, mark), fields.sudo, context, listening
        )
    launch, end = _launch(argv, fields, context, mark), partial(end_command, cookie=mark)
    while True:
        with contextlib.suppress(NeverRanError):
            return watch(start(launch), context, end, listening)


def _launch(argv: Sequence[str], fields: CommandFields, context: Context, mark: str) -> Launch:
    """Put together what is to be started.

    Raises:
        OperationError: an argument or a variable cannot be given to a command.
    """
    return Launch(
        argv=_words(argv),
        env=_inherited(context) | given_env(fields.env) | _ours(context, mark),
        cwd=_directory(fields, context),
        shell=encode(fields.shell, "The name of the shell"),
        stdin=None if fields.stdin is None else stdin_bytes(fields.stdin),
    )


def _wanted(argv: Sequence[str], fields: CommandFields, context: Context, mark: str) -> "Wanted":
    """Put together what sudo is to start.

    Raises:
        OperationError: an argument or a variable cannot be given to a command.
    """
    from batchrun.ops.elevated import Wanted  # noqa: PLC0415 - as above

    ours = _ours(context, mark)
    return Wanted(
        argv=_words(argv),
        env=given_env(fields.env) | ours,
        outer_env=_inherited(context) | ours,
        cwd=os.path.abspath(_directory(fields, context)),
        outer_cwd=encode(context.settings.base_dir, "The job's directory"),
        stdin=b"" if fields.stdin is None else stdin_bytes(fields.stdin),
        cookie=mark,
    )


def _words(argv: Sequence[str]) -> list[bytes]:
    if not argv:
        message = "The command is empty; give a program."
        raise OperationError(message, retryable=False)
    return [encode(argument, "An argument of the command") for argument in argv]


def _directory(fields: CommandFields, context: Context) -> bytes:
    directory = os.path.join(context.settings.base_dir, fields.cwd or "")
    return encode(directory, "The working directory")


def _inherited(context: Context) -> dict[bytes, bytes]:
    """Return the environment that batchrun was started with, without what is not for commands."""
    # 25 µs, read afresh on purpose: a copy kept here would go stale in a program that embeds us.
    environment = dict(os.environb)
    environment.pop(b"BATCHRUN_ITEM", None)  # of a run that runs us
    for name in context.settings.withheld_env:
        environment.pop(os.fsencode(name), None)
    return environment


def given_env(added: Mapping[str, str]) -> dict[bytes, bytes]:
    """Encode what the job file adds to the environment."""
    environment: dict[bytes, bytes] = {}
    for name, value in added.items():
        if not name or "=" in name:
            message = f"{name!r} cannot be the name of an environment variable; correct `env`."
            raise OperationError(message, retryable=False)
        key = encode(name, "The name of an environment variable")
        environment[key] = _encode_value(value, name)
    return environment


def _encode_value(value: str, name: str) -> bytes:
    """Encode a value, which may be secret: no message may show it."""
    try:
        data = os.fsencode(value)
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data:
        message = (
            f"The environment variable {name!r} holds a NUL, or a character that no encoding has; "
            "remove it."
        )
        raise OperationError(message, retryable=False)
    return data


def _ours(context: Context, mark: str) -> dict[bytes, bytes]:
    """Return what batchrun tells a command about itself."""
    name, _, value = os.fsencode(mark).partition(b"=")
    environment = {
        b"BATCHRUN_RUN": encode(context.settings.run_id, "The id of the run"),
        b"BATCHRUN_TASK": encode(context.task_id, "The id of the task"),
        b"BATCHRUN_ATTEMPT": b"%d" % context.attempt,
        b"BATCHRUN_SLOT": b"%d" % context.terms.slot,
        name: value,
    }
    if context.label:
        environment[b"BATCHRUN_ITEM"] = encode(context.label, "The item")
    return environment


def stdin_bytes(text: str) -> bytes:
    """Encode standard input, which may hold NUL."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        # Without the cause: its text would show what may be secret.
        message = "`stdin` holds a character that no encoding has; remove it."
        raise OperationError(message, retryable=False) from None
