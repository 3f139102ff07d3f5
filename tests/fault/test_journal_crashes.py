"""A run that dies, or whose disk fails, at any single call that changes its record."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from faults import NO_SHARED_MEMORY, compiled, preloaded

HERE = Path(__file__).parent
#: Every so many calls, beginning with another one each time; `make soak` takes them all.
STEP = 1 if "BATCHRUN_KILL_ROUNDS" in os.environ else 24

pytestmark = pytest.mark.timeout(240 + 2400 / STEP)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library"))


def wrong_with(what: str, library: Path, place: Path, more: dict[str, str]) -> list[str]:
    """Do what a method of the harness does; return what went wrong, and how far it came."""
    first = random.randint(1, STEP)
    print(f"the calls {first}, {first + STEP} ... fail")
    # What is forced to a real disk again and again needs none here.
    memory = Path("/dev/shm")
    env = {
        **os.environ,
        **preloaded(library),
        **more,
        "PYTHONPATH": str(HERE.parent),
        "TMPDIR": str(memory if memory.is_dir() else place),
    }
    process = subprocess.run(
        [sys.executable, str(HERE / "journal_harness.py"), what, str(first), str(STEP)],
        env=env,
        capture_output=True,
        check=False,
    )
    assert process.stderr == b""
    summary = json.loads(process.stdout)
    # Fewer calls cannot be: a database is made, written to many times, and sealed.
    assert summary["calls"] > 50
    wrong: list[str] = summary["wrong"]
    return wrong


@pytest.mark.parametrize("filesystem", ["any", "without shared memory"])
@pytest.mark.parametrize("what", ["kill", "kill_resumed", "full", "error"])
def test_rounds_of_faults_at_calls_that_change_the_record(
    library: Path, tmp_path: Path, what: str, filesystem: str
) -> None:
    more = {} if filesystem == "any" else NO_SHARED_MEMORY
    assert wrong_with(what, library, tmp_path, more) == []
