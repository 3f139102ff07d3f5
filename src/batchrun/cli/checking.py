"""`batchrun check`: the plan of a job file, nothing run."""

import shutil
import sys
from collections.abc import Iterator, Sequence

from batchrun import api
from batchrun.cli.jobflags import CheckFlags
from batchrun.cli.loading import load_options
from batchrun.cli.results import palette_for
from batchrun.engine.cpus import usable_cpus
from batchrun.engine.fail_limit import limit_text
from batchrun.jobfile.descriptions import StepDescription, TaskDescription
from batchrun.model.exitcode import ExitCode
from batchrun.model.job import DEFAULT_FANOUT, Job
from batchrun.nodes.nodeset import fold
from batchrun.report.plan import PlanRow, plan_text
from batchrun.report.text import duration, visible

__all__ = ["check_job_file"]


def check_job_file(flags: CheckFlags) -> int:
    """Load a job file and print what it would do; return the exit code.

    Raises:
        JobFileError: mistakes in the job file.
    """
    loaded = api.load(flags.job_file, load_options(flags))
    commands = {task.id: task.is_command for task in (*loaded.job.tasks, *loaded.job.final_tasks)}
    described = in_order(loaded.describe())
    rows = [_row(one, is_command=commands[one.id]) for one in described]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    title = _title(loaded.job, on_hosts=any(one.hosts for one in described))
    text = plan_text(rows, title=title, columns=columns, palette=palette_for(sys.stdout))
    sys.stdout.write(text)
    for name, question in loaded.prompts():
        sys.stderr.write(f"note: asks for the secret `{name}` ({visible(question)})\n")
    for warning in loaded.warnings:
        sys.stderr.write(f"warning: {visible(warning)}\n")
    return ExitCode.OK


def in_order(tasks: Sequence[TaskDescription]) -> list[TaskDescription]:
    """Put tasks into an order in which they can run; else they stay as they are written.

    Those of `finally` come last, whatever they need.
    """
    done: set[str] = set()
    ordered: list[TaskDescription] = []
    for group in ([one for one in tasks if not one.final], [one for one in tasks if one.final]):
        names = {one.id for one in group}
        left = group
        while left:
            waiting = []
            for one in left:
                if done.issuperset(names.intersection(one.needs)):
                    ordered.append(one)
                    done.add(one.id)
                else:
                    waiting.append(one)
            # Needs in a circle were refused when the file was read, so each round ends some.
            left = waiting
    return ordered


def _title(job: Job, *, on_hosts: bool) -> str:
    """Describe the job as a whole, with the limits that would be in force."""
    procs = f"{usable_cpus()} procs (the CPUs here)" if job.procs is None else f"{job.procs} procs"
    facts = [procs]
    facts += [f"limit {name}: {count}" for name, count in job.limits.items()]
    if on_hosts:
        facts.append(f"{DEFAULT_FANOUT if job.fanout is None else job.fanout} hosts at once")
    if job.max_fail is not None:
        facts.append(f"max_fail {limit_text(job.max_fail)}")
    if job.deadline_s is not None:
        facts.append(f"deadline {duration(job.deadline_s)}")
    if job.lock or job.lock_name:
        facts.append("one run at a time")
    about = f" - {job.description}" if job.description else ""
    return f"{job.name}{about} ({', '.join(facts)})"


def _row(described: TaskDescription, *, is_command: bool) -> PlanRow:
    """Put what is known of a task into the words of the plan."""
    per_target = {*described.needs_per_item, *described.needs_per_host}
    needs = [name for name in described.needs if name not in per_target]
    return PlanRow(
        id=described.id,
        name=described.name,
        operation=described.operation,
        needs=(
            *needs,
            *(f"{name} (of its own item)" for name in described.needs_per_item),
            *(f"{name} (of its own host)" for name in described.needs_per_host),
        ),
        source=_source(described),
        units="unknown until run" if described.units is None else str(described.units),
        paths=tuple(f"{name} {path}" for name, path in _paths(described)),
        conditions=tuple(_conditions(described)),
        limits=", ".join((*_limits(described), *_handling(described))),
        steps=tuple(_step(step) for step in described.steps),
        warnings=tuple(_warnings(described, is_command=is_command)),
        is_final=described.final,
    )


def _source(described: TaskDescription) -> str:
    """Say what there is a unit for."""
    names = described.host_names
    if not described.hosts:
        return described.foreach
    if names is None:
        hosts = f"hosts {described.hosts}"
    elif described.pick is not None and described.pick < len(names):
        hosts = f"the first {described.pick} that can be reached of {fold(names)} ({len(names)})"
    else:
        hosts = f"{fold(names) or 'no host'} ({len(names)})"
    return f"{hosts}, and for each {described.foreach}" if described.foreach else hosts


def _paths(described: TaskDescription | StepDescription) -> list[tuple[str, str]]:
    """List the paths that a task or a step touches, as written."""
    output = [("output", described.output)] if described.output else []
    return [*described.paths, *output]


def _conditions(described: TaskDescription | StepDescription) -> Iterator[str]:
    """Say when it is done at all."""
    if described.when:
        yield f"when {described.when}"
    yield from (f"{name} {text}" for name, text in described.guards)


def _limits(described: TaskDescription) -> Iterator[str]:
    """List what bounds a task, and what it holds while it runs."""
    if described.timeout_s is not None:
        yield f"timeout {duration(described.timeout_s)}"
    if described.idle_timeout:
        yield f"idle_timeout {described.idle_timeout}"
    if described.retries:
        on = f" on {', '.join(described.retry_on)}" if described.retry_on else ""
        yield f"{described.retries} retries{on}, {duration(described.retry_delay_s)} apart at first"
    if described.connect_timeout_s is not None:
        yield f"connect_timeout {duration(described.connect_timeout_s)}"
    if described.per_host != 1:
        yield f"at most {described.per_host} at once on each host"
    if described.max_parallel is not None:
        yield f"at most {described.max_parallel} at once"
    if described.slots != 1:
        yield f"{described.slots} procs each"
    if described.batch:
        yield f"waves of {described.batch}{_pause(described)}"
    if described.max_fail:
        yield f"max_fail {described.max_fail}"
    yield from (f"limit {name}" for name in described.limits)
    machine = set(described.machine_locks)
    yield from (f"lock {name}" for name in described.locks if name not in machine)
    yield from (f"lock {name} (on this machine)" for name in described.machine_locks)


def _pause(described: TaskDescription) -> str:
    """Say what happens between two waves."""
    if described.pause_s is None:
        return ", asked between them"
    return f", {duration(described.pause_s)} between them" if described.pause_s else ""


def _handling(described: TaskDescription) -> Iterator[str]:
    """List how it is run, and what becomes of its results."""
    yield from _sudo(described)
    if described.nice is not None:
        yield f"nice {described.nice}"
    if described.ionice:
        yield f"ionice {described.ionice}"
    if described.readonly:
        yield "changes nothing"
    if described.changed_when:
        yield f"changed when {described.changed_when}"
    if described.register:
        yield f"result kept as {described.register}"
    if described.print_always:
        yield "output shown"
    if described.ignore_errors:
        yield "errors ignored"
    if described.ignore_unreachable:
        yield "unreachable hosts ignored"
    if described.rescue_ok:
        yield "ok when rescued"


def _sudo(described: TaskDescription | StepDescription) -> Iterator[str]:
    """Say as whom it runs."""
    if described.sudo:
        yield f"sudo {described.sudo}{' with a password' * described.sudo_password}"


def _step(step: StepDescription) -> str:
    """Write one step on one line."""
    section = "" if step.section == "steps" else f"{step.section} "
    name = f" {step.name}" if step.name and step.name != step.operation else ""
    facts = [*_conditions(step), *(f"{key} {path}" for key, path in _paths(step))]
    if step.delegate_to:
        facts.append("here" if step.delegate_to == "local" else f"on {step.delegate_to}")
    if step.timeout_s is not None:
        facts.append(f"timeout {duration(step.timeout_s)}")
    if step.retries:
        facts.append(f"{step.retries} retries")
    facts += _sudo(step)
    if step.register:
        facts.append(f"result kept as {step.register}")
    if step.ignore_errors:
        facts.append("errors ignored")
    about = f": {', '.join(facts)}" if facts else ""
    return f"{section}{step.position}.{name} [{step.operation}]{about}"


def _warnings(described: TaskDescription, *, is_command: bool) -> Iterator[str]:
    """Say what is allowed and often not meant."""
    if described.host_names is not None and described.hosts and not described.host_names:
        yield "none of its hosts is left, so there will be no unit"
    elif described.units == 0:
        yield "its `foreach` has no items, so there will be no unit"
    has_limit = described.timeout_s is not None or described.idle_timeout
    endless = [step for step in described.steps if step.operation in ("run", "script")]
    if not has_limit and (is_command or any(step.timeout_s is None for step in endless)):
        yield "no timeout: a command that hangs will hang the run"
