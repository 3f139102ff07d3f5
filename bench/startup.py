"""Start-up: `batchrun --version` beside an empty Python, the smallest job, and its check.

Python writes what it has compiled beside each module, and reads that the next time. Where it may
not (`PYTHONDONTWRITEBYTECODE`), each start compiles everything: here it may.
"""

import os
import sys
from pathlib import Path

from common import BATCHRUN, Row, cpu_s, machine, measure, print_rows, workspace


def rows(rounds: int = 15) -> list[Row]:
    """Measure with many rounds: these are short."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with workspace() as cwd:
        Path(cwd, "job.yml").write_text("tasks:\n  - mkdir: out\n")
        empty = [sys.executable, "-c", "pass"]
        version_s, empty_s = measure([[*BATCHRUN, "--version"], empty], cwd, rounds=rounds)
        job = [*BATCHRUN, "job.yml", "-j2", "-q"]
        (job_s,) = measure([job], cwd, rounds=rounds)
        job_cpu_s, check_cpu_s = cpu_s([job, [*BATCHRUN, "check", "job.yml"]], cwd, rounds=rounds)
    return [
        Row(
            work="`batchrun --version`, beside `python -c pass`",
            ours=f"{version_s * 1000:.0f} ms",
            peer=f"{empty_s * 1000:.0f} ms",
            ratio=f"{version_s / empty_s:.2f}",
            bar="≤ 5",
            met=version_s <= 5 * empty_s,
        ),
        Row(
            work="a job of one unit, start to end",
            ours=f"{job_s * 1000:.0f} ms",
            peer=f"{empty_s * 1000:.0f} ms",
            ratio=f"{job_s / empty_s:.1f}",
            bar="",
            met=None,
        ),
        Row(
            work="the same: CPU time of all its processes",
            ours=f"{job_cpu_s * 1000:.0f} ms",
            peer="",
            ratio="",
            bar="≤ 350 ms",
            met=job_cpu_s <= 0.35,
        ),
        Row(
            work="`check` of that job: CPU time",
            ours=f"{check_cpu_s * 1000:.0f} ms",
            peer="",
            ratio="",
            bar="≤ 350 ms",
            met=check_cpu_s <= 0.35,
        ),
    ]


if __name__ == "__main__":
    print(machine())
    print_rows(rows())
