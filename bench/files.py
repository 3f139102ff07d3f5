"""100 000 tiny file operations from a list, on a filesystem in memory."""

import shutil
from pathlib import Path

from common import BATCHRUN, Row, machine, measure, print_rows, workspace

UNITS = 100_000
JOBS = {
    "copy": "copy: {src: '{{ item }}', dest: out/}",
    "touch": "touch: 'out/{{ index }}'",
    "write": "write: {dest: 'out/{{ index }}', text: 'item {{ item }}'}",
}


def rows(units: int = UNITS, rounds: int = 3) -> list[Row]:
    """Measure each kind of operation; every round begins with an empty destination."""
    found = []
    with workspace() as cwd:
        source = Path(cwd, "in")
        source.mkdir()
        names = []
        for number in range(units):
            name = f"in/{number:06}"
            Path(cwd, name).write_bytes(b"x" * 1000)
            names.append(f"{name}\n")
        Path(cwd, "items").write_text("".join(names))

        def empty() -> None:
            shutil.rmtree(Path(cwd, "out"), ignore_errors=True)
            Path(cwd, "out").mkdir()

        for name, operation in JOBS.items():
            job = f"tasks:\n  - id: t\n    foreach: {{lines: items}}\n    {operation}\n"
            Path(cwd, "job.yml").write_text(job)
            (took_s,) = measure(
                [[*BATCHRUN, "job.yml", "-j2", "-q"]], cwd, rounds=rounds, before=empty
            )
            found.append(
                Row(
                    work=f"{units} × `{name}` of a tiny file from a list, 2 procs",
                    ours=f"{took_s:.2f} s",
                    peer="",
                    ratio=f"{units / took_s:,.0f}/s",
                    bar="≥ 15 000/s",
                    met=units / took_s >= 15_000,
                )
            )
    return found


if __name__ == "__main__":
    print(machine())
    print_rows(rows())
