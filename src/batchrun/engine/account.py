"""What a run has come to so far: the counts, and what else decides its exit code."""

from collections.abc import Callable

from batchrun.engine.options import RunResult, RunSoFar
from batchrun.engine.outputs import Outputs
from batchrun.engine.scheduler import Scheduler
from batchrun.engine.stops import StopKind
from batchrun.engine.verdict import Trouble, exit_code
from batchrun.model.counts import Counts, fold
from batchrun.model.event import Event, TaskEnded
from batchrun.model.exitcode import outcome_word

__all__ = ["Account"]


class Account:
    """A fold over the events of a run, beside what scheduler and outputs know themselves.

    Args:
        run_id: The run's.
        scheduler: Knows of stops and fail limits.
        outputs: Know whether one of them broke.
        clock: Monotonic, in seconds; the run begins now.
    """

    def __init__(
        self, run_id: str, scheduler: Scheduler, outputs: Outputs, clock: Callable[[], float]
    ) -> None:
        self.counts = Counts()
        self._run_id = run_id
        self._scheduler = scheduler
        self._outputs = outputs
        self._clock = clock
        self._began = clock()
        self._source_failed = False

    def add(self, event: Event) -> None:
        """Take in one event."""
        fold(self.counts, event)
        if isinstance(event, TaskEnded) and event.source_error and not event.good:
            self._source_failed = True

    def so_far(self) -> RunSoFar:
        """Sum up."""
        scheduler = self._scheduler
        stop, limit = scheduler.stop_reason, scheduler.fail_limit_hit
        trouble = Trouble(
            broken=self._outputs.broken,
            limit_hit=bool(limit),
            source_failed=self._source_failed,
            away=scheduler.away,
        )
        code = exit_code(self.counts.total, stop=stop, trouble=trouble)
        return RunSoFar(
            run_id=self._run_id,
            outcome=outcome_word(code),
            exit_code=code,
            counts=self.counts,
            duration_s=self._clock() - self._began,
            stopped=stop.because if stop and stop.kind is not StopKind.FAIL_LIMIT else limit,
        )

    def result(self, job_name: str) -> RunResult:
        """Sum up for good: when the sinks are closed, because their last words may have failed."""
        so_far = self.so_far()
        return RunResult(
            run_id=so_far.run_id,
            job_name=job_name,
            exit_code=so_far.exit_code,
            counts=self.counts,
            duration_s=so_far.duration_s,
            stopped=so_far.stopped,
        )

    def gap(self) -> str:
        """Say so when the accounts do not add up, as the exit code alone explains nothing."""
        total = self.counts.total
        if total.accounted:
            return ""
        return (
            f"this run cannot account for its units: {total.planned} were planned, {total.done}"
            " have ended; this is a defect of batchrun, please report it"
        )
