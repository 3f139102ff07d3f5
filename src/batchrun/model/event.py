"""What happens during a run, as records; sinks and the aggregator see nothing else.

Order for one unit: `UnitStarted` (at most once an attempt; not for short file operations, of
which only the end is known), any number of `UnitOutput`, `UnitProgress` and `UnitStaged`, then
`UnitRetried` and the same again, at last exactly one `UnitEnded`.
"""

from dataclasses import dataclass
from typing import TypeAlias

from batchrun.model.outcome import Outcome, Report
from batchrun.model.unit import Unit

__all__ = [
    "Event",
    "Kept",
    "Note",
    "RunEnded",
    "RunStarted",
    "StatusAsked",
    "TaskEnded",
    "TaskOpened",
    "UnitEnded",
    "UnitOutput",
    "UnitProgress",
    "UnitRetried",
    "UnitStaged",
    "UnitStarted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The first event of a run."""

    run_id: str
    job_name: str
    #: Seconds since the epoch (UTC).
    at: float
    procs: int
    #: Ids of the tasks in file order, then of the `finally` tasks, each with the name for people.
    tasks: tuple[tuple[str, str], ...]
    dry_run: bool = False
    #: Ids of the tasks whose output is shown in the recap, however they end (`print: always`).
    printed: tuple[str, ...] = ()
    #: The run that this one goes on with, or repeats a part of; empty: none.
    goes_on_with: str = ""
    #: It is written down, so that it can be gone on with.
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOpened:
    """A task's needs have ended; its units are planned from now on."""

    task_id: str
    #: How many units it will have, when that is known beforehand.
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStarted:
    """A worker has taken an attempt."""

    number: int
    attempt: int
    unit: Unit
    #: Seconds since the epoch (UTC).
    at: float
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOutput:
    """A piece of a running command's output (only with live output)."""

    number: int
    unit: Unit
    #: `stdout` or `stderr`.
    stream: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitProgress:
    """How much a running unit has done so far, and at which step it is."""

    number: int
    #: File data.
    bytes_done: int
    #: Files and other entries of trees; 0: none yet, or they are not counted.
    files_done: int = 0
    #: How much of the whole that is, from 0 to 1, as far as it can be told before everything has
    #: been seen; None: it cannot.
    share: float | None = None
    #: The step that runs now; empty: the same as before, or the unit has none.
    step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStaged:
    """A running unit on a host has come to another stage (connecting, sending, ...)."""

    number: int
    #: In one or two words.
    stage: str
    #: Seconds since the epoch (UTC).
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRetried:
    """An attempt did not end well, and another one follows."""

    unit: Unit
    report: Report
    #: Until the next attempt, in seconds.
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a unit has registered, for runs that go on with this one."""

    #: The name in `results`.
    name: str
    outcome: Outcome
    #: Standard output, whole.
    data: bytes = b""
    #: A secret was in it, so that it is not what the unit has registered.
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitEnded:
    """A unit has its outcome, for good."""

    unit: Unit
    report: Report
    #: `ignore_errors` applies: shown and counted, but it fails nothing.
    ignored: bool = False
    #: What it has registered; only for those who record runs (`RunOptions.keep_results`).
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnded:
    """Nothing more will happen in a task."""

    task_id: str
    #: It ended well: what needs it may go on.
    good: bool
    #: Why it was never opened or not drawn to its end (`not expanded`); empty: it was.
    not_expanded: str = ""
    #: Its source failed, as a sentence; empty: it did not.
    source_error: str = ""
    #: Units planned in it.
    planned: int = 0
    #: Units that were not planned because an earlier run, with which this one goes on, ended
    #: them well, or because nobody asked for them (`rerun`).
    done_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something people should be told: a warning, a stop, a slow unit."""

    #: One sentence.
    message: str
    #: `warning` or `info`.
    level: str = "warning"
    #: The task meant; empty: the run.
    task_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAsked:
    """Somebody wants to know who is running, for how long (SIGUSR1)."""

    #: Seconds since the epoch (UTC).
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The last event of a run."""

    run_id: str
    #: Seconds since the epoch (UTC).
    at: float
    duration_s: float
    exit_code: int
    #: Why the run ended before its time, as a sentence; empty: it did not.
    stopped: str = ""


Event: TypeAlias = (
    RunStarted
    | TaskOpened
    | UnitStarted
    | UnitOutput
    | UnitProgress
    | UnitStaged
    | UnitRetried
    | UnitEnded
    | TaskEnded
    | Note
    | StatusAsked
    | RunEnded
)
