"""From the words of the command line to the exit code of the process."""

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from batchrun.engine.interrupt import let_questions_pass
from batchrun.errors import BatchrunError, JobFileError, UsageError
from batchrun.model.exitcode import ExitCode
from batchrun.report.text import visible

__all__ = ["run_cli"]

#: Base of everything that the command line parser refuses, whichever parser typer brings.
_ParserError: type[Exception] = typer.BadParameter.__bases__[0]
#: Words that begin the command line without naming a job file.
_GLOBAL_OPTIONS = frozenset({"--help", "-h", "--version", "--install-completion",
                             "--show-completion"})  # fmt: skip


def run_cli(words: Sequence[str]) -> NoReturn:
    """Run the command line and end the process at once with its exit code.

    The process ends by `os._exit`: a thread that is stuck in the kernel must not keep it.
    """
    let_questions_pass()
    _open_standard_streams()
    _forget_outer_task()
    code = _guarded(words)
    os._exit(_flush(code))


def _open_standard_streams() -> None:
    """Let streams that are closed (`>&-`) lead nowhere.

    Otherwise the next file or socket to be opened gets their number, and what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - its way
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _forget_outer_task() -> None:
    """Keep a run inside a command of another run from taking that one's task for its own.

    `BATCHRUN_TASK` means `--task` to us, and the task that it belongs to, to a command.
    """
    if "BATCHRUN_UNIT" in os.environ:
        os.environ.pop("BATCHRUN_TASK", None)


def _check_directory() -> None:
    """Refuse to start where neither relative paths nor worker processes can.

    Raises:
        BatchrunError: the current directory was removed.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        message = "the current directory is not there any more; change to another one"
        raise BatchrunError(message) from error


def _guarded(words: Sequence[str]) -> int:
    """Turn every ending into an exit code, and every expected error into one sentence."""
    # Errors above must be catchable, so these come late.
    from batchrun.cli.app import COMMANDS, app_of  # noqa: PLC0415
    from batchrun.cli.config import option_defaults  # noqa: PLC0415

    try:
        _check_directory()
        line = _with_command(words, COMMANDS)
        is_command = line[0] in COMMANDS
        defaults = option_defaults(app_of, os.environ) if is_command else {}
        app = app_of(line[:1]) if is_command else app_of()
        ended = app(line, prog_name="batchrun", standalone_mode=False, default_map=defaults)
        return int(ended or 0)
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.OK  # whoever read our output has seen enough
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # that is how the parser says the same
            return ExitCode.OK
        raise
    except (_ParserError, BatchrunError, OSError) as error:
        return _explain(error, words)


def _explain(error: Exception, words: Sequence[str]) -> int:
    """Say what went wrong in one sentence, and return the exit code of that kind of error."""
    match error:
        case UsageError():
            return _refuse(str(error), words)
        case JobFileError():
            count = len(error.problems)
            _say(*map(str, error.problems))
            _say(f"batchrun: {count} mistake{'' if count == 1 else 's'}; nothing was run")
            return error.exit_code
        case BatchrunError():
            _say(f"batchrun: {error}")
            return error.exit_code
        case OSError():
            logging.getLogger("batchrun").debug("the error that ended it", exc_info=error)
            _say(f"batchrun: {error}")
            return ExitCode.INTERNAL
        case _:
            describe = getattr(error, "format_message", error.__str__)
            return _refuse(describe(), words)


def _with_command(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """Put the default command, `run`, in front when no command is named."""
    if not words:
        return ["--help"]
    if words[0] in commands or words[0] in _GLOBAL_OPTIONS:
        return list(words)
    return ["run", *words]


def _refuse(message: str, words: Sequence[str]) -> int:
    """Say what is wrong with the command line and where the right words are."""
    from batchrun.cli.app import COMMANDS  # noqa: PLC0415 - imported already

    command = words[0] if words and words[0] in COMMANDS else "run"
    _say(f"batchrun: {message.rstrip('.')}; see `batchrun {command} --help`")
    return ExitCode.USAGE


def _say(*lines: str) -> None:
    """Write lines to standard error; names and values in them may hold anything."""
    text = "".join(f"{visible(line)}\n" for line in lines)
    encoding = sys.stderr.encoding or "utf-8"
    with contextlib.suppress(OSError):  # nobody is listening; the exit code still tells
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _flush(code: int) -> int:
    """Flush both streams; output that cannot be written makes a good ending a bad one."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except (OSError, ValueError):
        code = code or ExitCode.INTERNAL
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    return code
