"""`batchrun run`: loads a job file and runs it, holding its lock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchrun import api
from batchrun.cli.flags import CheckFlags, JobFlags
from batchrun.cli.options import split_words, variables
from batchrun.cli.wiring import check_flags, execute
from batchrun.engine.lockfile import RunLock, hold, lock_path, state_dir
from batchrun.model.job import Job

__all__ = ["load_options", "run_job_file"]


def run_job_file(flags: JobFlags) -> int:
    """Run a job file as the flags say; return the exit code.

    Raises:
        UsageError: flags that contradict each other.
        JobFileError: mistakes in the job file.
        LockHeldError: another run holds the lock.
    """
    check_flags(flags)
    loaded = api.load(flags.job_file, load_options(flags))
    with _locked(flags, loaded.job) as lock:
        return execute(loaded, flags, lock=lock)


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
        insecure_permissions=flags.insecure_permissions,
    )


@contextmanager
def _locked(flags: JobFlags, job: Job) -> Iterator[RunLock | None]:
    """Hold the lock of this job while it runs, when the file or the flags ask for one."""
    if not (flags.lock or flags.lock_name or job.lock or flags.wait is not None):
        yield None
        return
    name = flags.lock_name or job.lock_name or _own_name(str(flags.job_file), job)
    path = lock_path(state_dir(os.environ, uid=os.geteuid()), name)
    with hold(path, name, flags.wait or 0.0) as lock:
        yield lock


def _own_name(job_file: str, job: Job) -> str:
    """Name a lock after the job file's real path; a job from standard input after its name."""
    return job.name if job_file == "-" else str(Path(job_file).resolve())
