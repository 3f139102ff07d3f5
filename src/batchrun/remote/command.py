"""The operations `run` and `script` on hosts."""

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from batchrun.errors import OperationError
from batchrun.model.operation import Done, Operation, PathUse
from batchrun.model.outcome import Failed, Output, TimedOut
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, Mark, PathText, ShellText
from batchrun.ops.command import check_command, check_run, listening_for, outcome_of, would_run
from batchrun.ops.failures import failure, refusal
from batchrun.ops.launch import CommandFields, argv_of, given_env, stdin_bytes
from batchrun.ops.paths import shown
from batchrun.ops.sudo import SudoValue
from batchrun.ops.watch import Ending
from batchrun.ops.watcher import TooQuietError
from batchrun.remote.broken import lost
from batchrun.remote.hearing import Hearing
from batchrun.remote.identity import unit_env
from batchrun.remote.launch import Begun, HostCommand, mark_of, run_there
from batchrun.remote.sources import TextSource
from batchrun.remote.talk import BrokenError
from batchrun.remote.words import path_word

__all__ = ["OPERATIONS", "HostCommandFields", "Run", "Script", "host_command", "run", "script"]

_MAY_STILL_RUN = "It was not seen to end on the host, and may still run there."
#: A script is read whole, and travels as one word of a command line.
_LONGEST_SCRIPT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommandFields(CommandFields):
    """What every command on a host takes, whatever it runs: as here, in another place."""

    shell: Annotated[
        str,
        Doc(
            "The shell that runs a command text, whatever the login shell is: a path, or a name "
            "that is looked up in PATH there."
        ),
    ] = "/bin/sh"
    env: Annotated[
        Mapping[str, str],
        Doc("Environment variables, added to those that the host gives to a login."),
        Mark.MAY_HOLD_SECRET,
    ] = field(default_factory=dict)
    cwd: Annotated[
        PathText | None, Doc("The working directory there; without it the login directory.")
    ] = None
    sudo: Annotated[
        SudoValue,
        Doc(
            "Run by sudo there: true as root, or the name of a user; with a password, a mapping "
            "with `password: secrets.NAME` and perhaps `user`. `env` is set and `cwd` entered as "
            "that user."
        ),
        Mark.SUDO,
    ] = field(default=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(HostCommandFields):
    """What `run` takes."""

    command: Annotated[
        ShellText | tuple[str, ...],
        Doc("A text for the shell, or a program and its arguments as a list, without a shell."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(HostCommandFields):
    """What `script` takes."""

    file: Annotated[
        PathText,
        Doc(
            "The script, a file on this machine; it is sent over, run, and removed. Run by what "
            "its first line names, else by `shell`."
        ),
    ]
    args: Annotated[tuple[str, ...], Doc("Arguments of the script.")] = ()


def run(params: Run, context: HostContext) -> Done:
    """Run a command text or a list of program and arguments."""
    if context.settings.dry_run and not params.readonly:
        return would_run(params.command)
    return perform(argv_of(params.command, params.shell), params, context)


def script(params: Script, context: HostContext) -> Done:
    """Send a script over, run it, and remove it."""
    data = _read_script(os.path.join(context.settings.base_dir, params.file))
    if context.settings.dry_run and not params.readonly:
        return would_run((params.file, *params.args))
    from batchrun.remote.sending import sent_script  # noqa: PLC0415 - only for scripts

    with sent_script(data, context) as path:
        argv = (
            (path, *params.args) if data.startswith(b"#!") else (params.shell, path, *params.args)
        )
        return perform(argv, params, context, scrap=os.path.dirname(path))


def _read_script(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_LONGEST_SCRIPT + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise failure(error, "read the script", path) from error
        raise refusal(f"{shown(path)} cannot be the name of a script") from error
    if len(data) > _LONGEST_SCRIPT:
        raise refusal(f"{shown(path)} is too long for a script; upload it, then run it")
    return data


def host_command(
    argv: Sequence[str], params: HostCommandFields, context: HostContext, scrap: str = ""
) -> HostCommand:
    """Put together what is run, and what batchrun tells it about itself.

    Args:
        argv: What is run.
        params: How.
        context: The unit's.
        scrap: A path there that nobody needs any more when the connection ends; empty: none.

    Raises:
        OperationError: something cannot be given to a command.
    """
    stdin = None if params.stdin is None else TextSource(stdin_bytes(params.stdin))
    return HostCommand(
        argv=argv,
        env=given_env(params.env) | unit_env(context),
        cwd=path_word(params.cwd) if params.cwd else b"",
        sudo=params.sudo,
        source=stdin,
        idle_s=params.idle_timeout,
        mark=mark_of(context),
        watched=True,
        scrap=scrap,
    )


def perform(
    argv: Sequence[str], params: HostCommandFields, context: HostContext, scrap: str = ""
) -> Done:
    """Run a command there, and say how it ended; `scrap` as for `host_command`."""
    hearing = Hearing(listening_for(params, context), context)
    with contextlib.ExitStack() as stack:
        stack.callback(hearing.discard)
        try:
            begun = run_there(host_command(argv, params, context, scrap), context, hearing)
        except BrokenError as error:
            stack.pop_all()
            return Done(
                outcome=lost(error, context), output=hearing.output(), warnings=hearing.problems()
            )
        except OperationError as error:
            output = hearing.output()
            failed = Failed(message=str(error), errno=error.errno, retryable=error.retryable)
            return Done(outcome=failed, output=output)
        stack.pop_all()
    return _done(begun, hearing, params, context)


def _done(begun: Begun, hearing: Hearing, params: HostCommandFields, context: HostContext) -> Done:
    output = hearing.output()
    warnings = hearing.problems()
    if begun.left:
        warnings = (*warnings, _MAY_STILL_RUN)
    if begun.ending is not None:
        warnings = (*(_held(stream) for stream in begun.ending.held), *warnings)
        if _is_unknown(begun):
            return Done(outcome=_unknown_end(begun), output=output, warnings=warnings)
    outcome = outcome_of(_as_here(begun, output), params, context.terms.timeout_s or 0.0)
    if begun.left and isinstance(outcome, TimedOut):
        outcome = replace(outcome, note="it may still run on the host")
    return Done(outcome=outcome, output=output, warnings=warnings)


def _held(stream: str) -> str:
    name = {"stdout": "standard output", "stderr": "standard error"}[stream]
    return (
        f"Something that the command left running still holds its {name}; what it writes there "
        "from now on is lost."
    )


def _is_unknown(begun: Begun) -> bool:
    """Tell whether it ended in a way that has no number."""
    ending = begun.ending
    return ending is not None and ending.exit_status is None and _number(ending.signal) is None


def _unknown_end(begun: Begun) -> Failed:
    name = begun.ending.signal if begun.ending is not None else ""
    if name:
        return Failed(message=f"killed by signal {name}")
    return Failed(message="its exit status is not known: the host did not say how it ended")


def _number(name: str) -> int | None:
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        return None


def _as_here(begun: Begun, output: Output) -> Ending:
    """Write the ending as that of a command on this machine."""
    if begun.ending is None:
        return Ending(
            stopped=begun.stopped,
            idle=isinstance(begun.stopped, TooQuietError),
            stuck=begun.left,
            output=output,
        )
    status = begun.ending.exit_status
    return Ending(
        exit_status=status,
        signal=_number(begun.ending.signal) if status is None else None,
        output=output,
    )


OPERATIONS: dict[str, Operation] = {
    "run": Operation(
        name="run",
        summary="Run a command on the host: a text for the shell, or a program with arguments.",
        params=Run,
        function=run,
        main="command",
        check=check_run,
        is_command=True,
        repeatable=False,
        example="""\
hosts: "@web"
run: systemctl restart nginx
sudo: true
timeout: 2m
""",
    ),
    "script": Operation(
        name="script",
        summary="Send a script file over and run it on the host.",
        params=Script,
        function=script,
        main="file",
        check=check_command,
        is_command=True,
        repeatable=False,
        uses=(PathUse(field="file", effect="reads", whole=False),),
        example="""\
hosts: "@web"
script: {file: tools/rotate.sh, args: [--keep, "7"]}
cwd: /var/log/app
""",
    ),
}
