"""The operations `run` and `script`: a command on this machine."""

import os
import shlex
import signal
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Cancelled, Failed, Ok, Outcome, TimedOut
from batchrun.model.values import Doc, PathText, ShellText
from batchrun.ops.launch import CommandFields, argv_of, execute
from batchrun.ops.watch import Ending, Listening

__all__ = [
    "OPERATIONS",
    "CommandFields",
    "Run",
    "Script",
    "check_command",
    "check_run",
    "listening_for",
    "outcome_of",
    "run",
    "script",
    "signal_name",
    "would_run",
]

_NOTE_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(CommandFields):
    """What `run` takes."""

    command: Annotated[
        ShellText | tuple[str, ...],
        Doc("A text for the shell, or a program and its arguments as a list, without a shell."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(CommandFields):
    """What `script` takes."""

    file: Annotated[
        PathText,
        Doc("The script; run by itself when it is executable, else by `shell`."),
    ]
    args: Annotated[tuple[str, ...], Doc("Arguments of the script.")] = ()


def run(params: Run, context: Context) -> Done:
    """Run a command text or a list of program and arguments."""
    if context.settings.dry_run and not params.readonly:
        return would_run(params.command)
    return _perform(argv_of(params.command, params.shell), params, context)


def script(params: Script, context: Context) -> Done:
    """Run a script file."""
    path = os.path.join(os.path.abspath(context.settings.base_dir), params.file)
    if context.settings.dry_run and not params.readonly:
        return would_run((params.file, *params.args))
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"The script {path!r} cannot be run: {reason}; correct `file`."
        number = getattr(error, "errno", None)
        return Done(outcome=Failed(message=message, errno=number, retryable=False))
    if not stat.S_ISREG(mode):
        message = f"The script {path!r} cannot be run: it is not a regular file; correct `file`."
        return Done(outcome=Failed(message=message, retryable=False))
    by_itself = os.access(path, os.X_OK)
    argv = (path, *params.args) if by_itself else (params.shell, path, *params.args)
    return _perform(argv, params, context)


def would_run(command: str | tuple[str, ...]) -> Done:
    """Answer for a dry run: a text on one line, or words as a shell takes them."""
    shown = " ".join(command.split()) if isinstance(command, str) else shlex.join(command)
    if len(shown) > _NOTE_CHARACTERS:
        shown = shown[: _NOTE_CHARACTERS - 3] + "..."
    return Done.changed(note=f"would run {shown}")


def _perform(argv: Sequence[str], params: CommandFields, context: Context) -> Done:
    """Start a command, wait for it, and say how it ended."""
    try:
        ending = execute(argv, params, context, listening_for(params, context))
    except OperationError as error:
        failed = Failed(message=str(error), errno=error.errno, retryable=error.retryable)
        return Done(outcome=failed)
    return Done(
        outcome=outcome_of(ending, params, context.terms.timeout_s or 0.0),
        output=ending.output,
        warnings=ending.warnings,
    )


def listening_for(params: CommandFields, context: Context) -> Listening:
    """Say what becomes of the command's output."""
    settings, whole = context.settings, context.terms.capture_bytes
    usual = (settings.head_bytes, settings.tail_bytes)
    spool = settings.spool_dir
    return Listening(
        stdout=usual if whole is None else (whole, 0),
        stderr=usual,
        live=settings.live_output,
        spool=spool and os.path.join(spool, f"{context.number}-{context.attempt}"),
        idle_s=params.idle_timeout,
    )


def outcome_of(ending: Ending, params: CommandFields, limit_s: float) -> Outcome:
    """Turn a command's ending into an outcome."""
    if ending.stopped is not None:
        return _stopped_outcome(ending, ending.stopped, params, limit_s)
    if ending.refused:
        return Failed(message=ending.refused, exit_status=ending.exit_status, retryable=False)
    if ending.signal is not None:
        message = f"killed by signal {ending.signal}{signal_name(ending.signal)}"
        return Failed(message=message, signal=ending.signal)
    if ending.exit_status is None:
        message = (
            "its exit status is not known: SIGCHLD is ignored in this process; set it to default"
        )
        return Failed(message=message)
    return _exit_outcome(ending.exit_status, params)


def _stopped_outcome(
    ending: Ending, stopped: UnitStoppedError, params: CommandFields, limit_s: float
) -> Outcome:
    """Say why we have ended a command."""
    if not stopped.timed_out:
        return Cancelled(was_running=True)
    if ending.idle:
        return TimedOut(limit_s=params.idle_timeout or 0.0, idle=True, stuck=ending.stuck)
    return TimedOut(limit_s=limit_s, stuck=ending.stuck)


def _exit_outcome(status: int, params: CommandFields) -> Outcome:
    """Turn an exit status into an outcome."""
    if status in params.changed_codes:
        return Ok(changed=not params.readonly, exit_status=status)
    if status in params.ok_codes:
        changed = not params.readonly and not params.changed_codes
        return Ok(changed=changed, exit_status=status)
    return Failed(message=f"exit status {status}", exit_status=status)


def signal_name(number: int) -> str:
    """Return ` (SIGKILL)`, or nothing for a signal without a name of its own."""
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def check_run(given: Mapping[str, Any]) -> list[str]:
    """Refuse an empty command and exit statuses that do not exist."""
    command = given.get("command")
    empty = command is not None and not (command.strip() if isinstance(command, str) else command)
    problems = ["the command is empty; write what is to be run"] if empty else []
    return problems + check_command(given)


def check_command(given: Mapping[str, Any]) -> list[str]:
    """Refuse what no command can be given."""
    problems = [
        f"{code} is not an exit status; they go from 0 to 255"
        for name in ("ok_codes", "changed_codes")
        for code in _listed(given.get(name))
        if isinstance(code, int) and not 0 <= code <= 255
    ]
    env = given.get("env")
    problems += [
        f"{name!r} cannot be the name of an environment variable"
        for name in (env if isinstance(env, Mapping) else ())
        if isinstance(name, str) and (not name or "=" in name or "\0" in name)
    ]
    if given.get("readonly") is True and given.get("changed_codes"):
        problems.append("`readonly` says that it never changes anything; leave out `changed_codes`")
    shell = given.get("shell")
    if isinstance(shell, str) and " -" in shell:
        problems.append(
            "`shell` is one program, without options; begin the text with `set -o pipefail` or so"
        )
    if given.get("sudo") == "":
        problems.append("`sudo` names no user; write `true` for root, or a name")
    return problems


def _listed(value: Any) -> Sequence[Any]:
    """Return a list as it is, and nothing for what is not known yet."""
    return value if isinstance(value, list | tuple) else ()


OPERATIONS: dict[str, Operation] = {
    "run": Operation(
        name="run",
        summary="Run a command: a text for the shell, or a program with its arguments.",
        params=Run,
        function=run,
        main="command",
        check=check_run,
        is_command=True,
        repeatable=False,
        example="""\
foreach: {glob: /data/in/*.wav}
run: [flac, --silent, "{{ item }}"]
timeout: 10m
""",
    ),
    "script": Operation(
        name="script",
        summary="Run a script file with arguments.",
        params=Script,
        function=script,
        main="file",
        check=check_command,
        is_command=True,
        repeatable=False,
        uses=(PathUse(field="file", effect="reads", whole=False),),
        example="""\
script: {file: tools/rotate.sh, args: [--keep, "7"]}
cwd: /var/log/app
""",
    ),
}
