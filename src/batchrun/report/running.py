"""What runs now and for how long, and how much there is to do: a fold for progress and SIGUSR1."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from batchrun.model.counts import Counts, fold
from batchrun.model.event import (
    Event,
    RunStarted,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitProgress,
    UnitRetried,
    UnitStaged,
    UnitStarted,
)
from batchrun.model.outcome import KINDS
from batchrun.report.text import count, duration, shorten, size, visible

__all__ = ["Active", "Running", "status_text"]

_STATUS_UNITS = 20
_COLUMNS = 300
#: No time is foretold before so many seconds, and so much of the work.
_FIRST_GUESS_S, _LEAST_SHARE = 1.0, 0.01


@dataclass(slots=True, kw_only=True)
class Active:
    """A unit that a worker has taken."""

    task_id: str
    label: str
    attempt: int
    worker: str
    #: By the fold's monotonic clock.
    since: float
    bytes_done: int = 0
    #: Files and other entries of trees; 0: none yet, or they are not counted.
    files_done: int = 0
    #: How much of it is done, from 0 to 1; None: that is not known.
    share: float | None = None
    #: The step that runs now; empty: its task has no steps.
    step: str = ""
    #: Its host; empty: it has none.
    host: str = ""
    #: What it does there, and since when; empty: nothing was said of it.
    stage: str = ""
    stage_since: float = 0.0


class Running:
    """A fold over events; grows with the tasks and with what runs at the same time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.counts = Counts()
        #: Oldest first, by unit number.
        self.active: dict[int, Active] = {}
        #: Numbers of units that wait for another attempt.
        self.waiting: set[int] = set()
        #: File data done, in bytes.
        self.bytes_done = 0
        #: Units that have an outcome.
        self.done = 0
        self.ended_tasks = 0
        self._names: dict[str, str] = {}
        #: Units that each task will have; None: not known.
        self._totals: dict[str, int | None] = {}

    def handle(self, event: Event) -> None:
        """Take one event; never raises, never blocks."""
        fold(self.counts, event)
        match event:
            case UnitEnded():
                self.done += 1
                number = event.report.number
                if self.waiting:
                    self.waiting.discard(number)
                done = event.report.bytes_done
                active = self.active.pop(number, None) if self.active else None
                if active is not None:
                    done = max(done - active.bytes_done, 0)
                self.bytes_done += done
            case UnitProgress():
                self._progress(event)
            case UnitStarted():
                self._started(event)
            case UnitStaged(number=number, stage=stage):
                self._staged(number, stage)
            case UnitRetried():
                self.active.pop(event.report.number, None)
                self.waiting.add(event.report.number)
            case _:
                self._task(event)

    def total(self) -> int | None:
        """Return how many units there will be in all; None while a task's number is not known."""
        totals = self._totals.values()
        return None if None in totals else sum(number or 0 for number in totals)

    @property
    def tasks(self) -> int:
        """How many tasks the run has."""
        return len(self._totals)

    def name(self, task_id: str) -> str:
        """Return the name for people of a task, harmless to show."""
        return self._names.get(task_id) or visible(task_id)

    def what(self, active: Active) -> str:
        """Write whose unit it is: its task, its host and its item."""
        targets = dict.fromkeys(text for text in (active.host, active.label) if text)
        return "  ".join([self.name(active.task_id), *(visible(one[:_COLUMNS]) for one in targets)])

    def doing(self, active: Active) -> str:
        """Write how far a unit has come, or what one does on a host; empty: it is not known."""
        if active.files_done:
            return ", ".join(self._so_far(active))
        if not active.stage:
            return ""
        since = duration(self.clock() - active.stage_since)
        return f"{shorten(visible(active.stage), 40)} for {since}"

    def _so_far(self, active: Active) -> list[str]:
        """Write how far a unit has come with a tree, how fast, and how long it will take."""
        took = max(self.clock() - active.since, 0.001)
        parts = [f"{count(active.files_done)} files"]
        if active.bytes_done:
            parts += [size(active.bytes_done), f"{size(int(active.bytes_done / took))}/s"]
        else:
            parts.append(f"{count(int(active.files_done / took))}/s")
        share = active.share
        if share is not None:
            parts.append(f"{share:.0%}".replace("%", " %"))
            if took >= _FIRST_GUESS_S and _LEAST_SHARE <= share < 1:
                parts.append(f"about {duration(took * (1 - share) / share)} left")
        return parts

    def _progress(self, event: UnitProgress) -> None:
        """Count data of a unit that runs; its number is a total of the attempt."""
        active = self.active.get(event.number)
        if active is not None and event.step:
            active.step = event.step
            active.stage = ""
        if active is not None and event.files_done:
            active.files_done, active.share = event.files_done, event.share
        if active is not None and event.bytes_done > active.bytes_done:
            self.bytes_done += event.bytes_done - active.bytes_done
            active.bytes_done = event.bytes_done

    def _started(self, event: UnitStarted) -> None:
        """Remember since when a unit runs."""
        self.waiting.discard(event.number)
        self.active[event.number] = Active(
            task_id=event.unit.task_id,
            label=event.unit.label,
            attempt=event.attempt,
            worker=event.worker,
            since=self.clock(),
            host=event.unit.host,
        )

    def _staged(self, number: int, stage: str) -> None:
        """Remember what a unit on a host does now, and since when."""
        active = self.active.get(number)
        if active is not None:
            active.stage = stage
            active.stage_since = self.clock()

    def _task(self, event: Event) -> None:
        """Keep what is known about how many units there will be."""
        match event:
            case RunStarted():
                self._names = {task_id: visible(name) for task_id, name in event.tasks}
                self._totals = dict.fromkeys(self._names)
            case TaskOpened():
                self._totals[event.task_id] = event.total
            case TaskEnded():
                self._totals[event.task_id] = event.planned
                self.ended_tasks += 1
            case _:
                pass


def status_text(running: Running, counts: Counts) -> str:
    """Say who is running, for how long and in which attempt: the oldest twenty, one per line."""
    total = counts.total
    ended = ", ".join(
        f"{count(total.ended[kind])} {kind.replace('_', ' ')}"
        for kind in KINDS
        if kind == "ok" or total.ended[kind]
    )
    waiting = len(running.waiting)
    wait = f", {count(waiting)} wait for another attempt" if waiting else ""
    lines = [f"{count(len(running.active))} running{wait}, {ended}"]
    now = running.clock()
    oldest = islice(running.active.values(), _STATUS_UNITS)
    lines += [_status_line(running, active, now) for active in oldest]
    more = len(running.active) - _STATUS_UNITS
    if more > 0:
        lines.append(f"  and {count(more)} more, all of them for a shorter time")
    return "".join(f"{line}\n" for line in lines)


def _only_bytes(active: Active) -> bool:
    """Tell whether bytes are all that is known of how far a unit has come."""
    return bool(active.bytes_done) and not active.files_done


def _status_line(running: Running, active: Active, now: float) -> str:
    """Write how one unit is doing."""
    stage = [f"step {shorten(visible(active.step), 40)}"] if active.step else []
    stage += [doing] if (doing := running.doing(active)) else []
    stage += [f"attempt {active.attempt}"] if active.attempt > 1 else []
    stage += [f"{size(active.bytes_done)} done"] if _only_bytes(active) else []
    # Who runs a unit on a host is the host.
    stage += [visible(active.worker)] if active.worker not in ("", active.host) else []
    what = shorten(running.what(active), _COLUMNS)
    note = f"  ({', '.join(stage)})" if stage else ""
    return f"  {duration(now - active.since):>12}  {what}{note}"
