"""A run and its tasks as rows of the record, and back."""

import json
import os
from collections.abc import Mapping
from typing import Any

from batchrun.journal.rows import raw_text, read_text
from batchrun.model.event import Note, RunEnded, TaskEnded
from batchrun.model.record import RunRecord

__all__ = ["RUN_COLUMNS", "ended_of", "note_of", "record_of", "run_row", "task_ended_of"]

#: In the order in which `run_row` writes them.
RUN_COLUMNS = (
    "id", "job", "job_file", "base_dir", "text", "variables", "options", "command_line",
    "started_at", "now", "shown_id", "previous", "continues", "host", "user", "pid", "version",
    "python", "boot_id",
)  # fmt: skip


def run_row(record: RunRecord) -> tuple[Any, ...]:
    """Write what is known of a run when it begins, in the order of `RUN_COLUMNS`."""
    return (
        record.run_id,
        raw_text(record.job_name),
        os.fsencode(record.job_file),
        os.fsencode(record.base_dir),
        record.text,
        json.dumps(dict(record.variables)),
        json.dumps(dict(record.options)),
        json.dumps(list(record.command_line)),
        record.started_at,
        record.now,
        record.shown_id,
        record.previous,
        record.continues,
        raw_text(record.host),
        raw_text(record.user),
        record.pid,
        record.version,
        record.python,
        record.boot_id,
    )


def record_of(row: Mapping[str, Any]) -> RunRecord:
    """Read what was known of a run when it began.

    Raises:
        TypeError, ValueError: the row is damaged.
    """
    return RunRecord(
        run_id=row["id"],
        job_name=read_text(row["job"]),
        job_file=os.fsdecode(row["job_file"] or b""),
        base_dir=os.fsdecode(row["base_dir"] or b""),
        text=row["text"] or b"",
        variables=json.loads(row["variables"]),
        options=json.loads(row["options"]),
        command_line=tuple(json.loads(row["command_line"])),
        started_at=row["started_at"],
        now=row["now"],
        shown_id=row["shown_id"],
        previous=row["previous"],
        continues=row["continues"],
        host=read_text(row["host"]),
        user=read_text(row["user"]),
        pid=row["pid"],
        version=row["version"],
        python=row["python"],
        boot_id=row["boot_id"],
    )


def ended_of(row: Mapping[str, Any]) -> RunEnded | None:
    """Read the last event of a run; None: it has not ended."""
    if row["exit_code"] is None:
        return None
    return RunEnded(
        run_id=row["id"],
        at=row["ended_at"],
        duration_s=row["duration_s"],
        exit_code=row["exit_code"],
        stopped=read_text(row["stopped"]),
    )


def task_ended_of(row: Mapping[str, Any]) -> TaskEnded:
    """Read how a task ended."""
    return TaskEnded(
        task_id=read_text(row["id"]),
        good=bool(row["good"]),
        not_expanded=read_text(row["not_expanded"]),
        source_error=read_text(row["source_error"]),
        planned=row["planned"] or 0,
        done_before=row["done_before"],
    )


def note_of(row: Mapping[str, Any]) -> Note:
    """Read what people were told."""
    return Note(
        message=read_text(row["message"]), level=row["level"], task_id=read_text(row["task"])
    )
