"""Looking back: 1 000 runs and 2 000 000 units in the state directory, half of them in one run."""

import time
from collections.abc import Iterator
from pathlib import Path

from common import BATCHRUN, Row, machine, measure, peak_mb, print_rows, workspace

from batchrun.journal.places import StateDir
from batchrun.journal.sink import JournalSink
from batchrun.model.event import Event, RunEnded, RunStarted, TaskEnded, TaskOpened, UnitEnded
from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Output, Report
from batchrun.model.record import RunRecord
from batchrun.model.unit import Unit

RUNS = 1_000
SMALL = 1_000
BIG = 1_000_000
#: One unit of so many fails.
FAILING = 500


def rows(rounds: int = 5) -> list[Row]:
    """Make the state directory by the journal itself, then measure whole commands."""
    with workspace() as cwd:
        now = time.time()
        state = StateDir(Path(cwd))
        for number in range(RUNS - 1):
            _record(state, now - 3600.0 * (RUNS - number), SMALL)
        _record(state, now, BIG)
        commands = {
            "`runs`": ["runs", "--last", "20"],
            "`runs --all --json`": ["runs", "--all", "--json"],
            "`show` of the run with 1 000 000 units, 2 000 of them failed": ["show"],
            "`show --unit ITEM` of it, which reads them all": ["show", "--unit", f"{BIG - 2:07d}"],
        }
        times = measure([[*BATCHRUN, *words] for words in commands.values()], cwd, rounds=rounds)
        took_s, memory_mb = peak_mb([*BATCHRUN, "show", "--json"], cwd)
    found = [
        Row(
            work=f"{work}; 1 000 runs and 2 000 000 units on record",
            ours=f"{took * 1000:.0f} ms",
            peer="",
            ratio="",
            bar="" if "--unit" in work else "< 500 ms",
            met=None if "--unit" in work else took < 0.5,
        )
        for work, took in zip(commands, times, strict=True)
    ]
    return [
        *found,
        Row(
            work=f"`show --json` of 1 000 000 units, {took_s:.0f} s: peak memory",
            ours=f"{memory_mb:.0f} MB",
            peer="",
            ratio=f"{BIG / took_s:,.0f}/s",
            bar="< 200 MB",
            met=memory_mb < 200,
        ),
    ]


def _record(state: StateDir, at: float, units: int) -> None:
    """Record a run as it is recorded while it runs."""
    run_id = time.strftime("%Y%m%d-%H%M%S-0000", time.gmtime(at))
    record = RunRecord(
        run_id=run_id, job_name="nightly", job_file="/etc/nightly.yml", started_at=at, now=at
    )
    sink = JournalSink(state, record)
    for event in _events(run_id, at, units):
        sink.handle(event)
    sink.close()


def _events(run_id: str, at: float, units: int) -> Iterator[Event]:
    tasks = (("stage", "stage the exports"),)
    yield RunStarted(run_id=run_id, job_name="nightly", at=at, procs=2, tasks=tasks)
    yield TaskOpened(task_id="stage", total=units)
    for number in range(1, units + 1):
        yield _ended(number, at)
    yield TaskEnded(task_id="stage", good=False, planned=units)
    yield RunEnded(run_id=run_id, at=at + units / 1000, duration_s=units / 1000, exit_code=2)


def _ended(number: int, at: float) -> UnitEnded:
    label = f"/data/exports/file-{number:07d}"
    outcome: Outcome = Ok(changed=True)
    output = Output()
    if number % FAILING == 0:
        outcome = Failed(message=f"{label}: exit status 1", exit_status=1)
        output = Output(stderr=Captured(head=f"cannot read {label}\n".encode()))
    report = Report(
        number=number,
        attempt=1,
        outcome=outcome,
        started_at=at + number / 1000,
        duration_s=0.001 + number % 977 / 1000,
        output=output,
        worker="worker-1",
    )
    unit = Unit(
        task_id="stage",
        index=number,
        label=label,
        operation="copy",
        params={"src": (label,), "dest": "/srv/stage/"},
        identity=number.to_bytes(16, "big"),
    )
    return UnitEnded(unit=unit, report=report)


if __name__ == "__main__":
    print(machine())
    print_rows(rows())
