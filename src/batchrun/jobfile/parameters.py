"""What the operation of a task is given, compiled: constants, and functions for the rest."""

from collections.abc import Collection, Mapping
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant, Render
from batchrun.jobfile.entries import Entry
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.plainvalues import plain_path
from batchrun.jobfile.prepared import PREPARED, SECRET_FLAG, prepare
from batchrun.jobfile.problems import AFTER_A_COMMA, Path
from batchrun.jobfile.scalars import Plain, is_null
from batchrun.jobfile.shapes import Parameter, Scalar, Shape, parameters_of, required_of
from batchrun.jobfile.sudo import compile_sudo
from batchrun.jobfile.synonyms import hint_for, word_meant
from batchrun.model.operation import NOT_KNOWN_YET, Operation
from batchrun.model.values import Kind

__all__ = ["compile_parameters"]


_FLAG = Shape(scalars=(Scalar(type=bool),))


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
        path = _place_of(key, entry, operation)
        if _is_nothing(raw, parameter, path, compiler):
            continue
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
    meant = _meant(entry, operation, given)
    _check_missing(entry, operation, {*given, *meant}, compiler)
    if operation.check is not None and len(compiler.problems) == before:
        fields = [*(parameters[key].field for key in meant), *(name for name, _, _ in computed)]
        later = dict.fromkeys(fields, NOT_KNOWN_YET)
        for sentence in operation.check({**later, **constants}):
            compiler.problems.add((*entry.path, operation.name), sentence)
    return constants, computed


def _is_nothing(raw: Any, parameter: Parameter, path: Path, compiler: Compiler) -> bool:
    """Tell whether a parameter is as good as not given; note a flag, which mostly is meant."""
    if not is_null(raw) or parameter.required or parameter.shape.nullable:
        return False
    if parameter.shape == _FLAG:
        key = parameter.key
        compiler.problems.add(path, f"has no value; write `{key}: true` or `{key}: false`")
    return True


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
    hint = hint_for(key, free, operation.name)
    if not hint and is_null(raw[key]):
        hint = f"; {AFTER_A_COMMA}"
    if not hint:
        hint = f"; it has {', '.join(parameters_of(operation))} (`batchrun ops {operation.name}`)"
    return f"`{operation.name}` has no `{key}`{hint}"


def _from_modifiers(
    entry: Entry, operation: Operation, given: Mapping[str, Any], compiler: Compiler
) -> dict[str, Any]:
    """Collect the modifiers that are parameters of commands, or of this operation as well.

    On hosts, `sudo` is one of many that are no commands.
    """
    added: dict[str, Any] = {}
    taken = parameters_of(operation)
    for key in entry.for_commands:
        value = getattr(entry.modifiers, key)
        if key not in taken and not operation.is_command and key not in entry.written:
            continue  # a default for commands says nothing to operations on files
        if key not in taken and not operation.is_command:
            message = f"`{key}` is for commands (run, script); `{operation.name}` is none"
            compiler.problems.add(entry.place_of(key), message)
        elif key not in given:
            added[key] = value
        elif key in entry.written:
            message = f"`{key}` is given twice, beside `{operation.name}` and inside it; keep one"
            compiler.problems.add(entry.place_of(key), message)
    return added


def _meant(entry: Entry, operation: Operation, given: Mapping[str, Any]) -> list[str]:
    """Return the parameters that are probably meant by words which the operation does not have.

    Those are mistakes that are told already; that these are missing would be one too many.
    """
    parameters = parameters_of(operation)
    if not isinstance(entry.raw, dict) or entry.raw.keys() <= parameters.keys():
        return []
    free = [one for one in parameters if one not in given]
    unknown = [key for key in entry.raw if key not in parameters]
    found = [word_meant(key, free, operation.name) for key in unknown]
    return [key for key in found if key is not None]


def _check_missing(
    entry: Entry, operation: Operation, given: Collection[str], compiler: Compiler
) -> None:
    missing = [key for key in required_of(operation) if key not in given]
    if missing and not is_null(entry.raw):
        listed = " and ".join(f"`{key}`" for key in missing)
        main = operation.main.removesuffix("_")
        example = _example(operation, () if isinstance(entry.raw, dict) else (main,))
        message = f"{listed} {'is' if len(missing) == 1 else 'are'} missing; write {example}"
        compiler.problems.add((*entry.path, operation.name), message)


def _example(operation: Operation, given: tuple[str, ...] = ()) -> str:
    """Write an operation with what it must be given, and with what it was given already."""
    keys = tuple(dict.fromkeys((*given, *required_of(operation))))
    if not keys or keys == (operation.main,):
        return f"`{operation.name}: {operation.main.upper()}`"
    inside = ", ".join(f"{key}: {key.upper()}" for key in keys)
    return f"`{operation.name}: {{{inside}}}`"
