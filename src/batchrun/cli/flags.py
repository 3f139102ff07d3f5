"""What commands take, as classes: their options, and the parsed values. These are for several.

Nobody compares or prints them: what makes that possible would take a third of making a class,
and these have many fields.
"""

from dataclasses import dataclass

from batchrun.cli import hostoptions as ho
from batchrun.cli import options as o

__all__ = ["AccessFlags", "Flags", "FleetFlags", "TargetFlags"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TargetFlags:
    """Which hosts are meant, and where something is known of them."""

    hosts: ho.Hosts = None
    exclude: ho.Exclude = None
    group: ho.Groups = None
    all_hosts: ho.AllHosts = False
    hostfile: ho.HostFile = None
    inventory: ho.Inventory = None
    insecure_permissions: o.InsecurePermissions = False


# Without slots: no class can have two bases with them.
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AccessFlags:
    """How hosts are reached."""

    ssh_config: ho.SshConfig = None
    ssh_option: ho.SshOptions = None
    user: ho.User = None
    connect_timeout: ho.ConnectTimeout = None
    host_key: ho.HostKeyChoice = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FleetFlags(Flags, AccessFlags, TargetFlags):
    """What every command takes that runs something on hosts."""

    fanout: ho.Fanout = None
    sudo: ho.Sudo = False
    ask_sudo_pass: ho.AskSudoPass = False
    ask_pass: ho.AskPass = False
    batch: ho.Batch = None
