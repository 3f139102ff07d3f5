"""A run written by hand: its events, played to a sink."""

from typing import Protocol

from batchrun.model.event import (
    Event,
    RunEnded,
    RunStarted,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitStarted,
)
from batchrun.model.outcome import NO_OUTPUT, Captured, Outcome, Output, Report
from batchrun.model.unit import Unit

__all__ = ["Script", "Taker", "written"]


class Taker(Protocol):
    def handle(self, event: Event) -> None: ...


class Script:
    """Plays a run of one task, or of several, to a sink, and numbers its units."""

    def __init__(self) -> None:
        self.number = 0
        self.planned: dict[str, int] = {}

    def start(
        self,
        sink: Taker,
        *tasks: tuple[str, str],
        dry_run: bool = False,
        total: int | None = None,
        printed: tuple[str, ...] = (),
    ) -> None:
        tasks = tasks or (("stage", "stage the exports"),)
        self.planned = {task_id: 0 for task_id, _ in tasks}
        sink.handle(
            RunStarted(
                run_id="20261122-031500-7f3a",
                job_name="nightly",
                at=1_795_317_300.0,
                procs=2,
                tasks=tasks,
                dry_run=dry_run,
                printed=printed,
            )
        )
        for task_id, _ in tasks:
            sink.handle(TaskOpened(task_id=task_id, total=total))

    def unit(self, label: str = "", task_id: str = "stage", host: str = "") -> Unit:
        self.planned[task_id] += 1
        index = self.planned[task_id]
        return Unit(task_id=task_id, index=index, label=label, operation="run", host=host)

    def begin(self, sink: Taker, unit: Unit, attempt: int = 1) -> int:
        self.number += 1
        sink.handle(UnitStarted(number=self.number, attempt=attempt, unit=unit, at=1.0))
        return self.number

    def end(
        self,
        sink: Taker,
        outcome: Outcome,
        label: str = "",
        *,
        task_id: str = "stage",
        host: str = "",
        attempt: int = 1,
        output: Output = NO_OUTPUT,
        warnings: tuple[str, ...] = (),
        ignored: bool = False,
    ) -> None:
        unit = self.unit(label, task_id, host)
        self.number += 1
        report = Report(
            number=self.number,
            attempt=attempt,
            outcome=outcome,
            started_at=1_795_317_300.0,
            duration_s=12.0,
            output=output,
            warnings=warnings,
        )
        sink.handle(UnitEnded(unit=unit, report=report, ignored=ignored))

    def finish(
        self, sink: Taker, *, exit_code: int = 0, stopped: str = "", duration_s: float = 41.2
    ) -> None:
        for task_id, planned in self.planned.items():
            sink.handle(TaskEnded(task_id=task_id, good=not exit_code, planned=planned))
        sink.handle(
            RunEnded(
                run_id="20261122-031500-7f3a",
                at=1_795_317_341.2,
                duration_s=duration_s,
                exit_code=exit_code,
                stopped=stopped,
            )
        )


def written(text: bytes) -> Output:
    """Make the output of a command that wrote to standard error only."""
    return Output(stderr=Captured(head=text))
