"""`steps`, `rescue` and `always` of a task, compiled: each step as a small task of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchrun.jobfile.entries import (
    MODIFIER_KEYS,
    SECTIONS,
    Entry,
    TaskContext,
    merged_modifiers,
)
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.guards import AROUND_KEYS
from batchrun.jobfile.hosts import compile_delegate
from batchrun.jobfile.places import HERE
from batchrun.jobfile.plan import Frame, StepPlan, StepsPlan
from batchrun.jobfile.problems import Path
from batchrun.jobfile.schema import COMMAND_MODIFIERS, LATER_MODIFIERS
from batchrun.jobfile.taking import later_message, operation_for, split_entry
from batchrun.jobfile.works import FRAGILE, compile_frame, compile_given, retry_policy, shell_of
from batchrun.model.steps import Section

__all__ = ["STEP_KEYS", "check_beside_steps", "compile_steps"]

#: What may stand beside the operation of a step.
STEP_KEYS = frozenset(
    {
        *("name", "when", "register", "timeout", "ignore_errors", "changed_when", "delegate_to"),
        *("retries", "retry_delay", "retry_backoff", "retry_on"),
        *COMMAND_MODIFIERS,
        *AROUND_KEYS,
    }
)
#: Modifiers of a task that no step has.
_TASK_ONLY = (MODIFIER_KEYS | LATER_MODIFIERS) - STEP_KEYS
#: What the steps have from their task.
_INHERITED = ("env", "cwd", "shell", "sudo", "idle_timeout", "nice", "ionice")
#: What is the business of one command, and so of a step.
_OF_ONE_COMMAND = frozenset(
    {
        *("creates", "removes", "unless", "onlyif", "output", "changed_when"),
        *("stdin", "ok_codes", "changed_codes", "readonly"),
    }
)


def check_beside_steps(entry: Entry, context: TaskContext) -> None:
    """Note modifiers that say nothing where there are several operations."""
    for key in sorted(_OF_ONE_COMMAND & entry.written.keys()):
        message = f"`{key}` says nothing beside `steps`; write it in the step that is meant"
        context.problems.add((*entry.path, key), message)


def compile_steps(entry: Entry, compiler: Compiler, context: TaskContext) -> StepsPlan:
    """Compile the steps of a task.

    Args:
        entry: The task.
        compiler: That of what its units compute.
        context: What all tasks share.
    """
    known = compiler.known | {"mine", "results"}
    plain = replace(compiler, known=known)
    after = replace(compiler, known=known | {"failed"})
    compilers = {"steps": plain, "rescue": after, "always": after}
    sections: dict[Section, tuple[StepPlan, ...]] = {}
    for name in SECTIONS:
        raw_steps = getattr(entry.modifiers, name) or ()
        steps = [
            _step(raw, (*entry.path, name, at), entry, compilers[name], context)
            for at, raw in enumerate(raw_steps)
        ]
        sections[Section(name)] = tuple(step for step in steps if step is not None)
    return StepsPlan(sections=sections, rescue_ok=entry.modifiers.rescue_ok)


def _step(
    raw: Any, path: Path, task: Entry, compiler: Compiler, context: TaskContext
) -> StepPlan | None:
    if not isinstance(raw, dict):
        example = "`- run: COMMAND`"
        message = f"a step is a mapping with an operation, such as {example}"
        context.problems.add(path, message)
        return None
    kept = {key: value for key, value in raw.items() if not _is_of_task(key, path, context)}
    name, written = split_entry(kept, path, context)
    on_host = _runs_on_host(kept, task)
    operation = operation_for(name, path, context, on_host=on_host)
    if operation is None:
        return None
    outer, origins = _inherited(path, task, context)
    entry = Entry(
        path=path,
        line=getattr(raw, "line", None),
        operation=operation,
        raw=kept[name],
        written=written,
        modifiers=merged_modifiers(written, outer, path, context),
        id="",
        final=task.final,
        origins=origins,
    )
    delegate = compile_delegate(entry, compiler, context.fleet.inventory)
    compiler = replace(
        compiler.at(host=on_host),
        shell=shell_of(entry, context),
        fragile=operation.name in FRAGILE,
    )
    modifiers = entry.modifiers
    fields = compile_frame(entry, operation, compiler, context)
    given = compile_given(entry, operation, compiler)
    return StepPlan(
        entry=entry,
        frame=Frame(**fields, timeout_s=modifiers.timeout),
        constants=given.constants,
        computed=given.computed,
        secrets=given.secrets,
        name=modifiers.name or operation.name,
        operation=operation.name,
        retry=retry_policy(
            modifiers, modifiers.retries, [(operation, given.constants)], repeat_lost=False
        ),
        ignore_errors=modifiers.ignore_errors,
        on_host=on_host,
        delegate=delegate,
    )


def _runs_on_host(raw: Mapping[str, Any], task: Entry) -> bool:
    """Tell whether a step runs on a host: on another one, or on that of its unit."""
    delegate = raw.get("delegate_to")
    return task.on_hosts if delegate is None else delegate != HERE


def _is_of_task(key: str, path: Path, context: TaskContext) -> bool:
    """Note a modifier that only a whole task has."""
    if key in STEP_KEYS or key in context.tables or key not in _TASK_ONLY:
        return False
    if key in LATER_MODIFIERS:
        message = later_message(key)
    elif key in SECTIONS:
        message = f"`{key}` cannot stand in a step; write the steps one after the other"
    else:
        message = f"`{key}` is for the whole task; write it beside `steps`"
    context.problems.add((*path, key), message)
    return True


def _inherited(
    path: Path, task: Entry, context: TaskContext
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Collect what a step has from the defaults and from its task, and where that is written."""
    outer: dict[str, Any] = {
        key: value for key, value in context.defaults.items() if key in COMMAND_MODIFIERS
    }
    origins: dict[str, Path] = {}
    for key in _INHERITED:
        if getattr(task.modifiers, key) is not None:
            as_written = task.written.get(key, context.defaults.get(key))
            outer[key] = task.modifiers.env if key == "env" else as_written
            origins[key] = task.place_of(key)
    # Looked at before anything is done, and so once.
    if task.modifiers.mounted is not None and path[-2:] == ("steps", 0):
        outer["mounted"] = task.modifiers.mounted
        origins["mounted"] = task.place_of("mounted")
    return outer, origins
