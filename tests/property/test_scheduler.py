"""The scheduler against every order of events that hypothesis can think of."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.engine.scheduler import (
    WINDOW,
    AskPause,
    Close,
    Forget,
    Open,
    Scheduler,
    StopUnit,
    Withdraw,
)
from batchrun.engine.stops import StopKind
from batchrun.model.event import TaskEnded, UnitEnded, UnitRetried
from batchrun.model.host import Host
from batchrun.model.job import (
    Batch,
    FailLimit,
    Job,
    Need,
    RetryPolicy,
    Task,
    WaveSize,
    wave_size,
)
from batchrun.model.outcome import (
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

NAMES = ("a", "b", "c")
LIMITS = {"x": 1, "y": 2}
SLOTS = 3
FANOUT = 4
HOSTS = tuple(f"h{number}" for number in range(9))


def some_tasks(rng: Random, prefix: str) -> list[Task]:
    """A few tasks, each needing some of those before it."""
    made: list[Task] = []
    for index in range(rng.randint(0, 4)):
        needed = [task for task in made if rng.random() < 0.4]
        on_hosts = rng.random() < 0.4
        limit = rng.choice([None, None, 0, 1, 2, 3])
        made.append(
            Task(
                id=f"{prefix}{index}",
                name=f"{prefix}{index}",
                operation="noop",
                needs=tuple(some_need(rng, one, on_hosts=on_hosts) for one in needed),
                on_hosts=on_hosts,
                per_host=rng.choice([1, 1, 2, 3]),
                pick=rng.choice([None, 1, 2, 4]) if on_hosts else None,
                ignore_unreachable=rng.random() < 0.2,
                retry=RetryPolicy(
                    retries=rng.randint(0, 2),
                    kinds=frozenset({"failed", "timed_out", "unreachable"}),
                    repeat_lost=rng.random() < 0.5,
                ),
                max_fail=None
                if limit is None
                else rng.choice([FailLimit(percent=limit * 10.0), FailLimit(count=limit)]),
                max_parallel=rng.choice([None, None, 1, 2]),
                slots=rng.choice([1, 1, 1, 2, 3, 9]),
                batch=some_batch(rng) if rng.random() < 0.3 else None,
                ignore_errors=rng.random() < 0.3,
                single=not on_hosts and rng.random() < 0.3,
                is_command=rng.random() < 0.5,
            )
        )
    return made


def some_need(rng: Random, needed: Task, *, on_hosts: bool) -> Need:
    """A need of the whole task, or of what two tasks have in common."""
    both: tuple[Literal["all", "item", "host"], ...] = ("all", "item", "host")
    return Need(
        task_id=needed.id, per=rng.choice(both if on_hosts and needed.on_hosts else both[:2])
    )


def some_batch(rng: Random) -> Batch:
    """Waves of a few units each."""
    sizes = [WaveSize(count=1), WaveSize(count=4), WaveSize(percent=33.3), WaveSize(percent=1.0)]
    return Batch(
        sizes=tuple(rng.choices(sizes, k=rng.randint(1, 3))),
        pause_s=rng.choice([0.0, 3.0]),
        ask=rng.random() < 0.3,
    )


def some_targets(rng: Random, task: Task) -> list[tuple[str, str]]:
    """Hosts and items: host by host in waves, else item by item."""
    hosts = rng.sample(HOSTS, rng.randint(0, len(HOSTS)))
    items = [""] if rng.random() < 0.5 else [f"k{number}" for number in range(rng.randint(1, 4))]
    if task.batch is not None:
        return [(host, item) for host in hosts for item in items]
    return [(host, item) for item in items for host in hosts]


def some_units(rng: Random, task: Task) -> list[Unit]:
    if task.on_hosts:
        targets = some_targets(rng, task)
        return [
            replace(unit, host=host, place=Host(name=host), key=key)
            for unit, (host, key) in zip(local_units(rng, task, len(targets)), targets, strict=True)
        ]
    return local_units(rng, task, 1 if task.single else rng.choice([0, 1, 3, 12, 90]))


def local_units(rng: Random, task: Task, count: int) -> list[Unit]:
    verdicts: list[Skipped | Failed | None] = [None] * 6
    verdicts += [Skipped(because="when"), Failed(message="template")]
    # Other tasks come to the same items in another order; some give one twice.
    keys = [""] if task.single else [f"k{rng.randint(0, 2 * count)}" for _ in range(count)]
    if not task.single and rng.random() < 0.7:
        keys = [f"k{number}" for number in range(count)]
        rng.shuffle(keys)
    machine = rng.random() < 0.3
    return [
        Unit(
            task_id=task.id,
            index=index + 1,
            operation="noop",
            locks=tuple(sorted(rng.sample(NAMES, rng.randint(0, 2)))),
            limits=tuple(sorted(rng.sample(sorted(LIMITS), rng.randint(0, 2)))),
            machine_locks=tuple(sorted(rng.sample(NAMES, rng.randint(0, 2)))) if machine else (),
            key=keys[index],
            verdict=rng.choice(verdicts),
        )
        for index in range(count)
    ]


ENDS_WELL = {"ok", "skipped"}
REACHED = {"ok", "failed", "timed_out", "lost"}
AGAINST_LIMIT = {"failed", "timed_out", "unreachable", "lost"}
OUTCOMES: list[Outcome] = [
    Ok(changed=True),
    Ok(changed=False),
    Failed(message="no"),
    Failed(message="never", retryable=False),
    TimedOut(limit_s=1.0),
    Lost(message="killed"),
    Unreachable(message="refused"),
    Unreachable(message="wrong key", retryable=False),
]


class MoodyLocks:
    """Machine locks that another process has now and then, and that sometimes cannot be had."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.held: set[str] = set()
        self.broken = rng.random() < 0.1

    def try_take(self, names: Sequence[str]) -> bool:
        assert self.held.isdisjoint(names)
        assert list(names) == sorted(set(names)) != []
        if self.broken and self.rng.random() < 0.5:
            raise PermissionError(13, "Permission denied", names[0])
        if self.rng.random() < 0.4:
            return False
        self.held.update(names)
        return True

    def release(self, names: Sequence[str]) -> None:
        assert self.held.issuperset(names)
        self.held.difference_update(names)


class World:
    """Plays source, runner and sinks for a scheduler, by the choices of a generator."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        calm = rng.random() < 0.5
        normal = some_tasks(rng, "t")
        final = some_tasks(rng, "f")
        self.job = Job(
            name="job",
            tasks=tuple(normal),
            final_tasks=tuple(final),
            limits=LIMITS,
            fanout=FANOUT,
            max_fail=rng.choice([None, FailLimit(count=rng.randint(0, 9))]),
            # A run that nobody ends must end by itself.
            deadline_s=None if calm else rng.choice([None, 50.0]),
        )
        self.sources = {task.id: some_units(rng, task) for task in (*normal, *final)}
        self.breaks = {
            task.id for task in (*normal, *final) if not task.single and rng.random() < 0.3
        }
        self.now = 0.0
        self.locks = MoodyLocks(rng)
        self.scheduler = Scheduler(self.job, slots=SLOTS, random=lambda: 0.5, machine=self.locks)
        self.tasks = {task.id: task for task in (*normal, *final)}
        #: What each task has given, and what has ended of it, in order.
        self.given: dict[str, list[Unit]] = defaultdict(list)
        self.done: dict[int, UnitEnded] = {}
        self.ids: dict[tuple[str, int], int] = {}
        self.totals: dict[str, int | None] = {}
        self.host_totals: dict[str, int | None] = {}
        self.forgotten: list[str] = []
        self.asked: dict[str, None] = {}
        self.given_back: dict[int, Order] = {}
        self.open: set[str] = set()
        self.held_back: set[str] = set()
        self.in_flight: dict[int, Order] = {}
        self.begun: set[int] = set()
        self.stopped: set[int] = set()
        self.drawn = Counter[str]()
        self.ended: list[UnitEnded] = []
        self.tasks_ended: list[TaskEnded] = []
        self.signals_left = 0 if calm else 3

    def run(self) -> None:
        """Let the machine run to its end, checking it at every step."""
        for _ in range(20_000):
            self.plan()
            self.advance()
            self.check_limits()
            if self.scheduler.done:
                return
            if self.scheduler.hungry() is None:
                self.step()
        message = "the run never ends"
        raise AssertionError(message)

    def advance(self) -> None:
        """Dispatch as the engine does: again only when a stream was opened."""
        again = True
        while again:
            self.scheduler.dispatch()
            again = self.obey()

    def plan(self) -> None:
        while (task_id := self.scheduler.hungry()) is not None:
            source = self.sources[task_id]
            if self.rng.random() < 0.02:
                self.scheduler.pending(task_id)
                self.held_back.add(task_id)
            elif source:
                self.drawn[task_id] += 1
                unit = source.pop(0)
                self.given[task_id].append(unit)
                self.ids[task_id, unit.index] = self.scheduler.planned + 1
                self.scheduler.drawn(task_id, unit, self.now)
            elif task_id in self.breaks:
                self.scheduler.source_failed(task_id, "broken", self.now)
            else:
                self.scheduler.exhausted(task_id, self.now)

    def obey(self) -> bool:  # noqa: C901, PLR0912 - one case for each command there is
        """Take every command; say whether a stream was opened."""
        opened = False
        while (command := self.scheduler.take()) is not None:
            match command:
                case Open(task_id=task_id):
                    assert task_id not in self.open
                    opened = True
                    self.open.add(task_id)
                    total = len(self.sources[task_id])
                    batch = self.tasks[task_id].batch
                    shares = batch is not None and any(size.percent for size in batch.sizes)
                    known = task_id not in self.breaks and (shares or self.rng.random() < 0.5)
                    self.totals[task_id] = total if known else None
                    hosts = {unit.host for unit in self.sources[task_id]}
                    self.host_totals[task_id] = len(hosts) if known else None
                    self.scheduler.opened(task_id, self.totals[task_id], self.host_totals[task_id])
                case Close(task_id=task_id):
                    self.open.remove(task_id)
                    self.held_back.discard(task_id)
                case Order():
                    assert command.number not in self.in_flight
                    self.check_begun(command)
                    self.in_flight[command.number] = command
                case AskPause(task_id=task_id):
                    assert task_id not in self.asked
                    self.asked[task_id] = None
                case StopUnit(number=number):
                    self.stopped.add(number)
                case Withdraw():
                    for number in [n for n in self.in_flight if n not in self.begun]:
                        if self.rng.random() < 0.5:
                            self.given_back[number] = self.in_flight.pop(number)
                case UnitEnded():
                    self.ended.append(command)
                    self.done[command.report.number] = command
                case TaskEnded():
                    self.tasks_ended.append(command)
                case UnitRetried():
                    assert command.delay_s >= 0
                case Forget(host=host):
                    self.check_forgotten(host.name)
                case _:
                    pass
        return opened

    def check_limits(self) -> None:
        """No resource has more holders than it may, counted from the orders themselves."""
        holders = Counter[str]()
        for order in self.in_flight.values():
            holders.update(f"lock:{name}" for name in order.unit.locks)
            holders.update(f"limit:{name}" for name in order.unit.limits)
            holders[f"task:{order.unit.task_id}"] += 1
        for name in NAMES:
            assert holders[f"lock:{name}"] <= 1
        for name, most in LIMITS.items():
            assert holders[f"limit:{name}"] <= most
        for task in (*self.job.tasks, *self.job.final_tasks):
            if task.max_parallel is not None:
                assert holders[f"task:{task.id}"] <= task.max_parallel
        self.check_slots()
        self.check_hosts()
        both = (*self.in_flight.values(), *self.given_back.values())
        wanted = [name for one in both for name in one.unit.machine_locks]
        assert sorted(wanted) == sorted(self.locks.held)
        for task_id, drawn in self.drawn.items():
            ended = sum(event.unit.task_id == task_id for event in self.ended)
            flying = sum(one.unit.task_id == task_id for one in both)
            assert 0 <= drawn - ended - flying <= WINDOW

    def width(self, order: Order) -> int:
        return min(self.tasks[order.unit.task_id].slots, SLOTS)

    def check_slots(self) -> None:
        """Nothing is queued ahead beside a wide unit, and little beside others."""
        everybody = self.in_flight.values()
        flying = [order for order in everybody if not order.unit.host]
        heavy = [order for order in flying if order.expected_s is None]
        assert len(heavy) <= 2 * SLOTS
        named = [order for order in heavy if order.unit.locks or order.unit.limits]
        assert len(named) <= SLOTS
        if any(self.width(order) > 1 for order in flying):
            assert sum(self.width(order) for order in flying) <= SLOTS

    def check_hosts(self) -> None:
        """Fanout, one unit at a time on a host, and no more hosts than are picked."""
        far = [order.unit for order in self.in_flight.values() if order.unit.host]
        assert len(far) <= FANOUT
        on_hosts = [task for task in self.tasks.values() if task.on_hosts]
        most = max((task.per_host for task in on_hosts), default=1)
        assert all(number <= most for number in Counter(unit.host for unit in far).values())
        for (task_id, _), number in Counter((unit.task_id, unit.host) for unit in far).items():
            assert number <= self.tasks[task_id].per_host
        for task in on_hosts:
            if task.pick is not None:
                trying = {unit.host for unit in far if unit.task_id == task.id}
                reached = {
                    end.unit.host
                    for end in self.ended
                    if end.unit.task_id == task.id and end.report.outcome.kind in REACHED
                }
                assert len(trying | reached) <= task.pick

    def check_forgotten(self, host: str) -> None:
        """A host is let go once, when no unit of it is left, and none will come."""
        assert host not in self.forgotten
        self.forgotten.append(host)
        planned = [unit for given in self.given.values() for unit in given if unit.host == host]
        ended = [end for end in self.ended if end.unit.host == host]
        assert len(planned) == len(ended)
        assert not [task_id for task_id in self.open if self.tasks[task_id].on_hosts]

    def check_begun(self, order: Order) -> None:
        """A unit begins only after its item in what it needs, and in its own wave."""
        unit = order.unit
        task = self.tasks[unit.task_id]
        if task.batch is not None:
            self.check_wave(task, unit)
        assert unit.host not in self.forgotten
        for need in task.needs:
            needed = self.tasks[need.task_id]
            both = task.on_hosts and needed.on_hosts
            if both and need.per != "item":
                self.check_host(needed, unit, first=order.attempt == 1)
            elif need.per == "item":
                self.check_item(needed, unit, both=both, first=order.attempt == 1)

    def check_host(self, needed: Task, unit: Unit, *, first: bool) -> None:
        """All units of the host that are planned by then have ended well."""
        same = [one for one in self.given[needed.id] if one.host == unit.host]
        if first:
            self.check_well(needed, same)

    def check_item(self, needed: Task, unit: Unit, *, both: bool, first: bool) -> None:
        given = [(one.host if both else "", one.key) for one in self.given[needed.id]]
        wanted = (unit.host if both else "", unit.key)
        same = [
            one
            for one, target in zip(self.given[needed.id], given, strict=True)
            if target == wanted
        ]
        if not same:
            assert needed.ignore_errors
            assert needed.id in self.breaks
        elif first and len(set(given)) == len(given):
            self.check_well(needed, same)

    def check_well(self, needed: Task, same: list[Unit]) -> None:
        ends = [self.done[self.ids[needed.id, one.index]] for one in same]
        assert all(end.ignored or end.report.outcome.kind in ENDS_WELL for end in ends)

    def check_wave(self, task: Task, unit: Unit) -> None:
        """All earlier waves have ended, each with something ok and no failure too many."""
        assert task.batch is not None
        begin, number = 0, 0
        if task.pick is not None:
            return  # then the hosts of a wave are those that were picked
        given = self.given[task.id]
        targets: list[object] = [*dict.fromkeys(one.host or one.index for one in given)]
        total = (self.host_totals if task.on_hosts else self.totals)[task.id]
        while True:
            number += 1
            end = begin + wave_size(task.batch.sizes, number, total)
            if targets.index(unit.host or unit.index) < end:
                return
            wave = [one for one in given if (one.host or one.index) in targets[begin:end]]
            outcomes = [self.done[self.ids[task.id, one.index]] for one in wave]
            kinds = Counter(event.report.outcome.kind for event in outcomes)
            bad = [event for event in outcomes if event.report.outcome.kind not in ENDS_WELL]
            failed = [
                event
                for event in bad
                if not event.ignored and event.report.outcome.kind in AGAINST_LIMIT
            ]
            limit = task.max_fail or FailLimit(count=0)
            size = len(targets[begin:end])
            most = limit.count if limit.count is not None else (limit.percent or 0) * size / 100
            assert len({event.unit.host or event.unit.index for event in failed}) <= most
            assert kinds["ok"] or all(event.ignored for event in bad)
            begin = end

    def step(self) -> None:  # noqa: C901 - one case for each thing that may happen
        """Let one thing happen; if nothing can, the machine is stuck."""
        choices = ["returned"] * len(self.given_back)
        if self.in_flight:
            choices += ["end"] * 6
        if self.held_back:
            choices += ["readable"]
        if self.scheduler.next_wakeup() is not None:
            choices += ["tick"]
        if self.asked:
            choices += ["answer"]
        assert choices, "nothing is in flight, nothing is awaited, and the run is not over"
        if self.signals_left and self.rng.random() < 0.05:
            choices = ["stop"]
        match self.rng.choice(choices):
            case "end":
                number = self.rng.choice(sorted(self.in_flight))
                self.end(number)
            case "readable":
                task_id = min(self.held_back)
                self.held_back.remove(task_id)
                self.scheduler.readable(task_id)
            case "returned":
                number = self.given_back.popitem()[0]
                self.stopped.discard(number)
                self.scheduler.returned(number, self.now)
            case "answer":
                task_id = self.asked.popitem()[0]
                self.scheduler.answered(task_id, self.now, go_on=self.rng.random() < 0.8)
            case "tick":
                self.now = max(self.now, self.scheduler.next_wakeup() or 0.0)
                self.scheduler.tick(self.now)
            case _:
                self.signals_left -= 1
                first = [StopKind.INTERRUPT, StopKind.TERMINATE, StopKind.HANGUP]
                kinds = first if self.scheduler.stop_reason is None else [StopKind.INSIST]
                self.scheduler.stop(self.rng.choice(kinds), self.now, 5.0)

    def end(self, number: int) -> None:
        order = self.in_flight.pop(number)
        outcome: Outcome = self.rng.choice(OUTCOMES)
        if number in self.stopped:
            outcome = Cancelled(was_running=True)
        self.stopped.discard(number)
        report = Report(
            number=number,
            attempt=order.attempt,
            outcome=outcome,
            started_at=1.0,
            duration_s=self.rng.choice([0.00001, 1.0]),
        )
        self.scheduler.ended(report, self.now)


@given(st.integers(0, 2**32))
@settings(max_examples=400, deadline=None)
def test_every_unit_and_every_task_ends_exactly_once_whatever_happens(seed: int) -> None:
    world = World(seed)
    world.run()
    numbers = [event.report.number for event in world.ended]
    assert sorted(numbers) == list(range(1, world.scheduler.planned + 1))
    assert sum(world.drawn.values()) == world.scheduler.planned
    everybody = [task.id for task in (*world.job.tasks, *world.job.final_tasks)]
    assert sorted(event.task_id for event in world.tasks_ended) == sorted(everybody)
    assert {event.task_id: event.planned for event in world.tasks_ended} == {
        task_id: world.drawn[task_id] for task_id in everybody
    }
    assert not world.open
    assert not world.in_flight


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_task_ends_after_all_its_units_and_before_those_that_need_it(
    seed: int,
) -> None:
    world = World(seed)
    log: list[tuple[str, str]] = []
    world.ended = _Log(log, "unit")
    world.tasks_ended = _Log(log, "task")
    world.run()
    for task in (*world.job.tasks, *world.job.final_tasks):
        end = log.index(("task", task.id))
        assert ("unit", task.id) not in log[end:]
        for need in task.needs:
            if need.per != "all":
                continue
            needed_end = log.index(("task", need.task_id))
            assert ("unit", task.id) not in log[:needed_end]


class _Log(list):  # type: ignore[type-arg]  # stands in for two lists of different events
    """Writes down in one list who ended, in order."""

    def __init__(self, log: list[tuple[str, str]], what: str) -> None:
        super().__init__()
        self.log = log
        self.what = what

    def append(self, event: UnitEnded | TaskEnded) -> None:
        super().append(event)
        task_id = event.unit.task_id if isinstance(event, UnitEnded) else event.task_id
        self.log.append((self.what, task_id))


def test_the_window_of_planned_units_is_bounded_while_a_lock_is_held() -> None:
    task = Task(id="t", name="t", operation="noop", single=False)
    scheduler = Scheduler(Job(name="j", tasks=(task,)), slots=2, random=lambda: 0.5)
    scheduler.dispatch()
    assert scheduler.take() == Open("t")
    scheduler.opened("t", None)
    drawn = 0
    while drawn < 3 * WINDOW and scheduler.hungry() is not None:
        drawn += 1
        unit = Unit(task_id="t", index=drawn, operation="noop", locks=("one",))
        scheduler.drawn("t", unit, 0.0)
        scheduler.dispatch()
    assert drawn == WINDOW + 1
    assert scheduler.in_flight == 1
