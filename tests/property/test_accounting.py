"""Every planned unit is accounted for, whatever units, sources and users do; a million too."""

import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from queue import SimpleQueue
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.engine.interrupt import SignalArrived
from batchrun.engine.run import Message, Run, RunOptions, RunResult
from batchrun.engine.scheduler import Open, Scheduler
from batchrun.errors import SourceError
from batchrun.model.event import (
    Event,
    RunEnded,
    RunStarted,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitRetried,
)
from batchrun.model.job import FailLimit, Job, RetryPolicy, Task
from batchrun.model.outcome import (
    KINDS,
    Cancelled,
    Failed,
    Lost,
    Ok,
    Outcome,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import Order, Unit
from doubles import FakeRunner, ListSource, Plan, RecordingSink, report_of, stream_of, task

BAD: tuple[Outcome, ...] = (
    Failed(message="no"),
    Failed(message="never", retryable=False),
    TimedOut(limit_s=1.0),
    Unreachable(message="no"),
    Lost(message="killed"),
    Skipped(because="guard"),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Chaos:
    """A run in which the choices of a generator decide what goes wrong."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.badness = rng.choice([0.0, 0.05, 0.4])
        self.disturbance = rng.choice([0.0, 0.0, 0.01, 0.05])
        tasks = tuple(self.some_task(f"t{n}", n) for n in range(rng.randint(0, 5)))
        final_tasks = tuple(self.some_task(f"f{n}", 0) for n in range(rng.randint(0, 2)))
        self.plans = {one.id: self.some_plan(one.id) for one in (*tasks, *final_tasks)}
        self.job = Job(
            name="job",
            tasks=tasks,
            final_tasks=final_tasks,
            limits={"db": 2},
            max_fail=rng.choice([None, None, FailLimit(count=3), FailLimit(percent=30.0)]),
            deadline_s=rng.choice([None, None, 20.0]),
        )
        self.now = 0.0
        self.stops = 0
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self.runner = FakeRunner(self.queue, self.behave)
        self.runner.on_stop = lambda _: None
        self.sink = RecordingSink()
        self.source = ListSource(self.plans)

    def some_task(self, name: str, earlier: int) -> Task:
        rng = self.rng
        needs = [f"t{n}" for n in range(earlier) if rng.random() < 0.3]
        return task(
            name,
            *needs,
            ignore_errors=rng.random() < 0.2,
            max_parallel=rng.choice([None, None, 1]),
            max_fail=rng.choice([None, None, FailLimit(count=1), FailLimit(percent=20.0)]),
            retry=RetryPolicy(
                retries=rng.randint(0, 2), delay_s=0.01, repeat_lost=rng.random() < 0.5
            ),
        )

    def some_plan(self, task_id: str) -> Plan | SourceError:
        rng = self.rng
        if rng.random() < 0.05:
            return SourceError("cannot be opened")
        verdict = rng.choice([None, None, None, Skipped(because="when")])
        locks = rng.choice([(), (), ("x",)])
        limits = rng.choice([(), (), ("db",)])
        given_ = list(
            stream_of(task_id, rng.choice([0, 1, 7, 150]), verdict=verdict, locks=locks,
                      limits=limits)
        )  # fmt: skip
        return [*given_, SourceError("broke")] if rng.random() < 0.1 else given_

    def clock(self) -> float:
        """Let a little time pass at each look."""
        self.now += 0.01
        return self.now

    def behave(self, order: Order) -> Sequence[Message]:
        rng = self.rng
        outcome: Outcome = rng.choice(BAD) if rng.random() < self.badness else Ok(changed=True)
        if rng.random() < 0.02:
            outcome = Cancelled(was_running=True)
        report = report_of(order, outcome, duration_s=rng.choice([0.00001, 1.0]))
        if rng.random() < self.disturbance:
            return [SignalArrived(rng.choice(SIGNALS)), report]
        return [report]

    def execute(self) -> RunResult:
        options = RunOptions(
            run_id="r",
            procs=2,
            grace_s=5.0,
            sinks=(self.sink,),
            clock=self.clock,
            random=self.rng.random,
        )
        return Run(self.job, self.source, self.runner, self.queue, options).execute()


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_planned_is_the_sum_of_all_kinds_in_every_task_whatever_happens(seed: int) -> None:
    chaos = Chaos(seed)
    counts = chaos.execute().counts
    for tally in (counts.total, *counts.tasks.values()):
        assert tally.planned == sum(tally.ended[kind] for kind in KINDS)
    ended = Counter(
        (event.unit.task_id, event.report.outcome.kind)
        for event in chaos.sink.events
        if isinstance(event, UnitEnded)
    )
    found = {
        (task_id, kind): number
        for task_id, tally in counts.tasks.items()
        for kind, number in tally.ended.items()
        if number
    }
    assert found == dict(ended)


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_each_unit_ends_once_and_each_task_opens_before_and_ends_after_its_units(
    seed: int,
) -> None:
    chaos = Chaos(seed)
    chaos.execute()
    state: dict[str, str] = {}
    seen = set[int]()
    for event in chaos.sink.events[1:-1]:
        match event:
            case TaskOpened(task_id=task_id):
                assert task_id not in state
                state[task_id] = "open"
            case UnitRetried(unit=unit):
                assert state[unit.task_id] == "open"
            case UnitEnded(unit=unit, report=report):
                assert state[unit.task_id] == "open"
                assert report.number not in seen
                seen.add(report.number)
            case TaskEnded(task_id=task_id):
                assert state.get(task_id) != "ended"
                state[task_id] = "ended"
            case _:
                pass
    everybody = {one.id for one in (*chaos.job.tasks, *chaos.job.final_tasks)}
    assert state == dict.fromkeys(everybody, "ended")
    assert seen == set(range(1, len(seen) + 1))
    assert isinstance(chaos.sink.events[0], RunStarted)
    assert isinstance(chaos.sink.events[-1], RunEnded)


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_a_run_exits_with_zero_exactly_when_nothing_that_counts_went_wrong(seed: int) -> None:
    chaos = Chaos(seed)
    result = chaos.execute()
    assert result.exit_code == chaos.sink.events[-1].exit_code  # type: ignore[union-attr]  # RunEnded
    wrong = [event for event in chaos.sink.events if went_wrong(event)]
    assert (result.exit_code == 0) is (not wrong and not result.stopped)


def went_wrong(event: Event) -> bool:
    """Whether this event alone must make the exit code another one than zero."""
    match event:
        case UnitEnded(report=report, ignored=ignored):
            return report.outcome.kind not in {"ok", "skipped"} and not ignored
        case TaskEnded(source_error=source_error, good=good):
            return bool(source_error) and not good
        case _:
            return False


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_stream_that_was_opened_is_closed_once(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.execute()
    opened = [name for name in chaos.source.opened if not isinstance(chaos.plans[name], Exception)]
    assert sorted(chaos.source.closed) == sorted(opened)


MILLION = 1_000_000
#: Memory blocks that may come and go with the window: a thousandth of one per unit.
SLACK_BLOCKS = 1_000


@pytest.mark.timeout(300)
def test_a_million_units_pass_through_the_scheduler_in_the_memory_of_a_few_thousand() -> None:
    job = Job(name="job", tasks=(task("a"),))
    scheduler = Scheduler(job, slots=2, random=lambda: 0.5)
    source = (Unit(task_id="a", index=index, operation="noop") for index in range(1, MILLION + 1))
    ok = Ok(changed=False)
    blocks: list[int] = []
    ended = 0
    began = time.process_time()
    while not scheduler.done:
        while (task_id := scheduler.hungry()) is not None:
            unit = next(source, None)
            if unit is None:
                scheduler.exhausted(task_id, 0.0)
            else:
                scheduler.drawn(task_id, unit, 0.0)
        scheduler.dispatch()
        numbers = []
        while (command := scheduler.take()) is not None:
            if type(command) is Order:
                numbers.append(command.number)
            elif type(command) is UnitEnded:
                ended += 1
                if ended % 100_000 == 0:
                    blocks.append(sys.getallocatedblocks())
            elif type(command) is Open:
                scheduler.opened("a", None)
        for number in numbers:
            report = Report(number=number, attempt=1, outcome=ok, started_at=1.0, duration_s=1e-5)
            scheduler.ended(report, 0.0)
    print(f"{MILLION / (time.process_time() - began):.0f} units/s")
    assert (ended, scheduler.planned) == (MILLION, MILLION)
    assert max(blocks) - blocks[0] < SLACK_BLOCKS
