"""What a program writes, held against the JSON Schemas that come with it."""

import json
from functools import cache
from importlib import resources
from typing import Any

import jsonschema

__all__ = ["problems_of_document", "problems_of_event", "published"]


def published(name: str) -> Any:
    """Return a schema as it is installed."""
    path = resources.files("batchrun.report") / "schemas" / f"{name}.schema.json"
    return json.loads(path.read_text(encoding="utf-8"))


def problems_of_document(document: Any) -> list[str]:
    """Say what is wrong with a document of `--output json`, members nobody knows of included."""
    return [error.message for error in _validator("json").iter_errors(document)]


def problems_of_event(event: Any) -> list[str]:
    """Say what is wrong with a line of `--output ndjson`, members nobody knows of included."""
    return [error.message for error in _validator("ndjson").iter_errors(event)]


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = published(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.FormatChecker()
    return jsonschema.Draft202012Validator(_closed(schema), format_checker=checker)


def _closed(schema: Any) -> Any:
    """Refuse what a schema does not mention: users' tools need not, our tests must."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(one) for name, one in schema.items()}
    return {**closed, "additionalProperties": False} if "required" in schema else closed
