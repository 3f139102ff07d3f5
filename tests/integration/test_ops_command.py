"""`batchrun ops` and `batchrun schema`: made of the table of operations, so never out of date."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from batchrun.jobfile.shapes import parameters_of
from batchrun.ops import OPERATIONS
from program import Program

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def test_every_operation_is_listed_with_its_sentence(program: Program) -> None:
    ended = program.run("ops", env={"COLUMNS": "100"})
    assert (ended.code, ended.err) == (0, "")
    said = " ".join(ended.out.split())
    for name, operation in OPERATIONS.items():
        assert f"{name} {operation.summary}" in said


@pytest.mark.parametrize("columns", [40, 100])
def test_one_is_described_with_every_parameter_and_its_example(
    program: Program, columns: int
) -> None:
    for name in ("copy", "run"):
        operation = OPERATIONS[name]
        ended = program.run("ops", name, env={"COLUMNS": str(columns)})
        assert ended.code == 0
        said = " ".join(ended.out.split())
        for key, parameter in parameters_of(operation).items():
            assert re.search(rf"^  {key}  ", ended.out, re.MULTILINE)
            assert " ".join(parameter.doc.split()) in said
        prose, _, example = ended.out.partition("\nexample\n")
        assert max(map(len, prose.splitlines())) <= columns
        shown = [line.removeprefix("  ") for line in example.splitlines()]
        expected = operation.example.strip().splitlines()
        # What follows is how it is on hosts, where it is there as well.
        assert shown[: len(expected)] == expected
        assert "required, the main parameter" in said


def test_a_name_that_is_none_is_refused_with_the_nearest(program: Program) -> None:
    ended = program.run("ops", "cpy")
    assert (ended.code, ended.out) == (64, "")
    assert "did you mean `copy`?" in ended.err


def test_the_schema_takes_good_jobs_and_refuses_bad_ones(program: Program) -> None:
    ended = program.run("schema")
    assert (ended.code, ended.err) == (0, "")
    validator = jsonschema.Draft202012Validator(json.loads(ended.stdout))
    assert list(validator.iter_errors({"tasks": [{"mkdir": "x", "mode": 1}]}))
    assert not list(validator.iter_errors({"tasks": [{"copy": {"src": "a", "dest": "b"}}]}))


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("batchrun e", ["each", "exec"]),
        ("batchrun each --keep", ["--keep-order"]),
        ("batchrun do del", ["delete"]),
        ("batchrun ops decom", ["decompress"]),
    ],
)
def test_the_shell_completes_commands_options_and_operations(
    program: Program, line: str, offered: list[str]
) -> None:
    env = {
        "_BATCHRUN_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    assert program.run(env=env).out.split() == offered
