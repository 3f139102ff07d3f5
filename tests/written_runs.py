"""Records written by hand, event by event, as those of runs that never were."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from batchrun.journal.places import StateDir
from batchrun.journal.recorded import Recorded
from batchrun.journal.sink import JournalSink
from batchrun.model.event import Kept, RunEnded, RunStarted, TaskEnded, TaskOpened, UnitEnded
from batchrun.model.outcome import NO_OUTPUT, Ok, Outcome, Output, Report
from batchrun.model.record import RunRecord
from batchrun.model.unit import Unit

__all__ = ["BEGAN_AT", "WrittenRun", "identity_of", "run_record"]

#: When all of them began, unless it is said.
BEGAN_AT = 1_795_317_300.0
_OK = Ok(changed=True)


def identity_of(label: str, task_id: str = "a") -> bytes:
    """Return who the unit of an item is."""
    return f"{task_id} {label}".encode()


def run_record(run_id: str, **fields: Any) -> RunRecord:
    """Make what is known of a run when it begins."""
    began = {"started_at": BEGAN_AT, "now": BEGAN_AT, "shown_id": run_id, "boot_id": "this-boot"}
    return RunRecord(run_id=run_id, **{"job_name": "nightly", **began, **fields})


class WrittenRun:
    """A run that is being recorded; a context manager: left without `finish`, it was killed.

    Args:
        state: The state directory.
        run_id: Its id.
        tasks: Ids of its tasks; the first one is meant where none is named.
        record: Fields of its RunRecord.
    """

    def __init__(
        self, state: Path, run_id: str, *, tasks: Sequence[str] = ("a",), **record: Any
    ) -> None:
        self.run_id = run_id
        self.tasks = tasks
        self.number = 0
        self.record = run_record(run_id, **record)
        self.sink = JournalSink(StateDir(state), self.record)
        self.sink.handle(
            RunStarted(
                run_id=run_id,
                job_name=self.record.job_name,
                at=self.record.started_at,
                procs=2,
                tasks=tuple((one, f"task {one}") for one in tasks),
                goes_on_with=self.record.previous,
                recorded=True,
            )
        )
        for one in tasks:
            self.sink.handle(TaskOpened(task_id=one))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sink.close()

    def end(
        self,
        label: str,
        outcome: Outcome = _OK,
        *,
        task_id: str = "",
        operation: str = "run",
        kept: Sequence[Kept] = (),
        host: str = "",
        at: float = BEGAN_AT,
        output: Output = NO_OUTPUT,
    ) -> Self:
        """Let a unit end."""
        self.number += 1
        task_id = task_id or self.tasks[0]
        unit = Unit(
            task_id=task_id,
            index=self.number,
            label=label,
            host=host,
            operation=operation,
            params={"command": f"do {label}"},
            identity=identity_of(label, task_id),
        )
        report = Report(
            number=self.number,
            attempt=1,
            outcome=outcome,
            started_at=at,
            duration_s=0.0,
            output=output,
        )
        self.sink.handle(UnitEnded(unit=unit, report=report, kept=tuple(kept)))
        return self

    def end_task(self, task_id: str = "", *, not_expanded: str = "") -> Self:
        """Let a task end."""
        task_id = task_id or self.tasks[0]
        self.sink.handle(
            TaskEnded(
                task_id=task_id,
                good=not not_expanded,
                not_expanded=not_expanded,
                planned=self.number,
            )
        )
        return self

    def finish(self, exit_code: int = 0) -> Self:
        """Let the run end."""
        self.sink.handle(
            RunEnded(run_id=self.run_id, at=BEGAN_AT + 60.0, duration_s=60.0, exit_code=exit_code)
        )
        self.sink.close()
        return self

    def recorded(self) -> Recorded:
        """Open its record."""
        return Recorded(self.sink.run)
