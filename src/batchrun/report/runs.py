"""Many runs: the table that `runs` prints, and each of them as a JSON object."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.model.record import Continues, RunRow, RunState
from batchrun.report.recap import numbers_text
from batchrun.report.records import clean, named, timestamp
from batchrun.report.text import PLAIN, Palette, duration, measure, shorten, visible

__all__ = ["continues_word", "local_time", "run_record", "runs_text"]

_GAP = "  "
#: With less room than that, the result is on a line of its own.
_LEAST_RESULT = 36
_LEAST_JOB = 8
_INDENT = "    "
#: Those that the numbers do not tell.
_TOLD_STATES = frozenset(
    {RunState.RUNNING, RunState.STOPPED, RunState.DEADLINE, RunState.INTERRUPTED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of the table."""

    run: str = "RUN"
    when: str = "WHEN"
    took: str = "TOOK"
    exit_code: str = "EXIT"
    job: str = "JOB"
    result: str = "RESULT"
    state: RunState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Widths:
    """How wide the columns are."""

    run: int
    when: int
    took: int
    exit_code: int
    job: int
    #: None: as long as it is.
    result: int | None = None
    #: The result is on a line of its own.
    is_split: bool = False


def runs_text(
    rows: Sequence[RunRow], *, now: float, columns: int | None = None, palette: Palette = PLAIN
) -> str:
    """Write the table, each line with its newline.

    Args:
        rows: What is shown, in this order.
        now: The time, in seconds since the epoch.
        columns: How wide it may be; None: as wide as it is.
        palette: Colours.
    """
    lines = [_Line(), *(_line(row, now) for row in rows)]
    widths = _widths(lines, columns)
    written = (text for line in lines for text in _written(line, widths, palette))
    return "".join(f"{text.rstrip()}\n" for text in written)


def run_record(row: RunRow) -> dict[str, Any]:
    """Write a run as a JSON object."""
    return {
        "id": clean(row.run_id),
        "job": clean(row.job),
        **named("job_file", row.job_file),
        "state": row.state.value,
        "started_at": timestamp(row.started_at),
        "ended_at": None if row.ended_at is None else timestamp(row.ended_at),
        "duration_s": row.duration_s,
        "exit_code": row.exit_code,
        "stopped": clean(row.stopped),
        "counts": row.counts.as_dict(),
        "previous": clean(row.previous),
        "continues": row.continues,
        "size_bytes": row.size_bytes,
        "problem": clean(row.problem),
    }


def local_time(at: float, *, seconds: bool = True) -> str:
    """Write a moment in the local time of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M", time.localtime(at))


def continues_word(how: Continues) -> str:
    """Say what a run does with the one before it.

    >>> continues_word("resume")
    'resumes'
    """
    return "reruns" if how == "rerun" else "resumes"


def _line(row: RunRow, now: float) -> _Line:
    took_s = row.duration_s
    if took_s is None and row.state is RunState.RUNNING:
        took_s = now - row.started_at
    return _Line(
        run=visible(row.run_id),
        when=local_time(row.started_at, seconds=False),
        took="" if took_s is None else duration(took_s),
        exit_code="-" if row.exit_code is None else str(row.exit_code),
        job=visible(row.job) or "?",
        result=_result(row),
        state=row.state,
    )


def _result(row: RunRow) -> str:
    """Say what a run came to."""
    if row.problem:
        return f"{row.state.value}: {visible(row.problem)}"
    text = numbers_text(row.counts)
    if row.state in _TOLD_STATES:
        text = f"{row.state.value}: {text}"
    if row.state is RunState.RUNNING:
        text += " so far"
    if row.previous:
        text += f"; {continues_word(row.continues)} {visible(row.previous)}"
    return text


def _widths(lines: Sequence[_Line], columns: int | None) -> _Widths:
    """Find out how wide the columns must be, and how wide they can be."""
    run = max(measure(line.run) for line in lines)
    when = max(measure(line.when) for line in lines)
    took = max(measure(line.took) for line in lines)
    exit_code = max(measure(line.exit_code) for line in lines)
    job = max(measure(line.job) for line in lines)
    if columns is None:
        return _Widths(run=run, when=when, took=took, exit_code=exit_code, job=job)
    left = columns - (run + when + took + exit_code + 4 * len(_GAP))
    result = left - min(job, max(left // 3, _LEAST_JOB)) - len(_GAP)
    is_split = result < _LEAST_RESULT
    return _Widths(
        run=run,
        when=when,
        took=took,
        exit_code=exit_code,
        job=min(job, max(left if is_split else left // 3, _LEAST_JOB)),
        result=max(columns - len(_INDENT), 1) if is_split else result,
        is_split=is_split,
    )


def _written(line: _Line, widths: _Widths, palette: Palette) -> Iterator[str]:
    """Write a line, or two where there is not room enough."""
    cells = (
        _padded(line.run, widths.run),
        _padded(line.when, widths.when),
        _padded(line.took, widths.took, is_number=True),
        _painted(line, _padded(line.exit_code, widths.exit_code, is_number=True), palette),
        _padded(shorten(line.job, widths.job), widths.job),
    )
    result = line.result if widths.result is None else shorten(line.result, widths.result)
    if not widths.is_split:
        yield _GAP.join((*cells, result))
        return
    yield _GAP.join(cells)
    if line.state is not None:
        yield _INDENT + result


def _padded(text: str, width: int, *, is_number: bool = False) -> str:
    padding = " " * (width - measure(text))
    return padding + text if is_number else text + padding


def _painted(line: _Line, cell: str, palette: Palette) -> str:
    """Paint the exit code by how the run stands."""
    match line.state:
        case None:
            return cell
        case RunState.OK:
            return palette.green(cell)
        case RunState.RUNNING:
            return palette.yellow(cell)
        case _:
            return palette.red(cell)
