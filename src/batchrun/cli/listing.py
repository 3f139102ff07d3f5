"""`batchrun ops` and `batchrun schema`: what the language has, made of the table of operations."""

import json
import shutil
import sys

from batchrun import api
from batchrun.cli.lookflags import OpsFlags, SchemaFlags
from batchrun.cli.results import palette_for
from batchrun.errors import UsageError
from batchrun.jobfile import Tables, json_schema
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.readers import expected
from batchrun.jobfile.shapes import Parameter, Shape, parameters_of
from batchrun.model.exitcode import ExitCode
from batchrun.model.operation import Operation, OperationTable
from batchrun.plugins import distributions
from batchrun.report.manual import Described, Listed, list_text, operation_text

__all__ = ["described", "print_operations", "print_schema"]

#: Stands before what an operation is for tasks with `hosts`.
ON_HOSTS = "\nwith `hosts`\n\n"
_MOST_COLUMNS = 100
_LEAST_COLUMNS = 30
_SUDO = ", or a mapping with `user` and `password`"


def print_schema(_flags: SchemaFlags) -> int:
    """Print the JSON Schema of job files; return the exit code."""
    tables = Tables(here=api.operations(), on_hosts=api.host_operations())
    sys.stdout.write(json.dumps(json_schema(tables), indent=2) + "\n")
    return ExitCode.OK


def print_operations(flags: OpsFlags) -> int:
    """Print all operations, or one with everything there is to say; return the exit code.

    Raises:
        UsageError: there is none of that name.
        PluginError: one of an installed package cannot be used.
    """
    name, tables = flags.name, (api.operations(), api.host_operations())
    columns = shutil.get_terminal_size((_MOST_COLUMNS, 24)).columns
    columns = max(min(columns, _MOST_COLUMNS), _LEAST_COLUMNS)
    palette = palette_for(sys.stdout)
    foreign = distributions()
    if name is None:
        sys.stdout.write(list_text(_listed(*tables), columns=columns, palette=palette))
        return ExitCode.OK
    found = [table[name] for table in tables if name in table]
    if not found:
        known = [one for table in tables for one in table]
        hint = did_you_mean(name, known) or "; `batchrun ops` lists them"
        message = f"there is no operation `{name}`{hint}"
        raise UsageError(message)
    texts = [
        operation_text(
            operation,
            described(operation),
            package=foreign.get(name, ""),
            columns=columns,
            palette=palette,
        )
        for operation in found
    ]
    sys.stdout.write(ON_HOSTS.join(texts) if name in tables[0] else ON_HOSTS.lstrip() + texts[0])
    return ExitCode.OK


def _listed(here: OperationTable, on_hosts: OperationTable) -> list[Listed]:
    """Name all operations; those on hosts say so."""
    foreign = distributions()
    rows = [
        Listed(
            name=name,
            summary=one.summary + " (also on hosts)" * (name in on_hosts),
            package=foreign.get(name, ""),
        )
        for name, one in here.items()
    ]
    more = [(name, one) for name, one in on_hosts.items() if name not in here]
    return rows + [Listed(name=name, summary=f"{one.summary} (on hosts)") for name, one in more]


def described(operation: Operation) -> list[Described]:
    """Put the parameters of an operation into words, those that must be given first."""
    parameters = sorted(parameters_of(operation).values(), key=lambda one: not one.required)
    return [_described(one) for one in parameters]


def _described(parameter: Parameter) -> Described:
    """Put a parameter into words."""
    return Described(
        key=parameter.key,
        takes=_takes(parameter.shape) + _SUDO * parameter.takes_password,
        doc=parameter.doc,
        default="required" if parameter.required else _default(parameter.default),
    )


def _default(value: object) -> str:
    """Write a default as it would be written in a job file; nothing for those that say nothing."""
    if value is None or value == ():
        return ""
    if isinstance(value, tuple):
        value = list(value)
    return f"default {value if isinstance(value, str) else json.dumps(value)}"


def _takes(shape: Shape) -> str:
    """Say what may be written."""
    words = [
        " | ".join(scalar.choices) if scalar.choices else expected(scalar)
        for scalar in shape.scalars
    ]
    if shape.items is not None:
        inner = _takes(shape.items)
        if not words:
            words = [inner]  # one alone needs no brackets
        words.append("a list of them" if inner in words else f"a list ({inner})")
    if shape.entries is not None:
        words.append(f"a mapping to {_takes(shape.entries)}")
    return ", or ".join(words) or "a value"
