"""Reads a job file: text to data, data to entries, entries to a job with its plans."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from batchrun.jobfile.collector import paused_collector
from batchrun.jobfile.compiled import Compiled
from batchrun.jobfile.document import parse
from batchrun.jobfile.entries import (
    Entry,
    TaskContext,
)
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.fleet import Fleet
from batchrun.jobfile.hosts import check_left, mentions_hosts
from batchrun.jobfile.loaded import LoadedJob, Reading, program_names
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.order import find_needs, select, with_ids
from batchrun.jobfile.overrides import with_overrides
from batchrun.jobfile.places import Tables
from batchrun.jobfile.plan import TaskPlan, as_late
from batchrun.jobfile.problems import Problems
from batchrun.jobfile.records import Registration
from batchrun.jobfile.references import (
    Order,
    check_references,
    check_selected,
    find_registrations,
)
from batchrun.jobfile.schema import JobText
from batchrun.jobfile.secrets import SecretNames
from batchrun.jobfile.taking import take_entry
from batchrun.jobfile.tasks import TaskCompiler
from batchrun.jobfile.template import is_template
from batchrun.jobfile.toplevel import good_defaults, top_level, validated
from batchrun.jobfile.trust import Trust
from batchrun.jobfile.variables import job_variables, new_scope
from batchrun.model.job import Job, Task
from batchrun.nodes.inventory import Inventory

if TYPE_CHECKING:
    from batchrun.jobfile.secretsource import Secrets

__all__ = ["read_file", "read_text"]

_ELSEWHERE = {
    "item": "`item` is known only in a task with `foreach`",
    "index": "`index` is known only in a task with `foreach`",
    "host": "`host` is known only in a task with `hosts`; write this in the `vars` of the task",
    **{
        name: f"`{name}` is not known here: this is computed before anything runs"
        for name in ("results", "mine", "output", "failed")
    },
}


def read_file(source: str | os.PathLike[str], *, tables: Tables, options: LoadOptions) -> LoadedJob:
    """Read a job file; `-` is standard input, and paths are then those of the current directory.

    Raises:
        JobFileError: it has mistakes; all of them are in it.
        UsageError: the options do not fit the file.
    """
    name = os.fspath(source)
    trust = Trust.of_this_process(insecure=options.insecure_permissions)
    # Whoever hands us the job over standard input could as well have run it.
    text = sys.stdin.buffer.read() if name == "-" else trust.read_for_user(name)
    directory = os.getcwd() if name == "-" else os.path.dirname(os.path.abspath(name))
    loaded = read_text(text, file=name, base_dir=directory, tables=tables, options=options)
    loaded.path = name if name == "-" else os.path.abspath(name)
    return loaded


@paused_collector()
def read_text(
    text: str | bytes, *, file: str, base_dir: str, tables: Tables, options: LoadOptions
) -> LoadedJob:
    """Read the text of a job file.

    Args:
        text: UTF-8 when it is bytes.
        file: Its name, for messages and, without `name:`, for the job.
        base_dir: Against which relative paths resolve.
        tables: The operations that tasks may use.
        options: What the command line adds.

    Raises:
        JobFileError: it has mistakes; all of them are in it.
        UsageError: the options do not fit the file.
    """
    document = parse(text, file)
    base = os.path.abspath(base_dir)
    trust = Trust.of_this_process(insecure=options.insecure_permissions)
    data = top_level(document)
    if "include" in data:
        from batchrun.jobfile.include import with_includes  # noqa: PLC0415 - few files do

        data = with_includes(data, document.problems, base_dir=base, trust=trust)
    data = with_overrides(data, options, tables.on_hosts)
    secrets = data.get("secrets")
    compiler = Compiler(
        problems=document.problems,
        base_dir=base,
        known=frozenset({"env", "now", "job"}),
        elsewhere=_ELSEWHERE,
        secrets=SecretNames(frozenset(secrets if isinstance(secrets, dict) else ())),
        trust=trust,
    )
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return _Loading(data, compiler, tables, options).job(file, raw)


class _Loading:
    """The steps of loading one file, in order."""

    def __init__(
        self, data: dict[str, Any], compiler: Compiler, tables: Tables, options: LoadOptions
    ) -> None:
        self._data = data
        self._compiler = compiler
        self._problems = compiler.problems
        self._tables = tables
        self._options = options

    def job(self, file: str, text: bytes) -> LoadedJob:
        """Take all steps; end with all mistakes, or with the job."""
        variables = self._variables()
        compiler = self._compiler = self._compiler.with_names(variables)
        names = new_scope(variables, program_names(None, self._compiler.base_dir, time.time()))
        top = validated(self._data, self._compiler, names)
        name = top.name or _stem(file)
        names["job"] = {"name": name, "dir": compiler.base_dir}
        secrets = self._secrets(top, names)
        if secrets is not None:
            known = replace(compiler.secrets, withheld_env=secrets.variables)
            compiler = replace(compiler, secrets=known)
        context = TaskContext(
            problems=self._problems,
            tables=self._tables,
            options=self._options,
            compiler=compiler,
            names=names,
            defaults=good_defaults(top.defaults, self._problems),
            variables=frozenset(variables),
            limits=top.limits,
            fleet=self._fleet(top),
        )
        entries, automatic = with_ids(self._entries(top, context), self._problems)
        before = len(self._problems)
        needs = find_needs(entries, automatic, self._problems, sequential=top.order == "sequential")
        is_sound = len(self._problems) == before
        registered = find_registrations(entries, self._problems)
        knowing = replace(context, compiler=replace(compiler, registered=registered))
        compiler_of_tasks = TaskCompiler(knowing)
        plans = {
            entry.id: plan
            for entry in entries
            if (plan := compiler_of_tasks.compile(entry, needs[entry.id])) is not None
        }
        plans = self._with_results(plans, entries, registered, needs)
        self._check_standard_input(plans, file)
        if is_sound:  # otherwise tasks might look unordered that are not
            self._check_overlaps(plans, needs, automatic)
        self._problems.raise_if_any()
        chosen = select(entries, self._options)
        check_selected(compiler.references, entries, registered, chosen, self._problems)
        left = [plans[one.id].frame.hosts for one in entries if one.id in chosen]
        beside = check_left(left, context.fleet)
        job = _job(
            top, name, compiler.base_dir, [plans[one.id] for one in entries if one.id in chosen]
        )
        reading = Reading(
            plans=plans,
            variables=variables,
            problems=self._problems,
            warnings=[*beside, *_warnings(top, entries, plans, self._problems)],
            registered=registered,
            secrets=secrets,
            fleet=context.fleet,
            host_key=top.host_key or "",
            file=file,
            text=text,
        )
        return LoadedJob(job, reading)

    def _fleet(self, top: JobText) -> Fleet:
        """Read the inventory, and what the command line wants of it."""
        needed = mentions_hosts(self._data) or bool(self._options.hosts)
        options = self._options
        inventory, before = Inventory.empty(), len(self._problems)
        if top.inventory is not None or options.inventory:
            from batchrun.jobfile.inventory import read_inventory  # noqa: PLC0415 - only then

            inventory = read_inventory(
                top.inventory, self._compiler, options.inventory, needed=needed
            )
        is_whole = len(self._problems) == before
        if before or not is_whole:
            # Who is meant is not known for certain.
            return Fleet(inventory=inventory, is_whole=is_whole)
        return Fleet.of(inventory, options)

    def _secrets(self, top: JobText, names: Any) -> "Secrets | None":
        """Check the secrets; None: the job has none."""
        if not top.secrets:
            return None
        from batchrun.jobfile.secretsource import Secrets, take_secrets  # noqa: PLC0415 - only then

        declared = take_secrets(top.secrets, self._compiler, names)
        return Secrets(declared, self._compiler.base_dir)

    def _variables(self) -> dict[str, Compiled]:
        raw = self._data.get("vars")
        declared = raw if isinstance(raw, dict) else {}
        return job_variables(declared, self._compiler.with_names({"run"}), self._options)

    def _entries(self, top: JobText, context: TaskContext) -> list[Entry]:
        if not top.tasks and "tasks" in self._data and isinstance(self._data["tasks"], list):
            self._problems.add(("tasks",), "there are no tasks; add at least one")
        raw = (("tasks", top.tasks), ("finally", top.finally_))
        found = [
            take_entry(one, (key, at), context) for key, some in raw for at, one in enumerate(some)
        ]
        return [entry for entry in found if entry is not None]

    def _with_results(
        self,
        plans: dict[str, TaskPlan],
        entries: Sequence[Entry],
        registered: Mapping[str, Registration],
        needs: Mapping[str, tuple[str, ...]],
    ) -> dict[str, TaskPlan]:
        """Check the uses of results; mark the tasks that are resolved late because of them."""
        references = self._compiler.references
        if not references:
            return plans
        per_target = {
            (entry.id, need.task_id)
            for entry in entries
            if entry.id in plans
            for need in plans[entry.id].task.needs
            if need.per != "all"
        }
        order = Order(needs, frozenset(per_target), (one.task_id for one in registered.values()))
        late = check_references(references, entries, registered, order, self._problems)
        marked = {one: as_late(plans[one]) for one in late if one in plans}
        return {**plans, **marked}

    def _check_overlaps(
        self,
        plans: Mapping[str, TaskPlan],
        needs: Mapping[str, Sequence[str]],
        automatic: frozenset[str],
    ) -> None:
        for final in (False, True):
            some = [plan for plan in plans.values() if plan.entry.final is final]
            if len(some) < 2:
                continue
            from batchrun.jobfile.overlap import note_overlaps  # noqa: PLC0415 - two can overlap

            note_overlaps(some, needs, automatic, self._problems, self._compiler.base_dir)

    def _check_standard_input(self, plans: Mapping[str, TaskPlan], file: str) -> None:
        readers = list(_standard_input_readers(plans))
        for plan in readers[0 if file == "-" else 1 :]:
            reader = "the job file itself" if file == "-" else f"the task `{readers[0].task.id}`"
            message = f"standard input is read by {reader} already; it can be read only once"
            self._problems.add((*plan.entry.path, "foreach"), message)


def _standard_input_readers(plans: Mapping[str, TaskPlan]) -> Iterator[TaskPlan]:
    for plan in plans.values():
        if plan.frame.source is not None and plan.frame.source.standard_input:
            yield plan


def _stem(file: str) -> str:
    return "job" if file == "-" else FilePath(file).stem


def _job(top: JobText, name: str, base_dir: str, plans: Sequence[TaskPlan]) -> Job:
    chosen = {plan.task.id for plan in plans}
    tasks = [(plan, _without_unselected(plan, chosen)) for plan in plans]
    return Job(
        name=name,
        tasks=tuple(task for plan, task in tasks if not plan.entry.final),
        final_tasks=tuple(task for plan, task in tasks if plan.entry.final),
        limits=top.limits,
        max_fail=top.max_fail,
        deadline_s=top.deadline,
        procs=top.procs,
        fanout=top.fanout,
        lock=top.lock,
        base_dir=base_dir,
        description=top.description or "",
    )


def _without_unselected(plan: TaskPlan, chosen: set[str]) -> Task:
    """Take needs on tasks that are not selected as met."""
    needs = plan.task.needs
    if not needs:
        return plan.task
    kept = [need for need in needs if need.task_id in chosen]
    return plan.task if len(kept) == len(needs) else replace(plan.task, needs=tuple(kept))


def _warnings(
    top: JobText, entries: Sequence[Entry], plans: Mapping[str, TaskPlan], problems: Problems
) -> list[str]:
    """Say what is declared and used by nobody; what is included is there for many jobs."""
    limits = {name for entry in entries for name in entry.modifiers.limit}
    secrets = {name for plan in plans.values() for name in plan.all_secrets}
    unused = [("secrets", name) for name in top.secrets if name not in secrets]
    if not any(is_template(one) for one in limits):
        unused += [("limits", name) for name in top.limits if name not in limits]
    return [
        f"`{key}.{name}` is used by no task"
        for key, name in unused
        if not problems.is_elsewhere((key, name))
    ]
