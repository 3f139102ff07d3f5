"""A lock between processes: it is waited for, and it dies with its holder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.engine.lockfile import hold, lock_path
from batchrun.errors import LockHeldError

pytestmark = pytest.mark.timeout(120)

#: Holds the lock until its standard input ends; a child of its own outlives it.
HOLDER = """
import subprocess, sys
from pathlib import Path
from batchrun.engine.lockfile import hold
with hold(Path(sys.argv[1]), "nightly"):
    child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, close_fds=False)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return lock_path(tmp_path, "nightly")


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_a_lock_of_another_process_is_refused_at_once_with_its_id(
    path: Path, holder: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(LockHeldError, match=f"process {holder.pid}"), hold(path, "nightly"):
        pytest.fail("two processes hold the same lock")


def test_a_wait_that_is_too_short_ends_with_a_refusal(
    path: Path, holder: subprocess.Popen[bytes]
) -> None:
    with (
        pytest.raises(LockHeldError, match=f"process {holder.pid}"),
        hold(path, "nightly", wait_s=0.3),
    ):
        pytest.fail("two processes hold the same lock")


def test_a_lock_is_waited_for_until_its_holder_is_done(
    path: Path, holder: subprocess.Popen[bytes]
) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    with hold(path, "nightly", wait_s=50.0):
        assert path.read_text(encoding="ascii").strip("\0") == f"{os.getpid()}\n"


def test_a_lock_dies_with_its_holder_even_when_a_child_of_it_lives_on(
    path: Path, holder: subprocess.Popen[bytes]
) -> None:
    holder.kill()
    holder.wait()
    with hold(path, "nightly"):
        assert path.read_text(encoding="ascii").strip("\0") == f"{os.getpid()}\n"
