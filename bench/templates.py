"""Texts with insertions, rendered for each unit, beside Jinja2's own compiled templates.

Run as `templates.py [RENDERS] [ROUNDS]`. Rounds are paired. The peer renders the same text with
Jinja2 as other programs use it, from a compiled template and a plain dictionary: once plain, once
in the sandbox and strict, which is what is promised here.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from common import Row, machine, print_rows
from jinja2 import Environment, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from batchrun.jobfile.scope import Names
from batchrun.jobfile.shell import place, shell_renderer
from batchrun.jobfile.template import split, text_renderer

_THREE = "{{ stage }}/{{ day }}/{{ item | basename }}"
_TEN = "{{ item }} {{ stage }} {{ day }} {{ index }} {{ job.name }}\n" * 2
#: What is rendered, as people write it; the peer quotes with its own filter in the shell ones.
CASES = {
    "1 insertion": ("{{ stage }}/out", False),
    "3 insertions, one with a filter": (_THREE, False),
    "10 insertions": (_TEN, False),
    "shell string, 1 value": ("gzip -9 {{ item }}", True),
    "shell string, 3 values": ("convert {{ item }} -size {{ day }} {{ stage }}/x.png", True),
}
#: Of what Jinja2 needs, strict and in its sandbox.
BAR = 1.0


def _scope() -> Names:
    return Names.of(stage="/srv/stage", day="2026-11-22", index=7, job={"name": "nightly"})


def ours(text: str, *, shell: bool) -> Callable[[str], str]:
    parts = split(text)
    render = shell_renderer(place(parts)[0]) if shell else text_renderer(parts)
    names = _scope()

    def one(item: str) -> str:
        names["item"] = item
        return render(names)

    return one


def theirs(text: str, environment: Environment, *, shell: bool) -> Callable[[str], str]:
    from shlex import quote

    from batchrun.jobfile.filters import FILTERS

    environment.filters.update(FILTERS, quote=quote)
    template = environment.from_string(text.replace(" }}", " | quote }}") if shell else text)
    names: dict[str, Any] = dict(_scope())

    def one(item: str) -> str:
        names["item"] = item
        return template.render(names)

    return one


def _us(render: Callable[[str], str], renders: int) -> float:
    began = time.perf_counter()
    for _ in range(renders):
        render("/data/exports/a b.csv")
    return (time.perf_counter() - began) / renders * 1e6


def rows(renders: int = 5_000, rounds: int = 15) -> list[Row]:
    """Measure each case beside both peers, round by round."""
    found = []
    for name, (text, shell) in CASES.items():
        strict = SandboxedEnvironment(undefined=StrictUndefined)
        contenders = [
            ours(text, shell=shell),
            theirs(text, Environment(autoescape=False), shell=shell),
            theirs(text, strict, shell=shell),
        ]
        times = [[_us(one, renders) for one in contenders] for _ in range(rounds)]
        mine, plain, sandboxed = (statistics.median(one) for one in zip(*times, strict=True))
        ratio = statistics.median(one[0] / one[2] for one in times)
        found.append(
            Row(
                work=f"render for a unit: {name}",
                ours=f"{mine:.2f} µs",
                peer=f"jinja2 {plain:.2f} µs, sandboxed {sandboxed:.2f} µs",
                ratio=f"{ratio:.2f}",
                bar=f"≤ {BAR:g}",
                met=ratio <= BAR,
            )
        )
    return found


if __name__ == "__main__":
    print(machine())
    print_rows(rows(*map(int, sys.argv[1:])))
