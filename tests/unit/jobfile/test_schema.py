"""The JSON Schema: it is one, it takes what the loader takes, and it documents every key."""

from typing import Any

import jsonschema
import pytest
import yaml

from batchrun.jobfile import json_schema
from batchrun.jobfile.document import parse
from batchrun.jobfile.scalars import resolve
from batchrun.ops import OPERATIONS
from small_jobs import TABLE, mistakes

GOOD = [
    "tasks: [{run: a}]",
    (
        "name: n\nvars: {a: 1}\nlimits: {db: 2}\nprocs: 0\nmax_fail: 10%\nx-mine: 1\n"
        "order: sequential\ntasks: [{run: [a, 1], env: {A: true}, needs: a, id: 3}]\nfinally: []"
    ),
    "tasks: [{copy: {src: [a, b], dest: c, if: always, verify: '{{ x }}', level: 3, above: 1K}}]",
    "tasks: [{delete: a, foreach: {glob: '*.c', hidden: true}, retry_on: [failed, 3], tags: x}]",
]
BAD = [
    "name: a",
    "tasks: [{rum: a}]",
    "tasks: [{run: a, copy: {src: a, dest: b}}]",
    "tasks: [{copy: {src: a}}]",
    "tasks: [{copy: {src: a, dest: b, if: maybe}}]",
    "tasks: [{run: a, retries: many}]",
    "tasks: [{run: a}]\nnmae: x",
]


def validator(table: Any = TABLE) -> jsonschema.Draft202012Validator:
    schema = json_schema(table)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", GOOD)
def test_it_takes_what_is_right(text: str) -> None:
    assert list(validator().iter_errors(resolve(parse(text, "f").data))) == []


@pytest.mark.parametrize("text", BAD)
def test_it_refuses_what_the_loader_refuses(text: str) -> None:
    assert not validator().is_valid(resolve(parse(text, "f").data))
    assert mistakes(text) != []


def test_every_parameter_of_every_operation_is_described() -> None:
    task = json_schema(OPERATIONS)["$defs"]["task"]["properties"]

    for name, operation in OPERATIONS.items():
        mapping = task[name]["anyOf"][0]
        assert task[name]["description"] == operation.summary
        assert all(one.get("description") for one in mapping["properties"].values()), name
        assert mapping["properties"].keys() >= set(mapping["required"])


def test_every_modifier_is_described() -> None:
    task = json_schema(TABLE)["$defs"]["task"]["properties"]

    assert all(one.get("description") for one in task.values())


def test_the_examples_of_the_operations_load_and_fit_the_schema() -> None:
    check = validator(OPERATIONS)
    for name, operation in OPERATIONS.items():
        example = yaml.safe_load(operation.example)
        task = example[0] if isinstance(example, list) else example
        assert list(check.iter_errors({"tasks": [task]})) == [], name
