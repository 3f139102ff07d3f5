"""Hand-made programs of units, and a stage on which a sequencer plays them."""

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

from batchrun.engine.messages import Message
from batchrun.engine.sequence import Sequencer
from batchrun.engine.steps import StepRules
from batchrun.model.job import RetryPolicy
from batchrun.model.outcome import Cancelled, Outcome, Report
from batchrun.model.ports import Returned, Started
from batchrun.model.steps import PlannedStep, Section, StepFailure
from batchrun.model.unit import Order, Unit
from doubles import OK, FakeClock, report_of

__all__ = ["ListProgram", "StepStage", "planned", "unit_with"]


def planned(
    name: str,
    *,
    retries: int = 0,
    ignore_errors: bool = False,
    retry: RetryPolicy | None = None,
    **fields: Any,
) -> PlannedStep:
    """Make a step; `fields` are those of its unit."""
    unit = Unit(**{"task_id": "t", "index": 1, "operation": "noop", "label": name, **fields})
    policy = retry or RetryPolicy(retries=retries, delay_s=0.0, kinds=frozenset({"failed", "lost"}))
    return PlannedStep(name=name, unit=unit, retry=policy, ignore_errors=ignore_errors)


class ListProgram:
    """Steps from lists; remembers what it was asked."""

    def __init__(
        self,
        steps: Sequence[PlannedStep | str] = (),
        rescue: Sequence[PlannedStep | str] = (),
        always: Sequence[PlannedStep | str] = (),
        *,
        rescue_ok: bool = False,
    ) -> None:
        self._lists = {
            section: [planned(one) if isinstance(one, str) else one for one in given]
            for section, given in (
                (Section.STEPS, steps),
                (Section.RESCUE, rescue),
                (Section.ALWAYS, always),
            )
        }
        self.rescue_ok = rescue_ok
        self.restarts = 0
        #: Names of steps, in the order in which they were planned.
        self.planned: list[str] = []
        #: What each planned step was told about the one that failed.
        self.told: dict[str, StepFailure | None] = {}
        self.reviewed: list[Report] = []

    def count(self, section: Section) -> int:
        return len(self._lists[section])

    def restart(self) -> None:
        self.restarts += 1

    def plan(self, section: Section, at: int, failed: StepFailure | None) -> PlannedStep:
        step = self._lists[section][at]
        self.planned.append(step.name)
        self.told[step.name] = failed
        return step

    def review(self, section: Section, at: int, report: Report) -> Report:
        assert self._lists[section][at].name == self.planned[-1]
        self.reviewed.append(report)
        return report


def unit_with(program: ListProgram, **fields: Any) -> Unit:
    """Make the unit of a program."""
    given = {"task_id": "t", "index": 1, "label": "u", "operation": "steps", **fields}
    return Unit(program=program, **given)


class StepStage:
    """One unit with steps; the test is its runner."""

    def __init__(self, program: ListProgram, *, number: int = 7, dry: bool = False, **fields: Any):
        self.clock = FakeClock(100.0)
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self.program = program
        #: What the runner got, and which of it it was told to stop.
        self.orders: list[Order] = []
        self.stopped: list[int] = []

        def judge(_task_id: str, report: Report, after_change: bool) -> Report:
            from batchrun.engine.rehearsal import Rehearsal
            from batchrun.model.counts import Counts
            from batchrun.model.job import Job, Task

            job = Job(name="j", tasks=(Task(id="t", name="t", operation="steps"),))
            return Rehearsal(job, Counts()).judge_step("t", report, after_change)

        rules = StepRules(random=lambda: 0.5, judge=judge if dry else None)
        self.sequencer = Sequencer(self, self.queue, rules, self.clock)
        self.order = Order(number=number, attempt=1, unit=unit_with(program, **fields))
        self.sequencer.submit(self.order)

    # ---- what a runner does ----

    def submit(self, order: Order) -> None:
        self.orders.append(order)

    def stop(self, number: int) -> None:
        self.stopped.append(number)

    # ---- what a test does ----

    @property
    def running(self) -> str:
        """The step that the runner has."""
        return self.orders[-1].unit.label

    @property
    def ran(self) -> list[str]:
        """The steps that the runner got, in order."""
        return [order.unit.label for order in self.orders]

    def start(self) -> list[object]:
        """Begin what the runner has; return what is to be said of it."""
        order = self.orders[-1]
        started = Started(number=order.number, attempt=order.attempt, at=2.0, worker="w1")
        return list(self.sequencer.told(started))

    def end(self, *outcomes: Outcome, **report: Any) -> None:
        """End one step after the other."""
        from dataclasses import replace

        for outcome in outcomes or (OK,):
            self.start()
            self.sequencer.taken(replace(report_of(self.orders[-1], outcome), **report))

    def end_stopped(self) -> None:
        """End the step that the runner was told to stop."""
        assert self.orders[-1].number in self.stopped
        self.end(Cancelled(was_running=True))

    def give_back(self) -> None:
        """Hand the last order back."""
        order = self.orders[-1]
        self.sequencer.returned(Returned(number=order.number, attempt=order.attempt))

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        wake_at = self.sequencer.next_wakeup()
        if wake_at is not None and wake_at <= self.clock.now:
            self.sequencer.tick(self.clock.now)

    @property
    def answer(self) -> Report | Returned:
        """What the unit came to; exactly one such message may be there."""
        message = self.queue.get_nowait()
        assert self.queue.empty()
        assert isinstance(message, Report | Returned)
        assert (message.number, message.attempt) == (self.order.number, self.order.attempt)
        assert self.order.number not in self.sequencer
        assert self.sequencer.next_wakeup() is None
        return message

    @property
    def report(self) -> Report:
        answer = self.answer
        assert isinstance(answer, Report)
        return answer

    @property
    def outcome(self) -> Outcome:
        return self.report.outcome
