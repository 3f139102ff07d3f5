"""SIGKILL at any moment: no half file is ever taken for done, and the same order finishes."""

import os
import random
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from batchrun.model.operation import Done
from file_context import FileContext, changed, do


def _kill_while(work: Callable[[], object], delay_s: float) -> None:
    """Run something in a child process, and kill that after a while."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    timer = threading.Timer(delay_s, os.kill, (pid, signal.SIGKILL))
    timer.start()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    timer.cancel()
    timer.join()
    os.waitpid(pid, 0)


@pytest.mark.parametrize("operation", ["copy", "extract"])
def test_no_half_file_is_ever_taken_for_done(tmp_path: Path, operation: str) -> None:
    tree = tmp_path / "tree"
    for number in range(60):
        path = tree / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(20_000 * (1 + number % 20)))
    contents = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tree.rglob("f*")}
    archive = f"{tmp_path}/a.tar"
    assert changed(do("archive", src=(str(tree),), dest=archive))
    out = tmp_path / "out"

    def work(attempt: int) -> Done:
        context = FileContext(attempt=attempt)
        if operation == "copy":
            return do("copy", context, src=(str(tree),), dest=f"{out}/")
        return do("extract", context, src=archive, dest=str(out))

    chance = random.Random(4)
    for round_number in range(20):
        if round_number % 5 == 0:
            do("delete", path=(str(out),))
        _kill_while(partial(work, round_number), chance.uniform(0.0, 0.04))
        for path in out.rglob("f*"):
            name = str(path.relative_to(out))
            # Only in a directory that the operation has made, and never as if it were done.
            if path.read_bytes() != contents[name]:
                assert operation == "copy"
                assert path.stat().st_mtime_ns != (tmp_path / name).stat().st_mtime_ns
    changed(work(20))
    done = {str(path.relative_to(out)) for path in out.rglob("f*")}
    assert done == set(contents)
    assert not changed(work(21))
