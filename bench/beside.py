"""Run one piece of work with us and with others in turn: time and CPU time, paired ratios."""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from common import Row

__all__ = ["ROUNDS", "Cost", "Peer", "beside", "middle", "timed"]

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One way to do the same."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    #: A bar for us beside it; None: none.
    bar: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run took."""

    wall_s: float
    #: Of the process and of those that it has waited for.
    cpu_s: float


def beside(
    cwd: str,
    work: str,
    ours: Sequence[str],
    peers: Sequence[Peer],
    before: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Run everybody in turn, and write a row for each peer; ratios are medians of pairs."""
    there = [peer for peer in peers if shutil.which(peer.command[0]) is not None]
    for peer in peers:
        if peer not in there:
            print(f"not installed, left out: {peer.name}", file=sys.stderr)
    everybody = [Peer(name="batchrun", command=ours), *there]
    runs: dict[str, list[Cost]] = {peer.name: [] for peer in everybody}
    for _ in range(ROUNDS):
        for peer in everybody:
            before()
            runs[peer.name].append(timed(cwd, peer.command, peer.env))
    return [_row(work, runs["batchrun"], runs[peer.name], peer) for peer in there]


def _row(work: str, ours: Sequence[Cost], theirs: Sequence[Cost], peer: Peer) -> Row:
    pairs = list(zip(ours, theirs, strict=True))
    ratio = statistics.median(one.wall_s / other.wall_s for one, other in pairs)
    cpu_ratio = statistics.median(one.cpu_s / max(other.cpu_s, 0.001) for one, other in pairs)
    us, them = middle(ours), middle(theirs)
    return Row(
        work=f"{work}, beside {peer.name}",
        ours=f"{us.wall_s:.2f} s (CPU {us.cpu_s:.2f})",
        peer=f"{them.wall_s:.2f} s (CPU {them.cpu_s:.2f})",
        ratio=f"{ratio:.2f} ({cpu_ratio:.2f})",
        bar="" if peer.bar is None else f"≤ {peer.bar}",
        met=None if peer.bar is None else ratio <= peer.bar,
    )


def middle(runs: Sequence[Cost]) -> Cost:
    """Return the medians."""
    return Cost(
        wall_s=statistics.median(run.wall_s for run in runs),
        cpu_s=statistics.median(run.cpu_s for run in runs),
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(cwd: str, command: Sequence[str], env: Mapping[str, str]) -> Cost:
    """Run a command; raises when it fails."""
    whole = {**os.environ, "BATCHRUN_STATE_DIR": cwd, **env}
    began, cpu_s = time.perf_counter(), _cpu_s()
    done = subprocess.run(
        command, cwd=cwd, env=whole, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    took_s = time.perf_counter() - began
    if done.returncode:
        tail = done.stderr.decode(errors="replace")[-500:]
        message = f"{command[:6]} failed with {done.returncode}: {tail}"
        raise RuntimeError(message)
    return Cost(wall_s=took_s, cpu_s=_cpu_s() - cpu_s)
