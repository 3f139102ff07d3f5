"""What the commands take that go on with a run."""

from dataclasses import dataclass

from batchrun.cli import options as o
from batchrun.cli.flags import FleetFlags

__all__ = ["RerunFlags", "ResumeFlags"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ResumeFlags(FleetFlags):
    """What `resume` takes."""

    run: o.RunName = "last"
    recorded: o.AsRecorded = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RerunFlags(ResumeFlags):
    """What `rerun` takes."""

    failed: o.OnlyFailed = False
    unreachable: o.OnlyUnreachable = False
