"""Workers and whole runs die while a unit runs: half files, guards and slots are seen to."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import pytest

from batchrun.engine.pool.pool import WorkerPool
from batchrun.model.around import Around, OutputFile
from batchrun.model.outcome import Lost, Report
from batchrun.model.ports import RunnerEvent
from batchrun.model.unit import Order, RunSettings, Unit
from support import environ_of, processes_with_environ, wait_until
from unit_runs import Units, in_workers, units

pytestmark = pytest.mark.timeout(120)


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def start(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that runs units, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def kill_worker_of(bench: Units, number: int) -> None:
    """Kill the worker that has started a unit's command."""
    carriers = processes_with_environ(bench.cookie(number))
    leader = next(pid for pid in carriers if os.getpgid(pid) == pid)
    os.kill(parent_of(leader), signal.SIGKILL)


def test_a_worker_that_is_killed_leaves_no_half_output_under_any_name(tmp_path: Path) -> None:
    output = OutputFile(path=f"{tmp_path}/out/a.gz", temporary=f"{tmp_path}/out/.br-a.gz")
    with units(tmp_path, in_workers) as bench:
        code = "echo half > out/.br-a.gz; : > begun; sleep 1000; echo more >> out/.br-a.gz"
        number = bench.submit("run", command=code, around=Around(output=output))
        wait_until((tmp_path / "begun").exists, 30, "half of it is written")
        assert os.listdir(tmp_path / "out") == [".br-a.gz"]
        kill_worker_of(bench, number)
        assert isinstance(bench.report().outcome, Lost)
        assert os.listdir(tmp_path / "out") == []


IN_WORKERS = """
from pathlib import Path
from batchrun.model.around import Around, OutputFile
from unit_runs import in_workers, units
here = Path.cwd()
output = OutputFile(path=str(here / "out" / "a"), temporary=str(here / "out" / ".br-a"))
with units(here, in_workers) as bench:
    code = "echo half > out/.br-a; echo $BATCHRUN_UNIT > begun.new; mv begun.new begun; sleep 1000"
    bench.run("run", command=code, around=Around(output=output))
"""


def test_a_run_that_is_killed_leaves_no_half_output_under_any_name(tmp_path: Path) -> None:
    run = start(tmp_path, IN_WORKERS)
    wait_until((tmp_path / "begun").exists, 30, "half of it is written")
    mark = "BATCHRUN_UNIT=" + (tmp_path / "begun").read_text().strip()
    run.kill()
    run.wait()
    wait_until(lambda: os.listdir(tmp_path / "out") == [], 30, "its worker has tidied up")
    wait_until(lambda: not processes_with_environ(mark), 30, "the command has ended")


def test_a_guard_does_not_outlive_its_worker(tmp_path: Path) -> None:
    with units(tmp_path, in_workers) as bench:
        guard = "trap '' TERM; (setsid sleep 1000 &); : > asked; while :; do sleep 1; done"
        number = bench.submit("run", command="true", around=Around(onlyif=guard))
        wait_until((tmp_path / "asked").exists, 30, "the guard runs")
        kill_worker_of(bench, number)
        assert isinstance(bench.report().outcome, Lost)
        assert processes_with_environ(bench.cookie(number)) == []


def test_no_two_commands_ever_share_a_slot_whoever_dies(tmp_path: Path) -> None:
    # Each command holds the directory of its slot; TERM is ignored, so that what a dead worker
    # has left takes the whole grace to end while others would like its place.
    code = """
trap '' TERM
mkdir slot$BATCHRUN_SLOT || { : > shared; exit 1; }
trap 'rmdir slot$BATCHRUN_SLOT' EXIT
sleep 0.05
[ "$BATCHRUN_ITEM" != doomed ] || { kill -9 $PPID; sleep 0.5; }
"""
    settings = RunSettings(run_id=f"slots{os.getpid()}", base_dir=str(tmp_path), kill_grace_s=1.0)
    events: SimpleQueue[RunnerEvent] = SimpleQueue()
    pool = WorkerPool(4, settings=settings, events=events)
    for number in range(1, 61):
        unit = Unit(
            task_id="t",
            index=number,
            label="doomed" if number % 6 == 0 else "",
            operation="run",
            params={"command": code},
        )
        pool.submit(Order(number=number, attempt=1, unit=unit))
    endings: list[Report] = []
    while len(endings) < 60:
        event = events.get(timeout=60)
        if isinstance(event, Report):
            endings.append(event)
    pool.kill()
    kinds = [report.outcome.kind for report in endings]
    assert (kinds.count("ok"), kinds.count("lost")) == (50, 10)
    assert not (tmp_path / "shared").exists()


IN_PROCESS = """
import sys, time
from unit_runs import in_process, units
from pathlib import Path
with units(Path.cwd(), in_process) as bench:
    bench.run("run", command="true")
    if sys.argv[1] == "idle":
        bench.run("run", command="setsid sleep 1000 < /dev/null > /dev/null 2>&1 & echo $! > left")
        Path("idle").touch()
        time.sleep(1000)
    bench.run("run", command=(
        "(setsid sleep 1000 &); trap '' TERM; echo $BATCHRUN_UNIT > begun.new; mv begun.new begun;"
        "while :; do sleep 1; done"
    ))
"""


def test_a_command_without_workers_does_not_outlive_the_run(tmp_path: Path) -> None:
    run = start(tmp_path, IN_PROCESS, "busy")
    wait_until((tmp_path / "begun").exists, 30, "the command runs")
    mark = "BATCHRUN_UNIT=" + (tmp_path / "begun").read_text().strip()
    wait_until(lambda: len(processes_with_environ(mark)) >= 2, 30, "both of them run")
    run.kill()
    run.wait()
    wait_until(lambda: not processes_with_environ(mark), 30, "the command has ended")


def test_what_a_command_left_running_on_purpose_outlives_the_run(tmp_path: Path) -> None:
    run = start(tmp_path, IN_PROCESS, "idle")
    wait_until((tmp_path / "idle").exists, 30, "the command has ended")
    left = int((tmp_path / "left").read_text())
    try:
        shells = survivors_of(run.pid)
        assert len(shells) == 1
        run.kill()
        run.wait()
        wait_until(lambda: not environ_of(shells[0]), 30, "the shell has ended by itself")
        assert environ_of(left)
    finally:
        os.kill(left, signal.SIGKILL)


def survivors_of(pid: int) -> list[int]:
    """Return the children of a process that wait for its end."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [
        child
        for child in children
        if b"processes.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
