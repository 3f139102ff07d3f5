"""The README's commands do what the README says, one by one, in a fresh directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from program import path_with_batchrun

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Commands that build an environment of their own: `.ci/run` runs them, in a fresh clone.
BUILDS = ("make ", "python3 -m venv")


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "README.md").read_text(encoding="utf-8")
    return [body for name, body in BLOCK.findall(text) if name == language]


def run_shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=cwd,
        env={**os.environ, "PATH": path_with_batchrun(cwd.parent / "bin")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_command_block_runs_in_the_order_of_the_page(root: Path, tmp_path: Path) -> None:
    ran = 0
    for script in blocks(root, "sh"):
        if script.startswith(BUILDS):
            continue
        ended = run_shell(script, tmp_path)
        assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
        ran += 1
    assert ran >= 5
    assert (tmp_path / "site.tar.gz").exists()
    assert (tmp_path / "site" / "about.html").read_text() == "<h1>about</h1>\n"


def test_commands_that_build_an_environment_are_run_by_ci(root: Path) -> None:
    ci = (root / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    commands = [script.split("\n")[0] for script in blocks(root, "sh") if script.startswith(BUILDS)]
    assert {"make demo", "make test"} <= set(commands)
    for command in ("make demo", "make test"):
        assert command in ci
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_the_first_job_file_on_the_page_runs_and_fails_only_where_it_says(
    root: Path, tmp_path: Path
) -> None:
    (job,) = blocks(root, "yaml")[:1]
    (tmp_path / "nightly.yml").write_text(job)
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "a; rm -rf ~.csv").write_text("1,2\n")
    (exports / "b.csv").write_text("no comma\n")
    ended = run_shell("batchrun nightly.yml --procs 2", tmp_path)
    assert ended.returncode == 2
    assert "FAILED       check every export" in ended.stdout
    assert "b.csv: exit status 1" in ended.stdout
    staged = sorted(path.name for path in (tmp_path / "stage").glob("*/*"))
    assert staged == ["a; rm -rf ~.csv", "b.csv"]


def test_the_python_example_runs(root: Path, tmp_path: Path) -> None:
    (tmp_path / "first.yml").write_text("tasks:\n  - mkdir: made\n")
    (code,) = blocks(root, "python")
    script = tmp_path / "example.py"
    script.write_text(code)
    ended = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "0 1\n"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_of_the_repository_lead_somewhere(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [target for target in targets if not (root / target).exists()] == []
