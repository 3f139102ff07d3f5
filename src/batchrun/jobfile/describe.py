"""What `check` shows of a task, made of its plan when somebody asks."""

from collections.abc import Iterable

from batchrun.jobfile.entries import Entry
from batchrun.jobfile.options import TaskDescription
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.shapes import parameters_of
from batchrun.model.job import Task
from batchrun.model.values import Kind

__all__ = ["describe"]


def describe(plan: TaskPlan, task: Task) -> TaskDescription:
    """Describe a task.

    Args:
        plan: What is known of it.
        task: As it stands in the job: without needs on tasks that are not selected.
    """
    entry, source = plan.entry, plan.source
    return TaskDescription(
        id=task.id,
        name=task.name,
        operation=task.operation,
        line=task.line,
        needs=tuple(need.task_id for need in task.needs),
        foreach="" if source is None else source.described,
        units=1 if source is None else source.total,
        when="" if plan.when is None else plan.when.source,
        limits=_sorted(entry.modifiers.limit),
        locks=_sorted(entry.modifiers.lock),
        timeout_s=plan.timeout_s,
        retries=task.retry.retries,
        paths=_written_paths(entry),
        tags=entry.modifiers.tags,
        final=entry.final,
    )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _written_paths(entry: Entry) -> tuple[tuple[str, str], ...]:
    """List the paths of a task as they are written."""
    operation = entry.operation
    if operation is None:
        return ()
    raw = entry.raw if isinstance(entry.raw, dict) else {operation.main: entry.raw}
    found: list[tuple[str, str]] = []
    for key, parameter in parameters_of(operation).items():
        shape = parameter.shape.items or parameter.shape
        if key in raw and shape.text and shape.text.kind in (Kind.PATH, Kind.PATTERN):
            values = raw[key] if isinstance(raw[key], list) else [raw[key]]
            found += [(key, str(value)) for value in values]
    return tuple(found)
