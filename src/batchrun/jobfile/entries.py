"""One entry of `tasks:` taken apart: its operation, its modifiers, its id.

A file may have a hundred thousand tasks, and then most of them say the same beside their names,
needs and parameters. What they say is checked once (`Kind`), and shared.
"""

import itertools
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from batchrun.jobfile.compiled import Constant
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.problems import Path, Problems, did_you_mean, slip_in
from batchrun.jobfile.schema import (
    COMMAND_MODIFIERS,
    LATER_MODIFIERS,
    LATER_OPERATIONS,
    Modifiers,
    report,
)
from batchrun.jobfile.scope import Names
from batchrun.jobfile.synonyms import key_meant_by
from batchrun.jobfile.template import is_template
from batchrun.model.job import Need
from batchrun.model.operation import Operation, OperationTable

__all__ = [
    "BROKEN",
    "MODIFIER_KEYS",
    "NOT_IN_DEFAULTS",
    "PER_UNIT",
    "SECTIONS",
    "Entry",
    "Kind",
    "TaskContext",
    "compute_now",
    "later_message",
    "merged_modifiers",
    "split_entry",
    "take_entry",
]

MODIFIER_KEYS = frozenset(field.alias or name for name, field in Modifiers.model_fields.items())
#: The lists of operations that stand instead of one.
SECTIONS = ("steps", "rescue", "always")
#: Modifiers that would be wrong, or the same mistake, for every task.
NOT_IN_DEFAULTS = frozenset(
    {"foreach", "id", "name", "needs", "output", "register", "rescue_ok", *SECTIONS}
)
#: What is looked at before a unit begins, and what its attempts are judged by.
_LOOKED_AT = (
    *("when", "creates", "removes", "unless", "onlyif", "mounted", "output", "changed_when"),
)
#: Modifiers whose templates are computed for each unit, not at load.
PER_UNIT = frozenset(
    {"foreach", "limit", "lock", "vars", *_LOOKED_AT, *SECTIONS, *COMMAND_MODIFIERS}
)


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
    #: What tasks say that others have said before; grows with the kinds, not with the tasks.
    kinds: dict[Hashable, "Kind"] = field(default_factory=dict)
    #: Numbers for the temporary names of `output`.
    outputs: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    #: Which keys are operations, as far as it was asked.
    operations: "Operations" = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing asked."""
        object.__setattr__(self, "operations", Operations(self.table))


class Operations(dict[str, bool]):
    """Which keys are operations.

    The table is asked once for each key, and never for the language's own: what is not in it
    makes it look through all installed packages.
    """

    def __init__(self, table: OperationTable) -> None:
        super().__init__(dict.fromkeys((*MODIFIER_KEYS, *SECTIONS), False))
        self._table = table

    def __missing__(self, key: str) -> bool:
        found = self[key] = key in self._table
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """What many tasks have in common: all that they say, but for names, needs and parameters."""

    operation: Operation
    modifiers: Modifiers
    #: The modifiers among them that are parameters of commands.
    for_commands: tuple[str, ...]


def _for_commands(modifiers: Modifiers) -> tuple[str, ...]:
    return tuple(key for key in COMMAND_MODIFIERS if getattr(modifiers, key) is not None)


#: Shared by all entries that have nothing from elsewhere.
_NOWHERE: Mapping[str, Path] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of `tasks:` taken apart, not compiled yet."""

    path: Path
    line: int | None
    #: None: there is none, or more than one; a mistake was noted.
    operation: Operation | None
    #: What the operation is given.
    raw: Any
    #: As written in the task, without the defaults; the operation may be among it.
    written: Mapping[str, Any]
    #: What it has from there and from the defaults; its name, id and needs are below.
    modifiers: Modifiers
    #: Shown to people; empty: the id is.
    name: str = ""
    #: Its id; empty: it gets one by its position.
    id: str
    needs: tuple[Need, ...] = ()
    #: None: it has something that no other task can share, or a mistake.
    kind: Kind | None = None
    final: bool = False
    #: Where modifiers are written that it has from elsewhere; others: here, or in the defaults.
    origins: Mapping[str, Path] = field(default_factory=lambda: _NOWHERE)

    @property
    def has_own_id(self) -> bool:
        """Whether its id is written; otherwise it is made of the name or of the position."""
        return "id" in self.written and (self.kind is not None or self.modifiers.id is not None)

    @property
    def for_commands(self) -> tuple[str, ...]:
        """The modifiers that it has and that are parameters of commands."""
        return _for_commands(self.modifiers) if self.kind is None else self.kind.for_commands

    @property
    def has_steps(self) -> bool:
        """Whether it has steps instead of one operation."""
        return self.modifiers.steps is not None

    def place_of(self, key: str) -> Path:
        """Return where a modifier is written."""
        if key in self.written:
            return (*self.path, key)
        return self.origins.get(key, ("defaults", key))


def take_entry(raw: Any, path: Path, context: TaskContext) -> Entry | None:
    """Take an entry apart and check its keys; None: it is no task at all."""
    problems = context.problems
    if not isinstance(raw, dict):
        example = "`- run: COMMAND`"
        slip = slip_in(raw) if isinstance(raw, str) else ""
        advice = f"; {slip}" if slip else ""
        problems.add(path, f"a task is a mapping with an operation, such as {example}{advice}")
        return None
    said = _said(raw, path, context)
    kind = None if said is None else context.kinds.get(said)
    own = None if kind is None else _own(raw)
    if kind is None or own is None:
        return _taken(raw, path, context, said)
    name, entry_id, needs = own
    return Entry(
        path=path,
        line=getattr(raw, "line", None),
        operation=kind.operation,
        raw=raw[kind.operation.name],
        written=raw,
        modifiers=kind.modifiers,
        name=name,
        id=entry_id or _slug(name),
        needs=needs,
        final=path[0] == "finally",
        kind=kind,
    )


def _taken(
    raw: Mapping[str, Any], path: Path, context: TaskContext, said: Hashable | None
) -> Entry:
    """Take an entry apart, every key of it.

    Args:
        raw: The entry.
        path: Where it stands.
        context: What all tasks share.
        said: What others of its kind say as well; None: it is one of its own.
    """
    before = len(context.problems)
    name, written = split_entry(raw, path, context)
    if not written.keys().isdisjoint(_STEP_KEYS):
        name = _check_steps(name, raw, path, context)
    modifiers = merged_modifiers(written, context.defaults, path, context)
    operation = context.table.get(name)
    kind: Kind | None = None
    if said is not None and operation is not None and len(context.problems) == before:
        kind = context.kinds.get(said)
        if kind is None and name not in MODIFIER_KEYS:
            shared = {key: value for key, value in written.items() if key not in _OWN_KEYS}
            shared_modifiers = merged_modifiers(shared, context.defaults, path, context)
            kind = context.kinds[said] = Kind(
                operation=operation,
                modifiers=shared_modifiers,
                for_commands=_for_commands(shared_modifiers),
            )
    return Entry(
        path=path,
        line=getattr(raw, "line", None),
        operation=operation,
        raw=raw.get(name),
        written=written,
        modifiers=modifiers if kind is None else kind.modifiers,
        name=modifiers.name or "",
        id=modifiers.id or _slug(modifiers.name or ""),
        needs=modifiers.needs,
        final=path[0] == "finally",
        kind=kind,
    )


#: Modifiers that are each task's own.
_OWN_KEYS = frozenset({"name", "id", "needs"})
#: Modifiers of which the place in the file matters later, or that are too long to be compared.
_UNSHARED = frozenset({"foreach", "output", "vars", *SECTIONS})
_MOST_SHARED = 16


def _said(raw: Mapping[str, Any], path: Path, context: TaskContext) -> Hashable | None:
    """Return what a task says that others may say as well, to be looked up; None: nobody may."""
    said: list[Hashable] = [path[0]]
    for key, value in raw.items():
        said.append(key)
        if key in _OWN_KEYS or context.operations[key]:
            continue
        texts = value if type(value) is list and len(value) <= _MOST_SHARED else [value]
        if key in _UNSHARED or any(not isinstance(one, str) or is_template(one) for one in texts):
            return None
        # `1` and "1" are equal as texts, and not the same.
        said.append((type(value), *((type(one), one) for one in texts)))
    return tuple(said)


_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _own(raw: Mapping[str, Any]) -> tuple[str, str, tuple[Need, ...]] | None:
    """Return the name, id and needs of a task; None: there is something in them to be checked."""
    name, own_id, needs = raw.get("name", ""), raw.get("id", ""), raw.get("needs", ())
    if type(name) is not str or type(own_id) is not str or is_template(name):
        return None
    if not _PLAIN_ID.fullmatch(own_id) and "id" in raw:
        return None
    listed = needs if isinstance(needs, list | tuple) else [needs]
    for one in listed:
        if type(one) is not str or is_template(one):
            return None
    return name, own_id, tuple([Need(task_id=one) for one in listed])


def split_entry(
    raw: Mapping[str, Any], path: Path, context: TaskContext
) -> tuple[str, dict[str, Any]]:
    """Split an entry into its operation and what is written beside it.

    Returns:
        The operation's name, empty when there is none or more than one (that is noted, unless
        there are steps); and the modifiers.
    """
    operations = [key for key in raw if context.operations[key]]
    written = {key: value for key, value in raw.items() if not context.operations[key]}
    found_later = False
    for key in [key for key in written if key not in MODIFIER_KEYS]:
        del written[key]
        _unknown_key(key, path, context, taken=bool(operations))
        found_later = found_later or key in LATER_OPERATIONS
    if len(operations) > 1:
        listed = " and ".join(f"`{key}`" for key in operations)
        advice = "make a task of each, with `needs:`" if len(path) == 2 else "make a step of each"
        context.problems.add((*path, operations[1]), f"{listed} in one {_kind(path)}; {advice}")
    elif not operations and not found_later and _STEP_KEYS.isdisjoint(raw):
        _no_operation(raw, path, context)
    return operations[0] if len(operations) == 1 and not found_later else "", written


def _kind(path: Path) -> str:
    return "task" if len(path) == 2 else "step"


#: What makes sense only in a task with steps.
_STEP_KEYS = frozenset({*SECTIONS, "rescue_ok"})


def _check_steps(name: str, raw: Mapping[str, Any], path: Path, context: TaskContext) -> str:
    """Note what cannot stand beside `steps`, or without it; return the operation that is left."""
    if "steps" not in raw:
        for key in sorted(_STEP_KEYS & set(raw)):
            message = f"`{key}` stands beside `steps`; write the operation as one of `steps`"
            context.problems.add((*path, key), message)
        return name
    if name:
        message = f"`{name}` beside `steps`; make it one of the steps"
        context.problems.add((*path, name), message)
    if "rescue_ok" in raw and "rescue" not in raw:
        message = "`rescue_ok` says how a rescued unit counts; write `rescue` too"
        context.problems.add((*path, "rescue_ok"), message)
    return ""


def later_message(key: str) -> str:
    """Say that a key of the language is not known yet."""
    if key in LATER_MODIFIERS and key != "hosts":
        return f"`{key}` is for tasks with `hosts`, which come with a later version of batchrun"
    return f"`{key}` is not supported by this version of batchrun yet"


#: What stands beside a source of items, and is looked for beside `foreach`.
_BESIDE_A_SOURCE = frozenset({"chunk", "require", "null_separated"})


def _unknown_key(key: str, path: Path, context: TaskContext, *, taken: bool) -> None:
    if key in LATER_MODIFIERS or key in LATER_OPERATIONS:
        message = later_message(key)
    elif key == "newer_than":
        message = "`newer_than` belongs into `output: {path: PATH, newer_than: OTHER}`"
    elif key in _BESIDE_A_SOURCE:
        message = (
            f"`{key}` belongs into `foreach`, beside the source: `{{SOURCE: ..., {key}: ...}}`"
        )
    else:
        known = MODIFIER_KEYS if taken else MODIFIER_KEYS | set(context.table)
        meant = key_meant_by(key, known)
        hint = f"; did you mean `{meant}`?" if meant else did_you_mean(key, known)
        message = f"`{key}` is not a key here{hint}"
    context.problems.add((*path, key), message)


def _no_operation(raw: Mapping[str, Any], path: Path, context: TaskContext) -> None:
    unknown = [key for key in raw if key not in MODIFIER_KEYS and key not in LATER_MODIFIERS]
    operations = context.table
    if any(key_meant_by(key, operations) or did_you_mean(key, operations) for key in unknown):
        return  # said already, with what is meant
    if "shell" in raw:
        message = "`shell` says which shell runs a command; the command itself is `run: COMMAND`"
        context.problems.add((*path, "shell"), message)
        return
    listed = ", ".join(context.table)
    kind = _kind(path)
    context.problems.add(path, f"the {kind} has no operation; add one of {listed}")


def _slug(name: str) -> str:
    """Make an id of a name.

    >>> _slug("Stage the exports (1)")
    'stage-the-exports-1'
    """
    words = "".join(one if one.isalnum() else " " for one in name.lower()).split()
    return "-".join(words)


_NO_MODIFIERS = Modifiers.model_validate({})


def merged_modifiers(
    written: Mapping[str, Any], defaults: Mapping[str, Any], path: Path, context: TaskContext
) -> Modifiers:
    """Check what is written beside an operation, over what it has from elsewhere."""
    merged = {**defaults, **written}
    for key in ("env", "vars"):
        if isinstance(written.get(key), dict) and isinstance(defaults.get(key), dict):
            merged[key] = {**defaults[key], **written[key]}
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
    compiler = context.compiler
    told = {**compiler.elsewhere, **_one_for_all(key)}
    return compute_now(raw, path, replace(compiler, elsewhere=told), context.names)


def _one_for_all(key: str) -> dict[str, str]:
    """Say why a modifier that is computed once knows no item."""
    advice = "; leave it out, each unit is shown with its item" if key == "name" else ""
    message = "`{}` differs from unit to unit, and `{}` is the same for all units of a task{}"
    return {name: message.format(name, key, advice) for name in ("item", "index")}


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
