"""One run, looked at afterwards: what `show` prints beside the recap."""

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batchrun.model.event import Event, RunEnded, UnitEnded, UnitRetried
from batchrun.model.exitcode import EXIT_CODES
from batchrun.model.outcome import Ok, Outcome, Output
from batchrun.model.record import RunRecord, RunRow, RunState
from batchrun.report.failures import failure_of, reason
from batchrun.report.printed import stream_lines
from batchrun.report.recap import diff_text, failure_text, kind_words
from batchrun.report.runs import continues_word, local_time
from batchrun.report.text import PLAIN, Palette, duration, shorten, size, visible
from batchrun.report.who import who

__all__ = ["Names", "Shown", "failed_text", "header_text", "slowest_text", "unit_text"]

_KEY_COLUMN = 10
_ITEM_COLUMNS = 200
_GOOD = frozenset({"ok", "skipped"})

#: Gives the name for people of a task, by its id.
Names: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is known of a run as a whole."""

    record: RunRecord
    state: RunState
    #: None: it has not ended, or nobody wrote that down.
    ended: RunEnded | None
    #: Until its end, until now while it runs, or until its last unit ended; None: none did.
    duration_s: float | None
    #: All runs that go on with each other, oldest first, this one among them.
    family: Sequence[RunRow]
    size_bytes: int
    #: Where its record is.
    place: str


def header_text(shown: Shown, palette: Palette = PLAIN) -> str:
    """Write what a run was, each line with its newline."""
    record = shown.record
    lines = [
        ("run", record.run_id),
        ("job", _job(record)),
        ("when", _when(shown)),
        ("where", f"{record.user} on {record.host}, process {record.pid}"),
        ("command", shlex.join(("batchrun", *record.command_line))),
        ("version", f"batchrun {record.version}, Python {record.python}"),
        ("record", f"{shown.place}, {size(shown.size_bytes)}"),
        *_chain(shown),
        ("state", _state(shown)),
    ]
    paint = palette.green if shown.state is RunState.OK else palette.red
    written = [f"{key:{_KEY_COLUMN}}{visible(text)}" for key, text in lines]
    state = written[-1]
    written[-1] = state[:_KEY_COLUMN] + paint(state[_KEY_COLUMN:])
    return "".join(f"{line}\n" for line in written)


def slowest_text(events: Sequence[UnitEnded], names: Names, palette: Palette = PLAIN) -> str:
    """Write which units took longest, each line with its newline; empty: there are no two.

    Args:
        events: Their ends, the one that took longest first.
        names: Of the tasks.
        palette: Colours.
    """
    if len(events) < 2:
        return ""
    times = [duration(event.report.duration_s) for event in events]
    width = max(map(len, times))
    lines = ["slowest units:"]
    for took, event in zip(times, events, strict=True):
        kind = event.report.outcome.kind
        ending = "" if kind in _GOOD else f"  {palette.red(kind_words(kind))}"
        number = f"unit {event.report.number}"
        lines.append(f"  {took:>{width}}  {number}  {_which(event, names)}{ending}")
    return "".join(f"{line}\n" for line in lines)


def failed_text(event: UnitEnded, names: Names, palette: Palette = PLAIN) -> str:
    """Write a failure with the end of its output, and an empty line.

    Args:
        event: Its end.
        names: Of the tasks.
        palette: Colours.
    """
    report = event.report
    note = f"unit {report.number}" + (", ignored" if event.ignored else "")
    failure = failure_of(event.unit, report)
    task = names(event.unit.task_id)
    text = failure_text(report.outcome.kind, task, failure, note=f"({note})", palette=palette)
    return f"{text}\n"


def unit_text(events: Iterable[Event], names: Names, palette: Palette = PLAIN) -> Iterator[str]:
    """Write every attempt of some units with all output that was kept, a piece at a time.

    Args:
        events: The ends of their attempts, unit by unit.
        names: Of the tasks.
        palette: Colours.
    """
    number = 0
    for event in events:
        if not isinstance(event, UnitEnded | UnitRetried):
            continue
        if event.report.number != number:
            yield "\n" if number else ""
            number = event.report.number
            yield f"unit {number}  {_which(event, names)}\n"
            yield f"  {visible(str(event.unit.params['command']))}\n"
        yield from _attempt(event, palette)


def _job(record: RunRecord) -> str:
    match record.job_file:
        case "":
            return record.job_name
        case "-":
            return f"{record.job_name}, from standard input"
        case path:
            return f"{record.job_name}, {path}"


def _when(shown: Shown) -> str:
    began_at = shown.record.started_at
    zone = time.strftime("%z", time.localtime(began_at))
    text = f"{local_time(began_at)} {zone}"
    took = "" if shown.duration_s is None else duration(shown.duration_s)
    if shown.state is RunState.RUNNING:
        return f"since {text}, {took} so far"
    if shown.ended is not None:
        return f"{text} to {local_time(shown.ended.at)}, {took}"
    return f"{text}, its last unit ended after {took}" if took else f"{text}, no unit ended"


def _state(shown: Shown) -> str:
    """Say how it stands, and why it ended."""
    if shown.ended is None:
        killed = ": it was killed, or the machine went down"
        return shown.state.value + (killed if shown.state is RunState.INTERRUPTED else "")
    code = shown.ended.exit_code
    meaning = {int(one): text for one, text in EXIT_CODES}.get(code, "")
    why = f", {meaning}" if code and meaning else ""
    return f"{shown.state.value} (exit code {code}{why})"


def _chain(shown: Shown) -> Iterator[tuple[str, str]]:
    """Write the runs that go on with each other, when there are others."""
    if len(shown.family) < 2:
        return
    key = "chain"
    for row in shown.family:
        mine = " (this one)" if row.run_id == shown.record.run_id else ""
        how = f", {continues_word(row.continues)} {row.previous}" if row.previous else ""
        yield key, f"{row.run_id}{mine}: {row.state.value}{how}"
        key = ""


def _which(event: UnitEnded | UnitRetried, names: Names) -> str:
    """Write which unit it is."""
    label = visible(who(event.unit)[: _ITEM_COLUMNS + 1])
    item = f"  {shorten(label, _ITEM_COLUMNS)}" if label else ""
    return f"{names(event.unit.task_id)}{item}"


def _attempt(event: UnitEnded | UnitRetried, palette: Palette) -> Iterator[str]:
    """Write one attempt."""
    report = event.report
    ignored = ", ignored" if isinstance(event, UnitEnded) and event.ignored else ""
    yield f"  attempt {report.attempt}: {_ending(report.outcome, palette)}{ignored}\n"
    if report.started_at:
        who = f", {visible(report.worker)}" if report.worker else ""
        yield f"    {local_time(report.started_at)}, took {duration(report.duration_s)}{who}\n"
    yield from (f"    error: {visible(sentence)}\n" for sentence in report.errors)
    yield from (f"    warning: {visible(sentence)}\n" for sentence in report.warnings)
    if report.diff:
        yield diff_text(event.unit, "", report.diff, palette)
    yield from _streams(report.output)
    if isinstance(event, UnitRetried):
        yield f"    another attempt after {duration(event.delay_s)}\n"


def _ending(outcome: Outcome, palette: Palette) -> str:
    words = kind_words(outcome.kind)
    if isinstance(outcome, Ok) and outcome.changed:
        words += ", changed"
    if isinstance(outcome, Ok) and outcome.exit_status:
        words += f", exit status {outcome.exit_status}"
    paint = palette.green if outcome.kind in _GOOD else palette.red
    why = reason(outcome)
    return paint(words) + (f": {visible(why)}" if why else "")


def _streams(output: Output) -> Iterator[str]:
    for name, captured in (("stdout", output.stdout), ("stderr", output.stderr)):
        if captured:
            yield f"    {name}:\n"
            yield from (f"      | {line}\n" for line in stream_lines(captured))
