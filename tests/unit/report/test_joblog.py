"""The job log: GNU parallel's columns."""

import os
from pathlib import Path

import pytest

from batchrun.model.event import UnitEnded
from batchrun.model.outcome import (
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
from batchrun.model.unit import Unit
from batchrun.report.joblog import JoblogSink
from scripted_run import Script

HEADER = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"


def ended(
    outcome: Outcome, command: object = "true", *, number: int = 1, started_at: float = 1.5e9
) -> UnitEnded:
    unit = Unit(task_id="stage", index=number, operation="run", params={"command": command})
    report = Report(
        number=number,
        attempt=1,
        outcome=outcome,
        started_at=started_at,
        duration_s=1.2345,
        output=Output(stdout=Captured(head=b"12345", omitted_bytes=10), stderr=Captured(head=b"e")),
    )
    return UnitEnded(unit=unit, report=report)


def lines_of(tmp_path: Path, *events: UnitEnded) -> list[bytes]:
    path = tmp_path / "joblog"
    sink = JoblogSink(str(path))
    Script().start(sink)
    for event in events:
        sink.handle(event)
    sink.close()
    first, *rest = path.read_bytes().splitlines(keepends=True)
    assert first == HEADER
    return rest


def test_a_line_has_the_columns_of_parallel(tmp_path: Path) -> None:
    (line,) = lines_of(tmp_path, ended(Ok(changed=True, exit_status=0), "echo hi", number=7))
    assert line == b"7\t:\t1500000000.000\t     1.234\t0\t15\t0\t0\techo hi\n"


@pytest.mark.parametrize(
    ("outcome", "status", "signal"),
    [
        (Ok(changed=True, exit_status=3), 3, 0),
        (Ok(changed=True), 0, 0),
        (Failed(message="exit status 2", exit_status=2), 2, 0),
        (Failed(message="killed by signal 9", signal=9), 0, 9),
        (Failed(message="No space left on device", errno=28), 1, 0),
        (Failed(message="it said so", exit_status=0), 1, 0),
        (TimedOut(limit_s=1.0), -1, 15),
        (Lost(message="worker-1 was killed"), -1, 0),
        (Unreachable(message="connection refused"), 255, 0),
    ],
)
def test_an_ending_is_written_as_parallel_would(
    tmp_path: Path, outcome: Outcome, status: int, signal: int
) -> None:
    (line,) = lines_of(tmp_path, ended(outcome))
    assert line.split(b"\t")[6:8] == [str(status).encode(), str(signal).encode()]


@pytest.mark.parametrize(
    "outcome",
    [
        Skipped(because="when: it is false"),
        Aborted(because="the deadline was reached"),
        Cancelled(was_running=True),
    ],
)
def test_what_was_not_run_to_its_end_has_no_line(tmp_path: Path, outcome: Outcome) -> None:
    assert lines_of(tmp_path, ended(outcome)) == []


def test_what_failed_before_it_could_begin_has_no_line(tmp_path: Path) -> None:
    assert lines_of(tmp_path, ended(Failed(message="no template"), started_at=0.0)) == []


def test_a_newline_in_a_command_is_a_nul_and_a_tab_stays(tmp_path: Path) -> None:
    (line,) = lines_of(tmp_path, ended(Ok(changed=True), "echo 'a\tb'\necho \\c"))
    assert line.endswith(b"\techo 'a\tb'\0echo \\c\n")


def test_a_command_that_is_not_utf8_is_written_byte_for_byte(tmp_path: Path) -> None:
    (line,) = lines_of(tmp_path, ended(Ok(changed=True), ("cat", os.fsdecode(b"caf\xe9"))))
    assert line.endswith(b"\tcat 'caf\xe9'\n")


def test_a_line_is_there_as_soon_as_its_unit_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "joblog"
    sink = JoblogSink(str(path))
    Script().start(sink)
    assert path.read_bytes() == HEADER
    sink.handle(ended(Ok(changed=True), "first"))
    assert path.read_bytes().endswith(b"\tfirst\n")
    sink.close()


def test_a_job_log_that_was_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "joblog").write_bytes(b"old\n" * 100)
    assert lines_of(tmp_path) == []


def test_a_dry_run_leaves_the_job_log_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "joblog"
    path.write_bytes(b"of the last run\n")
    sink = JoblogSink(str(path))
    script = Script()
    script.start(sink, dry_run=True)
    script.end(sink, Ok(changed=True), "a")
    script.finish(sink)
    sink.close()
    assert path.read_bytes() == b"of the last run\n"
