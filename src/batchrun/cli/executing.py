"""`batchrun exec`: one command on many hosts, as a job like any other."""

import os
import sys
from typing import Any

from batchrun.cli.fleetjob import fleet_job, host_task, run_fleet
from batchrun.cli.jobtext import literal, shell_literal
from batchrun.cli.onceflags import ExecFlags
from batchrun.cli.results import host_output
from batchrun.errors import UsageError
from batchrun.report.text import shorten, visible

__all__ = ["exec_text", "run_exec"]

_NAME_COLUMNS = 60
#: More than this is a file, and every host would get it through the job's text.
_MOST_STDIN = 1024 * 1024


def run_exec(flags: ExecFlags) -> int:
    """Run a command on hosts; return the exit code.

    Raises:
        UsageError: words and flags that make no sense together.
        NodeSetError: a node set cannot be read.
    """
    results = host_output(flags, diff=flags.diff)
    return run_fleet("exec", exec_text(flags), flags, results)


def exec_text(flags: ExecFlags) -> str:
    """Write the equivalent job file.

    Raises:
        UsageError: words and flags that make no sense together.
    """
    words = flags.words or []
    if not words and flags.script is None:
        message = "there is no command; write it behind the options, or name a file with --script"
        raise UsageError(message)
    if flags.script is not None and flags.argv:
        message = "--argv is for commands; the words behind --script are its arguments anyway"
        raise UsageError(message)
    shown = " ".join(words if flags.script is None else (str(flags.script), *words))
    task: dict[str, Any] = {
        "name": literal(shorten(visible(shown), _NAME_COLUMNS)),
        "id": "exec",
        **host_task(flags),
        **_command(flags, words),
    }
    if flags.stdin:
        task["stdin"] = literal(_stdin())
    return fleet_job("exec", flags, task)


def _command(flags: ExecFlags, words: list[str]) -> dict[str, Any]:
    """Write the operation."""
    if flags.script is not None:
        script = {"file": literal(os.path.abspath(flags.script))}
        return {"script": {**script, "args": _words(flags, words)} if words else script}
    if flags.argv:
        return {"run": _words(flags, words)}
    command = " ".join(words)
    if "\0" in command:
        message = "a command cannot hold a NUL character"
        raise UsageError(message)
    return {"run": command if flags.template else shell_literal(command)}


def _words(flags: ExecFlags, words: list[str]) -> list[str]:
    return list(words) if flags.template else [literal(word) for word in words]


def _stdin() -> str:
    """Read standard input as text that can stand in a job file.

    Raises:
        UsageError: it is too long, or no text.
    """
    data = sys.stdin.buffer.read(_MOST_STDIN + 1)
    if len(data) > _MOST_STDIN:
        message = "--stdin: more than 1 MiB is better sent with `batchrun upload`, and read there"
        raise UsageError(message)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = "--stdin: it is not UTF-8 text; send it with `batchrun upload`, and read it there"
        raise UsageError(message) from error
