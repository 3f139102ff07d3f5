"""The plan that `check` prints: what a job would do, in which order, within which limits."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchrun.report.text import PLAIN, Palette, count, measure, visible

__all__ = ["PlanRow", "plan_text"]

#: With less room than this, words would stand one below the other.
_LEAST_COLUMNS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One task of a plan; every text is one line, empty where there is nothing to say."""

    id: str
    #: For people; not repeated when it is the id.
    name: str
    operation: str
    #: Ids of the tasks that must have ended well before.
    needs: tuple[str, ...] = ()
    #: Where the items come from; empty: exactly one unit.
    source: str = ""
    #: How many units, such as `12` or `unknown until run`.
    units: str = "1"
    #: Paths as they are written in the job file.
    paths: tuple[str, ...] = ()
    #: Conditions and guards, such as `when index > 1`.
    conditions: tuple[str, ...] = ()
    #: One line each: where, what, with what.
    steps: tuple[str, ...] = ()
    #: Limits in force, such as `timeout 10 min, 2 retries`.
    limits: str = ""
    #: One sentence each.
    warnings: tuple[str, ...] = ()
    #: Runs last, in any case.
    is_final: bool = False


def plan_text(
    rows: Sequence[PlanRow],
    *,
    title: str = "",
    columns: int | None = None,
    palette: Palette = PLAIN,
) -> str:
    """Write a plan, each line with its newline; tasks in the order given.

    Args:
        rows: The tasks.
        title: One line about the job as a whole; empty: none.
        columns: Where lines are wrapped; None: nowhere.
        palette: Colours.
    """
    lines = list(_wrapped("", visible(title), columns)) if title else []
    digits = len(str(len(rows)))
    for number, row in enumerate(rows, 1):
        lines += _row(row, f"{number:>{digits}}. ", columns, palette)
    warnings = sum(len(row.warnings) for row in rows)
    ending = f", {count(warnings)} warning{'' if warnings == 1 else 's'}" if warnings else ""
    lines.append(f"{count(len(rows))} task{'' if len(rows) == 1 else 's'}{ending}")
    return "".join(f"{line}\n" for line in lines)


def _row(row: PlanRow, number: str, columns: int | None, palette: Palette) -> Iterator[str]:
    """Write one task: its head, then a line for each thing there is to say."""
    name = f": {visible(row.name)}" if row.name and row.name != row.id else ""
    final = " (finally)" if row.is_final else ""
    yield f"{number}{palette.green(visible(row.id))}{name}  [{visible(row.operation)}]{final}"
    indent = " " * measure(number)
    facts = (
        ("needs", [", ".join(row.needs)]),
        ("units", [_units(row)]),
        ("only", row.conditions),
        ("limits", [row.limits]),
        ("paths", row.paths),
        ("steps", row.steps),
    )
    for word, texts in facts:
        for position, text in enumerate(filter(None, texts)):
            yield from _wrapped(f"{indent}{'' if position else word:<8}", visible(text), columns)
    mark = f"{indent}warning: "
    for warning in row.warnings:
        for line in _wrapped(mark, visible(warning), columns):
            yield line.replace("warning:", palette.yellow("warning:"), 1)


def _wrapped(start: str, text: str, columns: int | None) -> Iterator[str]:
    """Wrap a text between words; its further lines stand below its first."""
    left = (columns or 0) - measure(start)
    if columns is None or left < _LEAST_COLUMNS:
        yield start + text
        return
    lines = textwrap.wrap(text, left, break_long_words=False, break_on_hyphens=False)
    for line in lines or [""]:
        yield start + line
        start = " " * measure(start)


def _units(row: PlanRow) -> str:
    """Write how many units there are, and where they come from."""
    if not row.source:
        return row.units
    return f"{row.units}, from {row.source}" if row.units else f"from {row.source}"
