"""Runs single units with the real operations, as a run does: by a pool, or in process."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from batchrun.engine.pool.pool import WorkerPool
from batchrun.engine.serial import DryRunner, SerialRunner
from batchrun.model.around import Around
from batchrun.model.event import UnitOutput
from batchrun.model.outcome import Report
from batchrun.model.ports import Runner, RunnerEvent
from batchrun.model.unit import Order, RunSettings, Unit
from support import processes_with_environ

__all__ = ["Units", "in_process", "in_workers", "rehearsed", "units"]

MakeRunner = Callable[[RunSettings, SimpleQueue[RunnerEvent]], Runner]
_numbers = iter(range(1, 1_000_000))


def in_workers(settings: RunSettings, events: SimpleQueue[RunnerEvent]) -> Runner:
    return WorkerPool(2, settings=settings, events=events)


def in_process(settings: RunSettings, events: SimpleQueue[RunnerEvent]) -> Runner:
    return SerialRunner(settings, events)


def rehearsed(settings: RunSettings, events: SimpleQueue[RunnerEvent]) -> Runner:
    return DryRunner(settings, events)


class Units:
    """A runner, what was submitted to it, and what has come back."""

    def __init__(self, runner: Runner, settings: RunSettings) -> None:
        self.runner = runner
        self.settings = settings
        self.events: SimpleQueue[RunnerEvent] = SimpleQueue()
        self.shown: list[tuple[str, bytes]] = []

    def submit(
        self,
        operation: str,
        *,
        around: Around | None = None,
        timeout_s: float | None = None,
        secrets: dict[str, str] | None = None,
        capture_bytes: int | None = None,
        **params: Any,
    ) -> int:
        """Submit a unit; return its number."""
        number = next(_numbers)
        unit = Unit(
            task_id="task",
            index=1,
            operation=operation,
            params=params,
            around=around,
            timeout_s=timeout_s,
            capture_bytes=capture_bytes,
        )
        self.runner.submit(Order(number=number, attempt=1, unit=unit, secrets=secrets or {}))
        return number

    def report(self) -> Report:
        """Wait for the next Report."""
        while True:
            event = self.events.get(timeout=60)
            if isinstance(event, Report):
                return event
            if isinstance(event, UnitOutput):
                self.shown.append((event.stream, event.data))

    def run(self, operation: str, **more: Any) -> Report:
        """Submit a unit and wait for its Report."""
        self.submit(operation, **more)
        return self.report()

    def cookie(self, number: int) -> str:
        """Return by what the processes of a unit are known."""
        return f"BATCHRUN_UNIT={self.settings.run_id}-{number}-1"


@contextmanager
def units(base: Path, make: MakeRunner, **settings: Any) -> Iterator[Units]:
    """Make a runner in a directory; afterwards nothing of it may be left running."""
    kill_grace_s = settings.pop("kill_grace_s", 0.2)
    made = RunSettings(
        run_id=f"units{os.getpid()}x{next(_numbers)}",
        base_dir=str(base),
        kill_grace_s=kill_grace_s,
        **settings,
    )
    events: SimpleQueue[RunnerEvent] = SimpleQueue()
    units = Units(make(made, events), made)
    units.events = events
    try:
        yield units
    finally:
        units.runner.kill()
    assert processes_with_environ(f"BATCHRUN_UNIT={made.run_id}-") == []
