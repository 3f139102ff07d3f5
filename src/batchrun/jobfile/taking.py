"""Takes an entry of `tasks:` apart: its operation, its modifiers, its id.

A file may have a hundred thousand tasks, and then most of them say the same beside their names,
needs and parameters. What they say is checked once (`Kind`), and shared.
"""

import re
from collections.abc import Hashable, Mapping
from typing import Any

from batchrun.jobfile.entries import (
    MODIFIER_KEYS,
    SECTIONS,
    Entry,
    Kind,
    TaskContext,
    merged_modifiers,
)
from batchrun.jobfile.problems import AFTER_A_COMMA, Path, did_you_mean, slip_in
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.schema import LATER_MODIFIERS
from batchrun.jobfile.shapes import parameters_of
from batchrun.jobfile.synonyms import key_meant_by, word_meant
from batchrun.jobfile.template import is_template
from batchrun.model.job import Need
from batchrun.model.operation import Operation

__all__ = ["later_message", "operation_for", "split_entry", "take_entry"]


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
    operation = operation_for(name, path, context, on_host=modifiers.hosts is not None)
    kind: Kind | None = None
    if said is not None and operation is not None and len(context.problems) == before:
        kind = context.kinds.get(said)
        if kind is None and name not in MODIFIER_KEYS:
            shared = {key: value for key, value in written.items() if key not in _OWN_KEYS}
            shared_modifiers = merged_modifiers(shared, context.defaults, path, context)
            kind = context.kinds[said] = Kind.of(operation, shared_modifiers)
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


def operation_for(
    name: str, path: Path, context: TaskContext, *, on_host: bool
) -> Operation | None:
    """Return the operation for the place where it runs; None: there is none (said, or said now)."""
    misplaced = context.tables.misplaced(name, on_host=on_host)
    if misplaced:
        context.problems.add((*path, name), misplaced)
        return None
    return context.tables.of(on_host=on_host).get(name)


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
    for key in [key for key in written if key not in MODIFIER_KEYS]:
        del written[key]
        _unknown_key(key, raw, path, context)
    if len(operations) > 1:
        listed = " and ".join(f"`{key}`" for key in operations)
        advice = "make a task of each, with `needs:`" if len(path) == 2 else "make a step of each"
        context.problems.add((*path, operations[1]), f"{listed} in one {_kind(path)}; {advice}")
    elif not operations and _STEP_KEYS.isdisjoint(raw):
        _no_operation(raw, path, context)
    return operations[0] if len(operations) == 1 else "", written


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
    return f"`{key}` is not supported by this version of batchrun yet"


#: What stands beside a source of items, and is looked for beside `foreach`.
_BESIDE_A_SOURCE = frozenset({"chunk", "require", "null_separated"})


#: What a `foreach` can stand for, written beside it or instead of it.
_SOURCES = frozenset({"csv", "find", "glob", "json", "lines", "matrix", "range"})


def _unknown_key(key: str, raw: Mapping[str, Any], path: Path, context: TaskContext) -> None:
    operations = [one for one in raw if context.operations[one]]
    if key in LATER_MODIFIERS:
        message = later_message(key)
    elif key == "newer_than":
        message = "`newer_than` belongs into `output: {path: PATH, newer_than: OTHER}`"
    elif key in _BESIDE_A_SOURCE:
        message = (
            f"`{key}` belongs into `foreach`, beside the source: `{{SOURCE: ..., {key}: ...}}`"
        )
    elif key in _SOURCES and "foreach" not in raw and len(path) == 2:
        message = f"`{key}` is a source of items; write `foreach: {{{key}: ...}}`"
    else:
        owner = context.tables.any(operations[0]) if len(operations) == 1 else None
        message = f"`{key}` is not a key here{_meant_here(key, raw, owner, context)}"
    context.problems.add((*path, key), message)


def _meant_here(
    key: str, raw: Mapping[str, Any], owner: Operation | None, context: TaskContext
) -> str:
    """Say what may be meant by a key of a task that there is not.

    Args:
        key: As it is written.
        raw: The task.
        owner: Its operation; None: it has none, or several.
        context: What all tasks share.
    """
    known = MODIFIER_KEYS if owner is not None else MODIFIER_KEYS | set(context.tables)
    meant = None if slip_in(key) else key_meant_by(key, known)
    if owner is not None and key in parameters_of(owner):
        example = f"{owner.main.removesuffix('_')}: ..., {key}: ..."
        return f"; it belongs into `{owner.name}`: `{owner.name}: {{{example}}}`"
    if meant:
        return f"; did you mean `{meant}`?"
    if hint := did_you_mean(key, known):
        return hint
    inside = None if owner is None else word_meant(key, parameters_of(owner), owner.name)
    if owner is not None and inside:
        return f"; did you mean `{inside}`, inside `{owner.name}`?"
    return f"; {AFTER_A_COMMA}" if is_null(raw[key]) else ""


def _no_operation(raw: Mapping[str, Any], path: Path, context: TaskContext) -> None:
    unknown = [key for key in raw if key not in MODIFIER_KEYS and key not in LATER_MODIFIERS]
    operations = tuple(context.tables)
    if any(key_meant_by(key, operations) or did_you_mean(key, operations) for key in unknown):
        return  # said already, with what is meant
    if "shell" in raw:
        message = "`shell` says which shell runs a command; the command itself is `run: COMMAND`"
        context.problems.add((*path, "shell"), message)
        return
    listed = ", ".join(context.tables)
    kind = _kind(path)
    context.problems.add(path, f"the {kind} has no operation; add one of {listed}")


def _slug(name: str) -> str:
    """Make an id of a name.

    >>> _slug("Stage the exports (1)")
    'stage-the-exports-1'
    """
    words = "".join(one if one.isalnum() else " " for one in name.lower()).split()
    return "-".join(words)
