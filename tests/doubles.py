"""Hand-made stand-ins for what surrounds the engine: source, runner, sinks, clock."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias

from batchrun.engine.machine import LockTable
from batchrun.engine.run import Message, Run, RunOptions, RunResult
from batchrun.engine.scheduler import (
    AskPause,
    Close,
    Command,
    Forget,
    Open,
    Scheduler,
    StopUnit,
    Withdraw,
)
from batchrun.engine.stops import StopKind
from batchrun.errors import SourceError
from batchrun.model.event import Event, Kept, Note, TaskEnded, UnitEnded, UnitRetried
from batchrun.model.job import FailLimit, Job, Need, Task
from batchrun.model.outcome import Cancelled, Failed, Ok, Outcome, Report
from batchrun.model.ports import Drawn, Returned, Sink, Ticker, Waker
from batchrun.model.unit import Order, Unit

__all__ = [
    "CHANGED",
    "FAILED",
    "OK",
    "FakeClock",
    "FakeRunner",
    "ListSource",
    "Plan",
    "Play",
    "RecordingSink",
    "execute",
    "report_of",
    "task",
    "units",
]

OK = Ok(changed=False)
CHANGED = Ok(changed=True)
FAILED = Failed(message="no")

#: What a source gives for one task: units, pauses (`PENDING`), or an error that ends it.
Plan: TypeAlias = Iterable[Unit | Drawn | SourceError]


def task(name: str, *needs: str, **modifiers: Any) -> Task:
    """Make a task with several units; `single=True` for one without `foreach`."""
    return Task(
        id=name,
        name=modifiers.pop("title", name),
        operation=modifiers.pop("operation", "noop"),
        needs=tuple(Need(task_id=need) for need in needs),
        single=modifiers.pop("single", False),
        **modifiers,
    )


def units(task_id: str, count: int, **fields: Any) -> list[Unit]:
    """Make units labelled `a1`, `a2`, ... for a task `a`."""
    return list(stream_of(task_id, count, **fields))


def stream_of(task_id: str, count: int, **fields: Any) -> Iterator[Unit]:
    """Make the same units one at a time."""
    for index in range(1, count + 1):
        yield Unit(
            task_id=task_id, index=index, label=f"{task_id}{index}", operation="noop", **fields
        )


def report_of(order: Order, outcome: Outcome = OK, *, duration_s: float = 1.0) -> Report:
    """Make the report of a runner about an attempt."""
    return Report(
        number=order.number,
        attempt=order.attempt,
        outcome=outcome,
        started_at=1.0,
        duration_s=duration_s,
    )


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Play:
    """Plays source, runner and sinks for a scheduler, one step at a time.

    Like a real runner it has begun as many orders as it has slots, in order of submission, and
    gives the others back when they are withdrawn.
    """

    def __init__(
        self,
        *tasks: Task,
        plans: Mapping[str, Plan] | None = None,
        totals: Mapping[str, int] | None = None,
        hosts: Mapping[str, int] | None = None,
        slots: int = 2,
        random: float = 0.5,
        machine: LockTable | None = None,
        **job: Any,
    ) -> None:
        self.job = Job(name="job", tasks=tasks, **job)
        self.slots = slots
        self.scheduler = Scheduler(self.job, slots=slots, random=lambda: random, machine=machine)
        self.now = 0.0
        self.flying: dict[int, Order] = {}
        self.events: list[Event] = []
        self.commands: list[Command] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.stops: list[int] = []
        self.asked: list[AskPause] = []
        #: Names of the hosts whose connections are not needed any more.
        self.forgotten: list[str] = []
        self.drawn = Counter[str]()
        self._totals = totals or {}
        self._hosts = hosts or {}
        given = plans or {}
        self._plans = {
            one.id: iter(given.get(one.id, units(one.id, 1)))
            for one in (*self.job.tasks, *self.job.final_tasks)
        }
        self.go()

    # ---- moving on ----

    def go(self) -> None:
        """Plan and dispatch until nothing more can happen by itself."""
        busy = True
        while busy:
            busy = False
            while (task_id := self.scheduler.hungry()) is not None:
                self._draw(task_id)
            self.scheduler.dispatch()
            while (command := self.scheduler.take()) is not None:
                busy = True
                self._obey(command)
            busy = busy or self.scheduler.hungry() is not None

    def end(self, label: str, outcome: Outcome = OK, *, duration_s: float = 1.0) -> None:
        """Let the runner report one unit."""
        order = self.order(label)
        del self.flying[order.number]
        self.scheduler.ended(report_of(order, outcome, duration_s=duration_s), self.now)
        self.go()

    def end_all(self, outcome: Outcome = OK) -> None:
        """Let the runner report everything that it has, until it gets nothing more."""
        while self.flying:
            self.end(self.running[0], outcome)

    def cancel_stopped(self) -> None:
        """Let the runner report every unit that it was told to stop."""
        for order in list(self.flying.values()):
            if order.number in self.stops:
                self.end(order.unit.label, Cancelled(was_running=True))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.scheduler.tick(self.now)
        self.go()

    def stop(self, kind: StopKind, grace_s: float = 0.0) -> None:
        """Stop the run."""
        self.scheduler.stop(kind, self.now, grace_s)
        self.go()

    def answer(self, task_id: str, *, go_on: bool) -> None:
        """Answer the question whether the next wave of a task may begin."""
        self.scheduler.answered(task_id, self.now, go_on=go_on)
        self.go()

    # ---- looking ----

    @property
    def running(self) -> list[str]:
        """Labels of the units that the runner has, in order of submission."""
        return [order.unit.label for order in self.flying.values()]

    @property
    def withdrawals(self) -> int:
        return sum(type(command) is Withdraw for command in self.commands)

    @property
    def retried(self) -> list[UnitRetried]:
        return [event for event in self.events if isinstance(event, UnitRetried)]

    @property
    def notes(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Note)]

    def order(self, label: str) -> Order:
        """Return the order of a unit that the runner has."""
        return next(order for order in self.flying.values() if order.unit.label == label)

    def outcomes(self) -> dict[str, Outcome]:
        """How each unit that has ended did so, by label."""
        ended = [event for event in self.events if isinstance(event, UnitEnded)]
        assert len({event.unit.label for event in ended}) == len(ended)
        return {event.unit.label: event.report.outcome for event in ended}

    def tasks_ended(self) -> dict[str, TaskEnded]:
        """How each task that has ended did so, by id."""
        ended = [event for event in self.events if isinstance(event, TaskEnded)]
        assert len({event.task_id for event in ended}) == len(ended)
        return {event.task_id: event for event in ended}

    # ---- what the engine does ----

    def _draw(self, task_id: str) -> None:
        drawn = next(self._plans[task_id], Drawn.EXHAUSTED)
        if isinstance(drawn, Unit):
            self.drawn[task_id] += 1
            self.scheduler.drawn(task_id, drawn, self.now)
        elif isinstance(drawn, SourceError):
            self.scheduler.source_failed(task_id, str(drawn), self.now)
        elif drawn is Drawn.PENDING:
            self.scheduler.pending(task_id)
        else:
            self.scheduler.exhausted(task_id, self.now)

    def _obey(self, command: Command) -> None:
        self.commands.append(command)
        match command:
            case Open(task_id=task_id):
                self.opened.append(task_id)
                totals, hosts = self._totals, self._hosts
                self.scheduler.opened(task_id, totals.get(task_id), hosts.get(task_id))
            case Close(task_id=task_id):
                self.closed.append(task_id)
            case Order():
                self.flying[command.number] = command
            case StopUnit(number=number):
                self.stops.append(number)
            case Withdraw():
                for number in list(self.flying)[self.slots :]:
                    del self.flying[number]
                    self.scheduler.returned(number, self.now)
            case AskPause():
                self.asked.append(command)
            case Forget(host=host):
                self.forgotten.append(host.name)
            case _:
                self.events.append(command)


# ---- for the run loop -----------------------------------------------------------------------

#: Decides what a runner does with an order: messages for the Queue, at once.
Behaviour: TypeAlias = Callable[[Order], Sequence[Message]]


def all_well(order: Order) -> Sequence[Message]:
    """Answer every order with success."""
    return [report_of(order)]


class FakeRunner:
    """Answers each order at submission, by `behave`; no process, no thread."""

    def __init__(
        self, queue: "SimpleQueue[Message]", behave: Behaviour = all_well, *, slots: int = 2
    ) -> None:
        self.queue = queue
        self.slots = slots
        self.behave = behave
        self.orders: list[Order] = []
        self.held: dict[int, Order] = {}
        self.stopped: list[int] = []
        self.acknowledged: list[tuple[int, int]] = []
        self.calls: list[str] = []
        #: Called with the number of a unit that it is told to stop.
        self.on_stop: Callable[[int], None] = self._cancel
        #: Called when it has given back what it had not begun.
        self.on_withdraw: Callable[[], None] = lambda: None

    def submit(self, order: Order) -> None:
        self.orders.append(order)
        messages = self.behave(order)
        if not any(type(message) is Report for message in messages):
            self.held[order.number] = order
        for message in messages:
            self.queue.put(message)

    def finish(self, number: int, outcome: Outcome = OK) -> None:
        """Report an order that was held."""
        self.queue.put(report_of(self.held.pop(number), outcome))

    def stop(self, number: int) -> None:
        self.stopped.append(number)
        self.on_stop(number)

    def _cancel(self, number: int) -> None:
        if number in self.held:
            self.finish(number, Cancelled(was_running=True))

    def withdraw(self) -> None:
        self.calls.append("withdraw")
        for order in list(self.held.values())[self.slots :]:
            del self.held[order.number]
            self.queue.put(Returned(number=order.number, attempt=order.attempt))
        self.on_withdraw()

    def acknowledge(self, number: int, size_bytes: int) -> None:
        self.acknowledged.append((number, size_bytes))

    def close(self) -> None:
        self.calls.append("close")

    def kill(self) -> None:
        self.calls.append("kill")


class ListSource:
    """Gives the units of each task from a list; the default is one unit for each task."""

    def __init__(self, plans: Mapping[str, Plan | SourceError] | None = None) -> None:
        self._plans = dict(plans or {})
        self.opened: list[str] = []
        self.closed: list[str] = []
        #: Units of tasks on hosts that have ended.
        self.ended: list[Unit] = []
        self.scopes: dict[str, Mapping[str, Any]] = {}
        self.wakers: dict[str, Waker] = {}
        self.reviewed: list[tuple[str, int, int]] = []

    def open(self, task_id: str, scope: Mapping[str, Any], waker: Waker) -> "ListStream":
        self.opened.append(task_id)
        self.scopes[task_id] = scope
        self.wakers[task_id] = waker
        plan = self._plans.get(task_id, units(task_id, 1))
        if isinstance(plan, SourceError):
            raise plan
        return ListStream(self, task_id, plan)

    def review(self, unit: Unit, report: Report) -> Report:
        self.reviewed.append((unit.task_id, report.number, report.attempt))
        return report

    def kept(self, unit: Unit) -> tuple[Kept, ...]:  # noqa: ARG002 - the protocol's
        return ()


class ListStream:
    """The stream of one task of a ListSource."""

    def __init__(self, source: ListSource, task_id: str, plan: Plan) -> None:
        self._source = source
        self._task_id = task_id
        self._plan = iter(plan)
        self.total: int | None = None
        self.hosts: int | None = None
        self.done_before = 0

    def draw(self) -> Unit | Drawn:
        drawn = next(self._plan, Drawn.EXHAUSTED)
        if isinstance(drawn, SourceError):
            raise drawn
        return drawn

    def ended(self, unit: Unit) -> None:
        self._source.ended.append(unit)

    def close(self) -> None:
        self._source.closed.append(self._task_id)


class RecordingSink:
    """Keeps every event; `fail` may raise instead of taking one."""

    def __init__(self, fail: Callable[[Event], None] = lambda _: None) -> None:
        self.events: list[Event] = []
        self.closed = 0
        self.ticks = 0
        #: Called with each event that was taken.
        self.on_event: Callable[[Event], None] = lambda _: None
        self.fail = fail

    def handle(self, event: Event) -> None:
        self.fail(event)
        self.events.append(event)
        self.on_event(event)

    def tick(self) -> None:
        self.ticks += 1

    def close(self) -> None:
        self.closed += 1

    @property
    def notes(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Note)]


def execute(
    *tasks: Task,
    plans: Mapping[str, Plan | SourceError] | None = None,
    behave: Behaviour = all_well,
    sinks: Sequence[Sink] = (),
    tickers: Sequence[Ticker] = (),
    final_tasks: tuple[Task, ...] = (),
    max_fail: FailLimit | None = None,
) -> RunResult:
    """Run a job to its end with a FakeRunner."""
    queue: SimpleQueue[Message] = SimpleQueue()
    job = Job(name="job", tasks=tasks, final_tasks=final_tasks, max_fail=max_fail)
    options = RunOptions(run_id="r1", procs=2, sinks=sinks, tickers=tickers)
    return Run(job, ListSource(plans), FakeRunner(queue, behave), queue, options).execute()
