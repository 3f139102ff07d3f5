"""Operations of installed packages: found, described, checked and run like batchrun's own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Program

pytestmark = pytest.mark.timeout(120)

MODULE = """
from dataclasses import dataclass
from typing import Annotated
import os

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.values import Doc, PathText


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    path: Annotated[PathText, Doc("The file to stamp.")]
    text: Annotated[str, Doc("With what.")] = "stamped"


def stamp(params: Stamp, context: Context) -> Done:
    if params.text == "no":
        raise OperationError(f"{params.path} refuses", retryable=False)
    if os.path.exists(params.path):
        return Done.unchanged()
    if not context.settings.dry_run:
        with open(params.path, "w") as file:
            file.write(f"{params.text} by {os.getpid() != MAIN}")
    return Done.changed(note=params.text)


MAIN = int(os.environ.get("MAIN_PID", "0"))
STAMP = Operation(
    name="stamp", summary="Stamp a file.", params=Stamp, function=stamp, main="path",
    example="stamp: /tmp/x",
)
OPERATIONS = {"stamp": STAMP}
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def install(program: Program, name: str, module: str, points: str) -> dict[str, str | None]:
    """Install a package as pip does with --target, and return the environment that finds it."""
    site = program.dir.parent / f"{program.dir.name}-site"
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[batchrun.operations]\n{points}\n")
    (info / "RECORD").write_text("")
    (site / f"{name.replace('-', '_')}_ops.py").write_text(module)
    path = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": ":".join(path)}


@pytest.mark.parametrize("attribute", ["STAMP", "OPERATIONS"])
def test_its_operation_is_like_any_other(program: Program, attribute: str) -> None:
    env = install(program, "acme-stamps", MODULE, f"stamp = acme_stamps_ops:{attribute}")
    job = program.job("""
tasks:
  - {id: s, foreach: [a, b], stamp: "{{ item }}"}
  - {id: t, stamp: {path: c, text: "no"}, ignore_errors: true}
""")
    assert "s  [stamp]" in program.run("check", job, env=env).out
    assert "would change s  a: stamped" in program.run(job, "-n", env=env).out
    assert os.listdir(program.dir) == [job]
    ended = program.run(job, "-j2", env=env)
    assert ended.code == 0, ended.err
    assert (program.dir / "a").read_text() == "stamped by True"
    assert "IGNORED      t  " in ended.out
    assert program.run("do", "stamp", "d", "text=mine", "-q", env=env).code == 0
    assert (program.dir / "d").read_text() == "mine by True"
    listed = " ".join(program.run("ops", env=env).out.split())
    assert "stamp Stamp a file. (from acme-stamps)" in listed
    one = program.run("ops", "stamp", env=env).out
    assert "from the package acme-stamps" in one
    assert "The file to stamp." in one
    schema = json.loads(program.run("schema", env=env).stdout)
    assert "stamp" in json.dumps(schema["$defs"]["task"])
    wrong = program.run("do", "stamp", "d", "txt=x", env=env)
    assert "`stamp` has no `txt`; did you mean `text`?" in wrong.err


@pytest.mark.parametrize(
    ("module", "point", "why"),
    [
        ("raise RuntimeError('boom')", "stamp = acme_ops:STAMP", "RuntimeError: boom"),
        ("import nowhere_to_be_found", "stamp = acme_ops:STAMP", "No module named"),
        ("STAMP = 3", "stamp = acme_ops:STAMP", "is no Operation of that name"),
        ("", "stamp = acme_ops:STAMP", "has no attribute 'STAMP'"),
        (MODULE, "other = acme_ops:STAMP", "is no Operation of that name"),
        (MODULE, "other = acme_ops:OPERATIONS", "KeyError"),
    ],
    ids=lambda value: value[:40],
)
def test_a_broken_package_is_told_in_one_sentence_when_it_is_needed_and_not_before(
    program: Program, module: str, point: str, why: str
) -> None:
    env = install(program, "acme", module, point)
    name = point.partition(" ")[0]
    job = program.job("tasks:\n  - mkdir: x\n")
    assert program.run(job, "-q", env=env).code == 0
    program.job(f"tasks:\n  - {name}: x\n")
    for words in ([job], ["ops", name], ["do", name, "x"]):
        ended = program.run(*words, env=env)
        assert (ended.code, ended.out) == (65, "")
        assert f"the operation `{name}` of the package acme cannot be used" in ended.err
        assert why in ended.err
        assert ended.err.count("\n") == 1


def test_a_name_that_two_packages_claim_names_both(program: Program) -> None:
    install(program, "acme", MODULE, "stamp = acme_ops:STAMP")
    env = install(program, "other", MODULE, "stamp = other_ops:STAMP")
    ended = program.run("do", "stamp", "x", env=env)
    assert ended.code == 65
    assert "`stamp` is in two installed packages, " in ended.err
    assert "acme" in ended.err
    assert "other" in ended.err


def test_no_package_can_change_what_an_operation_of_batchrun_means(program: Program) -> None:
    env = install(program, "acme", MODULE, "mkdir = acme_ops:STAMP")
    assert program.run("do", "mkdir", "x", "-q", env=env).code == 0
    assert (program.dir / "x").is_dir()
    listed = program.run("ops", env=env)
    assert listed.code == 65
    assert "`mkdir` is in two installed packages, batchrun and acme" in listed.err
