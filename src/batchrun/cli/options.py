"""The options of the command line: each letter means one thing everywhere."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from batchrun.cli.optionkinds import FILES as _FILES
from batchrun.cli.optionkinds import HOW as _HOW
from batchrun.cli.optionkinds import LIMITS as _LIMITS
from batchrun.cli.optionkinds import LOCKS as _LOCKS
from batchrun.cli.optionkinds import SHOW as _SHOW
from batchrun.cli.optionkinds import WHAT as _WHAT
from batchrun.cli.optionkinds import duration as _duration
from batchrun.cli.optionkinds import option as _option
from batchrun.errors import UsageError
from batchrun.model.job import FailLimit

__all__ = [
    "ArgFile", "Argv", "AsRecorded", "CommandWords", "Deadline", "Debug", "DetailedExitcode",
    "Diff", "DryRun", "Grace", "InsecurePermissions", "JobFile", "Joblog", "Junit",
    "KeepOrder", "Lock", "LockName", "MaxArgs", "MaxFail", "Metrics", "NoJournal", "NullSeparated",
    "OnlyFailed", "OnlyUnreachable", "OperationChoice", "OperationName", "Output", "OutputChoice",
    "OutputDir", "Procs", "Progress", "ProgressChoice", "Quiet", "Replace", "ReportFile", "Retries",
    "RunName", "Save", "SkipTags", "Tag", "Tags", "Tasks", "Timeout", "Variables", "VarsFiles",
    "Verbose", "Version", "Wait", "Words", "fail_limit", "split_words", "variables",
]  # fmt: skip


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


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        from batchrun import __version__  # noqa: PLC0415 - only here

        typer.echo(f"batchrun {__version__}")
        raise typer.Exit


def fail_limit(text: object) -> FailLimit:
    """Read `N` or `N%`.

    Raises:
        UsageError: it is neither.
    """
    number = str(text).removesuffix("%")
    if number.isascii() and number.isdigit():
        if number == text:
            return FailLimit(count=int(number))
        if int(number) <= 100:
            return FailLimit(percent=float(number))
    message = f"--max-fail: {text!r} is not a number or a percentage; write 3 or 10%"
    raise UsageError(message)


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
    float | None,
    _option(_LIMITS, "Longest time of one attempt, such as 90s or 10m, where a task has none.",
            "-u", "--timeout", metavar="TIME", parser=_duration("--timeout")),
]  # fmt: skip
Retries: TypeAlias = Annotated[
    int | None,
    _option(_LIMITS, "Further attempts of a unit that failed, for every task.",
            "--retries", min=0, metavar="N"),
]  # fmt: skip
MaxFail: TypeAlias = Annotated[
    FailLimit | None,
    _option(_LIMITS, "Start nothing new once more than N (or N%) of the units failed.",
            "--max-fail", metavar="N", parser=fail_limit),
]  # fmt: skip
Deadline: TypeAlias = Annotated[
    float | None,
    _option(_LIMITS, "Stop the whole run after this time.", "--deadline", metavar="TIME",
            parser=_duration("--deadline")),
]  # fmt: skip
Grace: TypeAlias = Annotated[
    float,
    _option(_LIMITS, "How long running units may go on after SIGTERM or SIGHUP.",
            "--grace", metavar="TIME", show_default="60s", parser=_duration("--grace")),
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
OutputDir: TypeAlias = Annotated[
    Path | None,
    _option(_FILES, "Write all output of every unit into files, in a directory for this run that "
            "is made in DIR.", "--output-dir", metavar="DIR", readable=False),
]  # fmt: skip
Joblog: TypeAlias = Annotated[
    Path | None,
    _option(_FILES, "Write a line for each unit that has ended, in the columns of GNU parallel's "
            "joblog.", "--joblog", metavar="FILE", readable=False),
]  # fmt: skip
Junit: TypeAlias = Annotated[
    Path | None,
    _option(_FILES, "Write the results as JUnit XML: a test suite for each task, a test case for "
            "each unit.", "--junit", metavar="FILE", readable=False),
]  # fmt: skip
Metrics: TypeAlias = Annotated[
    Path | None,
    _option(_FILES, "Write what the run came to for the textfile collector of Prometheus, which "
            "reads names that end in .prom.", "--metrics", metavar="FILE", readable=False),
]  # fmt: skip
ProgressChoice: TypeAlias = Annotated[
    Progress,
    _option(_SHOW, "Standard error: bars on a terminal and nothing elsewhere, or always one kind.",
            "--progress"),
]  # fmt: skip
Quiet: TypeAlias = Annotated[
    int,
    _option(_SHOW, "When all went well print nothing but warnings and what `print: always` "
            "asks for; -qq: not even those.",
            "-q", "--quiet", count=True, show_default=False),
]  # fmt: skip
Verbose: TypeAlias = Annotated[
    bool,
    _option(_SHOW, "Show the commands' output as it comes, each line with its item.",
            "-v", "--verbose"),
]  # fmt: skip
ReportFile: TypeAlias = Annotated[
    Path | None,
    _option(_FILES, "Write a page about the run, for browsers: one HTML file, which only its owner "
            "can read unless it is there already with another mode.",
            "--report", metavar="FILE", readable=False),
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
    float | None,
    _option(_LOCKS, "Wait this long for another run that holds the lock.", "--wait",
            metavar="TIME", parser=_duration("--wait")),
]  # fmt: skip

Diff: TypeAlias = Annotated[
    bool,
    _option(_SHOW, "Show what changes in text files; with --dry-run, what would change.",
            "--diff"),
]  # fmt: skip
InsecurePermissions: TypeAlias = Annotated[
    bool,
    _option(_HOW, "As root: take a job file, or a file that it uses, that others can write.",
            "--insecure-permissions"),
]  # fmt: skip
NoJournal: TypeAlias = Annotated[
    bool,
    _option(_HOW, "Keep no record of this run; it cannot be resumed or looked at.",
            "--no-journal"),
]  # fmt: skip
RunName: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="[RUN]", help="A run: its id, how that begins or ends, or `last`.",
                   show_default=True),
]  # fmt: skip
AsRecorded: TypeAlias = Annotated[
    bool,
    _option(_WHAT, "Use the job file's text in the record instead of the file.", "--recorded"),
]
OnlyFailed: TypeAlias = Annotated[
    bool,
    _option(_WHAT, "Only what failed, timed out or was lost.", "--failed"),
]
OnlyUnreachable: TypeAlias = Annotated[
    bool,
    _option(_WHAT, "Only hosts that were unreachable.", "--unreachable"),
]
Save: TypeAlias = Annotated[
    Path | None,
    _option(_WHAT, "Write the equivalent job file too, as a start for one that is kept.",
            "--save", metavar="FILE", readable=False),
]  # fmt: skip
ArgFile: TypeAlias = Annotated[
    Path | None,
    _option(_WHAT, "Read the items from a file, one per line; `-` is standard input.",
            "-a", "--arg-file", metavar="FILE", readable=False),
]  # fmt: skip
NullSeparated: TypeAlias = Annotated[
    bool,
    _option(_WHAT, "The items that are read are separated by NUL characters (find -print0).",
            "-0", "--null"),
]  # fmt: skip
MaxArgs: TypeAlias = Annotated[
    int | None,
    _option(_WHAT, "Give each command up to N items: {} is all of them, {1} {2} ... one each.",
            "-N", "--max-args", min=1, metavar="N"),
]  # fmt: skip
Replace: TypeAlias = Annotated[
    str,
    _option(_WHAT, "What stands for the item in the command.", "-I", "--replace",
            metavar="TEXT"),
]  # fmt: skip
Argv: TypeAlias = Annotated[
    bool,
    _option(_WHAT, "Run the words as they are, without a shell.", "--argv"),
]
Tag: TypeAlias = Annotated[
    bool, _option(_SHOW, "Put the item and a tab in front of each line of output.", "--tag")
]
KeepOrder: TypeAlias = Annotated[
    bool, _option(_SHOW, "Show output in the order of the items.", "--keep-order")
]
CommandWords: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CMD... [::: ITEM...]",
        help="The command, then, behind `:::`, its items; without those they are read from "
        "standard input. Several `:::` groups give every combination.",
        show_default=False,
    ),
]
Words: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WORD... | KEY=VALUE...",
        help="Parameters of the operation and modifiers of a task, such as mode=0640 or "
        "timeout=5m; a key given again makes a list. Words without `=` are the main parameter.",
        show_default=False,
    ),
]


def _operation_names(incomplete: str) -> list[str]:
    """List the operations for the shell's completion."""
    from batchrun.plugins import OPERATIONS  # noqa: PLC0415 - only here

    return [name for name in OPERATIONS if name.startswith(incomplete)]


OperationName: TypeAlias = Annotated[
    str, typer.Argument(metavar="OPERATION", help="An operation; `batchrun ops` lists them.",
                        show_default=False, autocompletion=_operation_names),
]  # fmt: skip
OperationChoice: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="An operation; without it all are listed.",
                   show_default=False, autocompletion=_operation_names),
]  # fmt: skip


def split_words(words: Iterable[str] | None) -> tuple[str, ...]:
    """Take `a,b` and repeated options apart."""
    return tuple(part for word in words or () for part in word.split(",") if part)


def variables(words: Iterable[str] | None) -> dict[str, str]:
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
