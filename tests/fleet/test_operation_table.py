"""The table of operations on hosts: its examples are jobs, its parameters are documented."""

import subprocess
import sys
import textwrap
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest

from batchrun.jobfile import Tables, load_text
from batchrun.model.values import Doc, Mark
from batchrun.ops import OPERATIONS as HERE
from batchrun.remote import OPERATIONS

NAMES = pytest.mark.parametrize("name", list(OPERATIONS))


def test_it_has_all_that_can_be_done_on_hosts() -> None:
    assert set(OPERATIONS) == {
        *("run", "script", "mkdir", "link", "delete", "perms", "write", "template"),
        *("upload", "download", "wait_for", "reboot"),
    }


@NAMES
def test_every_parameter_has_a_sentence(name: str) -> None:
    hints = get_type_hints(OPERATIONS[name].params, include_extras=True)
    for field in fields(OPERATIONS[name].params):
        notes: list[Any] = [note for note in get_args(hints[field.name]) if isinstance(note, Doc)]
        given = Mark.GIVEN in get_args(hints[field.name])
        assert given or notes[0].text.endswith("."), field.name


@NAMES
def test_its_example_is_a_job(name: str, tmp_path: Any) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/nginx.conf").write_text("server {{ host }};\n")
    example = OPERATIONS[name].example
    text = "tasks:\n  - " + textwrap.indent(example, "    ").lstrip()
    text += "inventory: {hosts: {web1: {groups: [web], vars: {rack: a1}}}}\n"
    tables = Tables(here=HERE, on_hosts=OPERATIONS)
    job = load_text(text, file="job.yml", base_dir=str(tmp_path), table=tables).job
    assert [task.operation for task in job.tasks] == [name]


@NAMES
def test_sudo_stands_beside_any_of_them(name: str, tmp_path: Any) -> None:
    assert "sudo" in {field.name for field in fields(OPERATIONS[name].params)}
    if name == "mkdir":
        text = "tasks: [{mkdir: /srv/x, hosts: web1, sudo: deploy}]"
        tables = Tables(here=HERE, on_hosts=OPERATIONS)
        load_text(text, file="job.yml", base_dir=str(tmp_path), table=tables)


def test_looking_at_the_table_loads_no_ssh() -> None:
    code = (
        "import sys; from batchrun.remote import OPERATIONS\n"
        "[OPERATIONS[name] for name in OPERATIONS]\n"
        "heavy = {'paramiko', 'cryptography', 'pydantic', 'yaml', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
