"""One entry of `tasks:` compiled to a plan: parameters, conditions, items, limits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypedDict

from batchrun.jobfile.chunked import ChunkedSource
from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.entries import Entry, TaskContext
from batchrun.jobfile.fields import Compiler, Reference
from batchrun.jobfile.foreach import compile_source, items_required
from batchrun.jobfile.plan import StepsPlan, TaskPlan
from batchrun.jobfile.problems import Path, did_you_mean
from batchrun.jobfile.richvalues import ASK
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.sources import Source
from batchrun.jobfile.steps import check_beside_steps, compile_steps
from batchrun.jobfile.variables import check_names, compile_variables
from batchrun.jobfile.works import (
    FRAGILE,
    WorkFields,
    compile_condition,
    compile_work,
    retry_policy,
    shell_of,
)
from batchrun.model.job import Batch, Need, Task
from batchrun.model.operation import Operation
from batchrun.model.steps import Section

__all__ = ["compile_task"]

_TEXT = Shape(scalars=(Scalar(type=str),))
_NO_ITEM = {name: f"`{name}` is known only in a task with `foreach`" for name in ("item", "index")}
_NOT_HERE = {
    "output": "`output` is known only in a command with `output: PATH` beside it",
    "failed": "`failed` is known only in `rescue` and `always`",
}
_NOT_IN_FOREACH = {**_NOT_HERE, "mine": "`mine` is the result of the same item; write `results`"}


def compile_task(entry: Entry, needs: tuple[str, ...], context: TaskContext) -> TaskPlan | None:
    """Compile an entry; None: it has no operation (said already)."""
    operation, modifiers = entry.operation, entry.modifiers
    outer, inner = _compilers(entry, context)
    before = len(inner.references)
    source = _source(entry, outer)
    variables = compile_variables(
        check_names(modifiers.vars, context.problems, context.variables, (*entry.path, "vars")),
        inner,
        (*entry.path, "vars"),
    )
    limits = _names(modifiers.limit, (*entry.path, "limit"), inner)
    locks = _names(_lock_names(entry, machine=False), (*entry.path, "lock"), inner)
    machine_locks = _names(_lock_names(entry, machine=True), (*entry.path, "lock"), inner)
    _check_limits(limits, entry, context)
    _check_batch(entry, context)
    steps: StepsPlan | None = None
    if operation is not None:
        work = compile_work(entry, operation, inner, context)
        done = [(operation, work["constants"])]
    elif entry.has_steps:
        work, steps, done = _steps(entry, inner, context)
    else:
        compile_condition(modifiers.when, (*entry.path, "when"), inner)
        return None
    given_s = context.options.timeout_s
    return TaskPlan(
        **work,
        task=_task(entry, needs, done, context),
        timeout_s=modifiers.timeout if given_s is None else given_s,
        source=source,
        require=items_required(modifiers.foreach),
        variables=variables,
        limits=_fixed(limits),
        locks=_fixed(locks),
        machine_locks=_fixed(machine_locks),
        computed_limits=_computed(limits),
        computed_locks=_computed(locks),
        computed_machine_locks=_computed(machine_locks),
        steps=steps,
        **_uses(inner.references[before:]),
        chunked=isinstance(source, ChunkedSource),
    )


def _steps(
    entry: Entry, compiler: Compiler, context: TaskContext
) -> tuple[WorkFields, StepsPlan, list[tuple[Operation, Any]]]:
    """Compile a task with steps: what it has itself, its steps, what is done in them."""
    check_beside_steps(entry, context)
    steps = compile_steps(entry, compiler, context)
    work = WorkFields(
        entry=entry,
        constants={},
        computed=(),
        when=compile_condition(entry.modifiers.when, entry.place_of("when"), compiler),
        around=None,
        changed_when=None,
        register=entry.modifiers.registers or "",
        is_command=False,
        secrets=(),
        capture_bytes=None,
    )
    done = [
        (step.entry.operation, step.constants)
        for section in Section
        for step in steps.sections[section]
        if step.entry.operation is not None
    ]
    return work, steps, done


class _Uses(TypedDict, total=False):
    """What a task uses of results."""

    uses_mine: bool
    uses_results: tuple[str, ...]


def _uses(references: Sequence[Reference]) -> _Uses:
    if not references:
        return {}
    pairs = [pair for _, expression in references for pair in expression.attributes]
    return {
        "uses_mine": any("mine" in expression.names for _, expression in references),
        "uses_results": tuple(sorted({name for via, name in pairs if via in ("results", "mine")})),
    }


def _lock_names(entry: Entry, *, machine: bool) -> list[str]:
    return [one.name for one in entry.modifiers.lock if one.machine is machine]


def _fixed(names: Sequence[Compiled]) -> tuple[str, ...]:
    return tuple(sorted({one.value for one in names if isinstance(one, Constant)}))


def _computed(names: Sequence[Compiled]) -> tuple[Any, ...]:
    return tuple(one for one in names if not isinstance(one, Constant))


def _compilers(entry: Entry, context: TaskContext) -> tuple[Compiler, Compiler]:
    """Return the compiler of what is computed once, and that of what each unit computes.

    Tasks of the same kind share them: a file may have a hundred thousand.
    """
    operation = entry.operation
    fragile = operation is not None and operation.name in FRAGILE
    with_items = entry.modifiers.foreach is not None
    shell = shell_of(entry, context)
    variables = frozenset(map(str, entry.modifiers.vars))
    key = (entry.final, fragile, with_items, shell, variables)
    if key not in context.compilers:
        known = {"run", "run.summary", "results"} if entry.final else {"run", "results"}
        outer = replace(
            context.compiler.with_names(known), elsewhere={**_NO_ITEM, **_NOT_IN_FOREACH}
        )
        names = variables | {"item", "index"} if with_items else variables
        inner = replace(
            outer.with_names({*names, "mine"}),
            elsewhere=_NOT_HERE if with_items else {**_NO_ITEM, **_NOT_HERE},
            fragile=fragile,
            shell=shell,
        )
        context.compilers[key] = (outer, inner)
    return context.compilers[key]


def _source(entry: Entry, compiler: Compiler) -> Source | None:
    raw = entry.modifiers.foreach
    return None if raw is None else compile_source(raw, (*entry.path, "foreach"), compiler)


def _names(names: Sequence[str], path: Path, compiler: Compiler) -> list[Compiled]:
    compiled = [compiler.value(_TEXT, name, path) for name in names]
    return [one for one in compiled if one is not None]


def _check_limits(limits: Sequence[Compiled], entry: Entry, context: TaskContext) -> None:
    for one in limits:
        if isinstance(one, Constant) and one.value not in context.limits:
            message = (
                f"there is no `{one.value}` in the job's `limits`"
                f"{did_you_mean(one.value, context.limits)}"
            )
            context.problems.add((*entry.path, "limit"), message)


def _check_batch(entry: Entry, context: TaskContext) -> None:
    """Note waves of a task that has no units to divide."""
    modifiers = entry.modifiers
    if modifiers.batch is not None and modifiers.foreach is None and "batch" in entry.written:
        message = "`batch` divides the items of a task in waves; this task has no `foreach`"
        context.problems.add((*entry.path, "batch"), message)
    if modifiers.pause is not None and modifiers.batch is None and "pause" in entry.written:
        message = "`pause` is between the waves of a `batch`; write `batch` too"
        context.problems.add((*entry.path, "pause"), message)


def _task(
    entry: Entry,
    needs: tuple[str, ...],
    done: Sequence[tuple[Operation, Any]],
    context: TaskContext,
) -> Task:
    modifiers, options = entry.modifiers, context.options
    retries = modifiers.retries if options.retries is None else options.retries
    per = {need.task: need.per for need in reversed(modifiers.needs)}
    return Task(
        id=entry.id,
        name=modifiers.name or entry.id,
        operation=entry.operation.name if entry.operation else "steps",
        needs=tuple(Need(task_id=one, per=per.get(one, "all")) for one in needs),
        retry=retry_policy(modifiers, retries, done, repeat_lost=not entry.has_steps),
        max_fail=modifiers.max_fail,
        max_parallel=modifiers.max_parallel,
        slots=modifiers.slots,
        batch=_batch(entry),
        ignore_errors=modifiers.ignore_errors,
        single=modifiers.foreach is None,
        is_command=any(operation.is_command for operation, _ in done),
        reviewed=modifiers.registers is not None or modifiers.changed_when is not None,
        print_always=modifiers.print == "always",
        line=entry.line,
    )


def _batch(entry: Entry) -> Batch | None:
    modifiers = entry.modifiers
    if modifiers.batch is None or modifiers.foreach is None:
        return None
    asked = modifiers.pause == ASK
    pause_s = 0.0 if asked or modifiers.pause is None else float(modifiers.pause)
    return Batch(sizes=modifiers.batch, pause_s=pause_s, ask=asked)
