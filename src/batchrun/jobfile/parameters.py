"""What the operation of a task is given, compiled: constants, and functions for the rest."""

from collections.abc import Mapping
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant, Render
from batchrun.jobfile.entries import Entry
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.plainvalues import plain_path
from batchrun.jobfile.prepared import PREPARED, SECRET_FLAG, prepare
from batchrun.jobfile.problems import Path
from batchrun.jobfile.scalars import Plain, is_null
from batchrun.jobfile.shapes import Parameter, parameters_of, required_of
from batchrun.jobfile.sudo import compile_sudo
from batchrun.jobfile.synonyms import what_was_meant
from batchrun.model.operation import NOT_KNOWN_YET, Operation
from batchrun.model.values import Kind

__all__ = ["compile_parameters"]


def compile_parameters(
    entry: Entry, operation: Operation, compiler: Compiler
) -> tuple[dict[str, Any], list[tuple[str, Path, Render]]]:
    """Compile what the operation of an entry is given.

    Returns:
        The fields that are the same for all units; and, of the others, the field, its path in
        the file, and the function that makes its value.
    """
    parameters = parameters_of(operation)
    given = _given(entry, operation, parameters, compiler)
    constants: dict[str, Any] = {}
    computed: list[tuple[str, Path, Render]] = []
    before, secrets_before = len(compiler.problems), len(compiler.secrets.used)
    for key, written in given.items():
        parameter = parameters[key]
        plain = plain_path(parameter, written)
        if plain is not None:
            constants[parameter.field] = plain
            continue
        raw = _home_or(written, parameter)
        if is_null(raw) and not parameter.required and not parameter.shape.nullable:
            continue
        path = _place_of(key, entry, operation)
        compiled = _compiled(parameter, raw, path, compiler.of_parameter(parameter, operation))
        if isinstance(compiled, Constant):
            constants[parameter.field] = compiled.value
        elif compiled is not None:
            computed.append((parameter.field, path, compiled))
    if (
        len(compiler.secrets.used) > secrets_before
        and SECRET_FLAG in operation.params.__dataclass_fields__
    ):
        constants[SECRET_FLAG] = True
    if operation.name in PREPARED:
        prepare(operation, constants, computed, (*entry.path, operation.name), compiler)
    _check_missing(entry, operation, given, compiler)
    if operation.check is not None and len(compiler.problems) == before:
        later = dict.fromkeys((name for name, _, _ in computed), NOT_KNOWN_YET)
        for sentence in operation.check({**later, **constants}):
            compiler.problems.add((*entry.path, operation.name), sentence)
    return constants, computed


def _compiled(parameter: Parameter, raw: Any, path: Path, compiler: Compiler) -> Compiled | None:
    if parameter.takes_password and isinstance(raw, dict):
        return compile_sudo(raw, path, compiler)
    return compiler.value(parameter.shape, raw, path)


def _home_or(raw: Any, parameter: Parameter) -> Any:
    """Take a bare `~`, which YAML calls null, for the home directory where a path stands."""
    is_bare = type(raw) is Plain and raw == "~"
    if is_bare and any(scalar.kind is Kind.PATH for scalar in parameter.shape.scalars):
        return str(raw)
    return raw


def _given(
    entry: Entry, operation: Operation, parameters: Mapping[str, Parameter], compiler: Compiler
) -> Mapping[str, Any]:
    """Collect what an operation is given, by key: from its mapping, and from modifiers."""
    raw = entry.raw
    given: Mapping[str, Any] = {}
    if isinstance(raw, dict):
        given = raw
        if not raw.keys() <= parameters.keys():
            given = {key: value for key, value in raw.items() if key in parameters}
            for key in [key for key in raw if key not in given]:
                path = (*entry.path, operation.name, key)
                compiler.problems.add(path, _unknown(key, operation, raw))
    elif is_null(raw):
        path = (*entry.path, operation.name)
        compiler.problems.add(path, f"has no value; write {_example(operation)}")
    else:
        given = {operation.main.removesuffix("_"): raw}
    added = _from_modifiers(entry, operation, given, compiler)
    return {**given, **added} if added else given


def _place_of(key: str, entry: Entry, operation: Operation) -> Path:
    """Return where a parameter that is given is written."""
    if isinstance(entry.raw, dict):
        if key in entry.raw:
            return (*entry.path, operation.name, key)
    elif key == operation.main.removesuffix("_"):
        return (*entry.path, operation.name)
    return entry.place_of(key)


def _unknown(key: str, operation: Operation, raw: Mapping[str, Any]) -> str:
    """Say that an operation has no such parameter, and which one may be meant."""
    free = [one for one in parameters_of(operation) if one not in raw]
    hint = what_was_meant(key, free) or f"; `batchrun ops {operation.name}` lists what it has"
    return f"`{operation.name}` has no `{key}`{hint}"


def _from_modifiers(
    entry: Entry, operation: Operation, given: Mapping[str, Any], compiler: Compiler
) -> dict[str, Any]:
    """Collect the modifiers that are parameters of commands."""
    added: dict[str, Any] = {}
    for key in entry.for_commands:
        value = getattr(entry.modifiers, key)
        if not operation.is_command and key not in entry.written:
            continue  # a default for commands says nothing to operations on files
        if not operation.is_command:
            message = f"`{key}` is for commands (run, script); `{operation.name}` is none"
            compiler.problems.add(entry.place_of(key), message)
        elif key not in given:
            added[key] = value
        elif key in entry.written:
            message = f"`{key}` is given twice, beside `{operation.name}` and inside it; keep one"
            compiler.problems.add(entry.place_of(key), message)
    return added


def _check_missing(
    entry: Entry, operation: Operation, given: Mapping[str, Any], compiler: Compiler
) -> None:
    missing = [key for key in required_of(operation) if key not in given]
    if missing and not is_null(entry.raw):
        listed = " and ".join(f"`{key}`" for key in missing)
        message = f"{listed} {'is' if len(missing) == 1 else 'are'} missing; write "
        compiler.problems.add((*entry.path, operation.name), message + _example(operation))


def _example(operation: Operation) -> str:
    required = required_of(operation)
    if not required or required == (operation.main,):
        return f"`{operation.name}: {operation.main.upper()}`"
    inside = ", ".join(f"{key}: {key.upper()}" for key in required)
    return f"`{operation.name}: {{{inside}}}`"
