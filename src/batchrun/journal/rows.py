"""Attempts as rows of the record, and back: nothing of an outcome is lost on the way."""

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from batchrun.journal.schema import KIND_NUMBERS
from batchrun.model.event import Event, Kept, UnitEnded, UnitRetried
from batchrun.model.outcome import (
    NO_STREAM,
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Output,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import Unit, command_text

__all__ = [
    "attempt_row",
    "event_of",
    "kept_of",
    "kept_row",
    "outcome_of",
    "output_rows",
    "raw_text",
    "read_text",
]

_CLASSES: Mapping[str, type[Any]] = {
    one.kind: one for one in (Ok, Failed, TimedOut, Unreachable, Lost, Cancelled, Aborted, Skipped)
}
_KINDS = {number: kind for kind, number in KIND_NUMBERS.items()}
#: They have columns of their own.
_COLUMNS = frozenset({"changed", "exit_status"})
_STREAMS = ("stdout", "stderr")
_dump = json.JSONEncoder(separators=(",", ":")).encode


def raw_text(text: str) -> str | bytes:
    r"""Return a text as SQLite takes it: names that are not UTF-8 as bytes.

    >>> raw_text("a"), raw_text("a\udcff")
    ('a', b'a\xff')
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(text)
        except UnicodeEncodeError:  # a lone surrogate that stands for no byte
            return text.encode("utf-8", "surrogatepass")
    return text


def read_text(value: str | bytes | None) -> str:
    """Return a text as it was before `raw_text`."""
    if isinstance(value, bytes):
        return os.fsdecode(value)
    return value or ""


def attempt_row(seq: int, event: UnitEnded | UnitRetried, task: int) -> tuple[Any, ...]:
    """Write an attempt, in the order of `ATTEMPT_COLUMNS`.

    Args:
        seq: Its place in the order of ending.
        event: How it ended.
        task: The position of its task.
    """
    unit, report = event.unit, event.report
    outcome = report.outcome
    is_final = type(event) is UnitEnded
    return (
        seq,
        report.number,
        task,
        unit.index,
        raw_text(unit.label),
        unit.operation,
        unit.identity or None,
        raw_text(command_text(unit)),
        report.attempt,
        is_final,
        KIND_NUMBERS[outcome.kind],
        outcome.changed if type(outcome) is Ok else False,
        event.ignored if isinstance(event, UnitEnded) else False,
        outcome.exit_status if isinstance(outcome, Ok | Failed) else None,
        report.started_at or None,
        report.duration_s,
        event.delay_s if isinstance(event, UnitRetried) else None,
        raw_text(report.worker) or None,
        report.bytes_done,
        _detail(report),
        raw_text(unit.host) or None,
    )


def _detail(report: Report) -> str | None:
    """Write what has no column of its own; most units have nothing of that kind."""
    outcome = report.outcome
    if type(outcome) is Ok and not (
        outcome.note or outcome.found_nothing or report.warnings or report.errors or report.diff
    ):
        return None
    detail: dict[str, Any] = {}
    for name, default in _own_fields(outcome.kind):
        value = getattr(outcome, name)
        if value != default:
            detail[name] = value
    if report.warnings:
        detail["warnings"] = report.warnings
    if report.errors:
        detail["errors"] = report.errors
    if report.diff:
        detail["diff"] = report.diff
    return _dump(detail) if detail else None


@cache
def _own_fields(kind: str) -> tuple[tuple[str, Any], ...]:
    """Name the fields of an outcome that have no column, with their defaults."""
    own = (one for one in fields(_CLASSES[kind]) if one.name not in _COLUMNS)
    return tuple((one.name, one.default) for one in own)


def output_rows(seq: int, output: Output) -> list[tuple[Any, ...]]:
    """Write what an attempt has written, in the order of `OUTPUT_COLUMNS`."""
    rows = []
    for number, stream in enumerate((output.stdout, output.stderr)):
        if stream:
            rows.append((seq, number, stream.head, stream.tail, stream.omitted_bytes))
    return rows


def kept_row(seq: int, kept: Kept) -> tuple[Any, ...]:
    """Write what a unit has registered, in the order of `KEPT_COLUMNS`.

    Args:
        seq: The place of its last attempt in the order of ending.
        kept: What it is.
    """
    outcome = kept.outcome
    values = {one.name: getattr(outcome, one.name) for one in fields(outcome)}
    text = _dump({"kind": outcome.kind, **values})
    return (seq, kept.name, kept.hidden, text, b"" if kept.hidden else kept.data)


def kept_of(name: str, outcome: str, data: bytes) -> Kept:
    """Read what a unit has registered."""
    values = json.loads(outcome)
    kind = values.pop("kind")
    return Kept(name=name, outcome=_CLASSES[kind](**values), data=data)


def outcome_of(row: Mapping[str, Any], detail: Mapping[str, Any]) -> Outcome:
    """Read an outcome."""
    kind = _CLASSES[_KINDS[row["kind"]]]
    values = {name: detail[name] for name, _ in _own_fields(kind.kind) if name in detail}
    if kind is Ok:
        values["changed"] = bool(row["changed"])
    if kind in (Ok, Failed):
        values["exit_status"] = row["exit_status"]
    outcome: Outcome = kind(**values)
    return outcome


def event_of(row: Mapping[str, Any], task_id: str, output: Mapping[int, Captured]) -> Event:
    """Read an attempt back as the event that it was.

    The unit has no parameters but the text of its command (`command_text`).
    """
    detail = json.loads(row["detail"]) if row["detail"] else {}
    unit = Unit(
        task_id=task_id,
        index=row["position"],
        label=read_text(row["label"]),
        operation=row["operation"],
        host=read_text(row["host"]),
        identity=row["identity"] or b"",
        params={"command": read_text(row["command"])},
    )
    report = Report(
        number=row["number"],
        attempt=row["attempt"],
        outcome=outcome_of(row, detail),
        started_at=row["started_at"] or 0.0,
        duration_s=row["duration_s"],
        output=Output(stdout=output.get(0, NO_STREAM), stderr=output.get(1, NO_STREAM)),
        warnings=tuple(detail.get("warnings", ())),
        errors=tuple(detail.get("errors", ())),
        bytes_done=row["bytes_done"],
        diff=detail.get("diff", ""),
        worker=read_text(row["worker"]),
    )
    if row["is_final"]:
        return UnitEnded(unit=unit, report=report, ignored=bool(row["ignored"]))
    return UnitRetried(unit=unit, report=report, delay_s=row["delay_s"] or 0.0)
