"""One run of a job, from its first event to its exit code.

    UnitSource ──draw──► Scheduler ──Order──► Sequencer ──► Runner ──► Queue ──► the loop ──► sinks
                             ▲                                                      │
                             └───────────── what ended ────────────────────────────┘

The loop is the only consumer of the Queue and the only owner of scheduler, counts and sinks; it
runs in the caller's thread. Runners, readers of slow sources and secrets, and signal handlers
only ever put messages on the Queue. What is not guaranteed: that a sink sees UnitStarted of
short units.
"""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any

from batchrun.engine.account import Account
from batchrun.engine.interrupt import SignalArrived
from batchrun.engine.looks import Looks
from batchrun.engine.messages import Message, PauseAnswered, SecretRead, SourceReady
from batchrun.engine.options import RunOptions, RunResult, RunSoFar
from batchrun.engine.outputs import Outputs
from batchrun.engine.people import People
from batchrun.engine.planner import Planner
from batchrun.engine.rehearsal import Rehearsal
from batchrun.engine.scheduler import (
    AskPause,
    Close,
    Command,
    Forget,
    Open,
    Scheduler,
    StopUnit,
    Withdraw,
)
from batchrun.engine.secretive import Secretive, masked, masked_event
from batchrun.engine.sequence import STRIDE, Sequencer, UnitNews
from batchrun.engine.steps import StepRules
from batchrun.engine.stops import StopKind
from batchrun.engine.treework import TreeWork
from batchrun.engine.waves import unhurried
from batchrun.errors import SourceError
from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    UnitEnded,
    UnitOutput,
    UnitProgress,
    UnitStaged,
    UnitStarted,
)
from batchrun.model.job import Job
from batchrun.model.outcome import Report
from batchrun.model.ports import (
    Returned,
    Runner,
    RunnerEvent,
    Silent,
    Started,
    UnitSource,
    UnitStream,
    Waker,
)
from batchrun.model.unit import Order, Unit

__all__ = ["Message", "Run", "RunOptions", "RunResult", "RunSoFar", "SourceReady"]

_log = logging.getLogger("batchrun.engine")

#: Messages taken before the planning has its turn.
_SLICE = 256
#: How often sinks that draw are called, in seconds.
_TICK_S = 0.1
#: The longest wait for a message, in seconds: of a signal that comes in the instant before a wait,
#: nothing is seen until that is over (see `AsyncResult.wait`).
_LONGEST_WAIT_S = 1.0


@dataclass(slots=True)
class _Progress:
    """What the loop remembers beside the scheduler's state and the counts."""

    #: Names that `finally` tasks see; empty: not made yet.
    scope: Mapping[str, Any] = field(default_factory=dict)
    final_ids: frozenset[str] = frozenset()
    #: Tasks whose attempts the source wants to see.
    reviewed: frozenset[str] = frozenset()
    #: Tasks of whose units it is recorded what they have registered.
    recorded: frozenset[str] = frozenset()
    #: Tasks whose streams want to know which units have ended.
    on_hosts: frozenset[str] = frozenset()


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
        # Everything below knows the runner with trees spread over its workers.
        runner = self._runner = self._trees = TreeWork(
            runner, queue, self._is_spread, options.clock
        )
        self._queue = queue
        self._outputs = Outputs(options.sinks, options.tickers)
        self._options = options
        self._now = options.clock
        self._next_tick = began = options.clock()
        everything = (*job.tasks, *job.final_tasks)
        self._memo = _Progress(
            final_ids=frozenset(task.id for task in job.final_tasks),
            reviewed=frozenset(task.id for task in everything if task.reviewed),
            on_hosts=frozenset(task.id for task in everything if task.on_hosts),
            recorded=frozenset(
                task.id for task in job.tasks if options.keep_results and task.registers
            ),
        )
        self._scheduler = Scheduler(
            unhurried(job) if options.dry_run else job,
            slots=runner.slots,
            random=options.random,
            started_at=began,
            machine=options.machine_locks,
        )
        self._account = Account(options.run_id, self._scheduler, self._outputs, options.clock)
        self._rehearsal = Rehearsal(job, self._account.counts) if options.dry_run else None
        secrets = options.secrets
        self._secretive = Secretive(secrets, runner, queue) if secrets is not None else None
        self._looks = Looks(runner, self._secretive)
        self._planner = Planner(
            self._open, self._scheduler, queue, self._looks, self._source_failed
        )
        # Who gets the orders of units without steps, and those of steps.
        self._below = self._secretive or runner
        judge = None if self._rehearsal is None else self._rehearsal.judge_step
        rules = StepRules(random=options.random, judge=judge)
        self._sequencer = Sequencer(self._below, queue, rules, options.clock)
        self._people = People(
            scheduler=self._scheduler,
            has_finally=bool(job.final_tasks),
            looks=self._looks,
            options=options,
            queue=queue,
            emit=self._emit,
            act=self._advance,
        )

    def execute(self) -> RunResult:
        """Run the job to its end; every sink is closed when this returns, or raises."""
        with ExitStack() as leaving:
            leaving.callback(self._outputs.close)
            leaving.callback(self._planner.close_all)
            leaving.callback(self._runner.kill)
            if self._secretive is not None:
                leaving.callback(self._secretive.close)
            self._begin()
            while not self._scheduler.done:
                self._planner.plan(self._now)
                self._advance()
                self._absorb()
            self._runner.close()
            self._end()
        return self._account.result(self._job.name)

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
                goes_on_with=self._options.goes_on_with,
                recorded=bool(self._options.durable),
            )
        )
        for sentence in self._options.notes:
            self._emit(Note(message=sentence))

    def _end(self) -> None:
        for because, count in self._sequencer.always_cut.items():
            units = f"{count} unit{'' if count == 1 else 's'}"
            self._emit(Note(message=f"skipped because {because}: `always` of {units}"))
        if gap := self._account.gap():
            self._emit(Note(message=gap))
        for sentence in self._options.last_words():
            self._emit(Note(message=sentence))
        self._outputs.settle(self._options.durable)
        so_far = self._account.so_far()
        self._emit(
            RunEnded(
                run_id=so_far.run_id,
                at=self._options.wall_clock(),
                duration_s=so_far.duration_s,
                exit_code=so_far.exit_code,
                stopped=so_far.stopped,
            )
        )

    # ---- planning -------------------------------------------------------------------------

    def _scope(self, task_id: str) -> Mapping[str, Any]:
        """Make the names that a task sees beside the ordinary ones, for all of `finally` once."""
        if task_id not in self._memo.final_ids:
            return {}
        if not self._memo.scope:
            self._memo.scope = self._options.final_scope(self._account.so_far())
        return self._memo.scope

    def _open(self, task_id: str, waker: Waker) -> UnitStream:
        """Open the stream of a task.

        Raises:
            SourceError: it cannot be opened.
        """
        return self._source.open(task_id, self._scope(task_id), waker)

    def _source_failed(self, task_id: str, error: SourceError) -> None:
        """End a task whose source broke; in a dry run it may only be a file that is to come."""
        if self._rehearsal is not None and self._rehearsal.follows_a_change(task_id):
            self._emit(Note(message=f"unknown until run: {error}", level="info", task_id=task_id))
            self._scheduler.exhausted(task_id, self._now())
        else:
            self._scheduler.source_failed(task_id, str(error), self._now())

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
                    self._log(command)
                if type(command) is Order:
                    if command.unit.program is None:
                        self._below.submit(command)
                    else:
                        self._sequencer.submit(command)
                else:
                    # Only a stream that cannot be opened ends a task, so that others may begin.
                    again = again or type(command) is Open
                    self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case UnitEnded():
                self._unit_ended(command)
            case Open(task_id=task_id):
                self._planner.open(task_id)
            case Close(task_id=task_id):
                self._planner.close(task_id)
            case StopUnit():
                self._stop_unit(command)
            case Withdraw():
                self._withdraw()
            case AskPause():
                self._people.ask(command)
            case Forget(host=host):
                self._options.forget(host)
            case Order():
                self._sequencer.submit(command)
            case _:
                self._emit(command)

    def _unit_ended(self, event: UnitEnded) -> None:
        unit = event.unit
        if unit.task_id in self._memo.recorded and unit.verdict is None:
            event = replace(event, kept=self._source.kept(unit))
        self._emit(event)
        if unit.task_id in self._memo.on_hosts:
            self._planner.ended(unit)

    def _stop_unit(self, command: StopUnit) -> None:
        """End a unit; nothing may outlast a second signal, or the time of `finally`."""
        unit = self._scheduler.unit(command.number)
        urgent = "a second signal came" if command.urgent else ""
        if not urgent and unit is not None and unit.task_id in self._memo.final_ids:
            urgent = "the time for `finally` tasks is over"
        self._sequencer.stop(command.number, urgent=urgent)

    def _withdraw(self) -> None:
        self._runner.withdraw()
        if self._secretive is not None:
            self._secretive.withdraw()

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
        if self._outputs.unread and self._scheduler.stop_reason is None:
            self._scheduler.stop(StopKind.UNREAD, now)
        self._scheduler.tick(now)
        self._sequencer.tick(now)
        if now >= self._next_tick:
            self._next_tick = now + _TICK_S
            self._outputs.tick()

    def _patience(self) -> float:
        """How long to wait for a message, in seconds."""
        if self._scheduler.hungry() is not None:
            return 0.0
        now = self._now()
        wakeups = [self._scheduler.next_wakeup(), self._sequencer.next_wakeup()]
        if self._outputs.ticking:
            wakeups.append(max(self._next_tick, now))
        waits = [max(at - now, 0.0) for at in wakeups if at is not None]
        return min((*waits, _LONGEST_WAIT_S))

    def _take(self, message: Message) -> None:
        """Take one message from the Queue."""
        if not isinstance(message, RunnerEvent) or not self._trees.absorbs(message):
            self._take_own(message)

    def _take_own(self, message: Message) -> None:
        """Take a message that is not about a piece of a unit."""
        match message:
            case Report():
                self._reported(message)
            case Started() | Silent() | UnitOutput() | UnitProgress() | UnitStaged():
                self._told(message)
            case Returned():
                self._returned(message)
            case SourceReady(task_id=task_id):
                self._scheduler.readable(task_id)
            case PauseAnswered(task_id=task_id, go_on=go_on):
                self._scheduler.answered(task_id, self._now(), go_on=go_on)
            case SignalArrived(number=number):
                self._people.obey(number)
            case SecretRead() if self._secretive is not None:
                self._secretive.read(message)

    def _reported(self, report: Report) -> None:
        if report.number < 0:
            self._looks.ended(report)
        elif report.number < STRIDE:
            self._ended(report)
        else:
            self._sequencer.taken(report)

    def _returned(self, message: Returned) -> None:
        if message.number < 0:
            self._looks.returned(message.number)
        elif message.number < STRIDE:
            self._scheduler.returned(message.number, self._now())
        else:
            self._sequencer.returned(message)

    def _is_spread(self, number: int) -> None:
        """Take note that several workers are on an order; what has steps keeps a worker anyway."""
        if number < STRIDE:
            self._scheduler.spread(number)

    def _ended(self, report: Report) -> None:
        unit = self._scheduler.unit(report.number)
        if unit is not None:
            # Judged first: what `register` keeps must be what counts.
            if self._rehearsal is not None:
                report = self._rehearsal.judge(unit.task_id, report)
            if unit.task_id in self._memo.reviewed:
                report = self._source.review(unit, report)
        self._scheduler.ended(report, self._now())

    def _told(self, message: UnitNews) -> None:
        """Pass on what a runner says of a running unit, or of a step of one."""
        if message.number < 0:
            if isinstance(message, Silent):
                self._silent(message, self._looks.unit(message.number))
            elif isinstance(message, UnitStaged):
                self._looks.staged(message.number, message.stage)
            return
        for one in (message,) if message.number < STRIDE else self._sequencer.told(message):
            match one:
                case Started():
                    self._started(one)
                case Silent():
                    self._silent(one, self._scheduler.unit(one.number))
                case _:
                    self._emit(one)
        if isinstance(message, UnitOutput):
            self._runner.acknowledge(message.number, len(message.data))

    def _started(self, message: Started) -> None:
        unit = self._scheduler.unit(message.number)
        if unit is not None:
            self._emit(
                UnitStarted(
                    number=message.number,
                    attempt=message.attempt,
                    unit=unit,
                    at=message.at,
                    worker=message.worker,
                )
            )

    def _silent(self, message: Silent, unit: Unit | None) -> None:
        """Name a host of which nothing was heard for long: it may hang, or only be busy."""
        if unit is not None:
            item = f" ({unit.label})" if unit.label else ""
            stage = message.stage or "not known"
            minutes = f"{message.silent_s / 60:.0f} minutes"
            sentence = f"{unit.host}{item}: nothing was heard for {minutes}; stage: {stage}"
            self._emit(Note(message=sentence, task_id=unit.task_id))

    # ---- events ---------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        """Count an event, then show it to every sink in order, without secrets."""
        self._account.add(event)
        secretive = self._secretive
        if secretive is not None and secretive.mask:
            event = masked_event(event, secretive.mask)
        self._outputs.show(event)

    def _log(self, command: Command) -> None:
        """Note a decision; what a unit holds or has written may hold a secret."""
        mask = None if self._secretive is None else self._secretive.mask
        _log.debug("%s", mask.text(repr(masked(command, mask))) if mask else repr(command))
