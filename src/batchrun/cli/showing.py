"""`batchrun show`: what came of a run, from its record."""

import io
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeAlias

from batchrun.cli.hostsofrecord import meant_hosts
from batchrun.cli.lookflags import ShowFlags
from batchrun.cli.looking import open_history, palette_of_stdout
from batchrun.errors import UsageError
from batchrun.journal.attempts import UnitFilter
from batchrun.journal.history import History
from batchrun.journal.recorded import Recorded
from batchrun.model.event import Event, UnitEnded, UnitRetried
from batchrun.model.exitcode import ExitCode
from batchrun.model.record import RunState
from batchrun.report.lines import Lines
from batchrun.report.machine import Frame, joined, write_document
from batchrun.report.messages import MessageSink
from batchrun.report.raw import write_raw
from batchrun.report.recap import Summary, details_text, recap_text
from batchrun.report.records import clean, event_record, named, unit_record
from batchrun.report.shown import Shown, failed_text, header_text, slowest_text, unit_text
from batchrun.report.text import Palette, count, visible

__all__ = ["show_run"]

#: A word that fits more of them than this means none of them.
_MOST_ATTEMPTS = 1000
#: Numbers with more digits are too big for the record.
_MOST_DIGITS = 19
_MOST_NOTES = 20

#: How an attempt ended, for good or not.
Ending: TypeAlias = UnitEnded | UnitRetried


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meant:
    """Which units are shown."""

    #: Those of `--unit`, by their attempts; None: it was not given.
    places: list[int] | None
    #: Those for these hosts; None: all.
    hosts: tuple[str, ...] | None
    #: Those that did not end ok.
    failed: bool

    @property
    def filter(self) -> UnitFilter:
        """Which of a record they are, but for `places`."""
        return UnitFilter(hosts=self.hosts)


def show_run(flags: ShowFlags) -> int:
    """Show a run as the flags say; return the exit code.

    Raises:
        UsageError: no run or unit is meant, or flags contradict each other.
        JournalError: its record cannot be read.
    """
    _check(flags)
    with open_history() as history:
        run_id = history.find(flags.run)
        with history.open(run_id) as recorded:
            hosts = None if flags.host is None else meant_hosts(recorded, flags.host)
            meant = _Meant(
                places=None if flags.unit is None else _places(recorded, flags.unit, hosts),
                hosts=hosts,
                failed=flags.failed,
            )
            if flags.output:
                write_raw(_ends(recorded, meant), sys.stdout.buffer, sys.stderr.buffer)
            elif flags.as_json:
                _print_document(recorded, meant)
            elif meant.places is not None:
                _print_units(recorded.attempts(meant.places), recorded)
            elif flags.failed:
                _print_failures(recorded, meant)
            elif hosts is not None:
                _print_units(recorded.units(UnitFilter(hosts=hosts)), recorded)
            else:
                _print_run(recorded, history)
    return ExitCode.OK


def _check(flags: ShowFlags) -> None:
    if flags.failed and flags.unit is not None:
        message = "--failed and --unit contradict each other: one unit is meant, or all that failed"
        raise UsageError(message)
    if flags.output and flags.as_json:
        message = "--output and --json contradict each other: in JSON the output is there anyway"
        raise UsageError(message)


def _places(recorded: Recorded, word: str, hosts: tuple[str, ...] | None) -> list[int]:
    """Find the attempts of the units that people mean by a number, an item or a part of one.

    Args:
        recorded: The run.
        word: What people wrote.
        hosts: Only units for these; None: all.

    Raises:
        UsageError: there is none, or there are too many.
    """
    run_id = recorded.run.run_id
    for which in _meanings(word):
        places = recorded.places(replace(which, hosts=hosts), _MOST_ATTEMPTS + 1)
        if len(places) > _MOST_ATTEMPTS:
            message = (
                f"--unit: more than {count(_MOST_ATTEMPTS)} attempts in run {run_id} were at items "
                f"with {word!r} in them; write more of it"
            )
            raise UsageError(message)
        if places:
            return places
    message = (
        f"--unit: no unit of run {run_id} has the number or the item {word!r}; "
        "`--failed` shows those that did not end ok with their numbers"
    )
    raise UsageError(message)


def _meanings(word: str) -> Iterator[UnitFilter]:
    """Say what a word may mean, what is meant most likely first."""
    if word.isascii() and word.isdigit() and len(word) < _MOST_DIGITS:
        yield UnitFilter(number=int(word))
    if word:
        yield UnitFilter(item=word)
        yield UnitFilter(item_part=word)


def _ends(recorded: Recorded, meant: _Meant) -> Iterator[Ending]:
    """Give how units have ended: those that are meant, else all."""
    if meant.places is not None:
        return (attempts[-1] for attempts in _by_unit(recorded.attempts(meant.places)))
    return recorded.unwell(meant.filter) if meant.failed else recorded.units(meant.filter)


def _by_unit(events: Iterator[Event]) -> Iterator[list[Ending]]:
    """Put the attempts of each unit together."""
    endings = (event for event in events if isinstance(event, UnitEnded | UnitRetried))
    for _, attempts in groupby(endings, key=lambda event: event.report.number):
        yield list(attempts)


# ---- as JSON ----------------------------------------------------------------------------------


def _print_document(recorded: Recorded, meant: _Meant) -> None:
    """Write the run as `--output json` does; its units are those that are meant."""
    frame = Frame(
        started=recorded.started,
        ended=recorded.ended,
        counts=recorded.counts,
        tasks={task.task_id: task for task in recorded.tasks()},
        about=_about(recorded),
    )
    if meant.places is None:
        found = recorded.unwell if meant.failed else recorded.units
        records = map(unit_record, found(meant.filter))
    else:
        records = map(_attempts_record, _by_unit(recorded.attempts(meant.places)))
    write_document(Lines(sys.stdout).write, frame, joined(records))


def _about(recorded: Recorded) -> dict[str, Any]:
    """Return what is known of a run beside what its own document says."""
    record = recorded.record
    return {
        "state": recorded.state.value,
        **named("job_file", record.job_file),
        "command_line": [clean(word) for word in record.command_line],
        "previous": record.previous,
        "continues": record.continues,
        "host": record.host,
        "user": record.user,
        "pid": record.pid,
        "batchrun": record.version,
        "python": record.python,
    }


def _attempts_record(attempts: list[Ending]) -> dict[str, Any]:
    """Write a unit as its last attempt, with those before it; it may not have ended."""
    last = attempts[-1]
    record = unit_record(last) if isinstance(last, UnitEnded) else event_record(last)
    record.pop("type", None)
    earlier = [event_record(one) for one in attempts[:-1]]
    return {**record, "is_final": isinstance(last, UnitEnded), "earlier": earlier}


# ---- for people -------------------------------------------------------------------------------


def _print_units(events: Iterator[Event], recorded: Recorded) -> None:
    lines, names = Lines(sys.stdout), _summary_of(recorded).task_name
    for piece in unit_text(events, names, palette_of_stdout()):
        lines.write(piece)


def _print_failures(recorded: Recorded, meant: _Meant) -> None:
    lines, names, palette = Lines(sys.stdout), _summary_of(recorded).task_name, palette_of_stdout()
    nothing = True
    for event in recorded.unwell(meant.filter):
        nothing = False
        lines.write(failed_text(event, names, palette))
    if nothing:
        Lines(sys.stderr).attempt(f"batchrun: no unit of run {recorded.run.run_id} failed\n")


def _print_run(recorded: Recorded, history: History) -> None:
    """Print all that is to say, what is read last at the end, as a run does."""
    summary, palette, lines = _summary_of(recorded), palette_of_stdout(), Lines(sys.stdout)
    for event in recorded.unwell():
        summary.handle(event)
    for task in recorded.tasks():
        summary.handle(task)
    if recorded.ended is not None:
        summary.handle(recorded.ended)
    # Of those that ended well only the numbers are wanted, and known without reading them.
    summary.counts = recorded.counts
    shown = _shown(recorded, history)
    lines.write(header_text(shown, palette) + "\n")
    lines.write(_notes_text(recorded, palette))
    lines.write(details_text(summary, palette=palette))
    lines.write(_rest_text(summary, recorded.run.run_id))
    slowest = slowest_text(recorded.slowest(), summary.task_name, palette)
    lines.write(f"{slowest}\n" if slowest else "")
    lines.write(recap_text(summary, duration_s=shown.duration_s, palette=palette))


def _summary_of(recorded: Recorded) -> Summary:
    """Begin a recap. The output of failures is in it, also of tasks whose output a run prints."""
    summary = Summary()
    summary.handle(replace(recorded.started, printed=()))
    return summary


def _shown(recorded: Recorded, history: History) -> Shown:
    record, ended, state = recorded.record, recorded.ended, recorded.state
    until = time.time() if state is RunState.RUNNING else recorded.last_at
    duration_s = None if until is None else max(until - record.started_at, 0.0)
    return Shown(
        record=record,
        state=state,
        ended=ended,
        duration_s=duration_s if ended is None else ended.duration_s,
        family=history.family_rows(record.run_id),
        size_bytes=recorded.run.size_bytes,
        place=os.fspath(recorded.run.path),
    )


def _notes_text(recorded: Recorded, palette: Palette) -> str:
    """Write what people were told while it ran."""
    notes, text = recorded.notes(), io.StringIO()
    sink = MessageSink(text, palette=palette)
    sink.handle(recorded.started)
    for note in notes[:_MOST_NOTES]:
        sink.handle(note)
    if len(notes) > _MOST_NOTES:
        text.write(f"and {count(len(notes) - _MOST_NOTES)} more messages\n")
    return f"{text.getvalue()}\n" if notes else ""


def _rest_text(summary: Summary, run_id: str) -> str:
    """Say where more of the output is; empty: there is no more."""
    samples = (
        sample
        for failures in (summary.failures, summary.ignored)
        for group in failures.groups()
        for sample in group.samples
    )
    if not any(sample.stdout.is_cut or sample.stderr.is_cut for sample in samples):
        return ""
    return f"all that is kept of it: batchrun show {visible(run_id)} --failed --output\n\n"
