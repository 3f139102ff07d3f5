"""`batchrun ops` and `batchrun schema`: what the language has, made of the table of operations."""

import json
import shutil
import sys

from batchrun import api
from batchrun.cli.results import palette_for
from batchrun.errors import UsageError
from batchrun.jobfile import json_schema
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.readers import expected
from batchrun.jobfile.shapes import Parameter, Shape, parameters_of
from batchrun.model.exitcode import ExitCode
from batchrun.model.operation import Operation
from batchrun.plugins import distributions
from batchrun.report.manual import Described, Listed, list_text, operation_text

__all__ = ["described", "print_operations", "print_schema"]

_MOST_COLUMNS = 100
_LEAST_COLUMNS = 30
_SUDO = ", or a mapping with `user` and `password`"


def print_schema() -> int:
    """Print the JSON Schema of job files; return the exit code."""
    sys.stdout.write(json.dumps(json_schema(api.operations()), indent=2) + "\n")
    return ExitCode.OK


def print_operations(name: str | None) -> int:
    """Print all operations, or one with everything there is to say; return the exit code.

    Raises:
        UsageError: there is none of that name.
        PluginError: one of an installed package cannot be used.
    """
    table = api.operations()
    columns = shutil.get_terminal_size((_MOST_COLUMNS, 24)).columns
    columns = max(min(columns, _MOST_COLUMNS), _LEAST_COLUMNS)
    palette = palette_for(sys.stdout)
    foreign = distributions()
    if name is None:
        rows = [
            Listed(name=one, summary=operation.summary, package=foreign.get(one, ""))
            for one, operation in table.items()
        ]
        sys.stdout.write(list_text(rows, columns=columns, palette=palette))
        return ExitCode.OK
    if name not in table:
        hint = did_you_mean(name, table) or "; `batchrun ops` lists them"
        message = f"there is no operation `{name}`{hint}"
        raise UsageError(message)
    text = operation_text(
        table[name],
        described(table[name]),
        package=foreign.get(name, ""),
        columns=columns,
        palette=palette,
    )
    sys.stdout.write(text)
    return ExitCode.OK


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
