"""Locks and limits while those who hold them die: never held twice, and never stuck."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Program, Started

pytestmark = pytest.mark.timeout(120)

#: The command fails when anybody else is inside.
CONTENDED = """
tasks:
  - foreach: {range: [1, 12]}
    run: mkdir inside && sleep 0.01 && rmdir inside
    lock: {name: shared, scope: machine}
"""
#: Goes on for ever once it has the lock.
HOLDER = """
tasks:
  - run: echo $$ > holder; exec sleep 1000
    lock: {name: shared, scope: machine}
"""
TAKER = """
tasks:
  - run: touch taken
    lock: {name: shared, scope: machine}
"""
#: The second task says that the first has had its turn.
WAITER = TAKER + "  - run: touch free\n"
#: A kernel lock for each place: status 9 says that there was one holder too many.
GUARDED = """
limits: {two: 2}
tasks:
  - id: limited
    foreach: {range: [1, 30]}
    limit: two
    run: |
      exec 9> place-1; flock -n 9 || { exec 9> place-2; flock -n 9; } || exit 9
      echo $PPID > worker-limited; sleep 0.1
  - id: locked
    foreach: {range: [1, 30]}
    lock: one
    run: |
      exec 9> place-3; flock -n 9 || exit 9
      echo $PPID > worker-locked; sleep 0.05
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "jobs"
    directory.mkdir()
    with Program(directory) as made:
        yield made


def hold(program: Program) -> Started:
    """Start a run that holds the lock."""
    run = program.start(program.job(HOLDER, "holder.yml"), "-j", "1", "--grace", "0s")
    run.until(lambda: written(program.dir / "holder"), "the holder's command runs")
    return run


def written(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def test_processes_that_want_the_same_lock_are_never_inside_together(program: Program) -> None:
    job = program.job(CONTENDED)
    runs = [program.start(job, "-j", "2", "--output", "json") for _ in range(3)]
    for run in runs:
        ended = run.end()
        assert (ended.code, ended.counts["ok"]) == (0, 12), ended.err


def test_a_unit_that_waits_for_another_process_blocks_nothing_else(program: Program) -> None:
    holder = hold(program)
    other = program.start(program.job(WAITER), "-j", "1")
    other.until((program.dir / "free").exists, "the other task runs meanwhile")
    assert not (program.dir / "taken").exists()
    other.send(signal.SIGINT)
    assert other.end().code == 130
    holder.send(signal.SIGTERM)
    holder.end()


def test_the_lock_of_a_killed_run_goes_to_who_waits_for_it(program: Program) -> None:
    holder = hold(program)
    waiter = program.start(program.job(WAITER), "-j", "1")
    waiter.until((program.dir / "free").exists, "it waits for the lock")
    holder.send(signal.SIGKILL)
    assert waiter.end().code == 0
    assert (program.dir / "taken").exists()


def test_a_killed_waiter_leaves_nothing_that_others_could_wait_for(program: Program) -> None:
    holder = hold(program)
    waiter = program.start(program.job(WAITER), "-j", "1")
    third = program.start(program.job(TAKER, "third.yml"), "-j", "1")
    waiter.until((program.dir / "free").exists, "it waits for the lock")
    waiter.send(signal.SIGKILL)
    holder.send(signal.SIGTERM)
    assert third.end().code == 0
    assert (program.dir / "taken").exists()
    holder.end()


def test_a_lock_that_cannot_be_made_fails_its_unit_and_no_other(program: Program) -> None:
    (program.dir / "state").mkdir()
    (program.dir / "state" / "machine").write_text("in the way")
    run = program.run(
        program.job(WAITER),
        "--output",
        "json",
        env={"BATCHRUN_STATE_DIR": str(program.dir / "state")},
    )
    assert run.code == 2
    assert (program.dir / "free").exists()
    (failed,) = [unit for unit in run.units if unit["outcome"]["kind"] == "failed"]
    assert "cannot be locked" in failed["outcome"]["message"]


def test_a_dry_run_takes_no_lock_and_waits_for_none(program: Program) -> None:
    holder = hold(program)
    assert program.run(program.job(TAKER), "--dry-run").code == 0
    holder.send(signal.SIGTERM)
    holder.end()


def test_workers_that_are_killed_neither_keep_a_place_nor_give_it_away_too_early(
    program: Program,
) -> None:
    run = program.start(program.job(GUARDED), "-j", "4", "--output", "json")
    killed = 0
    for _ in range(4):
        for name in ("worker-limited", "worker-locked"):
            path = program.dir / name
            run.until(lambda path=path: written(path) or not alive(run), f"{name} has a place")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            if alive(run):
                os.kill(int(path.read_text()), signal.SIGKILL)
                path.unlink()
                killed += 1
    ended = run.end()
    statuses = {unit["outcome"].get("exit_status") for unit in ended.units}
    assert 9 not in statuses
    assert ended.counts["ok"] + ended.counts["lost"] == ended.counts["planned"] == 60
    assert 1 <= ended.counts["lost"] <= killed


def alive(run: Started) -> bool:
    return run.process.poll() is None
