"""`batchrun runs` and `batchrun runs prune`: which runs are on record, and which stay so."""

import os
import shutil
import sys
import time
from collections.abc import Callable

from batchrun.cli.lookflags import PruneFlags, RunsFlags
from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from batchrun.journal.retention import DEFAULT, Retention, superfluous
from batchrun.model.exitcode import ExitCode
from batchrun.model.record import RunRow
from batchrun.report.lines import Lines
from batchrun.report.machine import joined
from batchrun.report.records import VERSION
from batchrun.report.runs import run_record, runs_text
from batchrun.report.text import PLAIN, Palette, count, size, wants_colour

__all__ = ["list_runs", "open_history", "palette_of_stdout", "prune_runs"]

#: Runs that are listed when nobody says how many.
_SHOWN = 20


def open_history() -> History:
    """Return the runs of whoever runs this process."""
    return History(StateDir.own())


def palette_of_stdout() -> Palette:
    """Return the colours for standard output: none when it is no terminal."""
    return Palette(enabled=True) if wants_colour(sys.stdout, os.environ) else PLAIN


def list_runs(flags: RunsFlags) -> int:
    """List runs; return the exit code.

    Raises:
        JournalError: the state directory cannot be read.
    """
    with open_history() as history:
        found = _chosen(history, flags)
        most = len(found) if flags.every else flags.last or _SHOWN
        shown = [history.checked(row) for row in found[:most]]
        place = history.state.path
    if flags.as_json:
        runs = "".join(joined(map(run_record, shown)))
        Lines(sys.stdout).write(f'{{"version":{VERSION},\n"runs":[\n{runs}\n]}}\n')
        return ExitCode.OK
    if shown:
        _print_table(shown)
    else:
        _say(
            f"no run is recorded in {place}"
            if _asks_for_all(flags)
            else "no run on record is like that"
        )
    if len(shown) < len(found) and flags.last is None:
        _say(f"the newest {len(shown)} of {count(len(found))} runs; --all shows all of them")
    return ExitCode.OK


def prune_runs(flags: PruneFlags) -> int:
    """Throw records away; return the exit code.

    Raises:
        JournalError: the state directory cannot be read, or a record cannot be removed.
    """
    policy = Retention(count=flags.keep, age_s=flags.older_than, size_bytes=flags.max_size)
    if policy == Retention():
        policy = DEFAULT
    with open_history() as history:
        rows, now = history.rows(), time.time()
        gone = superfluous(rows, policy, now)
        freed = sum(row.size_bytes or 0 for row in gone)
        if not flags.dry_run:
            freed = history.remove(row.run_id for row in gone)
            history.sweep(rows, now)
    number = f"{count(len(gone))} run{'' if len(gone) == 1 else 's'}"
    if flags.dry_run:
        _print_table(gone)
        Lines(sys.stdout).write(f"would throw away {number}, {size(freed)}\n")
    elif not flags.quiet:
        Lines(sys.stdout).write(f"threw away {number}, {size(freed)}\n")
    return ExitCode.OK


def _chosen(history: History, flags: RunsFlags) -> list[RunRow]:
    """Return the runs that the flags mean, the newest first."""
    is_meant = _job_test(flags.job)
    since = flags.since or 0.0
    found = [row for row in history.rows() if is_meant(row) and row.started_at >= since]
    if not flags.state:
        return found
    return [row for row in map(history.checked, found) if row.state in flags.state]


def _job_test(job: str | None) -> Callable[[RunRow], bool]:
    """Make the function that knows the runs of a job."""
    if job is None:
        return lambda _: True
    files = {os.path.abspath(job), os.path.realpath(job)}
    return lambda row: row.job == job or row.job_file in files


def _asks_for_all(flags: RunsFlags) -> bool:
    return flags.job is None and flags.since is None and not flags.state


def _print_table(rows: list[RunRow]) -> None:
    if not rows:
        return
    # What is not looked at on a terminal is wanted whole, whatever COLUMNS says.
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    text = runs_text(rows, now=time.time(), columns=columns, palette=palette_of_stdout())
    Lines(sys.stdout).write(text)


def _say(sentence: str) -> None:
    Lines(sys.stderr).attempt(f"batchrun: {sentence}\n")
