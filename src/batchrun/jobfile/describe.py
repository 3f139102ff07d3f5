"""What `check` shows of a task, made of its plan when somebody asks."""

from collections.abc import Iterable, Mapping
from typing import Any

from batchrun.jobfile.descriptions import StepDescription, TaskDescription
from batchrun.jobfile.entries import Entry
from batchrun.jobfile.hosts import HostPlan
from batchrun.jobfile.plan import AroundPlan, StepPlan, TaskPlan, Work
from batchrun.jobfile.shapes import parameters_of
from batchrun.model.job import Batch, FailLimit, RetryPolicy, Task
from batchrun.model.steps import Section
from batchrun.model.values import Kind

__all__ = ["describe"]

_GUARDS = ("mounted", "creates", "removes", "unless", "onlyif")


def describe(plan: TaskPlan, task: Task) -> TaskDescription:
    """Describe a task.

    Args:
        plan: What is known of it.
        task: As it stands in the job: without needs on tasks that are not selected.
    """
    entry, source, modifiers = plan.entry, plan.frame.source, plan.entry.modifiers
    retry, batch, hosts = task.retry, task.batch, plan.frame.hosts
    return TaskDescription(
        id=task.id,
        name=task.name,
        operation=task.operation,
        line=task.line,
        needs=tuple(need.task_id for need in task.needs),
        needs_per_item=tuple(need.task_id for need in task.needs if need.per == "item"),
        needs_per_host=tuple(need.task_id for need in task.needs if need.per == "host"),
        foreach="" if source is None else source.described,
        units=_units(plan),
        hosts="" if hosts is None else hosts.described,
        host_names=_host_names(hosts),
        pick=task.pick,
        per_host=task.per_host,
        connect_timeout_s=plan.frame.connect_timeout_s,
        ignore_unreachable=task.ignore_unreachable,
        when="" if plan.frame.when is None else plan.frame.when.source,
        limits=_sorted(modifiers.limit),
        locks=_sorted(one.name for one in modifiers.lock),
        machine_locks=_sorted(one.name for one in modifiers.lock if one.machine),
        timeout_s=plan.frame.timeout_s,
        idle_timeout=_written(modifiers.idle_timeout),
        retries=retry.retries,
        retry_delay_s=retry.delay_s,
        retry_backoff=retry.backoff,
        retry_on=_retried(retry),
        max_fail=_limit(task.max_fail),
        max_parallel=task.max_parallel,
        slots=task.slots,
        batch=_waves(batch),
        pause_s=None if batch is not None and batch.ask else (batch.pause_s if batch else 0.0),
        paths=_written_paths(entry),
        tags=modifiers.tags,
        final=entry.final,
        register=plan.frame.register,
        uses_results=plan.uses_results,
        guards=_guards(entry),
        output=_output(plan.frame.around, entry),
        changed_when="" if plan.frame.changed_when is None else plan.frame.changed_when.source,
        readonly=_is_readonly(plan),
        sudo=_sudo(plan),
        sudo_password=_has_password(plan),
        nice=modifiers.nice,
        ionice=_ionice(modifiers.ionice),
        ignore_errors=task.ignore_errors,
        print_always=task.print_always,
        overlap_allowed=modifiers.overlap is not None,
        steps=_steps(plan),
        rescue_ok=plan.frame.steps is not None and plan.frame.steps.rescue_ok,
    )


def _steps(plan: TaskPlan) -> tuple[StepDescription, ...]:
    if plan.frame.steps is None:
        return ()
    return tuple(
        _step(step, section, position)
        for section in Section
        for position, step in enumerate(plan.frame.steps.sections[section], 1)
    )


def _step(step: StepPlan, section: Section, position: int) -> StepDescription:
    return StepDescription(
        section=section.value,
        position=position,
        name=step.name,
        operation=step.operation,
        line=step.entry.line,
        when="" if step.frame.when is None else step.frame.when.source,
        timeout_s=step.frame.timeout_s,
        retries=step.retry.retries,
        register=step.frame.register,
        guards=_guards(step.entry),
        output=_output(step.frame.around, step.entry),
        paths=_written_paths(step.entry),
        readonly=_is_readonly(step),
        sudo=_sudo(step),
        sudo_password=_has_password(step),
        ignore_errors=step.ignore_errors,
        delegate_to=_written(step.entry.modifiers.delegate_to),
    )


def _units(plan: TaskPlan) -> int | None:
    """Count the units; None: that is not known at load."""
    source, hosts = plan.frame.source, plan.frame.hosts
    items = 1 if source is None else source.total
    if hosts is None or items is None:
        return items
    return None if hosts.known is None else items * len(hosts.known)


def _host_names(hosts: HostPlan | None) -> tuple[str, ...] | None:
    if hosts is None:
        return ()
    return None if hosts.known is None else tuple(host.name for host in hosts.known)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _retried(retry: RetryPolicy) -> tuple[str, ...]:
    return (*sorted(retry.kinds), *map(str, sorted(retry.exit_statuses))) if retry.retries else ()


def _share(count: int | None, percent: float | None) -> str:
    return str(count) if percent is None else f"{percent:g}%"


def _limit(limit: FailLimit | None) -> str:
    return "" if limit is None else _share(limit.count, limit.percent)


def _waves(batch: Batch | None) -> str:
    sizes = () if batch is None else batch.sizes
    return ", ".join(_share(one.count, one.percent) for one in sizes)


def _ionice(priority: tuple[str, int] | None) -> str:
    if priority is None:
        return ""
    return priority[0] if priority[0] == "idle" else f"{priority[0]}:{priority[1]}"


def _written(value: Any) -> str:
    return "" if value is None else str(value)


def _guards(entry: Entry) -> tuple[tuple[str, str], ...]:
    """List the guards as they are written, an entry for each path."""
    found: list[tuple[str, str]] = []
    for key in _GUARDS:
        raw = getattr(entry.modifiers, key)
        if raw is None:
            continue
        if isinstance(raw, list) and key in ("unless", "onlyif"):
            raw = " ".join(map(str, raw))  # the words of one command
        found += [(key, str(one)) for one in (raw if isinstance(raw, list) else [raw])]
    return tuple(found)


def _output(around: AroundPlan | None, entry: Entry) -> str:
    if around is None or around.output is None or entry.modifiers.output is None:
        return ""
    return str(entry.modifiers.output["path"])


def _is_readonly(work: Work) -> bool:
    return work.frame.is_command and work.constants.get("readonly") is True


def _sudo(work: Work) -> str:
    """Say as whom it runs; a name that is computed as it is written."""
    computed = any(name == "sudo" for name, _, _ in work.computed)
    value = _written_sudo(work.entry) if computed else work.constants.get("sudo", False)
    if isinstance(value, Mapping):
        value = value.get("user", True)
    return "root" if value is True else str(value or "")


def _has_password(work: Work) -> bool:
    given = "sudo" in work.constants or any(name == "sudo" for name, _, _ in work.computed)
    return given and isinstance(_written_sudo(work.entry), Mapping)


def _written_sudo(entry: Entry) -> Any:
    """Return `sudo` as it is written, beside the operation or inside."""
    inside = isinstance(entry.raw, dict) and "sudo" in entry.raw
    return entry.raw["sudo"] if inside else entry.modifiers.sudo


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
