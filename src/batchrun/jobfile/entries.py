"""One entry of `tasks:` taken apart: its operation, its modifiers, its id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from batchrun.jobfile.compiled import Constant
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.schema import (
    COMMAND_MODIFIERS,
    LATER_MODIFIERS,
    LATER_OPERATIONS,
    Modifiers,
    report,
)
from batchrun.jobfile.scope import Names
from batchrun.jobfile.template import is_template
from batchrun.model.operation import Operation, OperationTable

__all__ = [
    "BROKEN",
    "MODIFIER_KEYS",
    "NOT_IN_DEFAULTS",
    "PER_UNIT",
    "Entry",
    "TaskContext",
    "compute_now",
    "take_entry",
]

MODIFIER_KEYS = frozenset(Modifiers.model_fields)
#: Modifiers that would be wrong, or the same mistake, for every task.
NOT_IN_DEFAULTS = frozenset({"foreach", "id", "name", "needs"})
#: Modifiers whose templates are computed for each unit, not at load.
PER_UNIT = frozenset({"foreach", "limit", "lock", "vars", "when", *COMMAND_MODIFIERS})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """What all tasks of a file share."""

    problems: Problems
    table: OperationTable
    options: LoadOptions
    compiler: Compiler
    #: The scope at load: variables, `env`, `now`, `job`.
    names: Names
    #: Modifiers of every task, and their validated form.
    defaults: Mapping[str, Any]
    variables: frozenset[str]
    limits: Mapping[str, int]
    #: Compilers that tasks of the same kind share; grows with the kinds, not with the tasks.
    compilers: dict[Any, tuple[Compiler, Compiler]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of `tasks:` taken apart, not compiled yet."""

    path: Path
    line: int | None
    #: None: there is none, or more than one; a mistake was noted.
    operation: Operation | None
    #: What the operation is given.
    raw: Any
    #: As written in the task, without the defaults.
    written: Mapping[str, Any]
    modifiers: Modifiers
    #: Its id; empty: it gets one by its position.
    id: str
    final: bool = False


def take_entry(raw: Any, path: Path, context: TaskContext) -> Entry | None:
    """Take an entry apart and check its keys; None: it is no task at all."""
    problems = context.problems
    if not isinstance(raw, dict):
        example = "`- run: COMMAND`"
        problems.add(path, f"a task is a mapping with an operation, such as {example}")
        return None
    operations = [key for key in raw if key in context.table]
    written = {key: value for key, value in raw.items() if key not in context.table}
    for key in [key for key in written if key not in MODIFIER_KEYS]:
        del written[key]
        _unknown_key(key, path, context, taken=bool(operations))
        if key in LATER_OPERATIONS or key == "steps":
            operations.append("")
    if len(operations) > 1 and "" not in operations:
        listed = " and ".join(f"`{key}`" for key in operations)
        problems.add(
            (*path, operations[1]), f"{listed} in one task; make a task of each, with `needs:`"
        )
    elif not operations:
        _no_operation(raw, path, context)
    modifiers = _modifiers(written, path, context)
    name = operations[0] if len(operations) == 1 else ""
    return Entry(
        path=path,
        line=getattr(raw, "line", None),
        operation=context.table.get(name),
        raw=raw.get(name),
        written=written,
        modifiers=modifiers,
        id=modifiers.id or _slug(modifiers.name or ""),
        final=path[0] == "finally",
    )


def _unknown_key(key: str, path: Path, context: TaskContext, *, taken: bool) -> None:
    if key in LATER_MODIFIERS or key in LATER_OPERATIONS:
        message = f"`{key}` is not supported by this version of batchrun yet"
    else:
        known = MODIFIER_KEYS if taken else MODIFIER_KEYS | set(context.table)
        message = f"`{key}` is not a key here{did_you_mean(key, known)}"
    context.problems.add((*path, key), message)


def _no_operation(raw: Mapping[str, Any], path: Path, context: TaskContext) -> None:
    unknown = [key for key in raw if key not in MODIFIER_KEYS and key not in LATER_MODIFIERS]
    if any(did_you_mean(key, context.table) for key in unknown):
        return  # said already, with what is meant
    listed = ", ".join(context.table)
    context.problems.add(path, f"the task has no operation; add one of {listed}")


def _slug(name: str) -> str:
    """Make an id of a name.

    >>> _slug("Stage the exports (1)")
    'stage-the-exports-1'
    """
    words = "".join(one if one.isalnum() else " " for one in name.lower()).split()
    return "-".join(words)


_NO_MODIFIERS = Modifiers.model_validate({})


def _modifiers(written: Mapping[str, Any], path: Path, context: TaskContext) -> Modifiers:
    merged = {**context.defaults, **written}
    for key in ("env", "vars"):
        if isinstance(written.get(key), dict) and isinstance(context.defaults.get(key), dict):
            merged[key] = {**context.defaults[key], **written[key]}
    if not merged:
        return _NO_MODIFIERS
    ready = {key: _at_load(key, value, (*path, key), context) for key, value in merged.items()}
    ready = {key: value for key, value in ready.items() if value is not BROKEN}
    try:
        return Modifiers.model_validate(ready)
    except ValidationError as error:
        report(error, context.problems, path, MODIFIER_KEYS)
        bad = {str(one["loc"][0]) for one in error.errors(include_url=False)}
    return Modifiers.model_validate({key: ready[key] for key in ready if key not in bad})


BROKEN = object()


def _at_load(key: str, raw: Any, path: Path, context: TaskContext) -> Any:
    """Compute a modifier that is the same for all units of its task."""
    if key in PER_UNIT or not isinstance(raw, str) or not is_template(raw):
        return raw
    return compute_now(raw, path, context.compiler, context.names)


def compute_now(raw: str, path: Path, compiler: Compiler, names: Names) -> Any:
    """Compute a template at load; a mistake is noted, and something no schema takes returned."""
    before = len(compiler.problems)
    compiled = compiler.anything(raw, path)
    if len(compiler.problems) > before:
        return BROKEN
    try:
        return compiled.value if isinstance(compiled, Constant) else compiled(names)
    except ValueError as error:
        compiler.problems.add(path, str(error))
        return BROKEN
