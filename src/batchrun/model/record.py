"""What is known of a run beside its events: who started what, where, and with which words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from batchrun.model.counts import Tally

__all__ = ["Continues", "RunRecord", "RunRow", "RunState"]

#: How a run goes on with another one: all that is left of it, or what did not end well.
Continues: TypeAlias = Literal["", "resume", "rerun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run, as it is written down when it begins."""

    run_id: str
    job_name: str
    #: Absolute path of the job file; `-`: it came over standard input; empty: the program made
    #: it (`each`, `do`).
    job_file: str = ""
    #: Against which relative paths resolve.
    base_dir: str = "."
    #: The job file, as it was read.
    text: bytes = b""
    #: Resolved variables that hold no secret, by name; standard types only.
    variables: Mapping[str, Any] = field(default_factory=dict)
    #: What the command line added to the job file and a run that goes on with it needs; standard
    #: types only.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: The words after `batchrun`.
    command_line: tuple[str, ...] = ()
    #: Seconds since the epoch (UTC).
    started_at: float = 0.0
    #: What `now()` and `run.id` are in its templates: those of the first run of the chain.
    now: float = 0.0
    shown_id: str = ""
    #: The run that it goes on with, and how; empty: none.
    previous: str = ""
    continues: Continues = ""
    host: str = ""
    user: str = ""
    pid: int = 0
    #: Of batchrun, and of Python.
    version: str = ""
    python: str = ""
    #: The kernel's id of this boot; empty: not known.
    boot_id: str = ""


class RunState(StrEnum):
    """How a run stands: how it ended (`outcome_word`), or why that is not known."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    STOPPED = "stopped"
    DEADLINE = "deadline"
    #: By a signal, or killed: then it has no exit code.
    INTERRUPTED = "interrupted"
    #: Its record cannot be read.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run among all of them."""

    run_id: str
    job: str = ""
    #: Absolute path of the job file; empty: the program made it; `-`: standard input.
    job_file: str = ""
    #: Seconds since the epoch (UTC).
    started_at: float
    ended_at: float | None = None
    #: Of one that was interrupted: until the last unit on record ended.
    duration_s: float | None = None
    #: None: it goes on, or was killed.
    exit_code: int | None = None
    stopped: str = ""
    state: RunState
    #: So far, while it runs.
    counts: Tally = field(default_factory=Tally)
    #: The run that it goes on with, and how.
    previous: str = ""
    continues: Continues = ""
    #: Of everything that is kept of it; None: not known.
    size_bytes: int | None = None
    #: Why its record cannot be read; empty: it can.
    problem: str = ""
