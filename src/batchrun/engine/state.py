"""What the scheduler knows of each unit and each task while they are under way."""

from collections import deque
from enum import Enum

from batchrun.model.job import Task
from batchrun.model.unit import Unit

__all__ = ["SHORT_S", "Phase", "Stage", "TaskState", "UnitState", "resources_of"]

#: Units that take no longer than this are short: they may be queued ahead at a worker.
SHORT_S = 0.0025
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
        "attempt", "expected_s", "losses", "number", "resources", "stopping", "task",
        "tries", "unit", "waits_for", "woken_by",
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
        #: The resource in whose queue it is; means nothing while it is in none.
        self.waits_for = ""
        #: The resource that woke it, as long as it has not tried again.
        self.woken_by: str | None = None
        #: Why we asked the runner to stop it; empty: we did not.
        self.stopping = ""
        #: What the order said about its duration.
        self.expected_s: float | None = None


def resources_of(task: Task, unit: Unit) -> tuple[str, ...]:
    """Name what a unit holds while it runs, in one order for everybody."""
    if not unit.locks and not unit.limits and task.max_parallel is None:
        return ()
    names = [f"limit:{name}" for name in unit.limits]
    names += [f"lock:{name}" for name in unit.locks]
    if task.max_parallel is not None:
        names.append(f"task:{task.id}")
    return tuple(sorted(names))


class TaskState:
    """A task and the counts of its units."""

    __slots__ = (
        "attempted", "bad", "blocked", "expected_s", "failures", "final", "in_flight",
        "in_rotation", "mean_s", "needs_left", "not_expanded", "pending", "planned", "ready",
        "retrying", "source_error", "stage", "stopped", "task", "total", "watched",
    )  # fmt: skip

    def __init__(self, task: Task, *, final: bool, watched: bool = False) -> None:
        self.task = task
        #: It is one of `finally`.
        self.final = final
        #: A fail limit applies: after the failure that is one too many no command may begin.
        self.watched = watched or task.max_fail is not None
        self.stage = Stage.WAITING
        self.needs_left = len(task.needs)
        self.ready: deque[UnitState] = deque()
        self.in_rotation = False
        #: Units in some resource's queue.
        self.blocked: set[UnitState] = set()
        #: Units that wait for their next attempt.
        self.retrying: set[UnitState] = set()
        #: Units with a runner.
        self.in_flight = 0
        #: The stream has nothing now and will call its waker.
        self.pending = False
        #: Units planned so far, and how many there will be, when that is known.
        self.planned = 0
        self.total: int | None = 1 if task.single else None
        #: Units that have ended after at least one attempt.
        self.attempted = 0
        #: Units that count against `max_fail`.
        self.failures = 0
        #: Units that did not end well, in whatever way.
        self.bad = 0
        self.source_error = ""
        self.not_expanded = ""
        #: Why nothing of it is started any more; empty: it goes on.
        self.stopped = ""
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
        self.expected_s = mean_s if mean_s <= SHORT_S and not self.task.is_command else None
