"""What the record costs: runs with and without it, and a resume of a million units.

python bench/journal.py [UNITS [MANY]]
"""

import shutil
import sys
from pathlib import Path

from common import BATCHRUN, Row, machine, measure, peak_mb, print_rows, workspace

UNITS = 100_000
MANY = 1_000_000
_JOB = "tasks:\n  - id: t\n    foreach: {{lines: items}}\n    {operation}\n"
_TOUCH = "touch: 'out/{{ item }}'"


def rows(units: int = UNITS, many: int = MANY, rounds: int = 5) -> list[Row]:
    """Measure both."""
    return [_on_and_off(units, rounds), *_many(many)]


def _on_and_off(units: int, rounds: int) -> Row:
    with workspace() as cwd:
        _write(cwd, units, _TOUCH)
        run = [*BATCHRUN, "job.yml", "-j2", "-q"]

        def fresh() -> None:
            for name in ("out", "runs"):
                shutil.rmtree(Path(cwd, name), ignore_errors=True)

        on_s, off_s = measure([run, [*run, "--no-journal"]], cwd, rounds=rounds, before=fresh)
    return Row(
        work=f"{units} tiny units, recorded, beside --no-journal",
        ours=f"{on_s:.2f} s",
        peer=f"{off_s:.2f} s",
        ratio=f"{on_s / off_s:.2f}",
        bar="≤ 1.15",
        met=on_s / off_s <= 1.15,
    )


def _many(units: int) -> list[Row]:
    """Run all units, then look for what is left; what is timed is the whole resume."""
    with workspace() as cwd:
        _write(cwd, units, _TOUCH)
        run = [*BATCHRUN, "job.yml", "-j2", "-q"]
        took_s, _ = peak_mb(run, cwd)
        size_mb = sum(one.stat().st_size for one in Path(cwd).rglob("journal.sqlite")) / 1e6
        resume_s, memory_mb = peak_mb([*BATCHRUN, "resume", "-j2", "-q"], cwd)
    return [
        Row(
            work=f"{units} units run and recorded ({size_mb:.0f} MB of record)",
            ours=f"{took_s:.0f} s",
            peer="",
            ratio=f"{units / took_s:,.0f}/s",
            bar="",
            met=None,
        ),
        Row(
            work="resume of that run: everything is found done",
            ours=f"{resume_s:.1f} s",
            peer="",
            ratio="",
            bar="< 10 s",
            met=resume_s < 10,
        ),
        Row(
            work="the same: peak memory",
            ours=f"{memory_mb:.0f} MB",
            peer="",
            ratio="",
            bar="< 300 MB",
            met=memory_mb < 300,
        ),
    ]


def _write(cwd: str, units: int, operation: str) -> None:
    with Path(cwd, "items").open("w") as items:
        items.writelines(f"{number}\n" for number in range(units))
    Path(cwd, "job.yml").write_text(_JOB.format(operation=operation))


if __name__ == "__main__":
    print(machine())
    print_rows(rows(*(int(word) for word in sys.argv[1:3])))
