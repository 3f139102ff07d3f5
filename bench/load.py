"""Reading a job file of 100 000 tasks that are written out: time, memory, and where it goes.

    python bench/load.py [TASKS]

Each figure is the median of runs that take turns, in processes of their own. The floor is the
parser alone: libyaml's events, or `json.loads`.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from common import machine, workspace

_CHILD = """
import resource, sys, time
form, file, what = sys.argv[1:]
text = open(file, encoding="utf-8").read()
import yaml, json
from batchrun.jobfile import LoadOptions, Tables
from batchrun.jobfile.document import parse
from batchrun.jobfile.loading import read_text
from batchrun.ops import OPERATIONS
began = time.process_time()
if what == "parser" and form == "json":
    json.loads(text)
elif what == "parser":
    loader = yaml.CSafeLoader(text)
    while type(loader.get_event()) is not yaml.StreamEndEvent:
        pass
elif what == "document":
    parse(text, file)
else:
    read_text(text, file=file, base_dir="/", tables=Tables(here=OPERATIONS), options=LoadOptions())
took = time.process_time() - began
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
_PARTS = ("parser", "document", "job")


def write(directory: str, tasks: int) -> dict[str, Path]:
    """Write the same job as YAML and as JSON: copies, one in ten of which needs nothing."""
    yaml_lines, entries = ["tasks:"], []
    for number in range(tasks):
        src, dest = f"/data/in/f{number}", f"/data/out/f{number}"
        entry = {"name": f"copy file {number}", "id": f"t{number}"}
        lines = [f"- name: {entry['name']}", f"  id: {entry['id']}"]
        lines.append(f"  copy: {{src: {src}, dest: {dest}}}")
        if number % 10:
            lines.append(f"  needs: [t{number - 1}]")
        yaml_lines += lines
        needs = {"needs": [f"t{number - 1}"]} if number % 10 else {}
        entries.append({**entry, "copy": {"src": src, "dest": dest}, **needs})
    files = {"yaml": Path(directory, "job.yml"), "json": Path(directory, "job.json")}
    files["yaml"].write_text("\n".join(yaml_lines) + "\n", encoding="utf-8")
    files["json"].write_text(json.dumps({"tasks": entries}), encoding="utf-8")
    return files


def measured(form: str, file: Path, what: str) -> tuple[float, float]:
    """Read the file once; return CPU seconds and the peak of memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, form, str(file), what],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    took, peak = done.stdout.split()
    return float(took), float(peak)


def main(tasks: int, rounds: int = 3) -> None:
    """Measure and print the table."""
    print(f"{machine()}; {tasks} tasks, CPU seconds, medians of {rounds}")
    print("| form | parser alone | to data | to a job | peak MB |")
    print("|---|---|---|---|---|")
    with workspace() as directory:
        files = write(directory, tasks)
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for form, file in files.items():
                for what in _PARTS:
                    found.setdefault((form, what), []).append(measured(form, file, what))
        for form in files:
            times = [statistics.median(one for one, _ in found[form, what]) for what in _PARTS]
            peak = max(one for _, one in found[form, "job"])
            print(f"| {form} | {' | '.join(f'{one:.2f}' for one in times)} | {peak:.0f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
