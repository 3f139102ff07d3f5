"""What each command takes, as one class per command: typer's signature, and the parsed values."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from batchrun.cli import options as o

__all__ = [
    "CheckFlags",
    "DoFlags",
    "EachFlags",
    "Flags",
    "JobFlags",
    "RerunFlags",
    "ResumeFlags",
    "command_of",
]

F = TypeVar("F")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What every command that runs something takes."""

    procs: o.Procs = None
    dry_run: o.DryRun = False
    diff: o.Diff = False
    detailed_exitcode: o.DetailedExitcode = False
    timeout: o.Timeout = None
    retries: o.Retries = None
    max_fail: o.MaxFail = None
    deadline: o.Deadline = None
    grace: o.Grace = 60.0
    output: o.OutputChoice = o.Output.TEXT
    output_dir: o.OutputDir = None
    joblog: o.Joblog = None
    junit: o.Junit = None
    metrics: o.Metrics = None
    progress: o.ProgressChoice = o.Progress.AUTO
    quiet: o.Quiet = 0
    verbose: o.Verbose = False
    report: o.ReportFile = None
    debug: o.Debug = False
    no_journal: o.NoJournal = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFlags:
    """What `check` takes."""

    job_file: o.JobFile
    var: o.Variables = None
    vars_file: o.VarsFiles = None
    tags: o.Tags = None
    skip_tags: o.SkipTags = None
    task: o.Tasks = None
    insecure_permissions: o.InsecurePermissions = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFlags(Flags):
    """What `run` takes."""

    job_file: o.JobFile
    var: o.Variables = None
    vars_file: o.VarsFiles = None
    tags: o.Tags = None
    skip_tags: o.SkipTags = None
    task: o.Tasks = None
    insecure_permissions: o.InsecurePermissions = False
    lock: o.Lock = False
    lock_name: o.LockName = None
    wait: o.Wait = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EachFlags(Flags):
    """What `each` takes."""

    words: o.CommandWords = None
    arg_file: o.ArgFile = None
    null: o.NullSeparated = False
    max_args: o.MaxArgs = None
    replace: o.Replace = "{}"
    argv: o.Argv = False
    tag: o.Tag = False
    keep_order: o.KeepOrder = False
    save: o.Save = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoFlags(Flags):
    """What `do` takes."""

    operation: o.OperationName
    words: o.Words = None
    hosts: o.Hosts = None
    save: o.Save = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeFlags(Flags):
    """What `resume` takes."""

    run: o.RunName = "last"
    recorded: o.AsRecorded = False
    insecure_permissions: o.InsecurePermissions = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunFlags(ResumeFlags):
    """What `rerun` takes."""

    failed: o.OnlyFailed = False
    unreachable: o.OnlyUnreachable = False


def command_of(kind: type[F], function: Callable[[F], int]) -> Callable[..., int]:
    """Make the function that typer calls: one keyword argument for each field of a class.

    So an option is written once, beside the name under which it is used.
    """

    def call(**given: Any) -> int:
        return function(kind(**given))

    hints = get_type_hints(kind, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)  # type: ignore[arg-type]  # every F is a dataclass
    ]
    parameters.sort(key=lambda one: o.panel_position(one.annotation))
    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by typer
    return call
