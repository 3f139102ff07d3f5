"""`batchrun do`: one operation of the language, now, as a job like any other."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from batchrun import api
from batchrun.cli.fleetjob import fleet_job, host_task, run_fleet
from batchrun.cli.jobtext import is_text, job_text, literal, scalar_word
from batchrun.cli.onceflags import DoFlags
from batchrun.cli.results import Grouping, host_output
from batchrun.cli.saving import job_limits, load_made, made_line, save, task_limits
from batchrun.cli.targets import named_nodes
from batchrun.cli.wiring import check_flags, execute
from batchrun.errors import UsageError
from batchrun.jobfile.entries import MODIFIER_KEYS
from batchrun.jobfile.places import Tables
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.shapes import Parameter, Shape, parameters_of
from batchrun.model.operation import Operation
from batchrun.model.values import Kind
from batchrun.ops.paths import escape

__all__ = ["run_operation"]

#: They make sense among several tasks only.
_NOT_ALONE = frozenset({"id", "needs", "overlap", "tags", "steps", "rescue", "always", "rescue_ok"})


def run_operation(flags: DoFlags) -> int:
    """Run one operation with the parameters of the command line; return the exit code.

    Raises:
        UsageError: there is no such operation or parameter, or a value that it cannot take.
    """
    check_flags(flags)
    operation = _operation(flags.operation, on_hosts=named_nodes(flags))
    given = _given(operation, flags.words or ())
    if named_nodes(flags):
        results = host_output(flags) if operation.is_command else None
        return run_fleet("do", _fleet_text(flags, operation, given), flags, results)
    _check_local(flags)
    text = _text(flags, operation, given)
    loaded = load_made(text, "do", insecure=flags.insecure_permissions)
    if flags.save is not None:
        save(flags.save, text)
    # What a command writes is what it was run for.
    return execute(loaded, flags, Grouping() if operation.is_command else None)


def _check_local(flags: DoFlags) -> None:
    """Refuse flags that are for hosts where none are named: they would mean nothing.

    Raises:
        UsageError: there are such flags.
    """
    fleet = {
        "-b": flags.fold, "--mask": flags.mask, "--raw": flags.raw, "--batch": flags.batch,
        "--sudo": flags.sudo, "-K": flags.ask_sudo_pass, "-k": flags.ask_pass,
        "-f": flags.fanout,
    }  # fmt: skip
    for option, value in fleet.items():
        if value:
            message = f"{option} is for operations on hosts; name them with -w"
            raise UsageError(message)


def _operation(name: str, *, on_hosts: bool) -> Operation:
    """Look an operation up.

    Raises:
        UsageError: there is none of that name, or not on hosts.
    """
    tables = Tables(here=api.operations(), on_hosts=api.host_operations())
    table = tables.of(on_host=on_hosts)
    if name in table:
        return table[name]
    if name in tables:
        message = f"the operation `{name}` is for hosts; name them with -w"
        if on_hosts:
            message = f"{tables.misplaced(name, on_host=True)}; or leave -w out"
        raise UsageError(message)
    hint = did_you_mean(name, tables) or "; `batchrun ops` lists them"
    message = f"there is no operation `{name}`{hint}"
    raise UsageError(message)


def _given(operation: Operation, words: Sequence[str]) -> dict[str, list[str]]:
    """Sort the words by parameter; those without `=` are the main one.

    Raises:
        UsageError: a key that is neither a parameter nor a modifier, or one that is missing.
    """
    parameters = parameters_of(operation)
    main = operation.main.removesuffix("_")
    known = [*parameters, *(key for key in MODIFIER_KEYS if key not in _NOT_ALONE)]
    given: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            key, value = main, word
        elif key not in known:
            message = f"`{operation.name}` has no `{key}`{did_you_mean(key, known)}"
            raise UsageError(message)
        given.setdefault(key, []).append(value)
    missing = [key for key, one in parameters.items() if one.required and key not in given]
    if missing:
        wanted = " ".join(f"{key}=..." for key in missing)
        message = f"`{operation.name}` needs {wanted}; `batchrun ops {operation.name}` tells more"
        raise UsageError(message)
    return given


def _text(flags: DoFlags, operation: Operation, given: Mapping[str, list[str]]) -> str:
    """Write the equivalent job file."""
    parameters = parameters_of(operation)
    values = {
        key: _value(parameters[key], words) for key, words in given.items() if key in parameters
    }
    modifiers = {
        key: _one_or_all([scalar_word(word) for word in words])
        for key, words in given.items()
        if key not in parameters
    }
    if operation.is_command and "cwd" not in values and is_text(os.getcwd()):
        values["cwd"] = literal(os.getcwd())
    task = {operation.name: values, **task_limits(flags), **modifiers}
    if operation.is_command:
        task.setdefault("print", "always")
    job = {"name": operation.name, **job_limits(flags), "tasks": [task]}
    return job_text(job, about=made_line(f"do {operation.name}"))


def _fleet_text(flags: DoFlags, operation: Operation, given: Mapping[str, list[str]]) -> str:
    """Write the equivalent job file of an operation on hosts; its paths are those of the hosts."""
    parameters = parameters_of(operation)
    values = {
        key: _one_or_all([scalar_word(word) for word in words]) for key, words in given.items()
    }
    task = {
        "name": operation.name,
        **host_task(flags),
        operation.name: {key: value for key, value in values.items() if key in parameters},
        **{key: value for key, value in values.items() if key not in parameters},
    }
    return fleet_job("do", flags, task)


def _value(parameter: Parameter, words: Sequence[str]) -> Any:
    """Write what one parameter is given."""
    shape = parameter.shape
    if shape.entries is not None and all("=" in word for word in words):
        return dict(word.split("=", 1) for word in words)
    return _one_or_all([_word(shape.items or shape, shape, word) for word in words])


def _one_or_all(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _word(inner: Shape, outer: Shape, word: str) -> str:
    """Write one value; a relative path means the current directory, wherever the job file is.

    A word that is the name of a file means that file: the shell has expanded it already.
    """
    text = inner.text or outer.text
    kind = text.kind if text is not None else None
    if kind not in (Kind.PATH, Kind.PATTERN):
        return scalar_word(word)
    if os.path.lexists(word):
        word = literal(escape(word) if kind is Kind.PATTERN else word)
    elif not word or "{{" in word or word.startswith("~"):
        return word
    here = escape(os.getcwd()) if kind is Kind.PATTERN else os.getcwd()
    return os.path.join(literal(here), word) if not os.path.isabs(word) else word
