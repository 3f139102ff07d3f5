"""What is imported where: start-up must stay cheap, and it is imports that it is made of."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import batchrun
from batchrun import api, jobfile

#: Runs the program and writes, at its end, what its process has imported.
_RUN = """
import json, os, sys
from batchrun.__main__ import main

def end(code, _exit=os._exit):
    with open("imported.json", "w") as file:
        json.dump(sorted(sys.modules), file)
    _exit(code)

os._exit = end
sys.argv[0] = "batchrun"
main()
"""
PLAIN = "tasks: [{run: echo hello, timeout: 1m}]"
#: What only some jobs, or other commands, need.
LIBRARIES = {
    *("ClusterShell", "annotated_types", "asyncio", "concurrent", "ctypes", "email", "hmac"),
    *("html", "http", "isal", "jinja2", "markupsafe", "paramiko", "pathspec", "pydantic"),
    *("pydantic_core", "rich", "secrets", "tarfile", "tqdm", "typing_extensions", "unittest"),
    *("xml", "zipfile", "zstandard"),
}
#: The same of our own: what looks back at runs, hosts, lists of items, files about a run.
OWN = {
    *("api.continuing", "api.hosts", "cli.againflags", "cli.fleetjob", "cli.lookflags"),
    *("cli.onceflags", "engine.hostattempt", "engine.serial", "engine.threads"),
    *("jobfile.describe", "jobfile.exported", "jobfile.filledin", "jobfile.foreach"),
    *("jobfile.hoststream", "jobfile.include", "jobfile.inventory", "jobfile.overlap"),
    *("jobfile.sandbox", "jobfile.secretsource", "jobfile.spooled", "jobfile.steps"),
    *("journal.earlier", "ops.copy", "ops.files", "report.bars", "report.grouped"),
    *("report.hostfold", "report.hostlines", "report.html", "report.joblog", "report.junit"),
    *("report.machine", "report.metrics", "report.outputdir", "report.plan"),
}
#: Modules of ours, with some to spare. A new one belongs here when every job needs it; else the
#: few jobs that do should import it, as is done for those above.
MOST_FOR_A_RUN = 230
MOST_FOR_A_CHECK = 135


def imported(directory: Path, *words: str) -> set[str]:
    """Run a command line in a directory; return the modules that were imported."""
    command = [sys.executable, "-c", _RUN, *words]
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=60)
    return set(json.loads((directory / "imported.json").read_text()))


def ours(names: set[str]) -> set[str]:
    """Return the modules of the program, without its name."""
    return {one.removeprefix("batchrun.") for one in names if one.startswith("batchrun.")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plain")
    (directory / "job.yml").write_text(PLAIN)
    return directory


def test_a_plain_job_imports_only_what_every_job_needs(plain: Path) -> None:
    names = imported(plain, "job.yml", "--procs", "1")
    assert names & LIBRARIES == set()
    assert ours(names) & OWN == set()
    assert len(ours(names)) <= MOST_FOR_A_RUN


def test_a_check_imports_nothing_that_runs_or_records_a_job(plain: Path) -> None:
    names = imported(plain, "check", "job.yml")
    assert names & (LIBRARIES | {"multiprocessing", "sqlite3"}) == set()
    unwanted = (OWN - {"jobfile.describe", "report.plan"}) | {"engine.run", "cli.wiring"}
    assert ours(names) & unwanted == set()
    assert len(ours(names)) <= MOST_FOR_A_CHECK


def test_names_are_inserted_without_jinja2(tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text(
        "vars: {to: {dir: made}}\ntasks: [{foreach: [a, b], mkdir: '{{ to.dir }}/{{ item }}'}]\n"
    )
    names = imported(tmp_path, "job.yml", "--procs", "0")
    assert sorted(one.name for one in (tmp_path / "made").iterdir()) == ["a", "b"]
    assert "jinja2" not in names


def test_a_job_on_hosts_makes_no_workers_here(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _RUN, "exec", "-w", "127.0.0.1", "-F", "none", "-o", "Port=1"]
    ended = subprocess.run([*command, "true"], cwd=tmp_path, check=False, timeout=60)
    assert ended.returncode == 4  # nobody listens there
    names = set(json.loads((tmp_path / "imported.json").read_text()))
    assert names & {"ClusterShell", "jinja2", "multiprocessing", "pydantic", "tqdm"} == set()
    assert "paramiko" in names
    assert "engine.pool.pool" not in ours(names)
    assert "engine.threads" in ours(names)


def test_asking_for_a_command_imports_no_other_family() -> None:
    code = (
        "import sys; from batchrun.ops import OPERATIONS; OPERATIONS['run']; "
        "print(*sorted(m for m in sys.modules if m.startswith('batchrun.ops.')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "batchrun.ops.command" in ended.stdout.split()
    assert "batchrun.ops.copy" not in ended.stdout.split()


def test_connecting_leaves_out_what_only_doubles_the_time_of_the_import() -> None:
    code = (
        "import sys, batchrun.remote.connecting\n"
        "print('paramiko' in sys.modules, 'invoke' in sys.modules)\n"
        "import invoke\n"
        "print(invoke.__name__)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == ["True", "False", "invoke"]


@pytest.mark.parametrize("package", [batchrun, api, jobfile])
def test_no_name_of_a_package_is_hidden_by_a_module_that_is_imported_later(
    package: ModuleType,
) -> None:
    modules = {one.name for one in pkgutil.iter_modules(package.__path__)}
    assert modules.isdisjoint(package.__all__)
