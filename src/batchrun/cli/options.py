"""The options of the command line: each letter means one thing everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from batchrun.errors import UsageError
from batchrun.model.job import FailLimit
from batchrun.model.values import parse_duration

__all__ = [
    "Deadline", "Debug", "DetailedExitcode", "DryRun", "Grace", "JobFile", "Lock", "LockName",
    "MaxFail", "Output", "OutputChoice", "Procs", "Progress", "ProgressChoice", "Quiet", "Retries",
    "SkipTags", "Tags", "Tasks", "Timeout", "Variables", "VarsFiles", "Verbose", "Version", "Wait",
    "duration", "fail_limit", "variables",
]  # fmt: skip

_WHAT = "What is run"
_HOW = "How it is run"
_LIMITS = "Limits"
_SHOW = "What is shown"
_LOCKS = "Locks"


class Output(StrEnum):
    """What standard output carries."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"


class Progress(StrEnum):
    """What shows on standard error while the run goes on."""

    AUTO = "auto"
    BAR = "bar"
    LINES = "lines"
    NONE = "none"


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """Make an option with its environment variable, `BATCHRUN_` and its long name."""
    longest = max(names, key=len)
    variable = "BATCHRUN_" + longest.removeprefix("--").upper().replace("-", "_")
    return typer.Option(*names, help=text, rich_help_panel=panel, envvar=variable, **more)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        from batchrun import __version__  # noqa: PLC0415 - only here

        typer.echo(f"batchrun {__version__}")
        raise typer.Exit


Version: TypeAlias = Annotated[
    bool,
    typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
]
JobFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="JOBFILE",
        help="The job file; `-` reads it from standard input.",
        show_default=False,
        readable=False,  # who cannot read it is told like every other mistake in a job file
    ),
]
Procs: TypeAlias = Annotated[
    int | None,
    _option(
        _HOW,
        "Worker processes; 0: in this process, one unit after the other. "
        "Default: what the job file says, else the CPUs that this process may use.",
        "-j", "--procs", min=0, max=4096, metavar="N",
    ),
]  # fmt: skip
DryRun: TypeAlias = Annotated[
    bool,
    _option(_HOW, "Change nothing; say what would change, looking at the real files.",
            "-n", "--dry-run"),
]  # fmt: skip
DetailedExitcode: TypeAlias = Annotated[
    bool,
    _option(_HOW, "With --dry-run: exit with 3 when something would change.",
            "--detailed-exitcode"),
]  # fmt: skip
Timeout: TypeAlias = Annotated[
    str | None,
    _option(_LIMITS, "Longest time of one attempt, such as 90s or 10m, where a task has none.",
            "-u", "--timeout", metavar="TIME"),
]  # fmt: skip
Retries: TypeAlias = Annotated[
    int | None,
    _option(_LIMITS, "Further attempts of a unit that failed, for every task.",
            "--retries", min=0, metavar="N"),
]  # fmt: skip
MaxFail: TypeAlias = Annotated[
    str | None,
    _option(_LIMITS, "Start nothing new once more than N (or N%) of the units failed.",
            "--max-fail", metavar="N"),
]  # fmt: skip
Deadline: TypeAlias = Annotated[
    str | None,
    _option(_LIMITS, "Stop the whole run after this time.", "--deadline", metavar="TIME"),
]
Grace: TypeAlias = Annotated[
    str,
    _option(_LIMITS, "How long running units may go on after SIGTERM or SIGHUP.",
            "--grace", metavar="TIME"),
]  # fmt: skip
Variables: TypeAlias = Annotated[
    list[str] | None,
    _option(_WHAT, "Set a variable of the job file; may be given several times.",
            "-e", "--var", metavar="NAME=VALUE"),
]  # fmt: skip
VarsFiles: TypeAlias = Annotated[
    list[Path] | None,
    _option(_WHAT, "Read variables from a YAML file; may be given several times.",
            "--vars-file", metavar="FILE", readable=False),
]  # fmt: skip
Tags: TypeAlias = Annotated[
    list[str] | None,
    _option(_WHAT, "Run only tasks with one of these tags.", "--tags", metavar="TAG,TAG"),
]
SkipTags: TypeAlias = Annotated[
    list[str] | None,
    _option(_WHAT, "Leave out tasks with one of these tags.", "--skip-tags", metavar="TAG,TAG"),
]
Tasks: TypeAlias = Annotated[
    list[str] | None,
    _option(_WHAT, "Run only this task; needs on others count as met. May be given several times.",
            "--task", metavar="ID"),
]  # fmt: skip
OutputChoice: TypeAlias = Annotated[
    Output,
    _option(_SHOW, "Standard output: readable, one document at the end, or one event per line.",
            "--output"),
]  # fmt: skip
ProgressChoice: TypeAlias = Annotated[
    Progress,
    _option(_SHOW, "Standard error: bars on a terminal and nothing elsewhere, or always one kind.",
            "--progress"),
]  # fmt: skip
Quiet: TypeAlias = Annotated[
    int,
    _option(_SHOW, "Print nothing when all went well but warnings; -qq: not even those.",
            "-q", "--quiet", count=True, show_default=False),
]  # fmt: skip
Verbose: TypeAlias = Annotated[
    bool,
    _option(_SHOW, "Show the commands' output as it comes, each line with its item.",
            "-v", "--verbose"),
]  # fmt: skip
Debug: TypeAlias = Annotated[
    bool,
    _option(_SHOW, "Tracebacks of defects, and a log of every decision on standard error.",
            "--debug"),
]  # fmt: skip
Lock: TypeAlias = Annotated[
    bool,
    _option(_LOCKS, "At most one run of this job at a time on this machine.", "--lock"),
]
LockName: TypeAlias = Annotated[
    str | None,
    _option(_LOCKS, "Lock this name instead of the job file's path.", "--lock-name",
            metavar="NAME"),
]  # fmt: skip
Wait: TypeAlias = Annotated[
    str | None,
    _option(_LOCKS, "Wait this long for another run that holds the lock.", "--wait",
            metavar="TIME"),
]  # fmt: skip


def duration(text: str | None, option: str) -> float | None:
    """Read a duration from an option, in seconds.

    Raises:
        UsageError: it is not one.
    """
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        message = f"{option}: {error}"
        raise UsageError(message) from error


def fail_limit(text: str | None) -> FailLimit | None:
    """Read `N` or `N%`.

    Raises:
        UsageError: it is neither.
    """
    if text is None:
        return None
    number = text.removesuffix("%")
    if number.isascii() and number.isdigit():
        if number == text:
            return FailLimit(count=int(number))
        if int(number) <= 100:
            return FailLimit(percent=float(number))
    message = f"--max-fail: {text!r} is not a number or a percentage; write 3 or 10%"
    raise UsageError(message)


def variables(words: list[str] | None) -> dict[str, str]:
    """Read `NAME=VALUE` words; the values stay text.

    Raises:
        UsageError: one has no `=` or no name.
    """
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name:
            message = f"--var: {word!r} is not NAME=VALUE"
            raise UsageError(message)
        found[name] = value
    return found
