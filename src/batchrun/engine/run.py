"""One run of a job, from its first event to its exit code.

    UnitSource ──draw──► Scheduler ──Order──► Runner ──► Queue ──► the loop here ──► sinks
                             ▲                                         │
                             └───────────── what ended ────────────────┘

The loop is the only consumer of the Queue and the only owner of scheduler, counts and sinks; it
runs in the caller's thread. Runners, readers of slow sources and signal handlers only ever put
messages on the Queue. What is not guaranteed: that a sink sees UnitStarted of short units.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from batchrun.engine.interrupt import SignalArrived, kind_of
from batchrun.engine.outputs import Outputs
from batchrun.engine.rehearsal import Rehearsal
from batchrun.engine.scheduler import Close, Command, Open, Scheduler, StopUnit, Withdraw
from batchrun.engine.stops import FINALLY_LIMIT_S, StopKind
from batchrun.engine.verdict import exit_code, outcome_word
from batchrun.errors import SourceError
from batchrun.model.counts import Counts, fold
from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    StatusAsked,
    TaskEnded,
    UnitEnded,
    UnitOutput,
    UnitProgress,
    UnitStarted,
)
from batchrun.model.exitcode import ExitCode
from batchrun.model.job import Job
from batchrun.model.outcome import Report
from batchrun.model.ports import (
    Drawn,
    Returned,
    Runner,
    RunnerEvent,
    Sink,
    Started,
    Ticker,
    UnitSource,
    UnitStream,
)
from batchrun.model.unit import Order

__all__ = ["Message", "Run", "RunOptions", "RunResult", "RunSoFar", "SourceReady"]

_log = logging.getLogger("batchrun.engine")

#: Units planned and messages taken before the other side has its turn.
_SLICE = 256
#: How often sinks that draw are called, in seconds.
_TICK_S = 0.1
#: The longest wait for a message: a deadline of years is more than a lock can be waited for.
_LONGEST_WAIT_S = 3600.0
_SIGNAL_WORDS = {
    StopKind.INTERRUPT: "interrupted",
    StopKind.TERMINATE: "asked to end (SIGTERM)",
    StopKind.HANGUP: "hung up (SIGHUP)",
}


@dataclass(frozen=True, slots=True)
class SourceReady:
    """A stream that had nothing has something again."""

    task_id: str


#: Everything that may stand on the Queue.
Message: TypeAlias = RunnerEvent | SourceReady | SignalArrived


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
    #: Warnings from loading the job, shown first.
    notes: Sequence[str] = ()
    #: Makes the names that `finally` tasks see beside the ordinary ones.
    final_scope: Callable[[RunSoFar], Mapping[str, Any]] = lambda _: {}
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


@dataclass(slots=True)
class _Progress:
    """What the loop remembers beside the scheduler's state and the counts."""

    source_failed: bool = False
    scope: Mapping[str, Any] = field(default_factory=dict)
    final_ids: frozenset[str] = frozenset()
    #: Tasks whose attempts the source wants to see.
    reviewed: frozenset[str] = frozenset()


class Run:
    """One run: `execute()` is its table of contents.

    Args:
        job: What to run.
        source: Where its units come from.
        runner: Who runs them; puts its events on `queue`.
        queue: The one Queue.
        options: How, and who sees the events.
    """

    def __init__(
        self,
        job: Job,
        source: UnitSource,
        runner: Runner,
        queue: "SimpleQueue[Message]",
        options: RunOptions,
    ) -> None:
        self._job = job
        self._source = source
        self._runner = runner
        self._queue = queue
        self._outputs = Outputs(options.sinks, options.tickers)
        self._options = options
        self._now = options.clock
        self._began = options.clock()
        self._counts = Counts()
        self._rehearsal = Rehearsal(job, self._counts) if options.dry_run else None
        self._streams: dict[str, UnitStream] = {}
        self._next_tick = self._began
        self._memo = _Progress(
            final_ids=frozenset(task.id for task in job.final_tasks),
            reviewed=frozenset(task.id for task in (*job.tasks, *job.final_tasks) if task.reviewed),
        )
        self._scheduler = Scheduler(
            job, slots=runner.slots, random=options.random, started_at=self._began
        )

    def execute(self) -> RunResult:
        """Run the job to its end; every sink is closed when this returns, or raises."""
        with ExitStack() as leaving:
            leaving.callback(self._outputs.close)
            leaving.callback(self._close_streams)
            leaving.callback(self._runner.kill)
            self._begin()
            while not self._scheduler.done:
                self._plan()
                self._advance()
                self._absorb()
            self._runner.close()
            self._end()
        return self._result()

    # ---- beginning and end ----------------------------------------------------------------

    def _begin(self) -> None:
        tasks = (*self._job.tasks, *self._job.final_tasks)
        self._emit(
            RunStarted(
                run_id=self._options.run_id,
                job_name=self._job.name,
                at=self._options.wall_clock(),
                procs=self._options.procs,
                tasks=tuple((task.id, task.name) for task in tasks),
                dry_run=self._options.dry_run,
                printed=tuple(task.id for task in tasks if task.print_always),
            )
        )
        for sentence in self._options.notes:
            self._emit(Note(message=sentence))

    def _end(self) -> None:
        self._audit()
        so_far = self._so_far()
        self._emit(
            RunEnded(
                run_id=so_far.run_id,
                at=self._options.wall_clock(),
                duration_s=so_far.duration_s,
                exit_code=so_far.exit_code,
                stopped=so_far.stopped,
            )
        )

    def _audit(self) -> None:
        """Say so when the accounts do not add up: the exit code alone would explain nothing."""
        total = self._counts.total
        if not total.accounted:
            self._emit(
                Note(
                    message=f"this run cannot account for its units: {total.planned} were planned,"
                    f" {total.done} have ended; this is a defect of batchrun, please report it"
                )
            )

    def _result(self) -> RunResult:
        """Sum up, after the sinks were closed: writing their last words may have failed."""
        so_far = self._so_far()
        return RunResult(
            run_id=so_far.run_id,
            job_name=self._job.name,
            exit_code=so_far.exit_code,
            counts=self._counts,
            duration_s=so_far.duration_s,
            stopped=so_far.stopped,
        )

    def _exit_code(self) -> ExitCode:
        return exit_code(
            self._counts.total,
            stop=self._scheduler.stop_reason,
            broken=self._outputs.broken,
            limit_hit=bool(self._scheduler.fail_limit_hit),
            source_failed=self._memo.source_failed,
        )

    def _so_far(self) -> RunSoFar:
        code = self._exit_code()
        stop = self._scheduler.stop_reason
        limit = self._scheduler.fail_limit_hit
        return RunSoFar(
            run_id=self._options.run_id,
            outcome=outcome_word(code),
            exit_code=code,
            counts=self._counts,
            duration_s=self._now() - self._began,
            stopped=stop.because if stop and stop.kind is not StopKind.FAIL_LIMIT else limit,
        )

    # ---- planning -------------------------------------------------------------------------

    def _plan(self) -> None:
        """Draw as many units as the scheduler wants, up to a slice."""
        scheduler = self._scheduler
        for _ in range(_SLICE):
            task_id = scheduler.hungry()
            if task_id is None:
                return
            try:
                drawn = self._streams[task_id].draw()
            except SourceError as error:
                self._source_failed(task_id, error)
            else:
                if drawn is Drawn.PENDING:
                    scheduler.pending(task_id)
                elif drawn is Drawn.EXHAUSTED:
                    scheduler.exhausted(task_id, self._now())
                else:
                    scheduler.drawn(task_id, drawn, self._now())

    def _open(self, task_id: str) -> None:
        scope: Mapping[str, Any] = {}
        if task_id in self._memo.final_ids:
            if not self._memo.scope:
                self._memo.scope = self._options.final_scope(self._so_far())
            scope = self._memo.scope
        waker = partial(self._wake, task_id)
        try:
            stream = self._source.open(task_id, scope, waker)
        except SourceError as error:
            self._source_failed(task_id, error)
        else:
            self._streams[task_id] = stream
            self._scheduler.opened(task_id, stream.total)

    def _wake(self, task_id: str) -> None:
        """Called by a source from any thread."""
        self._queue.put(SourceReady(task_id))

    def _close(self, task_id: str) -> None:
        stream = self._streams.pop(task_id, None)
        if stream is not None:
            stream.close()

    def _close_streams(self) -> None:
        for task_id in tuple(self._streams):
            self._close(task_id)

    # ---- dispatching ----------------------------------------------------------------------

    def _advance(self) -> None:
        """Let the scheduler start what can start, until it has nothing more to say."""
        scheduler = self._scheduler
        debug = _log.isEnabledFor(logging.DEBUG)
        again = True
        while again:
            scheduler.dispatch()
            again = False
            while (command := scheduler.take()) is not None:
                if debug:
                    _log.debug("%r", command)
                if type(command) is Order:
                    self._runner.submit(command)
                else:
                    # Only a stream that cannot be opened ends a task, so that others may begin.
                    again = again or type(command) is Open
                    self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case UnitEnded():
                self._emit(command)
            case Open(task_id=task_id):
                self._open(task_id)
            case Close(task_id=task_id):
                self._close(task_id)
            case StopUnit(number=number):
                self._runner.stop(number)
            case Withdraw():
                self._runner.withdraw()
            case Order():
                self._runner.submit(command)
            case _:
                self._emit(command)

    # ---- absorbing ------------------------------------------------------------------------

    def _absorb(self) -> None:
        """Wait until something happens, then take everything that has happened, up to a slice."""
        if self._scheduler.done:
            return
        queue = self._queue
        try:
            message = queue.get(timeout=self._patience())
        except Empty:
            pass
        else:
            self._take(message)
            # Nobody else takes from the queue, so what it holds now can be had without waiting.
            for _ in range(min(queue.qsize(), _SLICE)):
                self._take(queue.get())
        now = self._now()
        self._scheduler.tick(now)
        if now >= self._next_tick:
            self._next_tick = now + _TICK_S
            self._outputs.tick()

    def _patience(self) -> float | None:
        """How long to wait for a message, in seconds; None: for ever."""
        if self._scheduler.hungry() is not None:
            return 0.0
        now = self._now()
        wakeups = [self._scheduler.next_wakeup()]
        if self._outputs.ticking:
            wakeups.append(max(self._next_tick, now))
        waits = [max(at - now, 0.0) for at in wakeups if at is not None]
        return min(*waits, _LONGEST_WAIT_S) if waits else None

    def _take(self, message: Message) -> None:
        """Take one message from the Queue."""
        match message:
            case Report():
                self._ended(message)
            case Started(number=number):
                self._started(message, number)
            case UnitOutput(number=number, data=data):
                self._emit(message)
                self._runner.acknowledge(number, len(data))
            case UnitProgress():
                self._emit(message)
            case Returned(number=number):
                self._scheduler.returned(number, self._now())
            case SourceReady(task_id=task_id):
                self._scheduler.readable(task_id)
            case SignalArrived(number=number):
                self._signal(number)

    def _ended(self, report: Report) -> None:
        unit = self._scheduler.unit(report.number)
        if unit is not None:
            if unit.task_id in self._memo.reviewed:
                report = self._source.review(unit, report)
            if self._rehearsal is not None:
                report = self._rehearsal.judge(unit.task_id, report)
        self._scheduler.ended(report, self._now())

    def _source_failed(self, task_id: str, error: SourceError) -> None:
        """End a task whose source broke; in a dry run it may only be a file that is to come."""
        if self._rehearsal is not None and self._rehearsal.follows_a_change(task_id):
            self._emit(Note(message=f"unknown until run: {error}", level="info", task_id=task_id))
            self._scheduler.exhausted(task_id, self._now())
        else:
            self._scheduler.source_failed(task_id, str(error), self._now())

    def _started(self, message: Started, number: int) -> None:
        unit = self._scheduler.unit(number)
        if unit is not None:
            self._emit(
                UnitStarted(
                    number=number,
                    attempt=message.attempt,
                    unit=unit,
                    at=message.at,
                    worker=message.worker,
                )
            )

    def _signal(self, number: int) -> None:
        """Obey a signal: the first one lets running units finish, a further one does not.

        A SIGHUP that is not the first changes nothing.
        """
        kind = kind_of(number)
        if kind is None:
            self._emit(StatusAsked(at=self._options.wall_clock()))
            return
        before = self._scheduler.stop_reason
        if before is not None and before.by_user:
            # A closed terminal gives two, one from the kernel and one from the shell, and systemd
            # may send one right behind SIGTERM: nobody insists by that.
            if kind is StopKind.HANGUP:
                return
            kind = StopKind.INSIST
        self._scheduler.stop(kind, self._now(), self._options.grace_s)
        self._emit(Note(message=self._stop_sentence(kind), level="info"))
        if kind is not StopKind.INSIST:
            self._emit(StatusAsked(at=self._options.wall_clock()))

    def _stop_sentence(self, kind: StopKind) -> str:
        # What the runner has beyond its slots it has not begun, and gives back.
        count = min(self._scheduler.in_flight, self._runner.slots)
        units = f"{count} unit{'' if count == 1 else 's'}"
        has_finally = bool(self._job.final_tasks)
        if kind is StopKind.INSIST:
            skipped = "; `finally` tasks are skipped" if has_finally else ""
            return f"a second signal: stopping now what runs ({units}){skipped}"
        word = _SIGNAL_WORDS[kind]
        if has_finally and self._scheduler.in_finally:
            limit = f"{FINALLY_LIMIT_S / 60:g} minutes"
            return f"{word}: only `finally` tasks run, for at most {limit}; once more skips them"
        if count == 0:
            return f"{word}: nothing new is started"
        if kind is StopKind.INTERRUPT:
            return f"{word}: nothing new is started, {units} may finish; once more stops them now"
        grace_s = self._options.grace_s
        return f"{word}: nothing new is started, {units} may go on for {grace_s:g} s"

    # ---- events ---------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        """Count an event, then show it to every sink in order."""
        fold(self._counts, event)
        if isinstance(event, TaskEnded) and event.source_error and not event.good:
            self._memo.source_failed = True
        self._outputs.show(event)
