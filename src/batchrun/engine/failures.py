"""How much has failed so far, in each task and in the job, held against `max_fail`."""

from collections.abc import Iterable

from batchrun.engine.fail_limit import exceeded, limit_text
from batchrun.engine.state import Stage, TaskState
from batchrun.model.job import FailLimit

__all__ = ["FailureCount"]


class FailureCount:
    """What has failed in a job, beside the counts that each of its tasks keeps.

    `finally` tasks count for themselves only.

    Args:
        limit: `max_fail` of the job.
        tasks: Those that count for it.
    """

    def __init__(self, limit: FailLimit | None, tasks: Iterable[TaskState]) -> None:
        self._limit = limit
        #: Units that failed in all tasks that count for the job.
        self.number = 0
        self._attempted = 0
        # Units of all tasks whose number is known, and how many tasks' number is not.
        self._known_total = 0
        self._unknown_totals = 0
        for state in tasks:
            if state.total is None:
                self._unknown_totals += 1
            else:
                self._known_total += state.total

    def learn_total(self, state: TaskState, total: int | None) -> None:
        """Remember how many units a task has, once that is known, or known better."""
        if total is None:
            return
        if not state.final:
            self._unknown_totals -= state.total is None
            self._known_total += total - (state.total or 0)
        state.total = total

    def count(self, state: TaskState, failures: int) -> None:
        """Count a unit that has ended after an attempt."""
        state.attempted += 1
        state.failures += failures
        if not state.final:
            self._attempted += 1
            self.number += failures

    def over_in_task(self, state: TaskState) -> str:
        """Say that more of a task failed than may; empty: so far it did not."""
        if state.waves is not None:
            return state.waves.too_many()
        limit = state.task.max_fail
        if limit is None or not state.failures:
            return ""
        total = state.total if state.stage is not Stage.DRAINED else state.planned
        if exceeded(limit, failures=state.failures, total=total, attempted=state.attempted):
            return f"more than {limit_text(limit)} of {state.task.name} failed"
        return ""

    def over_in_job(self) -> str:
        """Say that more of the job failed than may; empty: so far it did not."""
        limit = self._limit
        if limit is None or not self.number:
            return ""
        total = None if self._unknown_totals else self._known_total
        if exceeded(limit, failures=self.number, total=total, attempted=self._attempted):
            return f"more than {limit_text(limit)} of the job failed"
        return ""
