"""Measure whole commands beside each other: paired runs, medians, ratios."""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchrun import __version__

__all__ = ["BATCHRUN", "Row", "cpu_s", "machine", "measure", "peak_mb", "print_rows", "workspace"]

BATCHRUN = [sys.executable, "-m", "batchrun"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    work: str
    ours: str
    peer: str
    ratio: str
    bar: str
    met: bool | None


def workspace() -> tempfile.TemporaryDirectory[str]:
    """Make a directory in memory where there is one, so that no disk is measured by accident."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def _timed(command: Sequence[str], cwd: str, stdin: Path | None) -> float:
    env = os.environ | {"BATCHRUN_STATE_DIR": cwd}
    with open(stdin or os.devnull, "rb") as source:
        began = time.perf_counter()
        subprocess.run(command, cwd=cwd, stdin=source, stdout=subprocess.DEVNULL, env=env,
                       check=True)  # fmt: skip
        return time.perf_counter() - began


def measure(
    commands: Sequence[Sequence[str]],
    cwd: str,
    *,
    rounds: int = 5,
    stdin: Path | None = None,
    before: Callable[[], None] = lambda: None,
) -> list[float]:
    """Run all commands in turn, `rounds` times after one warm-up; return the medians in seconds.

    What takes so long that it is run once needs no warm-up.
    """
    times: list[list[float]] = [[] for _ in commands]
    for number in range(1 if rounds == 1 else 0, rounds + 1):
        for index, command in enumerate(commands):
            before()
            took = _timed(command, cwd, stdin)
            if number:
                times[index].append(took)
    return [statistics.median(one) for one in times]


def cpu_s(commands: Sequence[Sequence[str]], cwd: str, *, rounds: int) -> list[float]:
    """Run all commands in turn; return the medians of the CPU time of all their processes."""
    times: list[list[float]] = [[] for _ in commands]
    for _ in range(rounds):
        for index, command in enumerate(commands):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            _timed(command, cwd, None)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times[index].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [statistics.median(one) for one in times]


def peak_mb(command: Sequence[str], cwd: str) -> tuple[float, float]:
    """Run a command once; return its wall time in seconds and the peak of its memory in MB.

    The peak is that of the command's own process, read from /proc while it runs and at its end
    from the kernel's accounting, which names the largest process among it and its children.
    """
    env = os.environ | {"BATCHRUN_STATE_DIR": cwd}
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, env=env)
    peak_kb = 0
    while child.poll() is None:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            break
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                peak_kb = max(peak_kb, int(line.split()[1]))
        time.sleep(0.02)
    child.wait()
    took = time.perf_counter() - began
    if child.returncode:
        message = f"{command} failed with {child.returncode}"
        raise RuntimeError(message)
    return took, (peak_kb or resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def machine() -> str:
    """Describe where the figures come from."""
    cpu = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(": ")[2]
            break
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cpu}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"batchrun {__version__}"
    )


def print_rows(rows: Sequence[Row]) -> None:
    """Print the table as Markdown."""
    print("| work | batchrun | peer | ratio | bar | met |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        print(f"| {row.work} | {row.ours} | {row.peer} | {row.ratio} | {row.bar} | {met} |")
