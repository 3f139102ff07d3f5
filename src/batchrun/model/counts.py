"""How many units ended how: a pure fold over events, per task and overall."""

from dataclasses import dataclass, field

from batchrun.model.event import Event, RunStarted, TaskEnded, TaskOpened, UnitEnded, UnitRetried
from batchrun.model.outcome import KINDS, Ok

__all__ = ["Counts", "Tally", "fold"]


def _zeros() -> dict[str, int]:
    """Make a number for each kind of outcome."""
    return dict.fromkeys(KINDS, 0)


@dataclass(slots=True, kw_only=True)
class Tally:
    """The numbers of one task, or of all of them."""

    #: Units planned, as the scheduler says; 0 until the task has ended.
    planned: int = 0
    #: Units ended, by kind; every kind is there.
    ended: dict[str, int] = field(default_factory=_zeros)
    #: Of `ended`, those to which `ignore_errors` applies, by kind.
    excused: dict[str, int] = field(default_factory=_zeros)
    #: Of the `ok` ones, those that changed something (dry run: would).
    changed: int = 0
    #: Attempts after which another one followed.
    retried: int = 0

    @property
    def done(self) -> int:
        """Units that have an outcome."""
        return sum(self.ended.values())

    @property
    def ignored(self) -> int:
        """Units whose end fails nothing, because of `ignore_errors`."""
        return sum(self.excused.values())

    @property
    def accounted(self) -> bool:
        """Whether every planned unit has an outcome, and nothing else has."""
        return self.planned == self.done

    def counted(self, kind: str) -> int:
        """Return how many units of this kind count, those with `ignore_errors` left out."""
        return self.ended[kind] - self.excused[kind]

    def as_dict(self) -> dict[str, int]:
        """Return all numbers under their names, for templates and machine-readable output."""
        return {
            "planned": self.planned,
            **self.ended,
            "changed": self.changed,
            "ignored": self.ignored,
            "retried": self.retried,
        }

    def add(self, other: "Tally") -> None:
        """Add the numbers of another one to this one."""
        self.planned += other.planned
        self.changed += other.changed
        self.retried += other.retried
        for kind in KINDS:
            self.ended[kind] += other.ended[kind]
            self.excused[kind] += other.excused[kind]


@dataclass(slots=True)
class Counts:
    """The numbers of a run; grows with the tasks, not with the units.

    >>> counts = Counts()
    >>> fold(counts, TaskEnded(task_id="copy", good=True, planned=3))
    >>> counts.total.planned, counts.total.accounted
    (3, False)
    """

    #: By task id, in the order of the job file.
    tasks: dict[str, Tally] = field(default_factory=dict)

    @property
    def total(self) -> Tally:
        """The sum over all tasks, computed anew at each call."""
        total = Tally()
        for tally in self.tasks.values():
            total.add(tally)
        return total

    def task(self, task_id: str) -> Tally:
        """Return the numbers of a task; they begin at zero."""
        tally = self.tasks.get(task_id)
        if tally is None:
            tally = self.tasks[task_id] = Tally()
        return tally


def fold(counts: Counts, event: Event) -> None:
    """Take one event into the counts.

    Only per-task numbers are kept up to date: a million ends should cost one update each.
    """
    match event:
        case UnitEnded():
            tally = counts.task(event.unit.task_id)
            outcome = event.report.outcome
            tally.ended[outcome.kind] += 1
            if type(outcome) is Ok:
                tally.changed += outcome.changed
            elif event.ignored:
                tally.excused[outcome.kind] += 1
        case UnitRetried():
            counts.task(event.unit.task_id).retried += 1
        case TaskEnded():
            counts.task(event.task_id).planned = event.planned
        case TaskOpened():
            counts.task(event.task_id)
        case RunStarted():
            for task_id, _ in event.tasks:
                counts.task(task_id)
        case _:
            pass
