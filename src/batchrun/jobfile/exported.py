"""The JSON Schema of job files, for editors: from its classes and the operations' parameters."""

from typing import Any

from batchrun.jobfile.declared import Declared
from batchrun.jobfile.entries import NOT_IN_DEFAULTS, SECTIONS
from batchrun.jobfile.findfields import FIND_SHAPES
from batchrun.jobfile.foreach import SOURCE_OPTIONS
from batchrun.jobfile.places import Tables
from batchrun.jobfile.schema import COMMAND_MODIFIERS, JobText, Modifiers
from batchrun.jobfile.shapes import Parameter, Scalar, Shape, parameters_of
from batchrun.jobfile.steps import STEP_KEYS
from batchrun.jobfile.sudo import SUDO_SCHEMA
from batchrun.model.operation import Operation
from batchrun.model.values import Kind

__all__ = ["job_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEMPLATE = {"type": "string", "pattern": r"\{\{"}
_TEXT = {"type": ["string", "number", "boolean"]}
_DURATION = {"type": ["string", "number"], "examples": ["90s", "10m", "1h30m"]}
_SIZE = {"type": ["string", "integer"], "examples": ["512", "64K", "10M"]}
_MODE = {"type": ["string", "integer"], "examples": ["0640", "u=rw,g=r"]}
_BY_KIND: dict[Kind, dict[str, Any]] = {
    Kind.PATH: _TEXT,
    Kind.PATTERN: _TEXT,
    Kind.SHELL: _TEXT,
    Kind.MODE: _MODE,
    Kind.SIZE: _SIZE,
    Kind.DURATION: _DURATION,
}
_BY_TYPE: dict[type[Any], dict[str, Any]] = {
    str: _TEXT,
    object: {},
    bool: {"anyOf": [{"type": "boolean"}, _TEMPLATE]},
    int: {"anyOf": [{"type": "integer"}, _TEMPLATE]},
    float: {"anyOf": [{"type": "number"}, _TEMPLATE]},
}


def job_schema(tables: Tables) -> dict[str, Any]:
    """Build the schema of a job file with these operations."""
    table = tables.here
    job = _keys(JobText)
    modifiers = _keys(Modifiers)
    modifiers["foreach"] = {"description": modifiers["foreach"]["description"], **_foreach()}
    for key in SECTIONS:
        modifiers[key]["items"] = {"$ref": "#/$defs/step"}
    for command in [operation for operation in table.values() if operation.is_command][:1]:
        parameters = parameters_of(command)
        for key in parameters.keys() & set(COMMAND_MODIFIERS):
            modifiers[key] |= _taken(parameters[key])
    operations = {name: _placed(name, tables) for name in tables}
    job["defaults"] |= _mapping(
        {key: one for key, one in modifiers.items() if key not in NOT_IN_DEFAULTS}
    )
    job["tasks"] |= {"items": {"$ref": "#/$defs/task"}, "minItems": 1}
    job["finally"] |= {"items": {"$ref": "#/$defs/task"}}
    of_step = {key: one for key, one in modifiers.items() if key in STEP_KEYS}
    return {
        "$schema": _DIALECT,
        "title": "batchrun job file",
        **_mapping(job, "tasks"),
        "patternProperties": {"^x-": {}},
        "$defs": {
            "task": {
                **_mapping({**modifiers, **operations}),
                "oneOf": [{"required": [name]} for name in (*tables, "steps")],
                "dependentRequired": _TOGETHER,
            },
            "step": {
                **_mapping({**of_step, **operations}),
                "oneOf": [{"required": [name]} for name in tables],
            },
        },
    }


def _placed(name: str, tables: Tables) -> dict[str, Any]:
    """Return what an operation takes: here, on hosts, or either."""
    forms = [_operation(table[name]) for table in (tables.here, tables.on_hosts) if name in table]
    if len(forms) == 1 or forms[0] == forms[1]:
        return forms[0]
    here, there = forms
    more = [one for one in there["anyOf"] if one not in here["anyOf"]]
    return {**here, "anyOf": [*here["anyOf"], *more]}


#: Modifiers that mean something only beside others.
_TOGETHER = {
    "rescue": ["steps"],
    "always": ["steps"],
    "rescue_ok": ["steps", "rescue"],
    "pause": ["batch"],
    "pick": ["hosts"],
    "per_host": ["hosts"],
}


def _mapping(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def _keys(kind: type[Declared]) -> dict[str, dict[str, Any]]:
    """Return the schema of each key of a mapping, as its type declares it."""
    return {
        name: {"description": one.description, **one.takes.schema}
        for name, one in kind.keys.items()
    }


def _foreach() -> dict[str, Any]:
    """Write what `foreach` takes: a list, an expression, or one source with its options."""
    path = _BY_KIND[Kind.PATH]
    values = {"anyOf": [{"type": "array"}, _TEMPLATE]}
    sources: dict[str, dict[str, Any]] = {
        "glob": _one_or_many(_BY_KIND[Kind.PATTERN]),
        "lines": path,
        "csv": path,
        "json": path,
        "find": _mapping({key: _shape(shape) for key, shape in FIND_SHAPES.items()}, "path"),
        "range": {
            "type": "array",
            "items": _BY_TYPE[int],
            "minItems": 2,
            "maxItems": 3,
        },
        "command": {"anyOf": [{"type": "array", "items": _TEXT, "minItems": 1}, _TEMPLATE]},
        "matrix": {"type": "object", "additionalProperties": values, "minProperties": 1},
    }
    flag = _BY_TYPE[bool]
    chunk = {"anyOf": [{"type": "integer", "minimum": 1}, _TEMPLATE]}
    forms = [
        _mapping(
            {
                kind: sources[kind],
                **{option: {"const": "host"} if option == "at" else flag for option in options},
                "require": flag,
                "chunk": chunk,
            },
            kind,
        )
        for kind, options in SOURCE_OPTIONS.items()
    ]
    return {"anyOf": [{"type": "array"}, _TEMPLATE, *forms]}


def _one_or_many(one: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = parameters_of(operation)
    required = [key for key, one in parameters.items() if one.required]
    mapping = _mapping({key: _parameter(one) for key, one in parameters.items()}, *required)
    main = operation.main.removesuffix("_")
    forms = [mapping]
    if main in parameters and set(required) <= {main}:
        forms.append(_taken(parameters[main]))
    return {"description": operation.summary, "anyOf": forms}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described = {"description": parameter.doc} if parameter.doc else {}
    return {**_taken(parameter), **described}


def _taken(parameter: Parameter) -> dict[str, Any]:
    schema = _shape(parameter.shape)
    return {"anyOf": [*schema["anyOf"], SUDO_SCHEMA]} if parameter.takes_password else schema


def _shape(shape: Shape) -> dict[str, Any]:
    forms = [_scalar(scalar) for scalar in shape.scalars]
    if shape.items is not None:
        items = _shape(shape.items)
        forms.append({"type": "array", "items": items})
        if not shape.scalars:
            forms.append(items)  # one alone needs no brackets
    if shape.entries is not None:
        forms += [{"type": "object", "additionalProperties": _shape(shape.entries)}, _TEMPLATE]
    if shape.nullable:
        forms.append({"type": "null"})
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _scalar(scalar: Scalar) -> dict[str, Any]:
    if scalar.choices:
        return {"anyOf": [{"enum": list(scalar.choices)}, _TEMPLATE]}
    return dict(_BY_KIND[scalar.kind] if scalar.kind else _BY_TYPE[scalar.type])
