"""What the command line adds to a job file that it names."""

from typing import Any

from batchrun import api
from batchrun.cli.flags import FleetFlags
from batchrun.cli.jobflags import CheckFlags, JobFlags
from batchrun.cli.options import split_words, variables
from batchrun.cli.targets import excluded_sets, inventory_path, wanted_nodes

__all__ = ["fleet_options", "load_options"]


def load_options(flags: JobFlags | CheckFlags) -> api.LoadOptions:
    """Take from the flags what concerns the reading of a job file.

    Raises:
        UsageError: a variable without a name or a value.
    """
    return api.LoadOptions(
        variables=variables(flags.var),
        vars_files=tuple(map(str, flags.vars_file or ())),
        task_ids=tuple(flags.task or ()),
        tags=split_words(flags.tags),
        skip_tags=split_words(flags.skip_tags),
        retries=flags.retries if isinstance(flags, JobFlags) else None,
        timeout_s=flags.timeout if isinstance(flags, JobFlags) else None,
        inventory=inventory_path(flags),
        hosts=wanted_nodes(flags),
        exclude=excluded_sets(flags),
        **fleet_options(flags),
        insecure_permissions=flags.insecure_permissions,
    )


def fleet_options(flags: FleetFlags | CheckFlags) -> dict[str, Any]:
    """Return what flags say about all tasks on hosts of a job file, as `LoadOptions` has it."""
    if isinstance(flags, CheckFlags):
        return {}
    return {
        "batch": tuple(flags.batch.split(",")) if flags.batch else (),
        "sudo": flags.sudo or flags.ask_sudo_pass,
        "asks_sudo_password": flags.ask_sudo_pass,
    }
