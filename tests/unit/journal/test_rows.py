"""What is written of an attempt, and read back; whole runs are tested in `contract/test_sinks`."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from any_events import hostile, hostile_bytes, outcomes, reports
from batchrun.journal.database import Schema
from batchrun.journal.rows import (
    attempt_row,
    event_of,
    kept_of,
    kept_row,
    output_rows,
    raw_text,
    read_text,
)
from batchrun.journal.schema import (
    ATTEMPT_COLUMNS,
    KEPT_COLUMNS,
    KIND_NUMBERS,
    OUTPUT_COLUMNS,
    RECORD,
)
from batchrun.journal.writer import insert
from batchrun.model.event import Event, Kept, UnitEnded, UnitRetried
from batchrun.model.outcome import NO_OUTPUT, NO_STREAM, Captured, Failed, Ok, Output, Report
from batchrun.model.unit import Unit

UNIT = Unit(
    task_id="copy", index=7, label="x", operation="run", params={"command": "do x"},
    identity=b"0123456789abcdef", host="web07",
)  # fmt: skip
REPORT = Report(number=7, attempt=1, outcome=Ok(changed=True), started_at=5.0, duration_s=1.0)


def database(schema: Schema = RECORD) -> "closing[sqlite3.Connection]":
    connection = sqlite3.connect(":memory:")
    for step in schema.steps:
        connection.executescript(step)
    connection.row_factory = sqlite3.Row
    return closing(connection)


def back(event: UnitEnded | UnitRetried) -> Event:
    """Write an attempt into a database, and read it."""
    with database() as connection:
        insert(connection, "attempts", ATTEMPT_COLUMNS, [attempt_row(1, event, task=0)])
        insert(connection, "outputs", OUTPUT_COLUMNS, output_rows(1, event.report.output))
        row = connection.execute("SELECT * FROM attempts").fetchone()
        streams = {
            one["stream"]: Captured(
                head=one["head"], tail=one["tail"], omitted_bytes=one["omitted_bytes"]
            )
            for one in connection.execute("SELECT * FROM outputs")
        }
        return event_of(row, "copy", streams)


@given(report=reports(7, 2), ignored=st.booleans())
def test_nothing_of_an_attempt_is_lost(report: Report, ignored: bool) -> None:
    output = report.output
    report = replace(
        report,
        worker="worker-1",
        output=Output(stdout=output.stdout or NO_STREAM, stderr=output.stderr or NO_STREAM),
    )
    ended = UnitEnded(unit=UNIT, report=report, ignored=ignored)
    retried = UnitRetried(unit=UNIT, report=report, delay_s=0.5)
    assert back(ended) == ended
    assert back(retried) == retried


def test_an_attempt_that_never_began_and_a_unit_without_identity_stay_so() -> None:
    event = UnitEnded(
        unit=replace(UNIT, identity=b""),
        report=replace(REPORT, started_at=0.0, outcome=Failed(message="no")),
    )
    assert back(event) == event


def test_a_stream_of_which_nothing_was_kept_is_no_row() -> None:
    assert output_rows(1, NO_OUTPUT) == []
    assert [row[:2] for row in output_rows(1, Output(stderr=Captured(head=b"x")))] == [(1, 1)]


def test_units_that_ended_as_most_do_cost_no_detail() -> None:
    row = dict(
        zip(ATTEMPT_COLUMNS, attempt_row(1, UnitEnded(unit=UNIT, report=REPORT), 0), strict=True)
    )
    assert row["detail"] is None
    assert row["command"] == "do x"


# ---- text -----------------------------------------------------------------------------------


@given(text=hostile)
def test_any_text_can_be_written_and_is_what_it_was(text: str) -> None:
    with database() as connection:
        connection.execute("CREATE TABLE texts(text)")
        connection.execute("INSERT INTO texts VALUES (?)", (raw_text(text),))
        (found,) = connection.execute("SELECT text FROM texts").fetchone()
    assert read_text(found) == (text if is_of_bytes(text) else beyond_bytes(text))


def is_of_bytes(text: str) -> bool:
    """Say whether a text could be the name of a file."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def beyond_bytes(text: str) -> str:
    """Return what becomes of half a character that stands for no byte: the bytes it would be."""
    return os.fsdecode(text.encode("utf-8", "surrogatepass"))


@given(raw=st.binary(max_size=20))
def test_a_name_of_any_bytes_is_on_record_as_these_bytes(raw: bytes) -> None:
    written = raw_text(os.fsdecode(raw))
    assert (written if isinstance(written, bytes) else written.encode()) == raw
    assert read_text(written) == os.fsdecode(raw)


def test_no_text_is_empty_text() -> None:
    assert read_text(None) == ""


# ---- results --------------------------------------------------------------------------------


def kept_back(kept: Kept) -> Kept:
    with database() as connection:
        insert(connection, "results", KEPT_COLUMNS, [kept_row(1, kept)])
        row: Any = connection.execute("SELECT * FROM results").fetchone()
        assert bool(row["hidden"]) == kept.hidden
        return kept_of(row["name"], row["outcome"], row["data"])


@given(outcome=outcomes, data=hostile_bytes)
def test_what_a_unit_has_registered_is_restored_exactly(outcome: Any, data: bytes) -> None:
    kept = Kept(name="version", outcome=outcome, data=data)
    assert kept_back(kept) == kept


def test_what_held_a_secret_is_not_on_record_not_even_without_it() -> None:
    kept = Kept(name="version", outcome=Ok(changed=True), data=b"token=***", hidden=True)
    assert kept_back(kept).data == b""


def test_the_numbers_of_outcomes_are_those_of_records_on_peoples_disks() -> None:
    kinds = ("ok", "failed", "timed_out", "unreachable", "lost", "cancelled", "aborted", "skipped")
    assert {kind: number for number, kind in enumerate(kinds)} == KIND_NUMBERS
