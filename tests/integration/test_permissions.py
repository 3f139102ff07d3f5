"""As root, batchrun obeys only files that no one but root can change."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Program

#: Whoever is not root is asked by nobody else to run their own files.
REFUSED = 65 if os.geteuid() == 0 else 0
JOB = """
include: common.yml
vars: {v: 1}
tasks:
- {id: template, template: {src: t.j2, dest: made.txt}}
- {id: script, script: {file: s.sh}}
"""


@pytest.fixture(autouse=True)
def _as_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at permissions also where the checkout is somebody else's."""
    monkeypatch.delenv("BATCHRUN_INSECURE_PERMISSIONS", raising=False)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "work"
    directory.mkdir()
    with Program(directory) as program:
        program.job(JOB)
        (directory / "common.yml").write_text("defaults: {timeout: 1m}\n")
        (directory / "more.yml").write_text("v: 2\n")
        (directory / "t.j2").write_text("{% include 'part.j2' %}\n")
        (directory / "part.j2").write_text("v={{ v }}")
        (directory / "s.sh").write_text("#!/bin/sh\ncat made.txt > by-script.txt; true\n")
        (directory / "s.sh").chmod(0o755)
        yield program


@pytest.mark.parametrize("name", ["job.yml", "common.yml", "more.yml", "t.j2", "part.j2", "s.sh"])
def test_a_file_that_everybody_can_write_is_refused_to_root(program: Program, name: str) -> None:
    words = ("job.yml", "--vars-file", "more.yml", "-j", "1")
    path = program.dir / name
    path.chmod(path.stat().st_mode | 0o002)

    ended = program.run(*words)

    assert ended.code == REFUSED, ended.err
    told = f"{name}" in ended.err and "can be written by everybody" in ended.err
    assert told is (REFUSED == 65)
    assert (program.dir / "made.txt").exists() is (REFUSED == 0)

    insecure = program.run(*words, "--insecure-permissions")

    assert insecure.code == 0, insecure.err
    assert (program.dir / "made.txt").read_text() == "v=2"


def test_a_job_on_standard_input_is_obeyed(program: Program) -> None:
    ended = program.run("-", "-j", "0", stdin=b"tasks: [{run: 'true'}]\n")

    assert ended.code == 0, ended.err


INVENTORY = "hosts: {127.0.0.1: {groups: [all-of-them]}}\n"


@pytest.mark.parametrize("words", [("hosts",), ("exec", "-n", "-a", "true")])
def test_an_inventory_that_everybody_can_write_is_refused_to_root(
    program: Program, words: tuple[str, ...]
) -> None:
    inventory = program.dir / "hosts.yml"
    inventory.write_text(INVENTORY)
    inventory.chmod(0o646)
    command, *rest = words

    ended = program.run(command, "-i", "hosts.yml", *rest)

    assert ended.code == REFUSED, ended.err
    assert ("can be written by everybody (mode 0646)" in ended.err) is (REFUSED == 65)
    insecure = program.run(command, "-i", "hosts.yml", "--insecure-permissions", *rest)
    assert "mode 0646" not in insecure.err


@pytest.mark.parametrize("name", ["list.sh", "data"])
def test_a_program_for_the_inventory_is_not_run_when_everybody_can_write_it_or_what_it_reads(
    program: Program, name: str
) -> None:
    (program.dir / "list.sh").write_text(
        '#!/bin/sh\ntouch ran\necho \'{"all": {"hosts": ["h"]}}\'\n'
    )
    (program.dir / "list.sh").chmod(0o755)
    (program.dir / "data").touch()
    (program.dir / name).chmod(0o757)
    job = program.job(
        "inventory: {command: [./list.sh, -i, data]}\ntasks: [{hosts: h, run: a}]\n", "on-hosts.yml"
    )

    ended = program.run("check", job)

    assert ended.code == REFUSED, ended.err
    assert (f"{name}` can be written by everybody" in ended.err) is (REFUSED == 65)
    assert (program.dir / "ran").exists() is (REFUSED == 0)
