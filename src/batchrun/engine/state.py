"""What the scheduler knows of each unit and each task while they are under way."""

from collections import deque
from enum import Enum
from typing import Literal, NamedTuple

from batchrun.engine.pick import Pick
from batchrun.engine.waves import Waves
from batchrun.model.job import Task
from batchrun.model.outcome import Report
from batchrun.model.unit import Unit

__all__ = [
    "SHORT_S",
    "STEPS",
    "Phase",
    "Stage",
    "TargetKeys",
    "TargetNeed",
    "TaskState",
    "UnitState",
    "host_resources",
    "resources_of",
]

#: Units that take no longer than this are short: they may be queued ahead at a worker.
SHORT_S = 0.0025
#: The operation of a unit that is sequenced step by step.
STEPS = "steps"
#: Weight of the newest duration in the running mean of a task's units.
_NEWEST = 0.1


class Stage(Enum):
    """How far a task has come."""

    #: Its needs have not ended, or its turn to be opened has not come.
    WAITING = "waiting"
    #: Its stream may give more units.
    OPEN = "open"
    #: Every unit is planned; some have not ended.
    DRAINED = "drained"
    ENDED = "ended"


class Phase(Enum):
    """Which part of the job is under way."""

    TASKS = "tasks"
    FINALLY = "finally"
    OVER = "over"


class UnitState:
    """A unit between its planning and its end."""

    __slots__ = (
        "attempt", "expected_s", "in_wave", "is_away", "last_word", "losses", "number", "polled",
        "resources", "spread", "stopping", "task", "tries", "unit", "waits_for", "woken_by",
    )  # fmt: skip

    def __init__(self, number: int, unit: Unit, task: "TaskState") -> None:
        self.number = number
        self.unit = unit
        self.task = task
        self.resources = resources_of(task.task, unit)
        #: Attempts begun so far.
        self.attempt = 0
        #: Attempts that count against `retries`.
        self.tries = 0
        #: Times it was lost with its worker and repeated for free.
        self.losses = 0
        #: The resource in whose queue it is; empty: it is in none.
        self.waits_for = ""
        #: The resource that woke it, as long as it has not tried again.
        self.woken_by: str | None = None
        #: It is its turn to find out whether another process still has its machine locks.
        self.polled = False
        #: Why we asked the runner to stop it; empty: we did not.
        self.stopping = ""
        #: It is with the runner in chunks, for several workers.
        self.spread = False
        #: It belongs to a wave that has begun.
        self.in_wave = False
        #: It is aborted only because a host was not reached before.
        self.is_away = False
        #: How it ended, while it is not known whether another host takes its place (`pick`).
        self.last_word: Report | None = None
        #: What the order said about its duration.
        self.expected_s: float | None = None

    def resolve(self, unit: Unit) -> None:
        """Take the unit that was planned when its item's needs had ended."""
        self.unit = unit
        self.resources = resources_of(self.task.task, unit)


def resources_of(task: Task, unit: Unit) -> tuple[str, ...]:
    """Name what a unit holds while it runs, in one order for everybody."""
    locks = unit.locks
    if unit.machine_locks:
        # Within the run a lock of the machine is a lock like any other.
        locks = tuple({*locks, *unit.machine_locks})
    elif not (locks or unit.limits or task.on_hosts) and task.max_parallel is None:
        return ()
    names = [f"limit:{name}" for name in unit.limits]
    names += [f"lock:{name}" for name in locks]
    if task.max_parallel is not None:
        names.append(f"task:{task.id}")
    if task.on_hosts:
        names += host_resources(task, unit.host)
    return tuple(sorted(names))


def host_resources(task: Task, host: str) -> tuple[str, str]:
    """Name a host as a resource of the run, and as one of a task."""
    return f"host:{host}", f"task:{task.id} on {host}"


class TargetKeys:
    """How the units of a task did, by target: what tasks that need it per item or host go by.

    It grows with the targets, about 120 bytes and the text for each: to forget one early is not
    possible, because nobody knows when a dependant comes to it. It goes when the last dependant
    has ended.

    Args:
        per: What is a target: an item, a host, or an item on a host.
    """

    __slots__ = ("dependants", "has_items", "per", "waiting", "well")

    def __init__(self, per: Literal["item", "host", "both"]) -> None:
        self.per = per
        #: By key: how many units have not ended; 0: all ended well; below 0: one did not.
        self.well: dict[str, int] = {}
        #: Units of other tasks that wait for a key.
        self.waiting: dict[str, list[UnitState]] = {}
        #: Tasks that go by it and have not ended.
        self.dependants = 0
        #: The task has several units for a host.
        self.has_items = False

    @property
    def is_open(self) -> bool:
        """Whether more units of a target may come as long as the task has not planned all."""
        return self.per == "host" and self.has_items

    def key_of(self, unit: Unit) -> str:
        """Return the target of a unit."""
        if self.per == "item":
            return unit.key
        return unit.host if self.per == "host" else f"{unit.host}\0{unit.key}"


class TargetNeed(NamedTuple):
    """A task of which each unit of another needs its own target."""

    task: "TaskState"
    keys: TargetKeys


class TaskState:
    """A task and the counts of its units.

    Args:
        task: Which.
        final: It is one of `finally`.
        watched: The job has a fail limit.
        slots: Units that run at the same time: no unit takes more.
    """

    __slots__ = (
        "attempted",
        "bad",
        "blocked",
        "done_before",
        "expected_s",
        "failures",
        "final",
        "first_of_wave",
        "in_flight",
        "in_rotation",
        "keys",
        "mean_s",
        "needs_left",
        "not_expanded",
        "on_hosts",
        "pending",
        "pick",
        "plain",
        "planned",
        "queueable",
        "ready",
        "retrying",
        "source_error",
        "stage",
        "stopped",
        "target_needs",
        "task",
        "total",
        "watched",
        "waves",
        "width",
    )  # fmt: skip

    def __init__(
        self, task: Task, *, final: bool, watched: bool = False, slots: int | None = None
    ) -> None:
        self.task = task
        #: Its units are for hosts.
        self.on_hosts = task.on_hosts
        #: It is one of `finally`.
        self.final = final
        #: Its long units must not wait at the runner, where they begin without our word: with a
        #: fail limit none may begin after the failure that is one too many, and steps are ours.
        self.watched = watched or _is_watched(task)
        #: How many slots each of its units takes.
        self.width = _width(task, slots)
        self.stage = Stage.WAITING
        #: Needs that have not ended, or, those per item, not begun.
        self.needs_left = len(task.needs)
        #: Tasks whose units for the same target each unit waits for.
        self.target_needs: tuple[TargetNeed, ...] = ()
        #: How its units did, for those who need it per item or per host.
        self.keys: tuple[TargetKeys, ...] = ()
        self.waves = None if task.batch is None else Waves(task, task.batch)
        #: The one unit planned beyond the wave under way; until that wave is over none follows.
        self.first_of_wave: UnitState | None = None
        #: Its units are ready once they are planned: no host, no wave, and no target needed.
        self.plain = task.batch is None and not task.on_hosts and task.pick is None
        #: Which of its hosts are taken; None: all.
        self.pick = None if task.pick is None else Pick(task.pick)
        self.ready: deque[UnitState] = deque()
        self.in_rotation = False
        #: Units that wait for a resource, another process, their item or their wave.
        self.blocked: set[UnitState] = set()
        #: Units that wait for their next attempt.
        self.retrying: set[UnitState] = set()
        #: Units with a runner.
        self.in_flight = 0
        #: The stream has nothing now and will call its waker.
        self.pending = False
        #: Units planned so far, and how many there will be, when that is known.
        self.planned = 0
        #: Units that an earlier run has ended well, and that are not planned again.
        self.done_before = 0
        self.total: int | None = 1 if task.single else None
        #: Units that have ended after at least one attempt.
        self.attempted = 0
        #: Units that count against `max_fail`.
        self.failures = 0
        #: Units that did not end well, in whatever way, and that nothing excuses.
        self.bad = 0
        self.source_error = ""
        self.not_expanded = ""
        #: Why nothing of it is started any more; empty: it goes on.
        self.stopped = ""
        #: Its units may be queued ahead: not commands, nor what takes many slots or many steps,
        #: or runs elsewhere.
        self.queueable = not (self.width > 1 or _is_long(task))
        #: Running mean of the time an attempt takes, in seconds; None: nothing ended yet.
        self.mean_s: float | None = None
        #: The same if it is short enough for units to be queued ahead, else None.
        self.expected_s: float | None = None

    @property
    def window(self) -> int:
        """How many planned units wait: ready, blocked, or for a retry."""
        return len(self.ready) + len(self.blocked) + len(self.retrying)

    @property
    def good(self) -> bool:
        """Whether what needs this task may go on; only meaningful when it has ended."""
        if self.not_expanded:
            return False
        return self.task.ignore_errors or not (self.bad or self.source_error)

    def took(self, duration_s: float) -> None:
        """Learn how long an attempt took.

        One that took far longer than the mean counts as four times the mean only: on a busy
        machine a single pause would otherwise make a thousand short units look long.
        """
        mean_s = self.mean_s
        if mean_s is None:
            mean_s = duration_s
        else:
            mean_s += _NEWEST * (min(duration_s, 4 * mean_s + 1e-5) - mean_s)
        self.mean_s = mean_s
        self.expected_s = mean_s if mean_s <= SHORT_S and self.queueable else None


def _is_watched(task: Task) -> bool:
    """Whether what happens in a task decides what else of it may begin."""
    return task.max_fail is not None or task.batch is not None or task.operation == STEPS


def _is_long(task: Task) -> bool:
    """Whether units of a task may take long whatever others took, or run elsewhere."""
    return task.is_command or task.operation == STEPS or task.on_hosts


def _width(task: Task, slots: int | None) -> int:
    """Return how many slots of this machine a unit of a task takes, of so many."""
    if task.on_hosts:
        return 1
    return task.slots if slots is None else max(min(task.slots, slots), 1)
