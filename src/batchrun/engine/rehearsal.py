"""What a dry run cannot know: units that need what an earlier task would have made.

A dry run looks at the real files. Where a task that would change something comes before, a file
that is not there yet is no failure, a pattern that matches nothing yet no lack of work, and a
command that says no, or a comparison that finds a difference, neither: how the unit would end is
unknown until run.
"""

import errno
from collections.abc import Mapping
from dataclasses import replace

from batchrun.model.counts import Counts
from batchrun.model.job import Job
from batchrun.model.outcome import Failed, Ok, Report, Skipped

__all__ = ["Rehearsal"]

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})
#: What such a unit is said to be.
_UNKNOWN = "unknown until run"


class Rehearsal:
    """Judges what a dry run says, by what the tasks before would have changed.

    Args:
        job: The job; `needs` says what comes before what.
        counts: The run's counts, kept up to date by their owner.
    """

    def __init__(self, job: Job, counts: Counts) -> None:
        self._needs: Mapping[str, tuple[str, ...]] = {
            task.id: tuple(need.task_id for need in task.needs)
            for task in (*job.tasks, *job.final_tasks)
        }
        self._finals = {task.id for task in job.final_tasks}
        self._counts = counts

    def judge(self, task_id: str, report: Report, *, after_change: bool = False) -> Report:
        """Turn what a change before would mend, or give work to, into "unknown until run".

        Args:
            task_id: Whose unit it was.
            report: What the dry run said of it.
            after_change: An earlier step of the same unit would change something.
        """
        why = _too_early(report)
        if not why or not (after_change or self.follows_a_change(task_id)):
            return report
        # The warnings of a unit that went well are the reason now.
        warnings = report.warnings if isinstance(report.outcome, Failed) else ()
        return replace(report, outcome=_unknown(why), warnings=warnings)

    def judge_step(self, task_id: str, report: Report, after_change: bool) -> Report:  # noqa: FBT001  # called by position only
        """Judge a step of a unit of this task, after steps that would change something or not."""
        return self.judge(task_id, report, after_change=after_change)

    def follows_a_change(self, task_id: str) -> bool:
        """Tell whether some task that must come before would change something."""
        if task_id in self._finals:
            return bool(self._counts.total.changed)
        seen = {task_id}
        waiting = list(self._needs[task_id])
        while waiting:
            before = waiting.pop()
            if before in seen:
                continue
            seen.add(before)
            if self._counts.task(before).changed:
                return True
            waiting += self._needs[before]
        return False


def _unknown(message: str) -> Skipped:
    return Skipped(because=f"{_UNKNOWN}: {message}", is_unknown=True)


def _too_early(report: Report) -> str:
    """Say what may only not be there because what comes before was not done; empty: nothing."""
    match report.outcome:
        case Failed() as failed if _may_be_mended(failed):
            return failed.message
        case Ok(changed=False, found_nothing=True):
            return "; ".join(report.warnings)
        case _:
            return ""


def _may_be_mended(outcome: Failed) -> bool:
    """Tell whether it would go well once what comes before is really done.

    The only commands of a dry run are those that change nothing: they look at what is there.
    """
    return outcome.finding or outcome.errno in _NOT_THERE or outcome.exit_status is not None
