"""Kill harness: rounds of SIGKILL, SIGSTOP and SIGCONT against the workers of a live pool.

Run as a program: `pool_harness.py ROUNDS SEED`. Prints one JSON object: how many calls and units
were answered, how, and what was left over.
"""

import collections
import json
import os
import random
import signal
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue

import pool_operations as functions
from batchrun.engine.pool.pool import WorkerPool
from batchrun.errors import WorkerLostError
from batchrun.model.outcome import Report
from batchrun.model.ports import Returned, RunnerEvent
from batchrun.model.unit import Order, RunSettings, Unit
from support import processes_with_environ, wait_until

RUN_ID = f"harness{os.getpid()}"
WORKERS = 3
#: At each moment this many calls are unanswered, so that workers are busy when they are hit.
IN_FLIGHT = 40


def children() -> list[int]:
    """Return the live worker processes: our children that run multiprocessing's spawn."""
    with open(f"/proc/self/task/{threading.main_thread().native_id}/children") as file:
        pids = [int(pid) for pid in file.read().split()]
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                pids += [int(pid) for pid in file.read().split()]
        except OSError:
            continue
    return [pid for pid in set(pids) if is_worker(pid)]


def is_worker(pid: int) -> bool:
    """Tell workers from the resource tracker, and the living from zombies."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"spawn_main" in file.read()
    except OSError:
        return False


class Harness:
    """Keeps a pool busy and counts its answers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.events: SimpleQueue[RunnerEvent] = SimpleQueue()
        settings = RunSettings(run_id=RUN_ID, base_dir="/", kill_grace_s=0.05)
        self.pool = WorkerPool(
            WORKERS, settings=settings, events=self.events, table=functions.TABLE
        )
        self.answers: collections.Counter[int] = collections.Counter()
        self.wrong: list[str] = []
        self.lost = 0
        self.calls = 0
        self.reports: collections.Counter[int] = collections.Counter()
        self.units = 0
        self.stopped: list[int] = []

    def submit(self) -> None:
        """Submit one call, or one unit, of a random kind."""
        if self.random.random() < 0.3:
            self.submit_unit()
            return
        self.calls += 1
        number = self.calls

        def ended(value: object) -> None:
            self.answers[number] += 1
            if isinstance(value, WorkerLostError):
                self.lost += 1
            elif value != 2 * number:
                self.wrong.append(f"{number}: {value!r}")

        function = functions.double if self.random.random() < 0.7 else functions.slow_double
        self.pool.apply_async(function, (number,), callback=ended, error_callback=ended)

    def submit_unit(self) -> None:
        """Submit a short file operation or a command."""
        self.units += 1
        short = self.random.random() < 0.8
        unit = Unit(
            task_id="t",
            index=self.units,
            operation="note" if short else "command",
            params={"text": "sleep 0.01"},
            timeout_s=30.0,
        )
        expected_s = 0.0001 if short else None
        self.pool.submit(Order(number=self.units, attempt=1, unit=unit, expected_s=expected_s))

    def unanswered(self) -> int:
        """How much is owed to us; reads what has come."""
        while not self.events.empty():
            event = self.events.get()
            if isinstance(event, Report | Returned):
                self.reports[event.number] += 1
        return self.calls - len(self.answers) + self.units - len(self.reports)

    def hit(self) -> None:
        """Do something to a worker."""
        workers = children()
        if not workers:
            return
        kind = self.random.choices(("kill", "stop", "all"), (8, 11, 1))[0]
        for pid in workers if kind == "all" else [self.random.choice(workers)]:
            self.send(pid, signal.SIGSTOP if kind == "stop" else signal.SIGKILL)
            if kind == "stop":
                self.stopped.append(pid)
        # Never more stopped than one, or nobody is left to answer.
        while len(self.stopped) > 1:
            self.send(self.stopped.pop(0), signal.SIGCONT)

    def send(self, pid: int, number: signal.Signals) -> None:
        """Signal a worker that may be gone."""
        if is_worker(pid):
            with suppress(ProcessLookupError):  # it may end between the look and the signal
                os.kill(pid, number)

    def run(self, rounds: int) -> None:
        """Hit workers so often, with the pool busy all the time."""
        for _ in range(rounds):
            while self.unanswered() < IN_FLIGHT:
                self.submit()
            self.hit()
            if self.random.random() < 0.5:
                self.wait_for_less_than(self.unanswered())
        while self.stopped:
            self.send(self.stopped.pop(), signal.SIGCONT)
        wait_until(lambda: self.unanswered() == 0, 60, "all is answered")

    def wait_for_less_than(self, count: int) -> None:
        """Wait until something more is answered."""
        wait_until(lambda: self.unanswered() < count, 30, "the pool goes on")

    def summary(self) -> dict[str, object]:
        """Close the pool and say how it went."""
        self.pool.close()
        self.pool.join()
        return {
            "calls": self.calls,
            "units": self.units,
            "lost_calls": self.lost,
            "more_than_once": [n for n, count in self.answers.items() if count > 1]
            + [n for n, count in self.reports.items() if count > 1],
            "never": self.unanswered(),
            "wrong": self.wrong,
            "workers_left": children(),
            "commands_left": processes_with_environ(f"BATCHRUN_UNIT={RUN_ID}-"),
            "threads_left": [t.name for t in threading.enumerate() if t.name != "MainThread"],
        }


if __name__ == "__main__":
    harness = Harness(seed=int(sys.argv[2]))
    harness.run(int(sys.argv[1]))
    print(json.dumps(harness.summary()))
