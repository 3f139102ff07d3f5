"""The pages in docs/ do what they say, lead where they point, and are as the program is."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from batchrun.api import load_text
from batchrun.errors import JobFileError
from pages import anchors, blocks, differences, links, walk
from program import COMMAND

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))
ALL = [Path("README.md"), Path("CONTRIBUTING.md"), Path("CHANGELOG.md"), *PAGES]
#: Job files that pages show because they are refused.
REFUSED = {"greet.yml", "leak.yml", "race.yml"}
#: Has the groups that the examples of operations name.
INVENTORY = "inventory: {hosts: {'web[1-3]': {groups: [web]}}}"

pytestmark = pytest.mark.timeout(300)


def name_of(page: Path) -> str:
    return str(page)


def mistakes(job: str, directory: Path) -> str:
    """Load a job file as it stands on a page; say what is wrong with it."""
    try:
        load_text(job, file="the page", base_dir=str(directory))
    except JobFileError as error:
        return str(error)
    return ""


@pytest.mark.usefixtures("hosts_of_pages")
@pytest.mark.parametrize(("name", "least"), [("tutorial", 15), ("how-to", 30), ("language", 10)])
def test_every_block_of_a_page_does_what_the_page_says(
    name: str, least: int, tmp_path: Path
) -> None:
    (tmp_path / "demo").mkdir()
    assert walk(ROOT / "docs" / f"{name}.md", tmp_path / "demo") >= least


def test_no_other_page_shows_commands() -> None:
    shown = {
        page.stem
        for page in PAGES
        if any(one.language in ("sh", "console") for one in blocks(ROOT / page))
    }
    assert shown == {"tutorial", "how-to", "language"}


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(ROOT / page):
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [Path("README.md"), *PAGES], ids=name_of)
def test_every_whole_job_file_on_a_page_loads(page: Path, tmp_path: Path) -> None:
    files = [one for one in blocks(ROOT / page) if one.file]
    for one in files:
        (tmp_path / one.file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one.file).write_text(one.body)
    for block in blocks(ROOT / page):
        if block.language == "yaml" and re.search(r"^tasks:", block.body, re.MULTILINE):
            found = mistakes(block.body, tmp_path)
            assert bool(found) is (block.file in REFUSED), f"{block.body}\n{found}"


def test_every_example_of_an_operation_is_a_task(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "nginx.conf").write_text("worker_processes 1;\n")
    examples = blocks(ROOT / "docs" / "reference" / "operations.md")
    assert len(examples) >= 17
    for block in examples:
        body = textwrap.indent(block.body, "    ").lstrip()
        found = mistakes(f"{INVENTORY}\ntasks:\n  - {body}", tmp_path)
        assert found == "", f"{block.body}\n{found}"


def test_the_reference_is_what_the_program_says() -> None:
    ended = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_page_of_the_reference_that_is_out_of_date_is_named(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "generate.py").write_bytes((ROOT / "docs" / "generate.py").read_bytes())
    words = [sys.executable, str(docs / "generate.py")]
    subprocess.run(words, check=True, timeout=60)
    page = docs / "reference" / "exit-codes.md"
    page.write_text(page.read_text().replace("75", "76"))
    ended = subprocess.run([*words, "--check"], capture_output=True, text=True, timeout=60,
                           check=False)  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == f"{page}: not as the program is; run `make docs`\n"


def test_the_operation_of_the_how_to_works_when_its_package_is_installed(tmp_path: Path) -> None:
    page = {one.file: one.body for one in blocks(ROOT / "docs" / "how-to.md") if one.file}
    project = tomllib.loads(page["acme-ops/pyproject.toml"])["project"]
    (points,) = project["entry-points"].items()
    site = tmp_path / "site"
    info = site / "acme_ops-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n"
    )
    lines = "".join(f"{name} = {value}\n" for name, value in points[1].items())
    (info / "entry_points.txt").write_text(f"[{points[0]}]\n{lines}")
    (site / "acme_ops.py").write_text(page["acme-ops/acme_ops.py"])
    env = {**os.environ, "PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}"}
    (tmp_path / "log.txt").write_text("one\ntwo\nthree\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *words], cwd=tmp_path, env=env, capture_output=True,
                              text=True, timeout=60, check=False)  # fmt: skip

    rehearsed = run("do", "-n", "keep_lines", "log.txt", "count=2")
    assert "1 would change" in rehearsed.stdout, rehearsed.stderr
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\nthree\n"
    assert run("do", "-q", "keep_lines", "log.txt", "count=2").returncode == 0
    assert (tmp_path / "log.txt").read_text() == "two\nthree\n"
    assert "1 ok of 1" in run("do", "keep_lines", "log.txt", "count=2").stdout
    assert "keep_lines" in run("ops").stdout


def test_a_page_may_leave_out_lines_and_numbers_that_differ_but_nothing_else() -> None:
    assert not differences("a\n...\nz\n", "a\nb\nc\nz\n")
    assert not differences("1 ok in 0.2 s   run 20261122-031500-7f3a\n",
                           "1 ok in 31 ms   run 20250101-000000-ffff\n")  # fmt: skip
    assert differences("1 ok in 0.2 s\n", "2 ok in 0.2 s\n")
    assert differences("a\nz\n", "a\nb\nz\n")
