"""What each command takes, as one class per command: typer's signature, and the parsed values."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, get_type_hints

import typer

from batchrun.cli import hostoptions as ho
from batchrun.cli import lookoptions as lo
from batchrun.cli import options as o
from batchrun.cli.optionkinds import panel_position
from batchrun.errors import UsageError

__all__ = [
    "AccessFlags",
    "CheckFlags",
    "DoFlags",
    "EachFlags",
    "ExecFlags",
    "Flags",
    "FleetFlags",
    "HostsFlags",
    "JobFlags",
    "PruneFlags",
    "ReportFlags",
    "RerunFlags",
    "ResumeFlags",
    "RunsFlags",
    "ShowFlags",
    "ShownFlags",
    "TargetFlags",
    "TransferFlags",
    "command_of",
    "group_of",
]

F = TypeVar("F")
R = TypeVar("R")


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


# Without slots: no class can have two bases with them.
@dataclass(frozen=True, kw_only=True)
class TargetFlags:
    """Which hosts are meant, and where something is known of them."""

    hosts: ho.Hosts = None
    exclude: ho.Exclude = None
    group: ho.Groups = None
    all_hosts: ho.AllHosts = False
    hostfile: ho.HostFile = None
    inventory: ho.Inventory = None


# Without slots: no class can have two bases with them.
@dataclass(frozen=True, kw_only=True)
class AccessFlags:
    """How hosts are reached."""

    ssh_config: ho.SshConfig = None
    ssh_option: ho.SshOptions = None
    user: ho.User = None
    connect_timeout: ho.ConnectTimeout = None
    host_key: ho.HostKeyChoice = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFlags(Flags, AccessFlags, TargetFlags):
    """What every command takes that runs something on hosts."""

    fanout: ho.Fanout = None
    sudo: ho.Sudo = False
    ask_sudo_pass: ho.AskSudoPass = False
    ask_pass: ho.AskPass = False
    batch: ho.Batch = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFlags(TargetFlags):
    """What `check` takes."""

    job_file: o.JobFile
    var: o.Variables = None
    vars_file: o.VarsFiles = None
    tags: o.Tags = None
    skip_tags: o.SkipTags = None
    task: o.Tasks = None
    insecure_permissions: o.InsecurePermissions = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFlags(FleetFlags):
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
class ShownFlags(FleetFlags):
    """What commands take that show what was written on hosts."""

    fold: ho.Fold = False
    mask: ho.MaskOutput = False
    raw: ho.Raw = False
    save: o.Save = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecFlags(ShownFlags):
    """What `exec` takes."""

    words: ho.HostCommand = None
    script: ho.ScriptFile = None
    argv: o.Argv = False
    stdin: ho.Stdin = False
    template: ho.Templates = False
    diff: ho.MajorityDiff = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DoFlags(ShownFlags):
    """What `do` takes."""

    operation: o.OperationName
    words: o.Words = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFlags(FleetFlags):
    """What `upload` and `download` take."""

    paths: ho.TransferPaths = None
    save: o.Save = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsFlags(AccessFlags, TargetFlags):
    """What `hosts` takes."""

    nodes: ho.NodesArgument = None
    folded: ho.FoldedNames = False
    as_json: lo.AsJson = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeFlags(FleetFlags):
    """What `resume` takes."""

    run: o.RunName = "last"
    recorded: o.AsRecorded = False
    insecure_permissions: o.InsecurePermissions = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunFlags(ResumeFlags):
    """What `rerun` takes."""

    failed: o.OnlyFailed = False
    unreachable: o.OnlyUnreachable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsFlags:
    """What `runs` takes."""

    job: lo.Job = None
    state: lo.States = None
    since: lo.Since = None
    last: lo.LastRuns = None
    every: lo.AllRuns = False
    as_json: lo.AsJson = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneFlags:
    """What `runs prune` takes."""

    keep: lo.Keep = None
    older_than: lo.OlderThan = None
    max_size: lo.MaxSize = None
    dry_run: o.DryRun = False
    quiet: o.Quiet = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFlags:
    """What `show` takes."""

    run: o.RunName = "last"
    failed: lo.FailedUnits = False
    unit: lo.UnitName = None
    host: lo.OnHosts = None
    output: lo.UnitOutput = False
    as_json: lo.AsJson = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFlags:
    """What `report` takes."""

    run: o.RunName = "last"
    format: lo.FormatChoice = lo.ReportFormat.TEXT
    to: lo.Target = None


def command_of(kind: type[F], function: Callable[[F], int]) -> Callable[..., int]:
    """Make the function that typer calls: one keyword argument for each field of a class.

    So an option is written once, beside the name under which it is used.
    """

    def call(**given: Any) -> int:
        return function(kind(**given))

    return _with_signature(call, function, _parameters(kind))


def group_of(kind: type[F], function: Callable[[F], int]) -> Callable[..., int | None]:
    """Make the function that typer calls for a command that has commands of its own.

    One of them is meant when it is named; then options before it would mean nothing, and are
    refused.
    """

    def call(context: typer.Context, **given: Any) -> int | None:
        name = context.invoked_subcommand
        if name is None:
            return function(kind(**given))
        for option in given:
            source = context.get_parameter_source(option)
            if source is not None and source.name == "COMMANDLINE":
                message = f"options of `{context.info_name}` mean nothing before `{name}`"
                raise UsageError(message)
        return None

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    return _with_signature(call, function, [context, *_parameters(kind)])


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    """Make a parameter of each field of a class, in the order of `--help`."""
    hints = get_type_hints(kind, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
    return sorted(parameters, key=lambda one: panel_position(one.annotation))


def _with_signature(
    call: Callable[..., R], function: Callable[..., Any], parameters: list[inspect.Parameter]
) -> Callable[..., R]:
    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by typer
    return call
