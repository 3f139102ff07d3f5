"""Random programs, random endings, random stops: the order of steps, and the accounts of the run.

What is promised of `steps`, `rescue` and `always` is written here a second time, as a few lines
of plain code over the list of what ended how.
"""

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.engine.interrupt import SignalArrived
from batchrun.engine.messages import Message
from batchrun.engine.run import Run, RunOptions, RunResult
from batchrun.engine.sequence import STRIDE
from batchrun.model.event import Note, UnitEnded, UnitStarted
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
)
from batchrun.model.ports import Returned, Started
from batchrun.model.steps import PlannedStep, Section
from batchrun.model.unit import Order, Unit
from doubles import FakeRunner, ListSource, RecordingSink, report_of, task
from step_doubles import ListProgram, planned, unit_with

GOOD: tuple[Outcome, ...] = (Ok(changed=True), Ok(changed=False), Skipped(because="guard"))
BAD: tuple[Outcome, ...] = (
    Failed(message="no", exit_status=1),
    Failed(message="never", retryable=False),
    TimedOut(limit_s=1.0),
    Lost(message="killed"),
)


class JumpingQueue(SimpleQueue[Message]):
    """A queue on which waiting takes no time: the clock jumps to the end of the wait instead."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        self._jump = jump

    def get(self, block: bool = True, timeout: float | None = None) -> Message:
        if self.empty():
            assert timeout is not None, "the run waits for ever"
            self._jump(timeout)
            raise Empty
        return super().get(block, timeout)


class Chaos:
    """A run of units with and without steps, in which a generator decides what goes wrong."""

    def __init__(self, seed: int, *, stops: bool) -> None:
        self.rng = rng = Random(seed)
        self.badness = rng.choice([0.0, 0.2, 0.6])
        self.stops = stops
        self.now = 0.0
        self.programs: list[ListProgram] = []
        #: What each step's attempts came to, in order: unit number, step, outcome.
        self.ended: list[tuple[int, str, Outcome]] = []
        self.running: dict[int, Order] = {}
        self.queue = JumpingQueue(self.jump)
        self.runner = FakeRunner(self.queue, self.behave)
        self.runner.on_stop = self.on_stop
        self.sink = RecordingSink()
        tasks = tuple(self.some_task(f"t{n}") for n in range(rng.randint(1, 3)))
        finals = tuple(self.some_task(f"f{n}") for n in range(rng.randint(0, 2)))
        plans = {one.id: self.some_units(one.id) for one in (*tasks, *finals)}
        self.job = Job(
            name="job",
            tasks=tasks,
            final_tasks=finals,
            max_fail=rng.choice([None, FailLimit(count=2)]),
            deadline_s=rng.choice([None, None, 0.2]) if stops else None,
        )
        self.source = ListSource(plans)

    def some_task(self, name: str) -> Task:
        return task(name, retry=RetryPolicy(retries=self.rng.choice([0, 0, 1]), delay_s=0.01))

    def some_units(self, task_id: str) -> list[Unit]:
        units: list[Unit] = []
        for index in range(1, self.rng.choice([1, 2, 6]) + 1):
            fields = {"task_id": task_id, "index": index, "label": f"{task_id}{index}"}
            if self.rng.random() < 0.2:
                units.append(Unit(operation="noop", **fields))  # type: ignore[arg-type]
            else:
                program = self.some_program()
                self.programs.append(program)
                timeout_s = self.rng.choice([None, None, 1.0])
                units.append(unit_with(program, timeout_s=timeout_s, **fields))
        return units

    def some_program(self) -> ListProgram:
        return ListProgram(
            self.some_steps("s"),
            self.some_steps("r"),
            self.some_steps("z"),
            rescue_ok=self.rng.random() < 0.5,
        )

    def some_steps(self, letter: str) -> list[PlannedStep]:
        rng = self.rng
        return [
            planned(
                f"{letter}{at}",
                retries=rng.choice([0, 0, 2]),
                ignore_errors=rng.random() < 0.1,
                verdict=rng.choice([None] * 6 + [Skipped(because="when"), Failed(message="x")]),
                timeout_s=rng.choice([None, 0.5]),
            )
            for at in range(rng.choice([0, 1, 2, 3]))
        ]

    def jump(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        """Let a little time pass at each look."""
        self.now += 0.001
        return self.now

    def behave(self, order: Order) -> Sequence[Message]:
        if self.stops and self.rng.random() < 0.1:
            return self.disturbance(order)
        started = Started(number=order.number, attempt=order.attempt, at=1.0, worker="w")
        return [started, self.ending(order)]

    def disturbance(self, order: Order) -> Sequence[Message]:
        """Let a step hang until it is stopped, or somebody stop the run around it."""
        started = Started(number=order.number, attempt=order.attempt, at=1.0, worker="w")
        signals = [SignalArrived(signal.SIGINT), SignalArrived(signal.SIGTERM)]
        if self.job.deadline_s is not None and not self.is_final(order):
            return [started]
        if self.rng.random() < 0.5:
            return [started, *signals]
        return [started, signals[self.rng.randint(0, 1)], self.ending(order)]

    def is_final(self, order: Order) -> bool:
        unit = self.run._scheduler.unit(order.number % STRIDE)
        return unit is not None and unit.task_id.startswith("f")

    def ending(self, order: Order) -> Report:
        outcome = self.rng.choice(BAD if self.rng.random() < self.badness else GOOD)
        self.note(order, outcome)
        return report_of(order, outcome)

    def note(self, order: Order, outcome: Outcome) -> None:
        self.ended.append((order.number % STRIDE, order.unit.label, outcome))

    def on_stop(self, number: int) -> None:
        order = self.runner.held.pop(number, None)
        if order is None:
            return
        outcome: Outcome = Cancelled(was_running=True)
        if self.rng.random() < 0.2:
            outcome = self.rng.choice(GOOD + BAD)
        self.note(order, outcome)
        self.queue.put(report_of(order, outcome))

    def execute(self) -> RunResult:
        options = RunOptions(
            run_id="r", procs=2, grace_s=1.0, sinks=(self.sink,), clock=self.clock,
            random=self.rng.random,
        )  # fmt: skip
        self.run = Run(self.job, self.source, self.runner, self.queue, options)
        return self.run.execute()

    @property
    def ends(self) -> list[UnitEnded]:
        return [event for event in self.sink.events if isinstance(event, UnitEnded)]


def expected_plan(program: ListProgram, seen: dict[str, str]) -> list[str]:
    """List which steps must have been planned in one attempt, by how each of them ended."""

    def bad(section: Section, at: int) -> bool:
        step = program.plan(section, at, None)
        verdict = step.unit.verdict
        kind = verdict.kind if verdict is not None else seen.get(step.name, "never")
        return kind not in {"ok", "skipped"} and not step.ignore_errors

    before = list(program.planned)
    names: list[str] = []
    failed = False
    for section in (Section.STEPS, Section.RESCUE, Section.ALWAYS):
        if section is Section.RESCUE and not failed:
            continue
        for at in range(program.count(section)):
            names.append(program.plan(section, at, None).name)
            if bad(section, at) and section is not Section.ALWAYS:
                failed = True
                break
    program.planned[:] = before
    return names


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_the_steps_of_each_unit_run_in_the_order_that_is_promised(seed: int) -> None:
    chaos = Chaos(seed, stops=False)
    result = chaos.execute()
    assert result.counts.total.accounted
    last: dict[int, dict[str, str]] = {}
    for number, step, outcome in chaos.ended:
        last.setdefault(number, {})[step] = outcome.kind
    for end in chaos.ends:
        program = end.unit.program
        if not isinstance(program, ListProgram) or program.restarts != 1 or end.unit.timeout_s:
            continue  # of several attempts only the last is known; time may cut one short
        if end.report.outcome.kind == "aborted":
            continue  # by the fail limit, while it waited for its next attempt
        seen = last.get(end.report.number, {})
        assert program.planned == expected_plan(program, seen)
        good = end.report.outcome.kind == "ok"
        failing = [name for name in program.planned if name[0] == "s"]
        assert len(set(failing)) == len(failing)
        assert good or "step `" in repr(end.report.outcome)


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=250, deadline=None)
def test_every_unit_ends_once_and_every_always_runs_or_is_said_not_to_have(
    seed: int, stops: bool
) -> None:
    chaos = Chaos(seed, stops=stops)
    counts = chaos.execute().counts
    for tally in (counts.total, *counts.tasks.values()):
        assert tally.planned == sum(tally.ended[kind] for kind in KINDS)
    numbers = [end.report.number for end in chaos.ends]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers, default=0) < STRIDE
    starts = Counter(
        (event.number, event.attempt)
        for event in chaos.sink.events
        if isinstance(event, UnitStarted)
    )
    assert set(starts.values()) <= {1}
    assert not chaos.runner.held
    cut = 0
    for end in chaos.ends:
        program = end.unit.program
        began = any(number == end.report.number for number, _, _ in chaos.ended)
        if not isinstance(program, ListProgram) or not began:
            continue
        always = [f"z{at}" for at in range(program.count(Section.ALWAYS))]
        ran = program.planned[-len(always) :] if always else []
        cut += ran != always
    said = [event.message for event in chaos.sink.events if isinstance(event, Note)]
    if cut:
        assert any(message.startswith("skipped because ") for message in said)
    if not stops:
        assert cut == 0


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_orders_given_back_in_the_middle_are_not_lost(seed: int) -> None:
    """A runner that hands back every other order once."""
    chaos = Chaos(seed, stops=False)
    usual = chaos.behave
    handed_back = set[int]()

    def behave(order: Order) -> Sequence[Message]:
        if order.number not in handed_back and chaos.rng.random() < 0.3 and order.number > STRIDE:
            handed_back.add(order.number)
            return [Returned(number=order.number, attempt=order.attempt)]
        return usual(order)

    chaos.runner.behave = behave
    counts = chaos.execute().counts
    assert counts.total.accounted
    assert counts.total.ended["cancelled"] == 0
