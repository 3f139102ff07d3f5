"""Events as JSON objects, version 1: the shapes that `json` and `ndjson` share."""

import base64
import json
import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, assert_never

from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    StatusAsked,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitOutput,
    UnitProgress,
    UnitRetried,
    UnitStaged,
    UnitStarted,
)
from batchrun.model.outcome import (
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import Unit

__all__ = ["VERSION", "clean", "dump", "event_record", "named", "timestamp", "unit_record"]

VERSION = 1

#: ASCII only, on one line: valid in every encoding of standard output, harmless on a terminal.
dump = json.JSONEncoder(separators=(",", ":")).encode

_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Replace what is not valid Unicode by U+FFFD; many JSON readers refuse lone surrogates."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def named(name: str, text: str) -> dict[str, str]:
    """Write a text that may hold any bytes; what is not valid Unicode also whole, as Base64."""
    shown = clean(text)
    if shown == text:
        return {name: text}
    return {name: shown, f"{name}_base64": base64.b64encode(_raw(text)).decode("ascii")}


def timestamp(at: float) -> str | None:
    """Write a moment as RFC 3339 in UTC; None for one that never was (0.0).

    >>> timestamp(1795317300.25)
    '2026-11-22T03:15:00.250Z'
    """
    if not at:
        return None
    second = math.floor(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    """Write a whole second; cached because thousands of events share one."""
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def unit_record(event: UnitEnded) -> dict[str, Any]:
    """Write the end of a unit."""
    record = _unit(event.report.number, event.unit)
    record.update(_report(event.report))
    record["ignored"] = event.ignored
    return record


def event_record(event: Event) -> dict[str, Any]:
    """Write an event, with its `type`."""
    match event:
        case UnitEnded():
            return {"type": "unit_ended", **unit_record(event)}
        case UnitStarted() | UnitOutput() | UnitProgress() | UnitStaged() | UnitRetried():
            return _while_running(event)
        case TaskOpened() | TaskEnded() | Note():
            return _of_task(event)
        case RunStarted():
            return _run_started(event)
        case RunEnded():
            return _run_ended(event)
        case StatusAsked(at=at):
            return {"type": "status_asked", "at": timestamp(at)}
        case _:
            assert_never(event)


def _while_running(
    event: UnitStarted | UnitOutput | UnitProgress | UnitStaged | UnitRetried,
) -> dict[str, Any]:
    """Write what happens to a unit before its end."""
    match event:
        case UnitStarted(number=number, unit=unit, attempt=attempt, at=at, worker=worker):
            record = {"type": "unit_started", **_unit(number, unit), "attempt": attempt}
            return {**record, "at": timestamp(at), "worker": worker}
        case UnitOutput(number=number, unit=unit, stream=stream, data=data):
            record = {"type": "unit_output", **_unit(number, unit), "stream": stream}
            return {**record, **_text("data", data)}
        case UnitProgress(number=number, bytes_done=bytes_done, files_done=files_done):
            record = {"type": "unit_progress", "number": number, "bytes_done": bytes_done}
            share = None if event.share is None else round(event.share, 4)
            return {**record, "files_done": files_done, "share": share}
        case UnitStaged(number=number, stage=stage, at=at):
            record = {"type": "unit_staged", "number": number, "stage": clean(stage)}
            return {**record, "at": timestamp(at)}
        case UnitRetried(unit=unit, report=report, delay_s=delay_s):
            record = {"type": "unit_retried", **_unit(report.number, unit), **_report(report)}
            return {**record, "delay_s": delay_s}
        case _:
            assert_never(event)


def _run_started(event: RunStarted) -> dict[str, Any]:
    """Write the first event."""
    return {
        "type": "run_started",
        "version": VERSION,
        "run": clean(event.run_id),
        "job": clean(event.job_name),
        "at": timestamp(event.at),
        "procs": event.procs,
        "dry_run": event.dry_run,
        "goes_on_with": clean(event.goes_on_with),
        "tasks": [{"id": clean(task_id), "name": clean(name)} for task_id, name in event.tasks],
    }


def _run_ended(event: RunEnded) -> dict[str, Any]:
    """Write the last event."""
    return {
        "type": "run_ended",
        "run": clean(event.run_id),
        "at": timestamp(event.at),
        "duration_s": event.duration_s,
        "exit_code": int(event.exit_code),
        "stopped": clean(event.stopped),
    }


def _of_task(event: TaskOpened | TaskEnded | Note) -> dict[str, Any]:
    """Write what happens to a task; a note's may be empty."""
    task = clean(event.task_id)
    match event:
        case TaskOpened(total=total):
            return {"type": "task_opened", "task": task, "total": total}
        case Note(message=message, level=level):
            return {"type": "note", "task": task, "level": level, "message": clean(message)}
        case TaskEnded():
            return {
                "type": "task_ended",
                "task": task,
                "good": event.good,
                "not_expanded": clean(event.not_expanded),
                "source_error": clean(event.source_error),
                "planned": event.planned,
                "done_before": event.done_before,
            }
        case _:
            assert_never(event)


def _unit(number: int, unit: Unit) -> dict[str, Any]:
    """Write which unit is meant."""
    return {
        "number": number,
        "task": clean(unit.task_id),
        "index": unit.index,
        "host": clean(unit.host),
        **named("item", unit.label),
        "operation": unit.operation,
    }


def _raw(text: str) -> bytes:
    """Return the bytes that a text stands for."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return text.encode("utf-8", "surrogatepass")


def _report(report: Report) -> dict[str, Any]:
    """Write how an attempt ended, and what it left behind."""
    outcome = report.outcome
    record = {
        "outcome": _outcome(outcome),
        "attempts": report.attempt,
        "started_at": timestamp(report.started_at),
        "duration_s": round(report.duration_s, 6),
        "exit_status": outcome.exit_status if isinstance(outcome, Ok | Failed) else None,
        "stdout": "",
        "stderr": "",
        "warnings": [clean(sentence) for sentence in report.warnings],
        "bytes_done": report.bytes_done,
        "worker": report.worker,
    }
    if report.errors:
        record["errors"] = [clean(sentence) for sentence in report.errors]
    if report.diff:
        record["diff"] = clean(report.diff)
    if report.output:
        record.update(_captured("stdout", report.output.stdout))
        record.update(_captured("stderr", report.output.stderr))
    return record


def _outcome(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome: its kind, and the data of that kind."""
    match outcome:
        case Ok(changed=changed, note=note):
            return {"kind": "ok", "changed": changed, "note": clean(note)}
        case Failed():
            return _failed(outcome)
        case TimedOut(limit_s=limit_s, stuck=stuck, idle=idle, note=note):
            limit = limit_s if math.isfinite(limit_s) else None
            more = {"limit_s": limit, "stuck": stuck, "idle": idle, "note": clean(note)}
            return {"kind": "timed_out", **more}
        case Unreachable(message=message) | Lost(message=message):
            return {"kind": outcome.kind, "message": clean(message)}
        case Cancelled(was_running=was_running):
            return {"kind": "cancelled", "was_running": was_running}
        case Aborted(because=because) | Skipped(because=because):
            return {"kind": outcome.kind, "because": clean(because)}
        case _:
            assert_never(outcome)


def _failed(outcome: Failed) -> dict[str, Any]:
    """Write a failure; what does not apply is null."""
    return {
        "kind": "failed",
        "message": clean(outcome.message),
        "signal": outcome.signal,
        "errno": outcome.errno,
        "retryable": outcome.retryable,
        **({"traceback": clean(outcome.traceback)} if outcome.traceback else {}),
    }


def _captured(name: str, captured: Captured) -> dict[str, Any]:
    """Write what was kept of a stream: head and tail, and how much lay between them."""
    if not captured.omitted_bytes:
        return _text(name, captured.head + captured.tail)
    return {
        **_text(name, captured.head + captured.tail),
        f"{name}_omitted_bytes": captured.omitted_bytes,
        f"{name}_head_bytes": len(captured.head),
    }


def _text(name: str, data: bytes) -> dict[str, Any]:
    """Write bytes as text; what is not UTF-8 also whole, as Base64."""
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        exact = base64.b64encode(data).decode("ascii")
        return {name: data.decode("utf-8", "replace"), f"{name}_base64": exact}
