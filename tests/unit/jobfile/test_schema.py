"""The JSON Schema: it is one, it takes what the loader takes, and it documents every key."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import json_schema
from batchrun.jobfile.document import parse
from batchrun.jobfile.places import Tables
from batchrun.jobfile.scalars import resolve
from batchrun.ops import OPERATIONS
from batchrun.remote import OPERATIONS as HOST_OPERATIONS
from small_jobs import TABLE, TABLES, mistakes

ROOT = Path(__file__).parents[3]
#: What is said of mistakes that a schema can know, too.
KNOWN_TO_A_SCHEMA = re.compile(
    r"is not a key here|`\w+` has no `|(?<!`path`) is missing; write `|write true or false"
    r"|write a whole number|write a number of at least|is a mapping; write"
    r"|there is no source of items|in one `foreach`|no operation; add|a task is a mapping"
)

GOOD = [
    "tasks: [{run: a, hosts: 'web[1-3]', pick: 1, per_host: 2, connect_timeout: 3s}]",
    "tasks: [{upload: {src: a, dest: b}, hosts: [web1, '@db'], ignore_unreachable: true}]",
    (
        "tasks: [{hosts: a, steps: [{run: x, delegate_to: lb}, {copy: {src: a, dest: b},"
        " delegate_to: local}]}]"
    ),
    "tasks: [{id: a, hosts: b, run: x}, {hosts: b, run: x, needs: [{task: a, per: host}]}]",
    "inventory: hosts.yml\ntasks: [{run: a}]",
    "inventory: {command: [prog, --list]}\ntasks: [{run: a}]",
    (
        "inventory: {defaults: {user: u, identity: [a, b]}, hosts: {a: {port: 22, groups: g}, b: },"
        " groups: {g: '@x', h: {hosts: [a, b], vars: {k: 1}}}}\ntasks: [{run: a}]"
    ),
    "tasks: [{run: a}]",
    (
        "name: n\nvars: {a: 1}\nlimits: {db: 2}\nprocs: 0\nmax_fail: 10%\nx-mine: 1\n"
        "order: sequential\ntasks: [{run: [a, 1], env: {A: true}, needs: a, id: 3}]\nfinally: []"
    ),
    "tasks: [{copy: {src: [a, b], dest: c, if: always, verify: '{{ x }}', level: 3, above: 1K}}]",
    "tasks: [{delete: a, foreach: {glob: '*.c', hidden: true}, retry_on: [failed, 3], tags: x}]",
    "tasks: [{run: a, foreach: {find: {path: /x, older_than: 7d, name: ['*.a'], type: any}}}]",
    "tasks: [{run: a, foreach: {matrix: {a: [1], b: '{{ x }}'}, chunk: 2, require: true}}]",
    "tasks: [{run: a, foreach: {command: [ls, -1], null_separated: true}}]",
    "tasks: [{run: a, foreach: {csv: '-'}}, {run: a, foreach: '{{ x }}'}, {run: a, foreach: [1]}]",
    "tasks: [{steps: [{run: a}, {delete: b, when: x}], rescue: [{run: a}], rescue_ok: true}]",
    "tasks: [{run: a, needs: [b, {task: c, per: item}], lock: {name: x, scope: machine}}]",
    "tasks: [{run: a, batch: [1, 10%], pause: ask, output: {path: a, newer_than: b}}]",
    "secrets: {a: {env: A}, b: {command: [pass, b]}}\ninclude: [a.yml]\ntasks: [{run: a}]",
    (
        "secrets: {a: {env: A}}\ndefaults: {sudo: {password: secrets.a}}\n"
        "tasks: [{run: a, sudo: {user: u, password: '{{ secrets.a }}'}}, {run: a, sudo: u}, "
        "{run: {command: a, sudo: {password: ' {{secrets.a}} '}}}, {run: a, sudo: true}]"
    ),
]
BAD = [
    "tasks: [{run: a, hosts: {web: 1}}]",
    "tasks: [{run: a, pick: 1}]",
    "tasks: [{run: a, hosts: web1, pick: 0}]",
    "inventory: {hosts: {a: {prot: 1}}}\ntasks: [{run: a}]",
    "inventory: {defaults: {port: 99999}}\ntasks: [{run: a}]",
    "inventory: {command: x}\ntasks: [{run: a}]",
    "name: a",
    "tasks: [{rum: a}]",
    "tasks: [{run: a, copy: {src: a, dest: b}}]",
    "tasks: [{copy: {src: a}}]",
    "tasks: [{copy: {src: a, dest: b, if: maybe}}]",
    "tasks: [{run: a, retries: many}]",
    "tasks: [{run: a}]\nnmae: x",
    "tasks: []",
    "tasks: [{run: a, foreach: {csv: x, hidden: true}}]",
    "tasks: [{run: a, foreach: {find: {name: x}}}]",
    "tasks: [{run: a, foreach: {find: {path: x, type: pipe}}}]",
    "tasks: [{run: a, foreach: {range: [1, 2], chunk: 0}}]",
    "tasks: [{run: a, foreach: {command: ls -l}}]",
    "tasks: [{run: a, foreach: {glob: a, lines: b}}]",
    "tasks: [{run: a, needs: {task: b, per: unit}}]",
    "tasks: [{run: a, rescue: [{run: b}]}]",
    "tasks: [{run: a, pause: 1m}]",
    "tasks: [{steps: [{rum: a}]}]",
    "tasks: [{steps: [{run: a, foreach: [1]}]}]",
    "secrets: {a: {env: A, file: b}}\ntasks: [{run: a}]",
    "secrets: {a: {env: A}}\ntasks: [{run: a, sudo: {user: u}}]",
    "secrets: {a: {env: A}}\ntasks: [{run: a, sudo: {password: hunter2}}]",
    "secrets: {a: {env: A}}\ntasks: [{run: {command: a, sudo: {pass: secrets.a}}}]",
]


#: The tables of operations that schemas are made for.
MADE_FOR: dict[str, Any] = {
    "tests": TABLES,
    "here": OPERATIONS,
    "everything": Tables(here=OPERATIONS, on_hosts=HOST_OPERATIONS),
}


@cache
def validator(made_for: str = "tests") -> jsonschema.Draft202012Validator:
    schema = json_schema(MADE_FOR[made_for])
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", GOOD)
def test_it_takes_what_is_right(text: str) -> None:
    assert list(validator().iter_errors(resolve(parse(text, "f").data))) == []


@pytest.mark.parametrize("text", BAD)
def test_it_refuses_what_the_loader_refuses(text: str) -> None:
    assert not validator().is_valid(resolve(parse(text, "f").data))
    assert mistakes(text) != []


def manual() -> Iterator[str]:
    """Read the broken files of which a schema can know that they are."""
    text = Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8")
    for section in text.split("\n====\n")[1:]:
        broken, said = section.split("\n----\n")
        if KNOWN_TO_A_SCHEMA.search(said):
            yield broken + "\n"


@pytest.mark.parametrize("text", list(manual()))
def test_it_refuses_what_the_manual_of_mistakes_has_of_that_kind(text: str) -> None:
    try:
        data = resolve(parse(text, "f").data)
    except JobFileError:
        return
    assert not validator().is_valid(data)


def documents() -> Iterator[Any]:
    """Yield every job file that we hand out, and the blocks of the README."""
    for file in (ROOT / "examples.yml", *sorted((ROOT / "jobs").glob("*.yml"))):
        yield pytest.param(file.read_text(encoding="utf-8"), id=file.name)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)):
        if "tasks:" in block:
            yield pytest.param(block, id=f"README-{number}")


@pytest.mark.parametrize("text", list(documents()))
def test_it_takes_every_job_file_that_we_hand_out(text: str) -> None:
    assert list(validator("everything").iter_errors(resolve(parse(text, "f").data))) == []


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
    check = validator("here")
    for name, operation in OPERATIONS.items():
        task = resolve(parse(operation.example, "f").data)
        assert list(check.iter_errors({"tasks": [task]})) == [], name
