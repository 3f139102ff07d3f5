"""The operations `run` and `script`: a command on this machine."""

import os
import shlex
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.outcome import Cancelled, Failed, Ok, Outcome, TimedOut
from batchrun.model.values import Doc, PathText, ShellText
from batchrun.ops.processes import cookie
from batchrun.ops.spawn import Launch, encode, start
from batchrun.ops.watch import Ending, watch

__all__ = ["OPERATIONS", "CommandFields", "Run", "Script", "run", "script"]

_NOTE_CHARACTERS = 80


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
    ] = field(default_factory=dict)
    cwd: Annotated[
        PathText | None,
        Doc("The working directory; without it the directory of the job file."),
    ] = None
    stdin: Annotated[
        str | None,
        Doc("Text that the command reads from its standard input; without it that is empty."),
    ] = None
    ok_codes: Annotated[
        tuple[int, ...],
        Doc("The exit statuses that mean success."),
    ] = (0,)


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
    if isinstance(params.command, str):
        argv = _shell_argv(params.shell, params.command)
        shown = " ".join(params.command.split())
    else:
        argv = params.command
        shown = shlex.join(argv)
    if context.settings.dry_run:
        return _would_run(shown)
    return _perform(argv, params, context)


def script(params: Script, context: Context) -> Done:
    """Run a script file."""
    path = os.path.join(os.path.abspath(context.settings.base_dir), params.file)
    if context.settings.dry_run:
        return _would_run(shlex.join((params.file, *params.args)))
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


def _shell_argv(shell: str, text: str) -> Sequence[str]:
    """Wrap a command text for a shell."""
    # A text such as `-x` would be taken for an option; `--` is not known to every shell.
    return (shell, "-c", f" {text}" if text.startswith(("-", "+")) else text)


def _would_run(shown: str) -> Done:
    """Answer for a dry run."""
    if len(shown) > _NOTE_CHARACTERS:
        shown = shown[: _NOTE_CHARACTERS - 3] + "..."
    return Done.changed(note=f"would run {shown}")


def _perform(argv: Sequence[str], params: CommandFields, context: Context) -> Done:
    """Start a command, wait for it, and say how it ended."""
    started_s = time.monotonic()
    mark = cookie(context.settings.run_id, context.number, context.attempt)
    try:
        child = start(_launch(argv, params, context, mark))
    except OperationError as error:
        failed = Failed(message=str(error), errno=error.errno, retryable=error.retryable)
        return Done(outcome=failed)
    ending = watch(child, context, mark)
    # The deadline was set a moment before we began: rounding gives back what was asked for.
    limit_s = 0.0 if context.deadline is None else round(context.deadline - started_s, 2)
    return Done(
        outcome=_outcome(ending, params.ok_codes, limit_s),
        output=ending.output,
        warnings=ending.warnings,
    )


def _launch(argv: Sequence[str], params: CommandFields, context: Context, mark: str) -> Launch:
    """Put together what is to be started.

    Raises:
        OperationError: an argument or a variable cannot be given to a command.
    """
    if not argv:
        message = "The command is empty; give a program."
        raise OperationError(message, retryable=False)
    cwd = os.path.join(context.settings.base_dir, params.cwd or "")
    return Launch(
        argv=[encode(argument, "An argument of the command") for argument in argv],
        env=_environment(params.env, context, mark),
        cwd=encode(cwd, "The working directory"),
        shell=encode(params.shell, "The name of the shell"),
        stdin=None if params.stdin is None else _stdin(params.stdin),
    )


def _environment(added: Mapping[str, str], context: Context, mark: str) -> dict[bytes, bytes]:
    """Return what we were started with, then what the job file adds, then what is ours."""
    # 25 µs, read afresh on purpose: a copy kept here would go stale in a program that embeds us.
    environment = dict(os.environb)
    environment.pop(b"BATCHRUN_ITEM", None)  # of a run that runs us
    for name, value in added.items():
        if not name or "=" in name:
            message = f"{name!r} cannot be the name of an environment variable; correct `env`."
            raise OperationError(message, retryable=False)
        key = encode(name, "The name of an environment variable")
        environment[key] = encode(value, f"The environment variable {name!r}")
    environment[b"BATCHRUN_RUN"] = encode(context.settings.run_id, "The id of the run")
    environment[b"BATCHRUN_TASK"] = encode(context.task_id, "The id of the task")
    environment[b"BATCHRUN_ATTEMPT"] = b"%d" % context.attempt
    if context.label:
        environment[b"BATCHRUN_ITEM"] = encode(context.label, "The item")
    key_of_mark, _, value_of_mark = os.fsencode(mark).partition(b"=")
    environment[key_of_mark] = value_of_mark
    return environment


def _stdin(text: str) -> bytes:
    """Encode standard input, which may hold NUL."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError as error:
        message = "`stdin` holds a character that no encoding has; remove it."
        raise OperationError(message, retryable=False) from error


def _outcome(ending: Ending, ok_codes: Sequence[int], limit_s: float) -> Outcome:
    """Turn a command's ending into an outcome."""
    if ending.stopped is not None:
        if ending.stopped.timed_out:
            return TimedOut(limit_s=limit_s, stuck=ending.stuck)
        return Cancelled(was_running=True)
    if ending.signal is not None:
        message = f"killed by signal {ending.signal}{_signal_name(ending.signal)}"
        return Failed(message=message, signal=ending.signal)
    if ending.exit_status is None:
        message = (
            "its exit status is not known: SIGCHLD is ignored in this process; set it to default"
        )
        return Failed(message=message)
    if ending.exit_status in ok_codes:
        return Ok(changed=True, exit_status=ending.exit_status)
    message = f"exit status {ending.exit_status}"
    return Failed(message=message, exit_status=ending.exit_status)


def _signal_name(number: int) -> str:
    """Return ` (SIGKILL)`, or nothing for a signal without a name of its own."""
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def _check_run(given: Mapping[str, Any]) -> list[str]:
    """Refuse an empty command and exit statuses that do not exist."""
    command = given.get("command")
    empty = command is not None and not (command.strip() if isinstance(command, str) else command)
    problems = ["the command is empty; write what is to be run"] if empty else []
    return problems + _check_common(given)


def _check_common(given: Mapping[str, Any]) -> list[str]:
    """Refuse what no command can be given."""
    codes = given.get("ok_codes") or ()
    problems = [
        f"{code} is not an exit status; they go from 0 to 255"
        for code in (codes if isinstance(codes, list | tuple) else ())
        if isinstance(code, int) and not 0 <= code <= 255
    ]
    env = given.get("env")
    problems += [
        f"{name!r} cannot be the name of an environment variable"
        for name in (env if isinstance(env, Mapping) else ())
        if isinstance(name, str) and (not name or "=" in name or "\0" in name)
    ]
    return problems


OPERATIONS: dict[str, Operation] = {
    "run": Operation(
        name="run",
        summary="Run a command: a text for the shell, or a program with its arguments.",
        params=Run,
        function=run,
        main="command",
        check=_check_run,
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
        check=_check_common,
        is_command=True,
        repeatable=False,
        example="""\
script: {file: tools/rotate.sh, args: [--keep, "7"]}
cwd: /var/log/app
""",
    ),
}
