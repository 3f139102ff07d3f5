"""The HTML report: time and size for ten thousand units, and what a million cost."""

import sys
import time
from pathlib import Path

from common import Row, machine, peak_mb, print_rows, workspace

from batchrun.model.event import RunEnded, RunStarted, TaskEnded, UnitEnded
from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Output, Report
from batchrun.model.unit import Unit
from batchrun.report.html import HtmlSink

UNITS = 10_000
MANY = 1_000_000
BEGAN = 1_795_317_300.0


def play(path: Path, units: int) -> None:
    """Write the report of a run on 8 workers, each unit with an output of its own."""
    sink = HtmlSink(path)
    tasks = (("copy", "copy the exports"),)
    sink.handle(RunStarted(run_id="r", job_name="nightly", at=BEGAN, procs=8, tasks=tasks))
    for number in range(1, units + 1):
        item = f"/data/exports/2026/11/22/{number}.csv"
        outcome: Outcome = Ok(changed=True)
        if number % 50 == 0:
            outcome = Failed(message=f"{item}: No space left on device", errno=28)
        report = Report(
            number=number,
            attempt=1,
            outcome=outcome,
            started_at=BEGAN + number // 8 * 0.05,
            duration_s=0.04,
            output=Output(stdout=Captured(head=b"%d bytes in %s\n" % (number, item.encode()))),
            worker=f"worker-{number % 8 + 1}",
        )
        unit = Unit(task_id="copy", index=number, label=item, operation="copy")
        sink.handle(UnitEnded(unit=unit, report=report))
    sink.handle(TaskEnded(task_id="copy", good=False, planned=units))
    took_s = units / 8 * 0.05
    sink.handle(RunEnded(run_id="r", at=BEGAN + took_s, duration_s=took_s, exit_code=2))
    sink.close()


def rows(units: int = UNITS, many: int = MANY) -> list[Row]:
    """Measure both once; the events are made in the time that is measured."""
    with workspace() as cwd:
        path = Path(cwd, "report.html")
        began = time.perf_counter()
        play(path, units)
        took_s = time.perf_counter() - began
        size_mb = path.stat().st_size / 1e6
        many_s, peak = peak_mb([sys.executable, __file__, str(path), str(many)], cwd)
        many_mb = path.stat().st_size / 1e6
    return [
        Row(
            work=f"report of {units} units: time",
            ours=f"{took_s:.2f} s",
            peer="",
            ratio=f"{units / took_s:,.0f}/s",
            bar="< 3 s",
            met=took_s < 3,
        ),
        Row(
            work="the same: size",
            ours=f"{size_mb:.1f} MB",
            peer="",
            ratio="",
            bar="< 5 MB",
            met=size_mb < 5,
        ),
        Row(
            work=f"report of {many} units: time; size {many_mb:.1f} MB, peak memory {peak:.0f} MB",
            ours=f"{many_s:.1f} s",
            peer="",
            ratio=f"{many / many_s:,.0f}/s",
            bar="",
            met=None,
        ),
    ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        play(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        print(machine())
        print_rows(rows())
