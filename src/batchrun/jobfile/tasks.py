"""One entry of `tasks:` compiled to a plan: parameters, conditions, items, limits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.entries import Entry, TaskContext, compute_now
from batchrun.jobfile.expressions import Expression, parse_expression
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.foreach import compile_source, items_required
from batchrun.jobfile.parameters import compile_parameters
from batchrun.jobfile.plan import Condition, TaskPlan
from batchrun.jobfile.problems import Path, did_you_mean
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.schema import Modifiers
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.sources import Source
from batchrun.jobfile.template import is_template, sole_expression, split
from batchrun.jobfile.variables import check_names, compile_variables
from batchrun.model.job import Need, RetryPolicy, Task
from batchrun.model.operation import Operation

__all__ = ["compile_task"]

#: Operations that destroy what is named: no insertion in their paths may come out empty.
_FRAGILE = frozenset({"delete", "prune"})
_TEXT = Shape(scalars=(Scalar(type=str),))
_NO_ITEM = {name: f"`{name}` is known only in a task with `foreach`" for name in ("item", "index")}


def compile_task(entry: Entry, needs: tuple[str, ...], context: TaskContext) -> TaskPlan | None:
    """Compile an entry; None: it has no operation (said already)."""
    operation, modifiers = entry.operation, entry.modifiers
    outer, inner = _compilers(entry, context)
    source = _source(entry, outer)
    variables = compile_variables(
        check_names(modifiers.vars, context.problems, context.variables, (*entry.path, "vars")),
        inner,
        (*entry.path, "vars"),
    )
    when = _condition(modifiers.when, (*entry.path, "when"), inner)
    limits = _names(modifiers.limit, (*entry.path, "limit"), inner)
    locks = _names(modifiers.lock, (*entry.path, "lock"), inner)
    _check_limits(limits, entry, context)
    if operation is None:
        return None
    constants, computed = compile_parameters(entry, operation, inner)
    timeout_s = (
        modifiers.timeout if context.options.timeout_s is None else context.options.timeout_s
    )
    task = _task(entry, operation, needs, context)
    fixed_limits, fixed_locks = _fixed(limits), _fixed(locks)
    return TaskPlan(
        task=task,
        constants=constants,
        computed=tuple(computed),
        when=when,
        source=source,
        require=items_required(modifiers.foreach),
        variables=variables,
        timeout_s=timeout_s,
        limits=fixed_limits,
        locks=fixed_locks,
        computed_limits=tuple(one for one in limits if not isinstance(one, Constant)),
        computed_locks=tuple(one for one in locks if not isinstance(one, Constant)),
        entry=entry,
    )


def _fixed(names: Sequence[Compiled]) -> tuple[str, ...]:
    return tuple(sorted({one.value for one in names if isinstance(one, Constant)}))


def _compilers(entry: Entry, context: TaskContext) -> tuple[Compiler, Compiler]:
    """Return the compiler of what is computed once, and that of what each unit computes.

    Tasks of the same kind share them: a file may have a hundred thousand.
    """
    operation = entry.operation
    fragile = operation is not None and operation.name in _FRAGILE
    with_items = entry.modifiers.foreach is not None
    shell = _shell(entry, context)
    variables = frozenset(map(str, entry.modifiers.vars))
    key = (entry.final, fragile, with_items, shell, variables)
    if key not in context.compilers:
        known = {"run", "run.summary"} if entry.final else {"run"}
        outer = replace(context.compiler.with_names(known), elsewhere=_NO_ITEM)
        names = variables | {"item", "index"} if with_items else variables
        inner = replace(
            outer.with_names(names),
            elsewhere={} if with_items else _NO_ITEM,
            fragile=fragile,
            shell=shell,
        )
        context.compilers[key] = (outer, inner)
    return context.compilers[key]


def _shell(entry: Entry, context: TaskContext) -> str | None:
    """Return the shell that will read a command text; None: it is computed for each unit."""
    raw = entry.modifiers.shell
    if isinstance(entry.raw, dict) and "shell" in entry.raw:
        raw = entry.raw["shell"]
    if raw is None:
        return "/bin/sh"
    if isinstance(raw, str) and is_template(raw):
        before = len(context.problems)
        text = compute_now(raw, (*entry.path, "shell"), context.compiler, context.names)
        return text if isinstance(text, str) and len(context.problems) == before else None
    return str(raw)


def _source(entry: Entry, compiler: Compiler) -> Source | None:
    raw = entry.modifiers.foreach
    return None if raw is None else compile_source(raw, (*entry.path, "foreach"), compiler)


def _condition(raw: Any, path: Path, compiler: Compiler) -> Condition | None:
    if raw is None:
        return None
    text = str(raw).strip()
    if isinstance(raw, dict | list) or is_null(raw):
        compiler.problems.add(path, "write a Jinja2 expression, such as: item != 'a'")
        return None
    try:
        expression = _expression(text)
    except ValueError as error:
        compiler.problems.add(path, str(error))
        return None
    compiler.template(f"{{{{ {expression.source} }}}}", path)
    evaluate = expression.evaluate
    return Condition(source=expression.source, compute=lambda names: _truth(evaluate(names)))


def _expression(text: str) -> Expression:
    """Parse a condition; braces around the whole of it are the habit of many hands.

    Raises:
        ValueError: it is not an expression.
    """
    if not is_template(text):
        return parse_expression(text)
    sole = sole_expression(split(text))
    if sole is None:
        message = "`when` is an expression by itself; write it without `{{ }}`"
        raise ValueError(message)
    return sole


def _truth(value: Any) -> bool:
    """Read the words for false as false: they come from `-e` and the environment."""
    return bool(value) and value not in ("false", "False", "FALSE")


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


def _task(entry: Entry, operation: Operation, needs: tuple[str, ...], context: TaskContext) -> Task:
    modifiers = entry.modifiers
    return Task(
        id=entry.id,
        name=modifiers.name or entry.id,
        operation=operation.name,
        needs=tuple(Need(task_id=one) for one in needs),
        retry=_retry(modifiers, operation, context),
        max_fail=modifiers.max_fail,
        max_parallel=modifiers.max_parallel,
        ignore_errors=modifiers.ignore_errors,
        single=modifiers.foreach is None,
        is_command=operation.is_command,
        line=entry.line,
    )


def _retry(modifiers: Modifiers, operation: Operation, context: TaskContext) -> RetryPolicy:
    retries = modifiers.retries if context.options.retries is None else context.options.retries
    kinds = frozenset({"failed", "unreachable"})
    if not operation.is_command:
        kinds |= {"timed_out", "lost"}
    statuses: frozenset[int] = frozenset()
    if modifiers.retry_on is not None:
        kinds = frozenset(one for one in modifiers.retry_on if isinstance(one, str))
        statuses = frozenset(one for one in modifiers.retry_on if isinstance(one, int))
    return RetryPolicy(
        retries=retries,
        delay_s=modifiers.retry_delay,
        backoff=modifiers.retry_backoff,
        kinds=kinds,
        exit_statuses=statuses,
        repeat_lost=operation.repeatable and not operation.is_command,
    )
