"""The README does what it says, block by block, in a fresh directory."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pages import BUILDS, blocks, walk

pytestmark = pytest.mark.timeout(300)


@pytest.mark.usefixtures("hosts_of_pages")
def test_every_block_does_what_the_page_says(root: Path, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    assert walk(root / "README.md", tmp_path / "demo") >= 12
    staged = sorted(path.name for path in (tmp_path / "demo" / "stage").glob("*/*"))
    assert staged == ["june.csv", "may.csv"]
    # The first run failed for one file; what is written last is what the resume came to.
    assert "1 ok (1 changed), 3 skipped" in (tmp_path / "demo" / "last-run.txt").read_text()


def test_commands_that_build_an_environment_are_run_by_ci(root: Path) -> None:
    ci = (root / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    page = [one.body for one in blocks(root / "README.md") if one.language == "sh"]
    commands = [body.split("\n")[0] for body in page if body.startswith(BUILDS)]
    assert {"make demo", "make test"} <= set(commands)
    for command in ("make demo", "make test"):
        assert command in ci
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_the_python_example_runs(root: Path, tmp_path: Path) -> None:
    (tmp_path / "deploy.yml").write_text("tasks:\n  - mkdir: made\n")
    (code,) = [one.body for one in blocks(root / "README.md") if one.language == "python"]
    script = tmp_path / "example.py"
    script.write_text(code)
    ended = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "0 1\n"


def test_its_table_of_exit_codes_is_that_of_the_program(root: Path) -> None:
    from batchrun.model.exitcode import EXIT_CODES

    text = (root / "README.md").read_text(encoding="utf-8").replace("`", "")
    rows = re.findall(r"^\| ([\d, ]+) \| (.+) \|$", text, re.MULTILINE)
    told = {int(code): meaning for codes, meaning in rows for code in codes.split(", ")}
    for code, meaning in EXIT_CODES:
        if code in (129, 130, 143):
            assert meaning.removeprefix("stopped by ") in told[code]
        else:
            assert told[code] == meaning


def test_it_stays_a_front_page(root: Path) -> None:
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= 250
