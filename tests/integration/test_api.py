"""The Python API, as programs use it: typed, documented, safe with worker processes."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import batchrun

pytestmark = pytest.mark.timeout(120)

PROGRAM = '''
"""A program that runs a job with worker processes."""
import sys
import batchrun


class Labels:
    def __init__(self) -> None:
        self.labels: list[str] = []

    def handle(self, event: batchrun.Event) -> None:
        if type(event).__name__ == "UnitEnded":
            self.labels.append(event.unit.label)

    def close(self) -> None:
        self.labels.append("closed")


if __name__ == "__main__":
    seen = Labels()
    try:
        result = batchrun.run(sys.argv[1], procs=2, sinks=[seen])
    except batchrun.JobFileError as error:
        sys.exit(str(error))
    total = result.counts.total
    print(result.ok, int(result.exit_code), result.job_name, total.planned, total.ended["failed"])
    print(*sorted(seen.labels))
'''


def run_program(directory: Path, job: str) -> subprocess.CompletedProcess[str]:
    (directory / "program.py").write_text(PROGRAM)
    (directory / "job.yml").write_text(job)
    return subprocess.run(
        [sys.executable, "-W", "error", "program.py", "job.yml"],
        cwd=directory, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_program_runs_a_job_with_worker_processes(tmp_path: Path) -> None:
    job = "tasks:\n  - {foreach: [a, b], run: 'test {{ item }} = a'}\n"
    ended = run_program(tmp_path, job)
    assert ended.stdout == "False 2 job 2 1\na b closed\n", ended.stderr
    assert ended.returncode == 0


def test_mistakes_in_a_job_file_are_one_exception_with_all_of_them(tmp_path: Path) -> None:
    ended = run_program(tmp_path, "tasks:\n  - xrun: x\n  - mkdirr: y\n")
    assert ended.returncode == 1
    assert "job.yml:2: tasks[0].xrun" in ended.stderr
    assert "job.yml:3: tasks[1].mkdirr" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_public_name_can_be_had_and_no_other() -> None:
    assert {name for name in batchrun.__all__ if getattr(batchrun, name) is None} == set()
    assert Path(batchrun.__file__).with_name("py.typed").exists()
    with pytest.raises(AttributeError, match="nothing_like_it"):
        batchrun.nothing_like_it  # noqa: B018 - asking is the test


def test_the_examples_in_docstrings_are_true() -> None:
    names = [one.name for one in pkgutil.walk_packages(batchrun.__path__, "batchrun.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    results = [doctest.testmod(module) for module in (batchrun, *modules)]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) > 50
