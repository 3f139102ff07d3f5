"""From flags to sinks and settings: what all commands that run something have in common."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from batchrun import api
from batchrun.cli.asking import answer_prompts, check_terminal, terminal_asker
from batchrun.cli.files import check_files, file_sinks, spool_in, unwritten_options
from batchrun.cli.flags import Flags
from batchrun.cli.options import Output, Progress
from batchrun.cli.reaching import reach_of
from batchrun.cli.results import (
    Results,
    keeps_whole,
    palette_for,
    recorded_results,
    results_sink,
    shows_live,
)
from batchrun.engine.lockfile import RunLock
from batchrun.errors import UsageError
from batchrun.model.exitcode import ExitCode
from batchrun.model.ports import Sink
from batchrun.report.messages import MessageSink
from batchrun.report.progress import ProgressMode, ProgressSink

__all__ = ["Asked", "check_flags", "execute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a run was asked for, beside its flags."""

    #: It goes on with an earlier one.
    goes_on: "api.Continuation | None" = None
    #: What a run that goes on with it needs of its command line.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Instead of `--procs`.
    procs: int | None = None


def check_flags(flags: Flags) -> None:
    """Refuse what makes no sense together, and begin to log when that is wanted.

    Raises:
        UsageError: flags that contradict each other, a file that cannot be written.
    """
    if flags.detailed_exitcode and not flags.dry_run:
        message = "--detailed-exitcode needs --dry-run"
        raise UsageError(message)
    if flags.verbose and flags.quiet:
        message = "-v and -q contradict each other: one shows more, the other less"
        raise UsageError(message)
    check_files(flags)
    if flags.debug:
        logging.basicConfig(
            level=logging.DEBUG, stream=sys.stderr, format="%(relativeCreated)9.1f ms %(message)s"
        )


def execute(
    loaded: api.LoadedJob,
    flags: Flags,
    results: Results = None,
    asked: Asked | None = None,
    *,
    lock: RunLock | None = None,
) -> int:
    """Run a loaded job as the flags say; return the exit code.

    Args:
        loaded: The job; it is used up.
        flags: How.
        results: What standard output shows.
        asked: What else is known; None: nothing.
        lock: That of the run, when it has one.

    Raises:
        JobFileError: somebody has to be asked, and there is no terminal.
        UsageError: the directory for output cannot be made.
    """
    asked = asked or Asked()
    procs = flags.procs if asked.procs is None else asked.procs
    check_terminal(loaded.job)
    answer_prompts(loaded)
    config = _config(flags, results, asked)
    if not flags.quiet and (options := unwritten_options(flags)):
        sys.stderr.write(f"a dry run writes no files: {', '.join(options)} not written\n")
    with _shown(flags, results) as (sinks, behind, progress):
        config = replace(
            config,
            spool_in=spool_in(flags),
            tickers=(progress,),
            ask=terminal_asker(progress.hide),
            behind=behind,
            lock=lock,
        )
        result = api.run(loaded, procs=procs, sinks=sinks, config=config)
    return _exit_code(result, flags)


def _config(flags: Flags, results: Results, asked: Asked) -> api.RunConfig:
    """Say how the job is run, as far as that does not depend on what shows it.

    Raises:
        JobFileError: a password is to be typed in, and there is no terminal.
        UsageError: the SSH configuration is not there.
    """
    reach = reach_of(flags, asked.options.get("access"))
    recorded = _recorded(flags, asked)
    return api.RunConfig(
        dry_run=flags.dry_run,
        diff=flags.diff,
        live_output=shows_live(flags, results),
        whole_output=keeps_whole(flags, results) or flags.output_dir is not None,
        debug=flags.debug,
        grace_s=flags.grace,
        max_fail=flags.max_fail,
        deadline_s=flags.deadline,
        fanout=reach.fanout,
        handle_signals=True,
        journal=not flags.no_journal,
        words=api.Words(
            command_line=tuple(sys.argv[1:]),
            options={**recorded, **recorded_results(results), "access": reach.record},
        ),
        access=reach.access,
        password=reach.password,
        goes_on=asked.goes_on,
    )


def _exit_code(result: api.RunResult, flags: Flags) -> int:
    if flags.detailed_exitcode and result.ok and result.counts.total.changed:
        return ExitCode.WOULD_CHANGE
    return result.exit_code


def _recorded(flags: Flags, asked: Asked) -> dict[str, Any]:
    """Return what a run that goes on with this one needs of the flags."""
    if asked.goes_on is not None:  # what was said then, and now, is put together already
        return dict(asked.options)
    load = {"retries": flags.retries, "timeout_s": flags.timeout}
    procs = {} if flags.procs is None else {"procs": flags.procs}
    return {"load": load, **procs, **asked.options}


@contextmanager
def _shown(
    flags: Flags, results: Results
) -> Iterator[tuple[tuple[Sink, ...], tuple[Sink, ...], ProgressSink]]:
    """Make the sinks, in their fixed order: messages, files, results, what only shows progress.

    Lines for programs stand apart: they say only what is on record.

    Messages are a sink of their own: who reads the results may go away, or their disk be full,
    and that must still be told.

    Raises:
        UsageError: one of the files cannot be written.
    """
    files = file_sinks(flags)
    progress = ProgressSink(sys.stderr, _progress_mode(flags))
    messages = MessageSink(
        sys.stderr, quiet=flags.quiet, palette=palette_for(sys.stderr), before=progress.hide
    )
    try:
        if flags.output is Output.NDJSON:
            from batchrun.report.machine import NdjsonSink  # noqa: PLC0415 - few want it

            behind = (NdjsonSink(sys.stdout, before=progress.hide),)
            yield (messages, *files, progress), behind, progress
        else:
            shown = results_sink(flags, results, progress.hide)
            yield (messages, *files, shown, progress), (), progress
    finally:
        progress.close()


def _progress_mode(flags: Flags) -> ProgressMode:
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
