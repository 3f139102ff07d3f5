"""Records of runs, made by the journal itself from events that are written by hand."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchrun.journal.places import StateDir
from batchrun.journal.sink import JournalSink
from batchrun.model.event import (
    Event,
    RunEnded,
    RunStarted,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitRetried,
)
from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Output, Report
from batchrun.model.record import RunRecord
from batchrun.model.unit import Unit

__all__ = ["FAILED", "OK", "Recording", "at", "record_run", "said"]

#: 2026-11-22 03:15:00 UTC.
_FIRST = 1_795_317_300.0
OK = Ok(changed=True)
FAILED = Failed(message="exit status 3", exit_status=3)


def at(hours: float) -> float:
    """Return a moment so many hours after the first one."""
    return _FIRST + hours * 3600.0


def said(stdout: bytes = b"", stderr: bytes = b"", omitted_bytes: int = 0) -> Output:
    """Return what a command wrote; with a gap, its tail is the same as its head."""
    tail = stdout if omitted_bytes else b""
    return Output(
        stdout=Captured(head=stdout, tail=tail, omitted_bytes=omitted_bytes),
        stderr=Captured(head=stderr),
    )


@dataclass(slots=True)
class Recording:
    """A run that is being recorded, unit by unit."""

    sink: JournalSink
    record: RunRecord
    #: How many units each task has.
    planned: dict[str, int]
    number: int = 0

    def play(self, *events: Event) -> None:
        for event in events:
            self.sink.handle(event)

    def end(
        self,
        outcome: Outcome = OK,
        label: str = "",
        *,
        task: str = "stage",
        earlier: Sequence[Outcome] = (),
        ignored: bool = False,
        **report: Any,
    ) -> int:
        """Let a unit end, after earlier attempts that did so, too; returns its number."""
        unit = self._unit(label, task)
        for attempt, one in enumerate(earlier, 1):
            self.play(UnitRetried(unit=unit, report=self._report(one, attempt), delay_s=2.0))
        last = self._report(outcome, len(earlier) + 1, **report)
        self.play(UnitEnded(unit=unit, report=last, ignored=ignored))
        return self.number

    def retry(self, outcome: Outcome, label: str) -> int:
        """Let a unit have an attempt after which another one would follow; returns its number."""
        unit = self._unit(label, "stage")
        self.play(UnitRetried(unit=unit, report=self._report(outcome, 1), delay_s=2.0))
        return self.number

    def _unit(self, label: str, task: str) -> Unit:
        self.number += 1
        self.planned[task] += 1
        return Unit(
            task_id=task,
            index=self.planned[task],
            label=label,
            operation="run",
            params={"command": ("work", label)},
            identity=self.number.to_bytes(16, "big"),
        )

    def _report(self, outcome: Outcome, attempt: int, **more: Any) -> Report:
        known: dict[str, Any] = {
            "started_at": self.record.started_at + self.number,
            "duration_s": 1.0,
            "worker": "worker-1",
        }
        return Report(number=self.number, attempt=attempt, outcome=outcome, **(known | more))

    def finish(self, exit_code: int = 0, *, duration_s: float = 41.2, stopped: str = "") -> None:
        """End the run well, as far as the record is concerned."""
        for task, number in self.planned.items():
            self.play(TaskEnded(task_id=task, good=not exit_code, planned=number))
        self.play(
            RunEnded(
                run_id=self.record.run_id,
                at=self.record.started_at + duration_s,
                duration_s=duration_s,
                exit_code=exit_code,
                stopped=stopped,
            )
        )
        self.sink.close()

    def die(self) -> None:
        """Let the run end without a word, as after SIGKILL."""
        self.sink.close()


def record_run(
    state: Path, hours: float = 0.0, *, tasks: Sequence[str] = ("stage",), **record: Any
) -> Recording:
    """Begin the record of a run that began so many hours after the first moment."""
    began_at = at(hours)
    run_id = record.pop("run_id", time.strftime("%Y%m%d-%H%M%S-7f3a", time.gmtime(began_at)))
    known = RunRecord(
        run_id=run_id,
        **{
            "job_name": "nightly",
            "job_file": "/etc/batchrun/nightly.yml",
            "command_line": ("nightly.yml", "-j", "8"),
            "started_at": began_at,
            "now": began_at,
            "host": "web1",
            "user": "ann",
            "pid": 4242,
            "version": "0.1.0",
            "python": "3.11.7",
            **record,
        },
    )
    recording = Recording(JournalSink(StateDir(state), known), known, dict.fromkeys(tasks, 0))
    started = RunStarted(
        run_id=run_id,
        job_name=known.job_name,
        at=began_at,
        procs=2,
        tasks=tuple((task, f"{task} it") for task in tasks),
        goes_on_with=known.previous,
        recorded=True,
    )
    recording.play(started, *(TaskOpened(task_id=task) for task in tasks))
    return recording
