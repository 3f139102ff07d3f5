"""An operation and what stands around it, compiled: the same for a task and for a step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

from batchrun.jobfile.entries import Entry, TaskContext, compute_now
from batchrun.jobfile.expressions import Expression, parse_expression
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.guards import compile_around
from batchrun.jobfile.parameters import compile_parameters
from batchrun.jobfile.plan import AroundPlan, Computed, Condition
from batchrun.jobfile.problems import Path
from batchrun.jobfile.results import CAPTURE_BYTES
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.schema import Modifiers
from batchrun.jobfile.template import is_template, sole_expression, split
from batchrun.model.job import RetryPolicy
from batchrun.model.operation import Operation

__all__ = [
    "FRAGILE",
    "OUTPUT_NAMES",
    "FrameFields",
    "Given",
    "compile_condition",
    "compile_frame",
    "compile_given",
    "is_harmless",
    "retry_policy",
    "shell_of",
]

#: Operations that destroy what is named: no insertion in their paths may come out empty.
FRAGILE = frozenset({"delete", "prune"})

#: What `changed_when` knows beside the names of its unit.
OUTPUT_NAMES = frozenset({"stdout", "stderr", "lines", "exit_status", "changed"})


class FrameFields(TypedDict):
    """The fields of a `Frame`, but for its time limit."""

    when: Condition | None
    around: AroundPlan | None
    changed_when: Condition | None
    register: str
    is_command: bool
    capture_bytes: int | None


class Given(NamedTuple):
    """What an operation is given: fields of a `Work`."""

    constants: Mapping[str, Any]
    computed: tuple[Computed, ...]
    secrets: tuple[str, ...]


def compile_frame(
    entry: Entry, operation: Operation, compiler: Compiler, context: TaskContext
) -> FrameFields:
    """Compile what stands around an operation."""
    modifiers = entry.modifiers
    when = compile_condition(modifiers.when, entry.place_of("when"), compiler)
    around = compile_around(entry, compiler, context)
    changed_when = _changed_when(entry, operation, compiler)
    whole = modifiers.registers is not None or (
        changed_when is not None and not changed_when.names.isdisjoint({"stdout", "lines"})
    )
    return FrameFields(
        when=when,
        around=around,
        changed_when=changed_when,
        register=modifiers.registers or "",
        is_command=operation.is_command,
        capture_bytes=CAPTURE_BYTES if whole and operation.is_command else None,
    )


def compile_given(entry: Entry, operation: Operation, compiler: Compiler) -> Given:
    """Compile what an operation is given, after what stands around it."""
    before = len(compiler.references)
    named = "output" in entry.written  # also when it is written wrongly: one mistake is enough
    inner = compiler.with_names({"output"}) if named else compiler
    constants, computed = compile_parameters(entry, operation, inner)
    if operation.is_command and entry.modifiers.output is not None:
        _check_output_used(entry, inner, before)
    return Given(constants, tuple(computed), compiler.secrets.take())


def _check_output_used(entry: Entry, compiler: Compiler, before: int) -> None:
    used = any("output" in expression.names for _, expression in compiler.references[before:])
    if not used:
        message = (
            "the command never writes to its output; write {{ output }} where it names the file "
            "that it makes"
        )
        compiler.problems.add(entry.place_of("output"), message)


def _changed_when(entry: Entry, operation: Operation, compiler: Compiler) -> Condition | None:
    raw = entry.modifiers.changed_when
    if raw is None:
        return None
    place = entry.place_of("changed_when")
    names = OUTPUT_NAMES if operation.is_command else {"changed"}
    elsewhere = {
        **compiler.elsewhere,
        **{
            name: f"`{name}` is known only of commands; `{operation.name}` is none"
            for name in OUTPUT_NAMES - names
        },
    }
    return compile_condition(raw, place, replace(compiler.with_names(names), elsewhere=elsewhere))


def shell_of(entry: Entry, context: TaskContext) -> str | None:
    """Return the shell that will read a command text; None: it is computed for each unit."""
    raw = entry.modifiers.shell
    place = entry.place_of("shell")
    if isinstance(entry.raw, dict) and "shell" in entry.raw:
        raw, place = entry.raw["shell"], (*entry.path, "shell")
    if raw is None:
        return "/bin/sh"
    if isinstance(raw, str) and is_template(raw):
        before = len(context.problems)
        text = compute_now(raw, place, context.compiler, context.names)
        return text if isinstance(text, str) and len(context.problems) == before else None
    return str(raw)


def compile_condition(raw: Any, path: Path, compiler: Compiler) -> Condition | None:
    """Compile an expression that is true or false; None: there is none, or a mistake was noted."""
    if raw is None:
        return None
    text = str(raw).strip()
    if isinstance(raw, dict | list) or is_null(raw):
        compiler.problems.add(path, "write a Jinja2 expression, such as: item != 'a'")
        return None
    try:
        expression = _expression(text, str(path[-1]))
    except ValueError as error:
        compiler.problems.add(path, str(error))
        return None
    compiler.template(f"{{{{ {expression.source} }}}}", path)
    evaluate = expression.evaluate
    return Condition(
        source=expression.source,
        compute=lambda names: _truth(evaluate(names)),
        names=expression.names,
    )


def _expression(text: str, key: str) -> Expression:
    """Parse a condition; braces around the whole of it are the habit of many hands.

    Raises:
        ValueError: it is not an expression.
    """
    if not is_template(text):
        return parse_expression(text)
    sole = sole_expression(split(text))
    if sole is None:
        message = f"`{key}` is an expression by itself; write it without `{{{{ }}}}`"
        raise ValueError(message)
    return sole


def _truth(value: Any) -> bool:
    """Read the words for false as false: they come from `-e` and the environment."""
    return bool(value) and value not in ("false", "False", "FALSE")


def is_harmless(operation: Operation, constants: Mapping[str, Any]) -> bool:
    """Tell whether nothing is done twice when an operation is begun again from the start."""
    return not operation.is_command or constants.get("readonly") is True


def retry_policy(
    modifiers: Modifiers,
    retries: int,
    operations: Sequence[tuple[Operation, Mapping[str, Any]]],
    *,
    repeat_lost: bool,
) -> RetryPolicy:
    """Decide what is tried again.

    Args:
        modifiers: Those of the task or step.
        retries: How often.
        operations: What is done, each with the parameters that are known at load.
        repeat_lost: Repeat what was lost with its worker, where that is harmless.
    """
    harmless = all(is_harmless(operation, constants) for operation, constants in operations)
    kinds = frozenset({"failed", "unreachable"})
    if harmless:
        kinds |= {"timed_out", "lost"}
    statuses: frozenset[int] = frozenset()
    if modifiers.retry_on is not None:
        kinds = frozenset(one for one in modifiers.retry_on if isinstance(one, str))
        statuses = frozenset(one for one in modifiers.retry_on if isinstance(one, int))
    repeatable = all(
        operation.repeatable or operation.is_command for operation, _constants in operations
    )
    return RetryPolicy(
        retries=retries,
        delay_s=modifiers.retry_delay,
        backoff=modifiers.retry_backoff,
        kinds=kinds,
        exit_statuses=statuses,
        repeat_lost=repeat_lost and harmless and repeatable,
    )
