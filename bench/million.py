"""A job of one million units: time, and the peak memory of the parent."""

from pathlib import Path

from common import BATCHRUN, Row, machine, peak_mb, print_rows, workspace

UNITS = 1_000_000


def rows(units: int = UNITS) -> list[Row]:
    """Measure once: `mkdir` of one directory that is there after the first unit."""
    with workspace() as cwd:
        with Path(cwd, "items").open("w") as items:
            items.writelines(f"{number}\n" for number in range(units))
        job = (
            "tasks:\n  - id: t\n    foreach: {lines: items}\n"
            "    mkdir: \"out/{{ '%03d' | format(index % 1000) }}\"\n"
        )
        Path(cwd, "job.yml").write_text(job)
        took_s, memory_mb = peak_mb([*BATCHRUN, "job.yml", "-j2", "-q"], cwd)
    return [
        Row(
            work=f"{units} units in one job, 2 procs: time",
            ours=f"{took_s:.0f} s",
            peer="",
            ratio=f"{units / took_s:,.0f}/s",
            bar="",
            met=None,
        ),
        Row(
            work="the same: peak memory of the parent",
            ours=f"{memory_mb:.0f} MB",
            peer="",
            ratio="",
            bar="< 200 MB",
            met=memory_mb < 200,
        ),
    ]


if __name__ == "__main__":
    print(machine())
    print_rows(rows())
