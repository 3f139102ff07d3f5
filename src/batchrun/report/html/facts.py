"""What is known of a run and its tasks beside single units; grows with the tasks only."""

from dataclasses import dataclass, field

from batchrun.model.counts import Counts, fold
from batchrun.model.event import Event, Note, RunEnded, RunStarted, TaskEnded, UnitEnded
from batchrun.report.text import shorten, visible
from batchrun.report.warned import Warnings

__all__ = ["Facts", "TaskFacts"]

_NOTES = 100
_COLUMNS = 1000


@dataclass(slots=True, kw_only=True)
class TaskFacts:
    """What is known of a task beside its counts."""

    name: str
    #: How many units of each operation it had.
    operations: dict[str, int] = field(default_factory=dict)
    #: Time that the last attempts of its units took, all together and the longest, in seconds.
    busy_s: float = 0.0
    longest_s: float = 0.0
    #: How it ended; None: it did not.
    ended: TaskEnded | None = None


class Facts:
    """A fold of the events of a run."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.counts = Counts()
        self.tasks: dict[str, TaskFacts] = {}
        #: Level and sentence, the first ones.
        self.notes: list[tuple[str, str]] = []
        self.notes_left_out = 0
        self.warnings = Warnings(self.task_name)
        self._places: dict[str, int] = {}

    def handle(self, event: Event) -> None:
        """Take one event; never raises, never blocks."""
        fold(self.counts, event)
        match event:
            case UnitEnded():
                self._unit_ended(event)
            case TaskEnded():
                self._task(event.task_id).ended = event
            case Note():
                self._note(event)
            case RunStarted():
                self.started = event
                for task_id, name in event.tasks:
                    self._task(task_id, name)
            case RunEnded():
                self.ended = event
            case _:
                pass

    def task_name(self, task_id: str) -> str:
        """Return the name for people of a task, harmless to show."""
        return self._task(task_id).name

    def task_number(self, task_id: str) -> int:
        """Return the place of a task, counted from 0."""
        self._task(task_id)
        return self._places[task_id]

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing was changed."""
        return self.started is not None and self.started.dry_run

    def _task(self, task_id: str, name: str = "") -> TaskFacts:
        facts = self.tasks.get(task_id)
        if facts is None:
            self._places[task_id] = len(self._places)
            shown = shorten(visible(name or task_id), _COLUMNS)
            facts = self.tasks[task_id] = TaskFacts(name=shown)
        return facts

    def _unit_ended(self, event: UnitEnded) -> None:
        facts = self._task(event.unit.task_id)
        took_s = event.report.duration_s
        facts.busy_s += took_s
        facts.longest_s = max(facts.longest_s, took_s)
        operation = event.unit.operation
        facts.operations[operation] = facts.operations.get(operation, 0) + 1
        if event.report.warnings:
            self.warnings.add(event)

    def _note(self, note: Note) -> None:
        if len(self.notes) >= _NOTES:
            self.notes_left_out += 1
            return
        where = f"{self.task_name(note.task_id)}: " if note.task_id else ""
        self.notes.append((note.level, where + shorten(visible(note.message), _COLUMNS)))
