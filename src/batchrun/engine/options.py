"""How a run is executed, what `finally` tasks may know of it, and what it came to."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.engine.machine import LockTable
from batchrun.model.counts import Counts
from batchrun.model.exitcode import ExitCode
from batchrun.model.host import Host
from batchrun.model.ports import Durable, SecretSource, Sink, Ticker

__all__ = ["RunOptions", "RunResult", "RunSoFar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSoFar:
    """What `finally` tasks may know of the run."""

    run_id: str
    #: One word: ok, failed, interrupted, deadline, stopped, unreachable.
    outcome: str
    exit_code: ExitCode
    counts: Counts
    duration_s: float
    stopped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is executed; what is executed is the job."""

    run_id: str
    procs: int
    dry_run: bool = False
    #: How long running units may go on after SIGTERM or SIGHUP, in seconds.
    grace_s: float = 60.0
    #: Who sees the events, in this order.
    sinks: Sequence[Sink] = ()
    #: Sinks that want to be called when nothing happens.
    tickers: Sequence[Ticker] = ()
    #: Sinks that have something to make durable before the run may say how it ended.
    durable: Sequence[Durable] = ()
    #: Warnings from loading the job, shown first.
    notes: Sequence[str] = ()
    #: Asked when all has ended: sentences that people should be told.
    last_words: Callable[[], Sequence[str]] = tuple
    #: Lets the connection to a host go that has no unit any more; does not block.
    forget: Callable[[Host], None] = lambda _: None
    #: Makes the names that `finally` tasks see beside the ordinary ones.
    final_scope: Callable[[RunSoFar], Mapping[str, Any]] = lambda _: {}
    #: Where the values of secrets come from; None: the job has none.
    secrets: SecretSource | None = None
    #: The ends of units carry what they have registered (`UnitEnded.kept`).
    keep_results: bool = False
    #: The run that this one goes on with, or repeats a part of; empty: none.
    goes_on_with: str = ""
    #: Where locks are had that other batchrun processes share; None: they exclude units of this
    #: run only.
    machine_locks: LockTable | None = None
    #: Puts a question to a person and calls back, from any thread, with the answer; returns at
    #: once. None: nobody is there to answer.
    ask: Callable[[str, Callable[[bool], None]], None] | None = None
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run came to."""

    run_id: str
    job_name: str
    exit_code: ExitCode
    counts: Counts
    #: Wall time in seconds.
    duration_s: float
    #: Why it ended before its time; empty: it did not.
    stopped: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything went well."""
        return self.exit_code is ExitCode.OK
