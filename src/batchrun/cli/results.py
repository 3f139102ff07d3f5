"""What standard output shows of a run: the recap, or what its commands wrote."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from batchrun.cli.flags import Flags
from batchrun.cli.options import Output
from batchrun.errors import UsageError
from batchrun.model.ports import Sink
from batchrun.report.text import PLAIN, Palette, wants_colour

if TYPE_CHECKING:  # options of other commands
    from batchrun.cli.onceflags import ShownFlags

__all__ = [
    "Grouping",
    "HostOutput",
    "Results",
    "host_output",
    "keeps_whole",
    "palette_for",
    "recorded_results",
    "results_of_record",
    "results_sink",
    "shows_live",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The results are what commands wrote, unit by unit."""

    tag: bool = False
    keep_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOutput:
    """The results are what commands on hosts wrote."""

    #: The same output once, at the end; else line by line as it comes.
    fold: bool = False
    #: What is different from the output of most hosts.
    diff: bool = False
    mask: bool = False
    raw: bool = False

    @property
    def at_end(self) -> bool:
        """Whether it is shown when all have ended."""
        return self.fold or self.diff


#: None: the results are what became of the units.
Results: TypeAlias = Grouping | HostOutput | None


def host_output(flags: "ShownFlags", *, diff: bool = False) -> HostOutput:
    """Return how the output of commands on hosts is shown.

    Raises:
        UsageError: flags that mean nothing without others.
    """
    if flags.mask and not (flags.fold or diff):
        message = "--mask is for outputs that are compared; add -b or --diff"
        raise UsageError(message)
    if (flags.fold or diff) and flags.verbose:
        message = "-v contradicts -b and --diff: it shows lines as they come; leave it out"
        raise UsageError(message)
    return HostOutput(fold=flags.fold, diff=diff, mask=flags.mask, raw=flags.raw)


def keeps_whole(flags: Flags, results: Results) -> bool:
    """Say whether the output of a command must be there whole when it has ended."""
    if flags.output is not Output.TEXT:
        return False
    if isinstance(results, HostOutput):
        return results.at_end
    return results is not None and not flags.verbose


def shows_live(flags: Flags, results: Results) -> bool:
    """Say whether output is wanted while commands run."""
    is_lines = isinstance(results, HostOutput) and not results.at_end
    return flags.verbose or (is_lines and flags.output is Output.TEXT)


def recorded_results(results: Results) -> dict[str, Any]:
    """Return what a run that goes on with this one shows, for the record."""
    match results:
        case Grouping():
            return {"grouping": asdict(results)}
        case HostOutput():
            return {"host_output": asdict(results)}
        case None:
            return {}


def results_of_record(options: Mapping[str, Any]) -> Results:
    """Show results as the first run did."""
    for key, kind in (("grouping", Grouping), ("host_output", HostOutput)):
        given = options.get(key)
        if isinstance(given, Mapping):
            return kind(**{name: bool(given.get(name)) for name in kind.__slots__})
    return None


def results_sink(flags: Flags, results: Results, before: Callable[[], None]) -> Sink:
    """Make the sink that writes what `--output` asks for, but for lines for programs.

    Only the one that is wanted is imported.
    """
    if flags.output is Output.JSON:
        from batchrun.report.machine import JsonSink  # noqa: PLC0415

        return JsonSink(sys.stdout, before=before)
    match results:
        case HostOutput():
            return _host_sink(flags, results, before)
        case Grouping() if keeps_whole(flags, results):
            from batchrun.report.grouped import GroupedOptions, GroupedSink  # noqa: PLC0415

            grouped = GroupedOptions(tag=results.tag, keep_order=results.keep_order, **_said(flags))
            return GroupedSink(sys.stdout, sys.stderr, grouped, before=before)
        case _:
            return _text_sink(flags, before)


def _said(flags: Flags) -> dict[str, Any]:
    """Return what is said on standard error, and how."""
    return {"quiet": flags.quiet, "debug": flags.debug, "palette": palette_for(sys.stderr)}


def _host_sink(flags: Flags, results: HostOutput, before: Callable[[], None]) -> Sink:
    if results.at_end:
        from batchrun.report.hostfold import HostFoldOptions, HostFoldSink  # noqa: PLC0415

        folds = HostFoldOptions(
            whole=results.fold,
            diff=results.diff,
            mask=results.mask,
            raw=results.raw,
            **_said(flags),
        )
        return HostFoldSink(sys.stdout, sys.stderr, folds, before=before)
    from batchrun.report.hostlines import HostLinesOptions, HostLinesSink  # noqa: PLC0415

    lines = HostLinesOptions(raw=results.raw, **_said(flags))
    return HostLinesSink(sys.stdout, sys.stderr, lines, before=before)


def palette_for(stream: TextIO) -> Palette:
    """Return the colours for a stream: none when it is no terminal."""
    return Palette(enabled=True) if wants_colour(stream, os.environ) else PLAIN


def _text_sink(flags: Flags, before: Callable[[], None]) -> Sink:
    from batchrun.report.screen import TextOptions, TextSink  # noqa: PLC0415

    options = TextOptions(
        quiet=flags.quiet,
        live=flags.verbose,
        debug=flags.debug,
        rest_is_in=str(flags.output_dir or ""),
        palette=palette_for(sys.stdout),
    )
    return TextSink(sys.stdout, sys.stderr, options, before=before)
