"""Start-up: `batchrun --version` beside an empty Python, and the smallest job."""

import sys
from pathlib import Path

from common import BATCHRUN, Row, machine, measure, print_rows, workspace


def rows(rounds: int = 15) -> list[Row]:
    """Measure with many rounds: these are short."""
    with workspace() as cwd:
        Path(cwd, "job.yml").write_text("tasks:\n  - mkdir: out\n")
        empty = [sys.executable, "-c", "pass"]
        version_s, empty_s = measure([[*BATCHRUN, "--version"], empty], cwd, rounds=rounds)
        (job_s,) = measure([[*BATCHRUN, "job.yml", "-j2", "-q"]], cwd, rounds=rounds)
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
    ]


if __name__ == "__main__":
    print(machine())
    print_rows(rows())
