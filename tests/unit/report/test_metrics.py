"""Metrics for Prometheus: what the last run came to."""

import os
import stat
from pathlib import Path

import pytest

from batchrun.model.event import RunEnded, RunStarted
from batchrun.model.outcome import Failed, Ok, Outcome
from batchrun.report.metrics import MetricsSink
from scripted_run import Script

OK = Ok(changed=True)
FAILED = Failed(message="exit status 3", exit_status=3)


def play(path: Path, *outcomes: Outcome, exit_code: int = 0, dry_run: bool = False) -> None:
    sink = MetricsSink(str(path))
    script = Script()
    script.start(sink, dry_run=dry_run)
    for outcome in outcomes:
        script.end(sink, outcome)
    script.finish(sink, exit_code=exit_code)
    sink.close()


def values_of(path: Path) -> dict[str, float]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def named(job: str, run_id: str = "r") -> RunStarted:
    return RunStarted(run_id=run_id, job_name=job, at=1.0, procs=1, tasks=(("t", "t"),))


def test_every_outcome_is_counted_also_those_that_did_not_occur(tmp_path: Path) -> None:
    play(tmp_path / "m.prom", OK, OK, Ok(changed=False), FAILED, exit_code=2)
    values = values_of(tmp_path / "m.prom")
    counts = {name: number for name, number in values.items() if "outcome=" in name}
    assert len(counts) == 8
    assert counts['batchrun_units{job="nightly",outcome="ok"}'] == 3
    assert counts['batchrun_units{job="nightly",outcome="failed"}'] == 1
    assert sum(counts.values()) == values['batchrun_units_planned{job="nightly"}'] == 4
    assert values['batchrun_units_changed{job="nightly"}'] == 2


def test_times_and_exit_code_are_those_of_the_run(tmp_path: Path) -> None:
    play(tmp_path / "m.prom", OK)
    values = values_of(tmp_path / "m.prom")
    assert {name: value for name, value in values.items() if "units" not in name} == {
        'batchrun_attempts_retried{job="nightly"}': 0,
        'batchrun_start_timestamp_seconds{job="nightly"}': 1_795_317_300.0,
        'batchrun_end_timestamp_seconds{job="nightly"}': 1_795_317_341.2,
        'batchrun_duration_seconds{job="nightly"}': 41.2,
        'batchrun_exit_code{job="nightly"}': 0,
        'batchrun_success_timestamp_seconds{job="nightly"}': 1_795_317_341.2,
    }


def test_every_metric_is_explained_and_has_a_type_before_its_first_value(tmp_path: Path) -> None:
    play(tmp_path / "m.prom", OK)
    known: set[str] = set()
    for line in (tmp_path / "m.prom").read_text().splitlines():
        if line.startswith("# HELP "):
            assert line.endswith(".")
        elif line.startswith("# TYPE "):
            known.add(line.split()[2])
        else:
            assert line.partition("{")[0] in known


def test_a_failure_keeps_the_time_of_the_last_success(tmp_path: Path) -> None:
    path, success = tmp_path / "m.prom", 'batchrun_success_timestamp_seconds{job="nightly"}'
    play(path, FAILED, exit_code=2)
    assert success not in values_of(path)
    play(path, OK)
    for _ in range(2):
        play(path, FAILED, exit_code=2)
        assert values_of(path)[success] == 1_795_317_341.2


def test_the_success_of_another_job_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    play(path, OK)
    sink = MetricsSink(str(path))
    sink.handle(named("other"))
    sink.handle(RunEnded(run_id="r", at=2.0, duration_s=1.0, exit_code=2))
    assert "success" not in path.read_text()


@pytest.mark.parametrize("content", [b"\xff\0 no metrics\n", b"", b"x" * 1_000_000])
def test_a_file_of_somebody_else_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.prom"
    path.write_bytes(content)
    play(path, FAILED, exit_code=2)
    assert values_of(path)['batchrun_exit_code{job="nightly"}'] == 2


def test_the_name_of_the_job_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    for code in (0, 2):
        sink = MetricsSink(str(path))
        sink.handle(named('a "b"\\\n' + os.fsdecode(b"\xe9")))
        sink.handle(RunEnded(run_id="r", at=2.0, duration_s=1.0, exit_code=code))
    label = 'job="a \\"b\\"\\\\\\n\ufffd"'
    assert values_of(path)[f"batchrun_exit_code{{{label}}}"] == 2
    assert values_of(path)[f"batchrun_success_timestamp_seconds{{{label}}}"] == 2.0


def test_a_run_that_broke_counts_as_failed_and_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    sink = MetricsSink(str(path))
    sink.handle(named("nightly"))
    sink.close()
    values = values_of(path)
    assert values['batchrun_exit_code{job="nightly"}'] == 1
    assert not [name for name in values if "end_timestamp" in name or "duration" in name]


def test_everybody_may_read_the_file_and_no_other_is_left(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        play(tmp_path / "m.prom", OK)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.prom").stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["m.prom"]


def test_a_dry_run_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "m.prom").write_text("of the last run\n")
    play(tmp_path / "m.prom", OK, dry_run=True)
    assert (tmp_path / "m.prom").read_text() == "of the last run\n"
