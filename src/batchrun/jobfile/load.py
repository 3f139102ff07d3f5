"""Reads a job file: text to data, data to entries, entries to a job with its plans."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.compiled import Compiled
from batchrun.jobfile.document import Document, parse
from batchrun.jobfile.entries import (
    BROKEN,
    MODIFIER_KEYS,
    NOT_IN_DEFAULTS,
    PER_UNIT,
    Entry,
    TaskContext,
    compute_now,
    take_entry,
)
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.loaded import LoadedJob, program_names
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.order import find_needs, select, with_ids
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.schema import LATER_MODIFIERS, LATER_TOP, JobText, Modifiers, report
from batchrun.jobfile.sources import LinesSource
from batchrun.jobfile.tasks import compile_task
from batchrun.jobfile.template import is_template
from batchrun.jobfile.variables import job_variables, new_scope
from batchrun.model.job import Job, Need, Task
from batchrun.model.operation import OperationTable

__all__ = ["read_file", "read_text"]

_TOP_KEYS = frozenset(field.alias or name for name, field in JobText.model_fields.items())
_ELSEWHERE = {
    "item": "`item` is known only in a task with `foreach`",
    "index": "`index` is known only in a task with `foreach`",
}


def read_file(
    source: str | os.PathLike[str], *, table: OperationTable, options: LoadOptions
) -> LoadedJob:
    """Read a job file; `-` is standard input, and paths are then those of the current directory.

    Raises:
        JobFileError: it has mistakes; all of them are in it.
        UsageError: the options do not fit the file.
    """
    name = os.fspath(source)
    try:
        text = sys.stdin.buffer.read() if name == "-" else FilePath(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problem = Problem(file=name, line=None, path="", message=f"cannot be read: {reason}")
        raise JobFileError([problem]) from None
    directory = os.getcwd() if name == "-" else os.path.dirname(os.path.abspath(name))
    return read_text(text, file=name, base_dir=directory, table=table, options=options)


def read_text(
    text: str | bytes, *, file: str, base_dir: str, table: OperationTable, options: LoadOptions
) -> LoadedJob:
    """Read the text of a job file.

    Args:
        text: UTF-8 when it is bytes.
        file: Its name, for messages and, without `name:`, for the job.
        base_dir: Against which relative paths resolve.
        table: The operations that tasks may use.
        options: What the command line adds.

    Raises:
        JobFileError: it has mistakes; all of them are in it.
        UsageError: the options do not fit the file.
    """
    document = parse(text, file)
    data = _top(document)
    base = os.path.abspath(base_dir)
    names_known = frozenset({"env", "now", "job"})
    compiler = Compiler(
        problems=document.problems,
        base_dir=base,
        known=names_known,
        elsewhere=_ELSEWHERE,
    )
    return _Loading(data, compiler, table, options).job(file)


def _top(document: Document) -> dict[str, Any]:
    """Return the top-level mapping, without what is not ours.

    Raises:
        JobFileError: there is none.
    """
    data, problems = document.data, document.problems
    if not isinstance(data, dict):
        if data is None or is_null(data):
            what = "the file is empty"
        else:
            what = "the file is a list" if isinstance(data, list) else "the file is a single value"
        problems.add((), f"{what}; a job file is a mapping with `tasks:`")
        problems.raise_if_any()
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if key in LATER_TOP:
            problems.add((key,), f"`{key}` is not supported by this version of batchrun yet")
        elif not key.startswith("x-"):
            kept[key] = value
    return kept


class _Loading:
    """The steps of loading one file, in order."""

    def __init__(
        self, data: dict[str, Any], compiler: Compiler, table: OperationTable, options: LoadOptions
    ) -> None:
        self._data = data
        self._compiler = compiler
        self._problems = compiler.problems
        self._table = table
        self._options = options

    def job(self, file: str) -> LoadedJob:
        """Take all steps; end with all mistakes, or with the job."""
        variables = self._variables()
        compiler = self._compiler = self._compiler.with_names(variables)
        names = new_scope(variables, program_names(None, self._compiler.base_dir, time.time()))
        top = self._validated(names)
        name = top.name or _stem(file)
        names["job"] = {"name": name, "dir": compiler.base_dir}
        context = TaskContext(
            problems=self._problems,
            table=self._table,
            options=self._options,
            compiler=compiler,
            names=names,
            defaults=self._defaults(top.defaults),
            variables=frozenset(variables),
            limits=top.limits,
        )
        entries, automatic = with_ids(self._entries(top, context), self._problems)
        needs = find_needs(entries, automatic, self._problems, sequential=top.order == "sequential")
        plans = {
            entry.id: plan
            for entry in entries
            if (plan := compile_task(entry, needs[entry.id], context)) is not None
        }
        self._check_standard_input(plans, file)
        self._problems.raise_if_any()
        chosen = select(entries, self._options)
        job = _job(
            top, name, compiler.base_dir, [plans[one.id] for one in entries if one.id in chosen]
        )
        return LoadedJob(job, plans, variables, self._problems, _warnings(top, entries))

    def _variables(self) -> dict[str, Compiled]:
        raw = self._data.get("vars")
        declared = raw if isinstance(raw, dict) else {}
        return job_variables(declared, self._compiler.with_names({"run"}), self._options)

    def _validated(self, names: Any) -> JobText:
        """Check the top level; what is wrong is noted and left out."""
        ready: dict[str, Any] = {}
        for key, value in self._data.items():
            is_computed = key != "description" and isinstance(value, str) and is_template(value)
            ready[key] = compute_now(value, (key,), self._compiler, names) if is_computed else value
        ready = {key: value for key, value in ready.items() if value is not BROKEN}
        try:
            return JobText.model_validate(ready)
        except ValidationError as error:
            report(error, self._problems, (), _TOP_KEYS)
            bad = {str(one["loc"][0]) for one in error.errors(include_url=False)}
        good = {key: value for key, value in ready.items() if key not in bad}
        return JobText.model_validate({"tasks": [], **good})

    def _defaults(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Check the defaults once, where they are written; keep those that are good."""
        good: dict[str, Any] = {}
        for key, value in raw.items():
            path = ("defaults", key)
            if key in LATER_MODIFIERS:
                message = f"`{key}` is not supported by this version of batchrun yet"
            elif key not in MODIFIER_KEYS:
                message = f"`{key}` is not a key here{did_you_mean(key, MODIFIER_KEYS)}"
            elif key in NOT_IN_DEFAULTS:
                message = f"`{key}` cannot be a default; write it in the task"
            else:
                if self._default_is_good(key, value):
                    good[key] = value
                continue
            self._problems.add(path, message)
        return good

    def _default_is_good(self, key: str, value: Any) -> bool:
        if key not in PER_UNIT and isinstance(value, str) and is_template(value):
            return True
        try:
            Modifiers.model_validate({key: value})
        except ValidationError as error:
            report(error, self._problems, ("defaults",), MODIFIER_KEYS)
            return False
        return True

    def _entries(self, top: JobText, context: TaskContext) -> list[Entry]:
        if not top.tasks and "tasks" in self._data and isinstance(self._data["tasks"], list):
            self._problems.add(("tasks",), "there are no tasks; add at least one")
        raw = (("tasks", top.tasks), ("finally", top.finally_))
        found = [
            take_entry(one, (key, at), context) for key, some in raw for at, one in enumerate(some)
        ]
        return [entry for entry in found if entry is not None]

    def _check_standard_input(self, plans: Mapping[str, TaskPlan], file: str) -> None:
        readers = list(_standard_input_readers(plans))
        for plan in readers[0 if file == "-" else 1 :]:
            reader = "the job file itself" if file == "-" else f"the task `{readers[0].task.id}`"
            message = f"standard input is read by {reader} already; it can be read only once"
            self._problems.add((*plan.entry.path, "foreach"), message)


def _standard_input_readers(plans: Mapping[str, TaskPlan]) -> Iterator[TaskPlan]:
    for plan in plans.values():
        if isinstance(plan.source, LinesSource) and plan.source.text == "-":
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
        lock=top.lock,
        base_dir=base_dir,
        description=top.description or "",
    )


def _without_unselected(plan: TaskPlan, chosen: set[str]) -> Task:
    """Take needs on tasks that are not selected as met."""
    needs = plan.task.needs
    kept: tuple[Need, ...] = tuple(need for need in needs if need.task_id in chosen)
    return plan.task if len(kept) == len(needs) else replace(plan.task, needs=kept)


def _warnings(top: JobText, entries: Sequence[Entry]) -> list[str]:
    used = {name for entry in entries for name in entry.modifiers.limit}
    return [
        f"`limits.{name}` is used by no task"
        for name in top.limits
        if name not in used and not any(is_template(one) for one in used)
    ]
