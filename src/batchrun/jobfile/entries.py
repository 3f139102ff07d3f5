"""What an entry of `tasks:` is when it was taken apart, and how its modifiers are checked."""

import itertools
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from batchrun.jobfile.compiled import Constant
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.fleet import Fleet
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.places import Tables
from batchrun.jobfile.problems import Path, Problems
from batchrun.jobfile.schema import COMMAND_MODIFIERS, Modifiers, read_keys
from batchrun.jobfile.scope import Names
from batchrun.jobfile.template import is_template
from batchrun.model.job import Need
from batchrun.model.operation import Operation

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
    "merged_modifiers",
]

MODIFIER_KEYS = frozenset(Modifiers.keys)
#: The lists of operations that stand instead of one.
SECTIONS = ("steps", "rescue", "always")
#: Modifiers that would be wrong, or the same mistake, for every task.
NOT_IN_DEFAULTS = frozenset(
    {
        *("foreach", "id", "name", "needs", "output", "register", "rescue_ok", "delegate_to"),
        *SECTIONS,
    }
)
#: What is looked at before a unit begins, and what its attempts are judged by.
_LOOKED_AT = (
    *("when", "creates", "removes", "unless", "onlyif", "mounted", "output", "changed_when"),
)
#: Modifiers whose templates are computed for each unit, not at load.
PER_UNIT = frozenset(
    {
        "foreach",
        "hosts",
        "delegate_to",
        "limit",
        "lock",
        "vars",
        *_LOOKED_AT,
        *SECTIONS,
        *COMMAND_MODIFIERS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """What all tasks of a file share."""

    problems: Problems
    tables: Tables
    options: LoadOptions
    compiler: Compiler
    #: The scope at load: variables, `env`, `now`, `job`.
    names: Names
    #: Modifiers of every task, and their validated form.
    defaults: Mapping[str, Any]
    variables: frozenset[str]
    limits: Mapping[str, int]
    #: The hosts that are known.
    fleet: Fleet
    #: What tasks say that others have said before; grows with the kinds, not with the tasks.
    kinds: dict[Hashable, "Kind"] = field(default_factory=dict)
    #: Numbers for the temporary names of `output`.
    outputs: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    #: Which keys are operations, as far as it was asked.
    operations: "Operations" = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing asked."""
        object.__setattr__(self, "operations", Operations(self.tables))


class Operations(dict[str, bool]):
    """Which keys are operations.

    The tables are asked once for each key, and never for the language's own: what is not in it
    makes them look through all installed packages.
    """

    def __init__(self, tables: Tables) -> None:
        super().__init__(dict.fromkeys((*MODIFIER_KEYS, *SECTIONS), False))
        self._tables = tables

    def __missing__(self, key: str) -> bool:
        found = self[key] = key in self._tables
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """What many tasks have in common: all that they say, but for names, needs and parameters."""

    operation: Operation
    modifiers: Modifiers
    #: The modifiers among them that are parameters of commands.
    for_commands: tuple[str, ...]

    @classmethod
    def of(cls, operation: Operation, modifiers: Modifiers) -> "Kind":
        """Make the kind of all tasks that do this and say that."""
        return cls(operation=operation, modifiers=modifiers, for_commands=_for_commands(modifiers))


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
    def on_hosts(self) -> bool:
        """Whether its units are for hosts."""
        return self.modifiers.hosts is not None

    @property
    def has_steps(self) -> bool:
        """Whether it has steps instead of one operation."""
        return self.modifiers.steps is not None

    def place_of(self, key: str) -> Path:
        """Return where a modifier is written."""
        if key in self.written:
            return (*self.path, key)
        return self.origins.get(key, ("defaults", key))


_NO_MODIFIERS = Modifiers()


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
    return read_keys(Modifiers, ready, context.problems, path, MODIFIER_KEYS)


BROKEN = object()


def _at_load(key: str, raw: Any, path: Path, context: TaskContext) -> Any:
    """Compute a modifier that is the same for all units of its task."""
    if key in PER_UNIT or not isinstance(raw, str) or not is_template(raw):
        return raw
    compiler = context.compiler
    told = {**compiler.elsewhere, **_one_for_all(key)}
    return compute_now(raw, path, replace(compiler, elsewhere=told), context.names)


def _one_for_all(key: str) -> dict[str, str]:
    """Say why a modifier that is computed once knows no item and no host."""
    message = "`{}` differs from unit to unit, and `{}` is the same for all units of a task{}"
    told = {}
    for name, shown in (("item", "item"), ("index", "item"), ("host", "host")):
        advice = f"; leave it out, each unit is shown with its {shown}" if key == "name" else ""
        told[name] = message.format(name, key, advice)
    return told


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
