"""Runs one operation as a run does, in slices so small that even small trees are spread."""

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from batchrun.engine.messages import Message
from batchrun.engine.options import RunOptions
from batchrun.engine.pool.pool import WorkerPool
from batchrun.engine.run import Run
from batchrun.engine.serial import DryRunner, SerialRunner
from batchrun.model.event import Event, UnitEnded
from batchrun.model.job import Job, RetryPolicy
from batchrun.model.outcome import Report
from batchrun.model.ports import Runner
from batchrun.model.unit import RunSettings, Unit
from doubles import ListSource, RecordingSink, task

__all__ = ["MAKERS", "Killer", "in_process", "in_workers", "rehearsed", "spread", "worker_pids"]

MakeRunner = Callable[[RunSettings, "SimpleQueue[Any]"], Runner]


def in_workers(settings: RunSettings, queue: "SimpleQueue[Any]") -> Runner:
    return WorkerPool(3, settings=settings, events=queue)


def in_process(settings: RunSettings, queue: "SimpleQueue[Any]") -> Runner:
    return SerialRunner(settings, queue)


def rehearsed(settings: RunSettings, queue: "SimpleQueue[Any]") -> Runner:
    return DryRunner(settings, queue)


MAKERS = {"workers": in_workers, "process": in_process}


def spread(
    operation: str,
    *,
    make: MakeRunner = in_workers,
    slice_cost: int = 5,
    on_event: Callable[[Event], None] = lambda _: None,
    timeout_s: float | None = None,
    **params: Any,
) -> Report:
    """Run one unit to its end; returns its report."""
    queue: SimpleQueue[Message] = SimpleQueue()
    settings = RunSettings(
        run_id=f"t{os.getpid()}x{random.getrandbits(40)}",
        base_dir="/",
        kill_grace_s=0.2,
        slice_cost=slice_cost,
        workers=3,
    )
    sink = RecordingSink()
    sink.on_event = on_event
    unit = Unit(task_id="tree", index=1, operation=operation, params=params, timeout_s=timeout_s)
    retry = RetryPolicy(repeat_lost=True)
    job = Job(name="job", tasks=(task("tree", retry=retry),))
    options = RunOptions(run_id=settings.run_id, procs=3, sinks=(sink,))
    source = ListSource({"tree": iter([unit])})
    Run(job, source, make(settings, queue), queue, options).execute()
    (ended,) = [event for event in sink.events if isinstance(event, UnitEnded)]
    return ended.report


def worker_pids() -> list[int]:
    """Return the workers that this process has now."""
    found = []
    for entry in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += [int(pid) for pid in (entry / "children").read_text().split()]
    return [pid for pid in found if b"spawn_main" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Killer:
    """Kills workers of this process, one after the other, while a block runs.

    A worker that is starting is left alone: where none ever gets to work, nothing is tested.

    Args:
        seed: Of chance.
        most: How many. A unit that is lost is repeated three times.
        whom: `busy`: has a directory open; `compressing`: has loaded what compresses to zst.
    """

    def __init__(self, seed: int, most: int = 3, *, whom: str = "busy") -> None:
        self._chance = random.Random(seed)
        self._most = most
        self._may_die = _has_begun if whom == "busy" else _has_imported
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill, daemon=True)
        self.killed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        while self.killed < self._most and not self._over.wait(self._chance.uniform(0, 0.03)):
            pids = [pid for pid in worker_pids() if self._may_die(pid)]
            if pids:
                with suppress(ProcessLookupError):
                    os.kill(self._chance.choice(pids), signal.SIGKILL)
                    self.killed += 1


def _has_imported(pid: int) -> bool:
    """Tell whether a worker is past its start: it has loaded what compresses."""
    with suppress(OSError):
        return b"zst" in Path(f"/proc/{pid}/maps").read_bytes()
    return False


def _has_begun(pid: int) -> bool:
    """Tell whether a worker is in the middle of a tree: it has a directory open."""
    with suppress(OSError):
        return any(
            os.path.isdir(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")
        )
    return False
