"""`batchrun run`: loads a job file and runs it, holding its lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchrun import api
from batchrun.cli.fleetjob import fleet_options
from batchrun.cli.jobflags import CheckFlags, JobFlags
from batchrun.cli.options import split_words, variables
from batchrun.cli.targets import excluded_sets, inventory_path, wanted_nodes
from batchrun.cli.wiring import Asked, check_flags, execute
from batchrun.engine.lockfile import RunLock, hold, lock_path
from batchrun.model.statedir import own_state_dir

__all__ = ["load_options", "lock_of", "locked", "run_job_file"]


def run_job_file(flags: JobFlags) -> int:
    """Run a job file as the flags say; return the exit code.

    Raises:
        UsageError: flags that contradict each other.
        JobFileError: mistakes in the job file.
        LockHeldError: another run holds the lock.
    """
    check_flags(flags)
    options = load_options(flags)
    loaded = api.load(flags.job_file, options)
    wants_lock = flags.lock or flags.wait is not None
    name = flags.lock_name or lock_of(loaded, wanted=wants_lock)
    with locked(name, flags.wait or 0.0) as lock:
        asked = Asked(options={"lock": name, "load": _recorded(options)})
        return execute(loaded, flags, asked=asked, lock=lock)


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


def _recorded(options: api.LoadOptions) -> dict[str, Any]:
    """Return what a run that goes on with this one needs; the flags may not be read again for it.

    Standard input, which can hold the hosts, is at its end by now.
    """
    return {
        "retries": options.retries,
        "timeout_s": options.timeout_s,
        "task_ids": options.task_ids,
        "tags": options.tags,
        "skip_tags": options.skip_tags,
        "insecure_permissions": options.insecure_permissions,
        "inventory": options.inventory,
        "hosts": options.hosts,
        "exclude": options.exclude,
        "batch": options.batch,
        "sudo": options.sudo,
        "asks_sudo_password": options.asks_sudo_password,
    }


def lock_of(loaded: api.LoadedJob, *, wanted: bool = False) -> str:
    """Return the name of a job's lock; empty: neither the file nor the command line asks for it.

    It is called after the job file's real path; a job from standard input after its name.
    """
    job, path = loaded.job, loaded.path
    if not (wanted or job.lock):
        return ""
    return job.lock_name or (job.name if path in ("", "-") else str(Path(path).resolve()))


@contextmanager
def locked(name: str, wait_s: float = 0.0) -> Iterator[RunLock | None]:
    """Hold a lock while a job runs; one without a name is none."""
    if not name:
        yield None
        return
    path = lock_path(own_state_dir(), name)
    with hold(path, name, wait_s) as lock:
        yield lock
