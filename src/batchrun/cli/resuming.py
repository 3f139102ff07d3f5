"""`batchrun resume` and `batchrun rerun`: going on with a run."""

from collections.abc import Mapping
from typing import Any

from batchrun import api
from batchrun.cli.againflags import RerunFlags, ResumeFlags
from batchrun.cli.flags import Flags
from batchrun.cli.loading import fleet_options
from batchrun.cli.results import results_of_record
from batchrun.cli.running import lock_of, locked
from batchrun.cli.targets import excluded_sets, inventory_path, wanted_nodes
from batchrun.cli.wiring import Asked, check_flags, execute
from batchrun.model.record import Continues

__all__ = ["rerun_run", "resume_run"]

_FAILED = ("failed", "timed_out", "lost")
_UNREACHABLE = ("unreachable",)


def resume_run(flags: ResumeFlags) -> int:
    """Do what is left of a run; return the exit code.

    Raises:
        UsageError: no run, or more than one, is meant.
        LockHeldError: that run still goes on.
        JournalError: its record cannot be read.
        JobFileError: the job file has mistakes now.
    """
    return _go_on(flags, "resume", ())


def rerun_run(flags: RerunFlags) -> int:
    """Run again what did not end ok; return the exit code.

    Raises:
        As `resume_run`.
    """
    failed = _FAILED if flags.failed else ()
    return _go_on(flags, "rerun", (*failed, *(_UNREACHABLE if flags.unreachable else ())))


def _go_on(flags: ResumeFlags, how: Continues, kinds: tuple[str, ...]) -> int:
    check_flags(flags)
    goes_on = api.continuation(
        api.Wanted(
            how=how,
            run=flags.run,
            kinds=kinds,
            as_recorded=flags.recorded,
            retries=flags.retries,
            timeout_s=flags.timeout,
            insecure_permissions=flags.insecure_permissions,
            inventory=inventory_path(flags),
            hosts=wanted_nodes(flags),
            exclude=excluded_sets(flags),
            **fleet_options(flags),
        )
    )
    options = goes_on.options
    asked = Asked(goes_on=goes_on, options=options, procs=_procs(flags, options))
    # Also when it was asked for on the command line only, the first time.
    with locked(options.get("lock") or lock_of(goes_on.loaded)) as lock:
        return execute(goes_on.loaded, flags, results_of_record(options), asked, lock=lock)


def _procs(flags: Flags, options: Mapping[str, Any]) -> int | None:
    """Return how many workers: as said now, else as said the first time."""
    return options.get("procs") if flags.procs is None else flags.procs
