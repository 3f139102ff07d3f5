"""What the commands take that show something and run nothing."""

from dataclasses import dataclass

from batchrun.cli import hostoptions as ho
from batchrun.cli import lookoptions as lo
from batchrun.cli import options as o
from batchrun.cli.flags import AccessFlags, TargetFlags

__all__ = [
    "HostsFlags",
    "OpsFlags",
    "PruneFlags",
    "ReportFlags",
    "RunsFlags",
    "SchemaFlags",
    "ShowFlags",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class HostsFlags(AccessFlags, TargetFlags):
    """What `hosts` takes."""

    nodes: ho.NodesArgument = None
    folded: ho.FoldedNames = False
    as_json: lo.AsJson = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RunsFlags:
    """What `runs` takes."""

    job: lo.Job = None
    state: lo.States = None
    since: lo.Since = None
    last: lo.LastRuns = None
    every: lo.AllRuns = False
    as_json: lo.AsJson = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PruneFlags:
    """What `runs prune` takes."""

    keep: lo.Keep = None
    older_than: lo.OlderThan = None
    max_size: lo.MaxSize = None
    dry_run: o.DryRun = False
    quiet: o.Quiet = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ShowFlags:
    """What `show` takes."""

    run: o.RunName = "last"
    failed: lo.FailedUnits = False
    unit: lo.UnitName = None
    host: lo.OnHosts = None
    output: lo.UnitOutput = False
    as_json: lo.AsJson = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ReportFlags:
    """What `report` takes."""

    run: o.RunName = "last"
    format: lo.FormatChoice = lo.ReportFormat.TEXT
    to: lo.Target = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OpsFlags:
    """What `ops` takes."""

    name: o.OperationChoice = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SchemaFlags:
    """What `schema` takes: nothing."""
