"""Units with steps run the same by every runner: the same steps, in the same order."""

import os
from collections.abc import Callable
from queue import SimpleQueue
from random import Random

import pytest

from batchrun.engine.messages import Message
from batchrun.engine.pool.pool import WorkerPool
from batchrun.engine.run import Run, RunOptions, RunResult
from batchrun.engine.serial import DryRunner, SerialRunner
from batchrun.model.event import UnitEnded, UnitStarted
from batchrun.model.job import Job
from batchrun.model.ports import Runner
from batchrun.model.steps import PlannedStep
from batchrun.model.unit import RunSettings, Unit
from doubles import ListSource, RecordingSink, task
from pool_operations import TABLE
from step_doubles import ListProgram, planned, unit_with

pytestmark = pytest.mark.timeout(60)

SETTINGS = RunSettings(run_id=f"steps{os.getpid()}", base_dir="/", kill_grace_s=0.2)
UNITS = 40


def pool(queue: SimpleQueue[Message]) -> Runner:
    return WorkerPool(2, settings=SETTINGS, events=queue, table=TABLE)  # type: ignore[arg-type]  # it puts some of the messages


def serial(queue: SimpleQueue[Message]) -> Runner:
    return SerialRunner(SETTINGS, queue, TABLE)  # type: ignore[arg-type]  # likewise


def dry(queue: SimpleQueue[Message]) -> Runner:
    return DryRunner(SETTINGS, queue, TABLE)  # type: ignore[arg-type]  # likewise


def some_steps(rng: Random, letter: str) -> list[PlannedStep]:
    """Make steps that end well or fail, by an operation of the runner's table."""
    return [
        planned(
            f"{letter}{at}",
            operation=rng.choice(["note", "note", "note", "fail"]),
            params={"text": rng.choice(["operation", "system"])},
            ignore_errors=rng.random() < 0.1,
        )
        for at in range(rng.randint(0, 3))
    ]


def programs(seed: int) -> list[ListProgram]:
    rng = Random(seed)
    return [
        ListProgram(
            some_steps(rng, "s"),
            some_steps(rng, "r"),
            some_steps(rng, "z"),
            rescue_ok=rng.random() < 0.5,
        )
        for _ in range(UNITS)
    ]


def execute(
    made: list[ListProgram], runner: Callable[[SimpleQueue[Message]], Runner], *, dry_run: bool
) -> tuple[RunResult, RecordingSink]:
    units: list[Unit] = [
        unit_with(program, index=index, label=str(index)) for index, program in enumerate(made, 1)
    ]
    queue: SimpleQueue[Message] = SimpleQueue()
    sink = RecordingSink()
    options = RunOptions(run_id="r", procs=2, sinks=(sink,), dry_run=dry_run)
    job = Job(name="job", tasks=(task("t"),))
    source = ListSource({"t": units})
    return Run(job, source, runner(queue), queue, options).execute(), sink


def endings(sink: RecordingSink) -> dict[str, str]:
    """Return how each unit ended, by label, without who ran it."""
    ended = [event for event in sink.events if isinstance(event, UnitEnded)]
    return {event.unit.label: repr(event.report.outcome) for event in ended}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_pool_and_the_serial_runner_take_the_same_steps_and_end_alike(seed: int) -> None:
    in_pool, in_process = programs(seed), programs(seed)
    result, sink = execute(in_pool, pool, dry_run=False)
    other, other_sink = execute(in_process, serial, dry_run=False)
    assert [one.planned for one in in_pool] == [one.planned for one in in_process]
    assert endings(sink) == endings(other_sink)
    assert result.counts.total.as_dict() == other.counts.total.as_dict()
    assert result.counts.total.planned == UNITS


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_dry_run_takes_the_same_steps_but_rescues_nothing(seed: int) -> None:
    wet, rehearsed = programs(seed), programs(seed)
    execute(wet, serial, dry_run=False)
    result, _ = execute(rehearsed, dry, dry_run=True)
    without_rescue = [[name for name in one.planned if name[0] != "r"] for one in wet]
    found = [one.planned for one in rehearsed]
    assert result.counts.total.planned == UNITS
    for real, dry_one in zip(without_rescue, found, strict=True):
        # A file that an earlier step would make is no failure here: more steps may follow.
        steps = [name for name in real if name[0] == "s"]
        assert dry_one[: len(steps)] == steps
        assert dry_one[-len([name for name in real if name[0] == "z"]) or len(dry_one) :] == [
            name for name in real if name[0] == "z"
        ]
        assert not any(name[0] == "r" for name in dry_one)


@pytest.mark.parametrize("runner", [pool, serial, dry])
def test_each_unit_is_said_to_have_started_once(
    runner: Callable[[SimpleQueue[Message]], Runner],
) -> None:
    made = [ListProgram(["a", "b"]) for _ in range(5)]
    for program in made:
        for section in program._lists.values():
            section[:] = [planned(step.name, operation="note") for step in section]
    _, sink = execute(made, runner, dry_run=runner is dry)
    started = [event.number for event in sink.events if isinstance(event, UnitStarted)]
    assert sorted(started) == [1, 2, 3, 4, 5]
    assert [one.planned for one in made] == [["a", "b"]] * 5
