"""What each command takes, as one class per command: its options, and the parsed values."""

from dataclasses import dataclass

from batchrun.cli import hostoptions as ho
from batchrun.cli import lookoptions as lo
from batchrun.cli import options as o

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
]


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
