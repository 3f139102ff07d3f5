"""From flags to sinks and settings: what all commands that run something have in common."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from batchrun import api
from batchrun.cli.asking import answer_prompts, check_terminal, terminal_asker
from batchrun.cli.files import check_files, file_sinks, spool_in, unwritten_options
from batchrun.cli.flags import Flags, JobFlags
from batchrun.cli.options import Output, Progress, split_words
from batchrun.engine.lockfile import RunLock
from batchrun.engine.run import RunResult
from batchrun.errors import UsageError
from batchrun.model.exitcode import ExitCode
from batchrun.model.ports import Sink
from batchrun.report.grouped import GroupedOptions, GroupedSink
from batchrun.report.machine import JsonSink, NdjsonSink
from batchrun.report.messages import MessageSink
from batchrun.report.progress import ProgressMode, ProgressSink
from batchrun.report.screen import TextOptions, TextSink
from batchrun.report.text import PLAIN, Palette, wants_colour

__all__ = ["Grouping", "check_flags", "execute", "palette_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The results are what the commands write, not what became of them."""

    tag: bool = False
    keep_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a run was asked for, beside its flags."""

    #: It goes on with an earlier one.
    goes_on: api.Continuation | None = None
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
    grouping: Grouping | None = None,
    asked: Asked | None = None,
    *,
    lock: RunLock | None = None,
) -> int:
    """Run a loaded job as the flags say; return the exit code.

    Args:
        loaded: The job; it is used up.
        flags: How.
        grouping: For commands whose output is the result; None: the recap is.
        asked: What else is known; None: nothing.
        lock: That of the run, when it has one.

    Raises:
        BatchrunError: somebody has to be asked, and there is no terminal.
        UsageError: the directory for output cannot be made.
    """
    asked = asked or Asked()
    procs = flags.procs if asked.procs is None else asked.procs
    check_terminal(loaded.job)
    answer_prompts(loaded)
    if not flags.quiet and (options := unwritten_options(flags)):
        sys.stderr.write(f"a dry run writes no files: {', '.join(options)} not written\n")
    with _shown(flags, grouping) as (sinks, behind, progress):
        config = api.RunConfig(
            dry_run=flags.dry_run,
            diff=flags.diff,
            live_output=flags.verbose,
            whole_output=_groups(flags, grouping) or flags.output_dir is not None,
            spool_in=spool_in(flags),
            debug=flags.debug,
            grace_s=flags.grace,
            max_fail=flags.max_fail,
            deadline_s=flags.deadline,
            tickers=(progress,),
            ask=terminal_asker(progress.hide),
            handle_signals=True,
            journal=not flags.no_journal,
            words=api.Words(
                command_line=tuple(sys.argv[1:]),
                options={**_recorded(flags, grouping), **asked.options},
            ),
            behind=behind,
            goes_on=asked.goes_on,
            lock=lock,
        )
        result = api.run(loaded, procs=procs, sinks=sinks, config=config)
    return _exit_code(result, flags)


def palette_for(stream: TextIO) -> Palette:
    """Return the colours for a stream: none when it is no terminal."""
    return Palette(enabled=True) if wants_colour(stream, os.environ) else PLAIN


def _exit_code(result: RunResult, flags: Flags) -> int:
    if flags.detailed_exitcode and result.ok and result.counts.total.changed:
        return ExitCode.WOULD_CHANGE
    return result.exit_code


def _recorded(flags: Flags, grouping: Grouping | None) -> dict[str, Any]:
    """Return what a run that goes on with this one needs of the flags."""
    found: dict[str, Any] = {"load": {"retries": flags.retries, "timeout_s": flags.timeout}}
    if isinstance(flags, JobFlags):
        found["load"] |= {
            "task_ids": list(flags.task or ()),
            "tags": split_words(flags.tags),
            "skip_tags": split_words(flags.skip_tags),
            "insecure_permissions": flags.insecure_permissions,
        }
    if flags.procs is not None:
        found["procs"] = flags.procs
    if grouping is not None:
        found["grouping"] = {"tag": grouping.tag, "keep_order": grouping.keep_order}
    return found


def _groups(flags: Flags, grouping: Grouping | None) -> bool:
    """Say whether the output of commands is written whole, as they end."""
    return grouping is not None and flags.output is Output.TEXT and not flags.verbose


@contextmanager
def _shown(
    flags: Flags, grouping: Grouping | None
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
            behind = (NdjsonSink(sys.stdout, before=progress.hide),)
            yield (messages, *files, progress), behind, progress
        else:
            results = _results(flags, grouping, progress.hide)
            yield (messages, *files, results, progress), (), progress
    finally:
        progress.close()


def _results(flags: Flags, grouping: Grouping | None, before: Callable[[], None]) -> Sink:
    """Make the sink that writes what `--output` asks for."""
    if flags.output is Output.JSON:
        return JsonSink(sys.stdout, before=before)
    if grouping is not None and _groups(flags, grouping):
        grouped = GroupedOptions(
            tag=grouping.tag,
            keep_order=grouping.keep_order,
            quiet=flags.quiet,
            debug=flags.debug,
            palette=palette_for(sys.stderr),
        )
        return GroupedSink(sys.stdout, sys.stderr, grouped, before=before)
    options = TextOptions(
        quiet=flags.quiet,
        live=flags.verbose,
        debug=flags.debug,
        rest_is_in=str(flags.output_dir or ""),
        palette=palette_for(sys.stdout),
    )
    return TextSink(sys.stdout, sys.stderr, options, before=before)


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
