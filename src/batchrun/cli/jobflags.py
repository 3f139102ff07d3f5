"""What the commands take that read a job file."""

from dataclasses import dataclass

from batchrun.cli import options as o
from batchrun.cli.flags import FleetFlags, TargetFlags

__all__ = ["CheckFlags", "JobFlags"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CheckFlags(TargetFlags):
    """What `check` takes."""

    job_file: o.JobFile
    var: o.Variables = None
    vars_file: o.VarsFiles = None
    tags: o.Tags = None
    skip_tags: o.SkipTags = None
    task: o.Tasks = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class JobFlags(FleetFlags):
    """What `run` takes."""

    job_file: o.JobFile
    var: o.Variables = None
    vars_file: o.VarsFiles = None
    tags: o.Tags = None
    skip_tags: o.SkipTags = None
    task: o.Tasks = None
    lock: o.Lock = False
    lock_name: o.LockName = None
    wait: o.Wait = None
