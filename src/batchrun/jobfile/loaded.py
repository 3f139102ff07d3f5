"""A job file that was read without a mistake: the job, and the source of its units."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.jobfile.compiled import Compiled
from batchrun.jobfile.describe import describe
from batchrun.jobfile.options import TaskDescription
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.problems import Problems
from batchrun.jobfile.scope import Names, environment_variable, make_now
from batchrun.jobfile.stream import PlannedStream
from batchrun.jobfile.variables import new_scope
from batchrun.model.job import Job
from batchrun.model.outcome import Report
from batchrun.model.ports import UnitStream, Waker
from batchrun.model.unit import Unit

__all__ = ["LoadedJob", "program_names"]


def program_names(job_name: str | None, base_dir: str, started_at: float) -> dict[str, Any]:
    """Return the names that templates see beside the variables."""
    names: dict[str, Any] = {"env": environment_variable, "now": make_now(started_at)}
    if job_name is not None:
        names["job"] = {"name": job_name, "dir": base_dir}
    return names


class LoadedJob:
    """A job with its units; satisfies UnitSource.

    Call `bind` once before the first task is opened, so that `run.id` and `now()` are the run's.
    """

    def __init__(
        self,
        job: Job,
        plans: Mapping[str, TaskPlan],
        variables: Mapping[str, Compiled],
        problems: Problems,
        warnings: Sequence[str] = (),
    ) -> None:
        self.job = job
        #: Sentences about what is allowed but probably not meant.
        self.warnings = tuple(warnings)
        self._plans = plans
        self._variables = variables
        self._problems = problems
        self._run: dict[str, Any] = {"id": ""}
        self._names = self._scope(time.time())

    def bind(self, run_id: str, started_at: float) -> None:
        """Fix what belongs to one run.

        Args:
            run_id: What `run.id` is.
            started_at: What `now()` is, in seconds since the epoch.
        """
        self._run = {"id": run_id}
        self._names = self._scope(started_at)

    def _scope(self, started_at: float) -> Names:
        given = program_names(self.job.name, self.job.base_dir, started_at)
        return new_scope(self._variables, {**given, "run": self._run})

    def describe(self) -> tuple[TaskDescription, ...]:
        """Tell what `check` shows, task by task, those of `finally` last."""
        tasks = (*self.job.tasks, *self.job.final_tasks)
        return tuple(describe(self._plans[task.id], task) for task in tasks)

    def review(self, unit: Unit, report: Report) -> Report:
        """Take in an attempt of a task with `reviewed`; return it as it shall count."""
        del unit
        return report

    def open(self, task_id: str, scope: Mapping[str, Any], waker: Waker) -> UnitStream:
        """Begin a task.

        Args:
            task_id: Which task.
            scope: Names added to the templates' scope; a mapping `run` is merged with `run.id`.
            waker: Called from a thread when a pending stream has something again.

        Raises:
            SourceError: the source of its items cannot be opened.
        """
        plan = self._plans[task_id]
        given = dict(scope)
        if isinstance(given.get("run"), Mapping):
            given["run"] = {**self._run, **given["run"]}
        names = new_scope(plan.variables, given, outer=self._names)
        items = None if plan.source is None else plan.source.open(names, waker)
        return PlannedStream(plan, names, items, limits=self.job.limits, where=self._problems.where)
