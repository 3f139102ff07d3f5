"""5 000 × `true`, output captured: beside `xargs -P2 -n1` and GNU parallel."""

from pathlib import Path

from common import BATCHRUN, Row, machine, measure, print_rows, workspace

UNITS = 5000
JOB = """
tasks:
  - id: nothing
    foreach: {lines: items}
    run: ["true"]
"""


def rows(units: int = UNITS, rounds: int = 5) -> list[Row]:
    """Measure; the peers read the same list."""
    with workspace() as cwd:
        items = Path(cwd, "items")
        items.write_text("".join(f"{number}\n" for number in range(units)))
        Path(cwd, "job.yml").write_text(JOB)
        ours = [*BATCHRUN, "job.yml", "-j2", "-q"]
        xargs = ["sh", "-c", "sed s/.*/x/ items | xargs -P2 -n1 true"]
        parallel = ["parallel", "-j2", "-a", "items", "true"]
        ours_s, xargs_s = measure([ours, xargs], cwd, rounds=rounds)
        again_s, parallel_s = measure([ours, parallel], cwd, rounds=1)
    return [
        Row(
            work=f"{units} × `true`, 2 procs, beside xargs -P2 -n1",
            ours=f"{ours_s:.2f} s",
            peer=f"{xargs_s:.2f} s",
            ratio=f"{ours_s / xargs_s:.2f}",
            bar="≤ 1.0",
            met=ours_s <= xargs_s,
        ),
        Row(
            work="the same, beside GNU parallel -j2",
            ours=f"{again_s:.2f} s",
            peer=f"{parallel_s:.2f} s",
            ratio=f"{again_s / parallel_s:.2f}",
            bar="≤ 0.17",
            met=again_s * 6 <= parallel_s,
        ),
    ]


if __name__ == "__main__":
    print(machine())
    print_rows(rows())
