"""`batch`: the units of a task go in waves, each only after the one before; pure bookkeeping.

Waves of a task on hosts are counted in hosts, each of which is there with all its units.

    planned ──► the wave under way ──all ended──► judged ──► pause, question ──► the next wave
                     │ full                         │
                     ▼                              ▼
          one more unit is drawn:           too many failures, or
          only then is there a next wave    nothing was ok: the end

Only one unit is ever planned beyond the wave under way. Retries of a unit belong to its wave.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from batchrun.engine.fail_limit import exceeded, limit_text
from batchrun.model.job import Batch, FailLimit, Job, Task, WaveSize, wave_size
from batchrun.model.unit import Unit

__all__ = ["Between", "Waves", "count_waves", "unhurried"]


class Between(Enum):
    """What a task waits for before its next wave."""

    #: A wave is under way, or there is no next one yet.
    NOTHING = "nothing"
    PAUSE = "pause"
    ANSWER = "answer"


def count_waves(sizes: Sequence[WaveSize], total: int) -> int:
    """Return how many waves `total` units make.

    >>> count_waves([WaveSize(count=1), WaveSize(count=10)], 25)
    4
    """
    left = total
    for number in range(1, len(sizes)):
        if left <= 0:
            return number - 1
        left -= wave_size(sizes, number, total)
    last = wave_size(sizes, len(sizes), total)
    return len(sizes) - 1 + max(-(-left // last), 0)


def unhurried(job: Job) -> Job:
    """Return a job as a dry run goes through it: no pause, no question, one slot for each unit."""

    def plain(task: Task) -> Task:
        batch = task.batch and replace(task.batch, pause_s=0.0, ask=False)
        return replace(task, batch=batch, slots=1)

    return replace(
        job, tasks=tuple(map(plain, job.tasks)), final_tasks=tuple(map(plain, job.final_tasks))
    )


class Waves:
    """How far the waves of one task have come.

    A wave lets the next one begin unless more of its units failed than `max_fail` allows (0 when
    the task has none), or something was tried in it and nothing was ok. Units that were skipped,
    and failures that `ignore_errors` excuses, are no reason to stop: a wave of nothing else had
    nothing that could go wrong, and lets the next one begin.

    Args:
        task: Its id and its `max_fail`, which counts anew in each wave.
        batch: Its sizes.
    """

    def __init__(self, task: Task, batch: Batch) -> None:
        self._task_id = task.id
        self._limit = task.max_fail or FailLimit(count=0)
        self._sizes = batch.sizes
        self._on_hosts = task.on_hosts
        self.batch = batch
        #: What the task waits for now.
        self.between = Between.NOTHING
        #: Units, or hosts, of the whole task, when that is known.
        self.total: int | None = None
        #: Which wave is under way, from 1; 0: none has begun.
        self.number = 0
        self.size = 0
        # Units, or hosts, of earlier waves. Units of this one: planned, ended, and of these those
        # that were ok, and that did not end well at all. What counts against the limit.
        self._before = 0
        self._planned = 0
        self._ended = 0
        self._ok = 0
        self._bad = 0
        self._failures = 0
        # The hosts of this wave, and those of which a unit counts against the limit.
        self._hosts: set[str] = set()
        self._failed_hosts: set[str] = set()

    @property
    def _taken(self) -> int:
        """How much of the wave is planned, in what its size is counted in."""
        return len(self._hosts) if self._on_hosts else self._planned

    def takes(self, unit: Unit) -> bool:
        """Tell whether a planned unit belongs to this wave; else to the next one."""
        return self._taken < self.size or unit.host in self._hosts

    @property
    def over(self) -> bool:
        """Whether every unit of a full wave has ended, those that may still come left aside."""
        return self._planned == self._ended and self._taken == self.size

    def begin(self) -> None:
        """Begin the next wave."""
        self.between = Between.NOTHING
        self.number += 1
        self._before += self._taken
        self._planned = self._ended = self._ok = self._failures = self._bad = 0
        self._hosts.clear()
        self._failed_hosts.clear()
        self.size = wave_size(self._sizes, self.number, self.total)

    def plan(self, unit: Unit) -> None:
        """Count a planned unit into the wave, which takes it."""
        self._planned += 1
        if self._on_hosts:
            self._hosts.add(unit.host)

    def make_room(self) -> None:
        """Let the wave take one more: for a host that is passed over (`pick`)."""
        self.size += 1

    def exhausted(self) -> None:
        """Take note that no unit will come any more: the wave is as big as it has become."""
        self.size = self._taken
        self.total = self._before + self._taken

    def end(self, unit: Unit, *, ok: bool, failed: bool, bad: bool) -> None:
        """Count a unit of the wave that has ended, for good.

        Args:
            unit: Which.
            ok: It was ok.
            failed: It counts against `max_fail`.
            bad: It did not end well, and nothing excuses that.
        """
        self._ended += 1
        self._ok += ok
        self._failures += failed and unit.host not in self._failed_hosts
        if failed and self._on_hosts:
            self._failed_hosts.add(unit.host)
        self._bad += bad

    def too_many(self) -> str:
        """Say that more of this wave failed than may; empty: so far it did not."""
        failures = self._failures
        if not failures:
            return ""
        if not exceeded(self._limit, failures=failures, total=self.size, attempted=self._ended):
            return ""
        plural = "" if failures == 1 else "s"
        return (
            f"wave {self.number} of `{self._task_id}` had {failures} failure{plural},"
            f" more than {limit_text(self._limit)} allowed"
        )

    def nothing_ok(self) -> str:
        """Say that this wave, which is over, had no unit that was ok; empty: it may be followed."""
        if self._ok or not self._bad:
            return ""
        return f"no unit of wave {self.number} of `{self._task_id}` was ok"

    def describe(self) -> str:
        """Say which wave is under way, and how big it is as far as that is known."""
        if self.total is None:
            return f"wave {self.number} (at most {self._sized(self.size)})"
        waves = max(count_waves(self._sizes, self.total), self.number)
        size = max(min(self.size, self.total - self._before), 1)
        return f"wave {self.number} of {waves} ({self._sized(size)})"

    def question(self) -> str:
        """Ask whether to go on, saying how the wave that is over went."""
        number = self.number
        went = f"{self._ok} ok, {self._failures} failed"
        return f"`{self._task_id}`: wave {number} is over ({went}); begin wave {number + 1}?"

    def _sized(self, count: int) -> str:
        what = "host" if self._on_hosts else "unit"
        return f"{count} {what}{'' if count == 1 else 's'}"
