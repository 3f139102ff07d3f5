"""JSON Schemas of what `--output json` and `--output ndjson` write; `make docs` writes them out.

They say what is there, not that nothing else is: later versions of batchrun may add members. What
is taken away or changes its meaning gets a new `version`.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from batchrun.model.counts import Tally
from batchrun.model.outcome import KINDS
from batchrun.report.records import VERSION

__all__ = ["document_schema", "event_schema"]

Schema: TypeAlias = dict[str, Any]

#: How the names of members end that are there only when they say something.
_AT_TIMES = ("_base64", "_omitted_bytes", "_head_bytes", "diff", "errors", "traceback")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string"}
_TRUTH: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_COUNTED: Schema = {"type": "integer", "minimum": 1}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}


def _said(description: str, schema: Schema) -> Schema:
    return {**schema, "description": description}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(properties: Mapping[str, Schema]) -> Schema:
    """Describe an object; all its members are always there, but for a few."""
    required = [name for name in properties if not name.endswith(_AT_TIMES)]
    return {"type": "object", "properties": dict(properties), "required": required}


_CONTINUED = _said("The run that it resumes, or repeats a part of; empty: none.", _TEXT)
_DONE_BEFORE = _said("Units that are not planned, as an earlier run has settled them.", _NUMBER)
_OUTCOMES: Mapping[str, Mapping[str, Schema]] = {
    "ok": {
        "changed": _said("In a dry run: it would change something.", _TRUTH),
        "note": _said("Mostly empty.", _TEXT),
    },
    "failed": {
        "message": _TEXT,
        "signal": _said("The signal that ended a command.", _or_null(_COUNTED)),
        "errno": _said("The system error of a file operation.", _or_null(_NUMBER)),
        "retryable": _said("Trying again may help.", _TRUTH),
        "traceback": _said("Of a defect, with --debug only.", _TEXT),
    },
    "timed_out": {
        "limit_s": _said("The limit that was passed.", _or_null(_SECONDS)),
        "stuck": _said("It could not be killed, and was left behind.", _TRUTH),
        "idle": _said("The limit was for silence.", _TRUTH),
        "note": _said("Mostly empty.", _TEXT),
    },
    "unreachable": {"message": _TEXT},
    "lost": {"message": _TEXT},
    "cancelled": {"was_running": _said("False: it had not started.", _TRUTH)},
    "aborted": {"because": _TEXT},
    "skipped": {"because": _TEXT},
}


def _definitions() -> Schema:
    outcomes = [_object({"kind": {"const": kind}, **_OUTCOMES[kind]}) for kind in KINDS]
    counts = dict.fromkeys(Tally().as_dict(), _NUMBER)
    return {"outcome": {"oneOf": outcomes}, "counts": _object(counts)}


_OUTCOME: Schema = {"$ref": "#/$defs/outcome"}
_COUNTS: Schema = {"$ref": "#/$defs/counts"}
_TASK: Mapping[str, Schema] = {"id": _TEXT, "name": _TEXT}

#: Which unit is meant.
_UNIT: Mapping[str, Schema] = {
    "number": _said("Its number within the run, in the order of planning.", _COUNTED),
    "task": _said("The id of its task.", _TEXT),
    "index": _said("Its number within its task.", _COUNTED),
    "host": _said("The host that it is for; empty: none.", _TEXT),
    "item": _said("Empty for a task without `foreach`.", _TEXT),
    "item_base64": _said("Its bytes; only when they are not UTF-8.", _BASE64),
    "operation": _TEXT,
}


def _stream(name: str) -> Mapping[str, Schema]:
    about = f"Beginning and end of what it wrote to {name}; bytes that are not UTF-8 are U+FFFD."
    return {
        name: _said(about, _TEXT),
        f"{name}_base64": _said("The same bytes; only when they are not UTF-8.", _BASE64),
        f"{name}_omitted_bytes": _said("Bytes between beginning and end, if any.", _COUNTED),
        f"{name}_head_bytes": _said("Bytes of the beginning, if any are omitted.", _NUMBER),
    }


#: How an attempt ended.
_REPORT: Mapping[str, Schema] = {
    "outcome": _OUTCOME,
    "attempts": _said("Attempts so far, this one included; 0: it was never begun.", _NUMBER),
    "started_at": _said("Null: it never began.", _or_null(_MOMENT)),
    "duration_s": _SECONDS,
    "exit_status": _said("Null: it has none.", _or_null(_NUMBER)),
    **_stream("stdout"),
    **_stream("stderr"),
    "warnings": {"type": "array", "items": _TEXT},
    "errors": _said(
        "What went wrong with each of several files, where the outcome does not hold it all.",
        {"type": "array", "items": _TEXT},
    ),
    "bytes_done": _said("Bytes of file data read or written.", _NUMBER),
    "worker": _said("Who ran it.", _TEXT),
    "diff": _said("What changed in a text file, with --diff.", _TEXT),
}
_ENDED: Mapping[str, Schema] = {
    **_UNIT,
    **_REPORT,
    "ignored": _said("`ignore_errors` applies.", _TRUTH),
}


def document_schema() -> Schema:
    """Return the schema of the document of `--output json`."""
    run = _object(
        {
            "id": _or_null(_TEXT),
            "job": _or_null(_TEXT),
            "dry_run": _or_null(_TRUTH),
            "goes_on_with": _CONTINUED,
            "procs": _or_null(_NUMBER),
            "started_at": _or_null(_MOMENT),
            "ended_at": _said("Null: the run broke.", _or_null(_MOMENT)),
            "duration_s": _or_null(_SECONDS),
            "stopped": _said("Why it ended before its time; empty: it did not.", _TEXT),
        }
    )
    task = _object(
        {
            **_TASK,
            "good": _said("Null: it did not end.", _or_null(_TRUTH)),
            "not_expanded": _said("Why not all of its units were planned.", _TEXT),
            "source_error": _said("Why its items could not be read.", _TEXT),
            "done_before": _DONE_BEFORE,
            "counts": _COUNTS,
        }
    )
    document = _object(
        {
            "version": {"const": VERSION},
            "run": run,
            "tasks": {"type": "array", "items": task},
            "units": {"type": "array", "items": _object(_ENDED)},
            "counts": _COUNTS,
            "exit_code": _said("Null: the run broke.", _or_null(_NUMBER)),
        }
    )
    title = "What `batchrun --output json` writes"
    return {"$schema": _DIALECT, "title": title, **document, "$defs": _definitions()}


def event_schema() -> Schema:
    """Return the schema of one line of `--output ndjson`."""
    events = [_object({"type": {"const": kind}, **members}) for kind, members in _EVENTS.items()]
    title = "One line of what `batchrun --output ndjson` writes"
    return {"$schema": _DIALECT, "title": title, "oneOf": events, "$defs": _definitions()}


_EVENTS: Mapping[str, Mapping[str, Schema]] = {
    "run_started": {
        "version": {"const": VERSION},
        "run": _TEXT,
        "job": _TEXT,
        "at": _or_null(_MOMENT),
        "procs": _NUMBER,
        "dry_run": _TRUTH,
        "goes_on_with": _CONTINUED,
        "tasks": {"type": "array", "items": _object(_TASK)},
    },
    "task_opened": {
        "task": _TEXT,
        "total": _said("Null: not known beforehand.", _or_null(_NUMBER)),
    },
    "unit_started": {
        **_UNIT,
        "attempt": _COUNTED,
        "at": _or_null(_MOMENT),
        "worker": _TEXT,
    },
    "unit_output": {
        **_UNIT,
        "stream": {"enum": ["stdout", "stderr"]},
        "data": _said("Bytes that are not UTF-8 are U+FFFD.", _TEXT),
        "data_base64": _said("The same bytes; only when they are not UTF-8.", _BASE64),
    },
    "unit_progress": {
        "number": _COUNTED,
        "bytes_done": _NUMBER,
        "files_done": _said("Files and other entries of trees; 0: they are not counted.", _NUMBER),
        "share": _said(
            "How much of the unit that is, from 0 to 1: a guess as long as a tree has not been "
            "seen to its end; null: nothing can be said.",
            _or_null(_SHARE),
        ),
    },
    "unit_staged": {
        "number": _COUNTED,
        "stage": _said("What a unit on a host has come to, in one or two words.", _TEXT),
        "at": _or_null(_MOMENT),
    },
    "unit_retried": {
        **_UNIT,
        **_REPORT,
        "delay_s": _said("Until the next attempt.", _SECONDS),
    },
    "unit_ended": _ENDED,
    "task_ended": {
        "task": _TEXT,
        "good": _said("What needs it may go on.", _TRUTH),
        "not_expanded": _said("Why not all of its units were planned.", _TEXT),
        "source_error": _said("Why its items could not be read.", _TEXT),
        "planned": _NUMBER,
        "done_before": _DONE_BEFORE,
    },
    "note": {
        "task": _said("Empty: the run.", _TEXT),
        "level": {"enum": ["warning", "info"]},
        "message": _TEXT,
    },
    "status_asked": {"at": _or_null(_MOMENT)},
    "run_ended": {
        "run": _TEXT,
        "at": _or_null(_MOMENT),
        "duration_s": _SECONDS,
        "exit_code": _NUMBER,
        "stopped": _said("Why it ended before its time; empty: it did not.", _TEXT),
        "counts": _COUNTS,
    },
}
