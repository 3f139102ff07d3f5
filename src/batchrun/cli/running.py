"""`batchrun run`: wires a loaded job to sinks and a lock, and runs it."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchrun import api
from batchrun.cli.options import Output, Progress
from batchrun.cli.state import state_dir
from batchrun.engine.lockfile import hold, lock_path
from batchrun.errors import UsageError
from batchrun.model.exitcode import ExitCode
from batchrun.model.job import FailLimit, Job
from batchrun.model.ports import Sink
from batchrun.report.machine import JsonSink, NdjsonSink
from batchrun.report.messages import MessageSink
from batchrun.report.progress import ProgressMode, ProgressSink
from batchrun.report.screen import TextOptions, TextSink
from batchrun.report.text import PLAIN, Palette, wants_colour

__all__ = ["RunFlags", "run_job_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """The command line of `run`, parsed to the final types."""

    job_file: str
    variables: dict[str, str]
    vars_files: tuple[str, ...]
    tags: tuple[str, ...]
    skip_tags: tuple[str, ...]
    task_ids: tuple[str, ...]
    procs: int | None
    dry_run: bool
    detailed_exitcode: bool
    timeout_s: float | None
    retries: int | None
    max_fail: FailLimit | None
    deadline_s: float | None
    grace_s: float
    output: Output
    progress: Progress
    quiet: int
    verbose: bool
    lock: bool
    lock_name: str | None
    wait_s: float | None
    debug: bool


def run_job_file(flags: RunFlags) -> int:
    """Run a job file as the flags say; return the exit code.

    Raises:
        UsageError: flags that contradict each other.
        JobFileError: mistakes in the job file.
        LockHeldError: another run holds the lock.
    """
    _check(flags)
    if flags.debug:
        _log_decisions()
    loaded = api.load(flags.job_file, _load_options(flags))
    sinks, progress = _sinks(flags)
    config = api.RunConfig(
        dry_run=flags.dry_run,
        live_output=flags.verbose,
        debug=flags.debug,
        grace_s=flags.grace_s,
        max_fail=flags.max_fail,
        deadline_s=flags.deadline_s,
        tickers=(progress,),
        handle_signals=True,
    )
    with _locked(flags, loaded.job):
        result = api.run(loaded, procs=flags.procs, sinks=sinks, config=config)
    if flags.detailed_exitcode and result.ok and result.counts.total.changed:
        return ExitCode.WOULD_CHANGE
    return result.exit_code


def _check(flags: RunFlags) -> None:
    """Refuse what makes no sense together."""
    if flags.detailed_exitcode and not flags.dry_run:
        message = "--detailed-exitcode needs --dry-run"
        raise UsageError(message)
    if flags.verbose and flags.quiet:
        message = "-v and -q contradict each other: one shows more, the other less"
        raise UsageError(message)


def _log_decisions() -> None:
    logging.basicConfig(
        level=logging.DEBUG, stream=sys.stderr, format="%(relativeCreated)9.1f ms %(message)s"
    )


def _load_options(flags: RunFlags) -> api.LoadOptions:
    return api.LoadOptions(
        variables=flags.variables,
        vars_files=flags.vars_files,
        task_ids=flags.task_ids,
        tags=flags.tags,
        skip_tags=flags.skip_tags,
        retries=flags.retries,
        timeout_s=flags.timeout_s,
    )


def _sinks(flags: RunFlags) -> tuple[tuple[Sink, ...], ProgressSink]:
    """Make the sinks, in their fixed order: messages, results, then what merely shows progress.

    Messages are a sink of their own: who reads the results may go away, or their disk be full,
    and that must still be told.
    """
    progress = ProgressSink(sys.stderr, _progress_mode(flags))
    messages = MessageSink(
        sys.stderr, quiet=flags.quiet, palette=_palette(sys.stderr), before=progress.hide
    )
    return (messages, _results(flags, progress.hide), progress), progress


def _results(flags: RunFlags, before: Callable[[], None]) -> Sink:
    """Make the sink that writes what `--output` asks for."""
    match flags.output:
        case Output.TEXT:
            options = TextOptions(
                quiet=flags.quiet,
                live=flags.verbose,
                debug=flags.debug,
                palette=_palette(sys.stdout),
            )
            return TextSink(sys.stdout, sys.stderr, options, before=before)
        case Output.JSON:
            return JsonSink(sys.stdout, before=before)
        case Output.NDJSON:
            return NdjsonSink(sys.stdout, before=before)


def _palette(stream: object) -> Palette:
    return Palette(enabled=True) if wants_colour(stream, os.environ) else PLAIN  # type: ignore[arg-type]


def _progress_mode(flags: RunFlags) -> ProgressMode:
    """Resolve `auto`: bars where a person looks, nothing in a cron mail."""
    match flags.progress:
        case Progress.BAR:
            return "bar"
        case Progress.LINES:
            return "lines"
        case Progress.NONE:
            return "none"
        case Progress.AUTO:
            looks = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
            return "bar" if looks and not flags.quiet else "none"


@contextmanager
def _locked(flags: RunFlags, job: Job) -> Iterator[None]:
    """Hold the lock of this job while it runs, when the file or the flags ask for one."""
    if not (flags.lock or flags.lock_name or job.lock or flags.wait_s is not None):
        yield
        return
    name = flags.lock_name or job.lock_name or _own_name(flags.job_file, job)
    path = lock_path(state_dir(os.environ, uid=os.geteuid()), name)
    with hold(path, name, flags.wait_s or 0.0):
        yield


def _own_name(job_file: str, job: Job) -> str:
    """Name a lock after the job file's real path; a job from standard input after its name."""
    return job.name if job_file == "-" else str(Path(job_file).resolve())
