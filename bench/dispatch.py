"""Dispatch of calls that do nothing: WorkerPool beside the pools of the standard library.

Run as `dispatch.py [CALLS] [ROUNDS] [PROCESSES]`. Rounds are paired: each round measures every
pool once, in turn, so that what else the machine does hits all of them alike.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from common import Row, machine, print_rows

from batchrun.engine.pool.pool import WorkerPool

#: Against multiprocessing.Pool.
BAR = 1.3


def nothing() -> None:
    """Cost nothing but the dispatch."""


class _Result(Protocol):
    def get(self) -> Any: ...


def _rate(submit: Callable[[], Any], take: Callable[[Any], Any], calls: int) -> float:
    """Submit all calls, then take all results; calls per second."""
    began = time.perf_counter()
    results = [submit() for _ in range(calls)]
    for result in results:
        take(result)
    return calls / (time.perf_counter() - began)


def _get(result: _Result) -> Any:
    return result.get()


def contenders(processes: int) -> Iterable[tuple[str, Callable[[int], float], Callable[[], None]]]:
    """Make each pool, warm; yields its name, its measurement and its end."""
    ours = WorkerPool(processes)
    yield (
        "batchrun WorkerPool",
        lambda calls: _rate(lambda: ours.apply_async(nothing), _get, calls),
        ours.terminate,
    )
    standard = multiprocessing.get_context("spawn").Pool(processes)
    yield (
        "multiprocessing.Pool",
        lambda calls: _rate(lambda: standard.apply_async(nothing), _get, calls),
        standard.terminate,
    )
    executor = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
    yield (
        "ProcessPoolExecutor",
        lambda calls: _rate(lambda: executor.submit(nothing), lambda f: f.result(), calls // 4),
        executor.shutdown,
    )
    if find_spec("pebble"):
        pebble = import_module("pebble").ProcessPool(processes)
        yield (
            "pebble.ProcessPool",
            lambda calls: _rate(lambda: pebble.schedule(nothing), lambda f: f.result(), calls // 4),
            pebble.stop,
        )


def compare(calls: int, rounds: int, processes: int) -> dict[str, list[float]]:
    """Measure all pools in turn; return the calls per second of each round, by pool."""
    pools = list(contenders(processes))
    rates: dict[str, list[float]] = {name: [] for name, _, _ in pools}
    for _, measure, _ in pools:
        measure(calls // 4)
    for number in range(rounds):
        # Reversed every other time: who comes first gains nothing.
        for name, measure, _ in pools if number % 2 else reversed(pools):
            rates[name].append(measure(calls))
    for _, _, end in pools:
        end()
    return rates


def rows(calls: int = 20_000, rounds: int = 9, processes: int = 2) -> list[Row]:
    """Compare with each of the other pools, round by round."""
    rates = compare(calls, rounds, processes)
    ours = rates.pop("batchrun WorkerPool")
    found = []
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(ours, values, strict=True))
        found.append(
            Row(
                work=f"dispatch alone: {calls} no-op calls, beside {name}",
                ours=f"{statistics.median(ours):,.0f}/s",
                peer=f"{statistics.median(values):,.0f}/s",
                ratio=f"{ratio:.2f}",
                bar=f"≥ {BAR}" if name == "multiprocessing.Pool" else "",
                met=ratio >= BAR if name == "multiprocessing.Pool" else None,
            )
        )
    return found


if __name__ == "__main__":
    print(machine())
    print_rows(rows(*map(int, sys.argv[1:])))
