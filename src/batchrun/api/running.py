"""A loaded job, run to its end: source, engine, runners and sinks are wired here."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import Any

from batchrun.api.config import RunConfig
from batchrun.api.fleet import Fleet
from batchrun.api.loading import load
from batchrun.api.recording import open_journal, tidy_up
from batchrun.engine.cpus import usable_cpus
from batchrun.engine.interrupt import signals_to
from batchrun.engine.machine import MachineLocks
from batchrun.engine.presence import Presence, presence_path
from batchrun.engine.run import Run, RunOptions, RunResult, RunSoFar
from batchrun.errors import JournalError
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.journal.behind import Behind
from batchrun.journal.places import StateDir, unusable
from batchrun.journal.sink import JournalSink
from batchrun.model.job import Job
from batchrun.model.ports import Runner, Sink
from batchrun.model.statedir import own_state_dir
from batchrun.model.unit import RunSettings
from batchrun.plugins import REFERENCE
from batchrun.report.recap import Summary, recap_text
from batchrun.report.spool import SpoolCleaner

__all__ = ["new_run_id", "run"]


def run(
    job: LoadedJob | str | os.PathLike[str],
    *,
    procs: int | None = None,
    sinks: Sequence[Sink] = (),
    config: RunConfig | None = None,
) -> RunResult:
    """Run a job to its end.

    Args:
        job: What `load` returned, or a path to load. A loaded job can be run once.
        procs: Worker processes; None: what the job asks for, else the CPUs that may be used;
            0: in this process, one unit after the other.
        sinks: Who sees the events, in this order. They are closed at the end.
        config: How, where the defaults do not fit.

    Raises:
        JobFileError: the file has mistakes.
        JournalError: the run cannot be recorded.
        LockHeldError: another run goes on with the same one.
        BatchrunError: the lock of this run cannot be made to last as long as the run.
    """
    config, started_at = config or RunConfig(), time.time()
    loaded = job if isinstance(job, LoadedJob) else load(job)
    run_id = config.run_id or _free_run_id(started_at)
    fleet = Fleet(_described(loaded.job, config), config, loaded.host_key)
    procs = _procs(procs, fleet.job.procs)
    summary = Summary()
    queue: SimpleQueue[Any] = SimpleQueue()
    with ExitStack() as stack:
        machine_locks = _locks(config, run_id, loaded, stack)
        journal = _bound(loaded, run_id, started_at, config)
        if journal is not None:
            stack.callback(tidy_up, run_id)
            stack.callback(journal.close)
        behind = [Behind(sink, journal) if journal else sink for sink in config.behind]
        slots = procs if procs and not config.dry_run else 1
        settings = replace(_settings(config, run_id, loaded, stack), workers=slots)
        stack.enter_context(signals_to(queue) if config.handle_signals else nullcontext())
        if loaded.secrets is not None:
            stack.callback(loaded.secrets.close)
        runner = fleet.routed(partial(_runner, procs, settings, queue), slots, settings, queue)
        options = RunOptions(
            run_id=run_id,
            procs=procs,
            sinks=_sinks(fleet.job, summary, journal, (*behind, *sinks)),
            durable=(journal,) if journal else (),
            keep_results=journal is not None,
            goes_on_with="" if config.goes_on is None else config.goes_on.previous,
            last_words=_last_words(config, fleet),
            dry_run=config.dry_run,
            grace_s=config.grace_s,
            tickers=(*(one for one in behind if isinstance(one, Behind)), *config.tickers),
            final_scope=_final_scope(summary),
            forget=runner.forget,
            notes=_first_words(loaded, fleet, config),
            secrets=loaded.secrets,
            ask=config.ask,
            machine_locks=machine_locks,
        )
        return Run(fleet.job, loaded, runner, queue, options).execute()


def _first_words(loaded: LoadedJob, fleet: Fleet, config: RunConfig) -> tuple[str, ...]:
    """Put together the sentences that people should read before anything runs."""
    earlier = () if config.goes_on is None else config.goes_on.notes
    return (*loaded.warnings, *fleet.notes, *earlier)


def _last_words(config: RunConfig, fleet: Fleet) -> Callable[[], Sequence[str]]:
    """Make what is asked at the end for sentences that people should read."""

    def say() -> Sequence[str]:
        earlier = () if config.goes_on is None else config.goes_on.last_words()
        return (*fleet.last_words(), *earlier)

    return say


def _described(job: Job, config: RunConfig) -> Job:
    """Return the job with the limits that are given instead of its own."""
    return replace(
        job,
        max_fail=config.max_fail or job.max_fail,
        deadline_s=job.deadline_s if config.deadline_s is None else config.deadline_s,
    )


def _sinks(
    job: Job, summary: Summary, journal: JournalSink | None, shown: Sequence[Sink]
) -> tuple[Sink, ...]:
    """Put the sinks in their order: the journal first, as some may not be ahead of it.

    Only `finally` tasks can ask for the summary.
    """
    first = () if journal is None else (journal,)
    return (*first, *((summary,) if job.final_tasks else ()), *shown, SpoolCleaner())


def _bound(
    loaded: LoadedJob, run_id: str, started_at: float, config: RunConfig
) -> JournalSink | None:
    """Bind a job to its run, and begin the record; None: there is none.

    Raises:
        JournalError: it cannot be recorded.
    """
    goes_on, recorded = config.goes_on, config.recorded
    items_dir = ""
    if recorded:
        items_dir = os.fspath(StateDir.own().run(run_id).items)
    loaded.bind(
        Binding(
            run_id=run_id,
            started_at=started_at if goes_on is None else goes_on.first.now,
            shown_id="" if goes_on is None else goes_on.first.shown_id,
            dry_run=config.dry_run,
            identifies=recorded or goes_on is not None,
            earlier=None if goes_on is None else goes_on.earlier,
            items_dir=items_dir,
            items_before="" if goes_on is None else goes_on.items_dir,
        )
    )
    return open_journal(loaded, run_id, started_at, config.words, goes_on) if recorded else None


def _locks(
    config: RunConfig, run_id: str, loaded: LoadedJob, stack: ExitStack
) -> MachineLocks | None:
    """Make what the locks of this run need: they last as long as anything that it starts.

    Raises:
        BatchrunError: the lock of the run cannot last as long.
        JournalError: it is to be recorded, and nobody could tell later whether all of it has ended.
    """
    directory = own_state_dir()
    presence: Presence | OSError | None = None
    recorded = config.recorded
    if recorded or config.lock is not None or (loaded.shares_locks and not config.dry_run):
        try:
            presence = stack.enter_context(closing(Presence(presence_path(directory, run_id))))
        except OSError as error:  # the units say it that want a lock
            if recorded:
                raise JournalError(unusable(directory, error.strerror)) from error
            presence = error
    if config.lock is not None:
        config.lock.sign(presence)
    if config.dry_run:
        return None
    # Nothing is on disk before the first one is taken.
    return stack.enter_context(closing(MachineLocks(directory / "machine", presence)))


#: About 50 ms of copying: short enough that nobody waits long behind it, and long enough that
#: handing it out does not count.
SLICE_COST = 512


def _settings(config: RunConfig, run_id: str, loaded: LoadedJob, stack: ExitStack) -> RunSettings:
    """Put together what is the same for all units; what is made on disk goes with the stack."""
    return RunSettings(
        run_id=run_id,
        base_dir=loaded.job.base_dir,
        withheld_env=loaded.withheld_env,
        dry_run=config.dry_run,
        kill_grace_s=config.kill_grace_s,
        live_output=config.live_output,
        debug=config.debug,
        diff=config.diff,
        slice_cost=0 if config.diff else SLICE_COST,
        past_runs=() if config.goes_on is None else config.goes_on.family,
        spool_dir=_spool_dir(config, stack) if config.whole_output else "",
    )


def _spool_dir(config: RunConfig, stack: ExitStack) -> str:
    """Make a directory for whole output; empty where there is no room: the ends will do then."""
    try:
        made = tempfile.TemporaryDirectory(
            prefix=".batchrun-", dir=config.spool_in or None, ignore_cleanup_errors=True
        )
    except OSError:
        return ""
    return stack.enter_context(made)


def new_run_id(at: float) -> str:
    """Make an id that sorts by time: `YYYYMMDD-HHMMSS-xxxx`, in UTC.

    Args:
        at: Seconds since the epoch.
    """
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}-{os.urandom(2).hex()}"


def _free_run_id(at: float) -> str:
    """Make an id that no run on record has: many runs may begin in the same second."""
    state = StateDir.own()
    while os.path.lexists(state.run(run_id := new_run_id(at)).path):
        pass
    return run_id


def _procs(wanted: int | None, of_job: int | None) -> int:
    """Choose the number of worker processes: the caller's word, the file's, the machine's."""
    if wanted is not None:
        return wanted
    return usable_cpus() if of_job is None else of_job


def _runner(procs: int, settings: RunSettings, queue: "SimpleQueue[Any]") -> Runner:
    """Make who runs the units on this machine."""
    # Each of them brings much that the others do not need.
    if settings.dry_run:
        from batchrun.engine.serial import DryRunner  # noqa: PLC0415

        return DryRunner(settings, queue, REFERENCE)
    if procs == 0:
        from batchrun.engine.serial import SerialRunner  # noqa: PLC0415

        return SerialRunner(settings, queue, REFERENCE)
    from batchrun.engine.pool.pool import WorkerPool  # noqa: PLC0415

    return WorkerPool(procs, settings=settings, events=queue, table=REFERENCE)


def _final_scope(summary: Summary) -> Callable[[RunSoFar], Mapping[str, Any]]:
    """Make what `finally` tasks see as `run`, beside its id."""

    def scope(so_far: RunSoFar) -> Mapping[str, Any]:
        failures = [
            {
                "task": group.task_id,
                "outcome": group.kind,
                "message": group.message,
                "count": group.number,
            }
            for group in summary.failures.groups()
        ]
        return {
            "run": {
                "id": so_far.run_id,
                "outcome": so_far.outcome,
                "counts": so_far.counts.total.as_dict(),
                "failures": failures,
                "summary": recap_text(summary, duration_s=so_far.duration_s).rstrip("\n"),
            }
        }

    return scope
