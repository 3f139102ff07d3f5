"""`batchrun check`: the plan of a job file, nothing run."""

import os
import sys

from batchrun import api
from batchrun.engine.cpus import usable_cpus
from batchrun.engine.fail_limit import limit_text
from batchrun.jobfile import TaskDescription
from batchrun.model.exitcode import ExitCode
from batchrun.model.job import Job, Task
from batchrun.report.plan import PlanRow, plan_text
from batchrun.report.text import PLAIN, Palette, duration, visible, wants_colour

__all__ = ["check_job_file"]


def check_job_file(job_file: str, options: api.LoadOptions) -> int:
    """Load a job file and print what it would do; return the exit code.

    Raises:
        JobFileError: mistakes in the job file.
    """
    loaded = api.load(job_file, options)
    tasks = {task.id: task for task in (*loaded.job.tasks, *loaded.job.final_tasks)}
    rows = [_row(described, tasks[described.id]) for described in loaded.describe()]
    palette = Palette(enabled=True) if wants_colour(sys.stdout, os.environ) else PLAIN
    sys.stdout.write(plan_text(rows, title=_title(loaded.job), palette=palette))
    for warning in loaded.warnings:
        sys.stderr.write(f"warning: {visible(warning)}\n")
    return ExitCode.OK


def _title(job: Job) -> str:
    """Describe the job as a whole, with the limits that would be in force."""
    procs = f"{usable_cpus()} procs (the CPUs here)" if job.procs is None else f"{job.procs} procs"
    facts = [procs]
    facts += [f"limit {name}: {count}" for name, count in job.limits.items()]
    if job.max_fail is not None:
        facts.append(f"max_fail {limit_text(job.max_fail)}")
    if job.deadline_s is not None:
        facts.append(f"deadline {duration(job.deadline_s)}")
    if job.lock:
        facts.append("one run at a time")
    about = f" - {job.description}" if job.description else ""
    return f"{job.name}{about} ({', '.join(facts)})"


def _row(described: TaskDescription, task: Task) -> PlanRow:
    """Put what is known of a task into the words of the plan."""
    return PlanRow(
        id=described.id,
        name=described.name,
        operation=described.operation,
        needs=described.needs,
        source=described.foreach,
        units="unknown until run" if described.units is None else str(described.units),
        paths=tuple(f"{name} {path}" for name, path in described.paths),
        limits=", ".join(_limits(described, task)),
        warnings=_warnings(described, task),
        is_final=described.final,
    )


def _limits(described: TaskDescription, task: Task) -> list[str]:
    """List what bounds a task."""
    found = []
    if described.when:
        found.append(f"when {described.when}")
    if described.timeout_s is not None:
        found.append(f"timeout {duration(described.timeout_s)}")
    if described.retries:
        found.append(f"{described.retries} retries")
    if task.max_parallel is not None:
        found.append(f"at most {task.max_parallel} at once")
    if task.max_fail is not None:
        found.append(f"max_fail {limit_text(task.max_fail)}")
    found += [f"limit {name}" for name in described.limits]
    found += [f"lock {name}" for name in described.locks]
    if task.ignore_errors:
        found.append("errors ignored")
    return found


def _warnings(described: TaskDescription, task: Task) -> tuple[str, ...]:
    """Say what is allowed and often not meant."""
    found = []
    if described.units == 0:
        found.append("its `foreach` has no items, so there will be no unit")
    if task.is_command and described.timeout_s is None:
        found.append("no timeout: a command that hangs will hang the run")
    return tuple(found)
