"""The JSON Schema of job files, for editors: from the models and the operations' parameters."""

from typing import Any

from batchrun.jobfile.schema import JobText, Modifiers
from batchrun.jobfile.shapes import Parameter, Scalar, Shape, parameters_of
from batchrun.model.operation import Operation, OperationTable
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


def job_schema(table: OperationTable) -> dict[str, Any]:
    """Build the schema of a job file with these operations."""
    job = JobText.model_json_schema(by_alias=True)
    modifiers = Modifiers.model_json_schema()
    for properties in (job["properties"], modifiers["properties"]):
        for one in properties.values():
            _tidy(one)
    task = {
        "type": "object",
        "properties": {
            **modifiers["properties"],
            **{name: _operation(operation) for name, operation in table.items()},
        },
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in table],
    }
    job["properties"]["defaults"] = {
        "type": "object",
        "description": "Modifiers for every task.",
        "properties": modifiers["properties"],
        "additionalProperties": False,
    }
    for key in ("tasks", "finally"):
        job["properties"][key]["items"] = {"$ref": "#/$defs/task"}
    return {
        "$schema": _DIALECT,
        "title": "batchrun job file",
        "type": "object",
        "properties": job["properties"],
        "patternProperties": {"^x-": {}},
        "required": ["tasks"],
        "additionalProperties": False,
        "$defs": {"task": task},
    }


def _tidy(schema: dict[str, Any]) -> None:
    """Remove what pydantic adds and people who write job files have no use for."""
    schema.pop("title", None)
    schema.pop("default", None)
    choices = schema.get("anyOf", [])
    if {"type": "null"} in choices:
        choices.remove({"type": "null"})


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = parameters_of(operation)
    mapping = {
        "type": "object",
        "properties": {key: _parameter(one) for key, one in parameters.items()},
        "required": [key for key, one in parameters.items() if one.required],
        "additionalProperties": False,
    }
    main = operation.main.removesuffix("_")
    required = [key for key, one in parameters.items() if one.required]
    forms = [mapping]
    if main in parameters and set(required) <= {main}:
        forms.append(_shape(parameters[main].shape))
    return {"description": operation.summary, "anyOf": forms}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described = {"description": parameter.doc} if parameter.doc else {}
    return {**_shape(parameter.shape), **described}


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
