"""Decides what runs next: a pure, single-threaded machine, events in, commands out.

    drawn / exhausted / source_failed ──┐                 ┌── Open, Close, Order
    ended / returned / answered ────────┤►  Scheduler  ──►├── StopUnit, Withdraw, AskPause, Forget
    stop / tick (the clock is a number) ┘                 └── events for the sinks

It owns all state of tasks and units between planning and end; it starts no thread, reads no
clock and touches no file, so that a million units can be simulated in a test. (Machine locks are
files: who has them is the one thing that it asks for, through `LockTable`.)

    TaskGraph   which task may begin, and what its end means for others
    TargetNeeds which unit waits for its item or host in another task
    WaveKeeper  when the next wave of a task begins
    Picker      which hosts of a task are taken (`pick`)
    Hosts       when a connection is not needed any more
    Dispatcher  which ready unit starts next
    Endings     how units and tasks end: fail limits, stops, phases

Promised: every unit drawn gets exactly one UnitEnded and every task exactly one TaskEnded; at
most `WINDOW` units of a task are ready, held, blocked or waiting for a retry; what waits holds no
slot and no resource; a unit is dispatched with all its resources or not at all; waves of a task
do not overlap.
Not promised: the order of units, beyond "earlier first where nothing else decides".

On a stop: what has not begun ends as cancelled (the user) or aborted (we); what runs goes on, or
is asked to stop, as the kind of stop says; `finally` tasks still run unless the user insisted.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from batchrun.engine.commands import AskPause, Close, Command, Forget, Open, StopUnit, Withdraw
from batchrun.engine.dispatch import Dispatcher
from batchrun.engine.endings import ENDS_WELL, Endings, report_of_unbegun
from batchrun.engine.machine import POLL_S, LockTable
from batchrun.engine.picker import Picker
from batchrun.engine.retries import Retries
from batchrun.engine.state import Phase, Stage, TaskState, UnitState
from batchrun.engine.stops import Stop, StopKind
from batchrun.engine.taskgraph import OPEN_STREAMS, READY_PER_TASK, WINDOW, TaskGraph
from batchrun.engine.wavekeeper import WaveKeeper
from batchrun.model.event import Note, TaskOpened, UnitRetried
from batchrun.model.job import DEFAULT_FANOUT, Job
from batchrun.model.outcome import Aborted, Failed, Report
from batchrun.model.unit import Unit

__all__ = [
    "OPEN_STREAMS",
    "READY_IN_ALL",
    "READY_PER_TASK",
    "WINDOW",
    "AskPause",
    "Close",
    "Command",
    "Forget",
    "Open",
    "Scheduler",
    "StopUnit",
    "Withdraw",
]

#: Units of all tasks together that are kept ready.
READY_IN_ALL = 8192
_NO_ITEMS = "its `foreach` gave no items"


class Scheduler:
    """The state of a run.

    Args:
        job: Tasks and limits.
        slots: Units that run at the same time.
        random: Gives numbers between 0 and 1, for the jitter of retries.
        started_at: The time of the run's start, on the clock of all `now` arguments, in seconds.
        machine: Where machine locks are had; None: they exclude units of this run only.
    """

    def __init__(
        self,
        job: Job,
        *,
        slots: int,
        random: Callable[[], float],
        started_at: float = 0.0,
        machine: LockTable | None = None,
    ) -> None:
        self._slots = slots
        self._graph = TaskGraph(job, slots=slots)
        self._dispatcher = Dispatcher(
            slots=slots,
            capacities=_capacities(job),
            fanout=job.fanout or DEFAULT_FANOUT,
            machine=machine,
        )
        self._out: deque[Command] = deque()
        self._endings = Endings(job, self._graph, self._dispatcher, self._out, started_at)
        self._targets = self._endings.targets
        self._news = self._targets.news
        self._waves = WaveKeeper(self._graph.states, self._endings, self._out, self._place)
        self._picker = Picker(self._end, self._admit, self._place, self._waves)
        self._retries = Retries(random)
        self._polled_at = started_at - POLL_S
        self._last_number = 0

    # ---- what the engine asks -------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether every task has ended, nothing is in flight and every command was taken."""
        return self._graph.phase is Phase.OVER and not self._out

    @property
    def stop_reason(self) -> Stop | None:
        """Why the run ends before its time; None: it does not."""
        return self._endings.stop_reason

    @property
    def fail_limit_hit(self) -> str:
        """Which fail limit ended a task or the job, as a sentence; empty: none."""
        return self._endings.limit_hit

    @property
    def away(self) -> int:
        """Units that were aborted only because a host was not reached before."""
        return self._endings.away

    @property
    def planned(self) -> int:
        """Units drawn so far."""
        return self._last_number

    @property
    def in_flight(self) -> int:
        """Units that a runner has now."""
        return len(self._dispatcher.in_flight)

    @property
    def running(self) -> int:
        """Units that run now, without those that wait at a runner."""
        return self._dispatcher.running

    @property
    def in_finally(self) -> bool:
        """Whether all tasks have ended and only `finally` is left."""
        return self._graph.phase is not Phase.TASKS

    def unit(self, number: int) -> Unit | None:
        """Return a unit that the runner has; None: it has ended, or never was."""
        one = self._dispatcher.in_flight.get(number)
        return None if one is None else one.unit

    def take(self) -> Command | None:
        """Return the next command, in order; None: nothing to do now."""
        return self._out.popleft() if self._out else None

    def next_wakeup(self) -> float | None:
        """Tell when `tick` must be called at the latest; None: only after another event."""
        endings = self._endings
        given = (
            endings.kill_at,
            endings.deadline,
            self._waves.next_wakeup,
            self._retries.next_wakeup,
        )
        times = [at for at in given if at is not None]
        if self._dispatcher.polling:
            times.append(self._polled_at + POLL_S)
        return min(times, default=None)

    def hungry(self) -> str | None:
        """Return the task to draw from next; None: enough is planned for now."""
        if self._dispatcher.ready >= READY_IN_ALL:
            return None
        state = self._graph.hungry()
        return None if state is None else state.task.id

    # ---- what happened --------------------------------------------------------------------

    def opened(self, task_id: str, total: int | None, hosts: int | None = None) -> None:
        """Take note that a stream is open.

        Args:
            task_id: Whose.
            total: How many units will come, if that is known.
            hosts: For how many hosts, if that is known.
        """
        state = self._graph.states[task_id]
        if state.stage is not Stage.OPEN:
            return
        self._learn_total(state, total, hosts)
        self._out.append(TaskOpened(task_id=task_id, total=total))
        if state.task.slots > self._slots and not state.on_hosts:
            have = f"there {'is' if self._slots == 1 else 'are'} {self._slots}"
            message = f"asks for {state.task.slots} slots, {have}: each of its units takes all"
            self._out.append(Note(message=message, level="info", task_id=task_id))

    def measured(self, task_id: str, total: int, hosts: int | None = None) -> None:
        """Take note of how many units, and hosts, will come, before the first one is drawn."""
        state = self._graph.states[task_id]
        if state.stage is Stage.OPEN:
            self._learn_total(state, total, hosts)

    def _learn_total(self, state: TaskState, total: int | None, hosts: int | None) -> None:
        self._endings.failures.learn_total(state, total)
        if state.waves is not None:
            state.waves.total = hosts if state.on_hosts else total
        if state.pick is not None:
            state.pick.total = hosts

    def drawn(self, task_id: str, unit: Unit, now: float) -> None:
        """Take a planned unit."""
        state = self._graph.states[task_id]
        self._endings.now = now
        self._last_number += 1
        state.planned += 1
        one = UnitState(self._last_number, unit, state)
        if state.keys:
            self._targets.planned(one)
        if state.plain and unit.verdict is None and unit.later is None:
            self._dispatcher.make_ready(one)
            return
        if state.on_hosts:
            self._endings.hosts.planned(one)
        if state.pick is not None:
            self._picker.planned(one, state.pick)
        else:
            self._admit(one)
        self._follow_news()

    def exhausted(self, task_id: str, now: float, *, done_before: int = 0) -> None:
        """Take note that a stream has ended; an earlier run has done some of its units."""
        state = self._graph.states[task_id]
        self._endings.now = now
        state.done_before = done_before
        nothing = not state.planned and not done_before
        if state.stage is Stage.OPEN and nothing and not state.task.single:
            what = "there was no host or no item" if state.on_hosts else _NO_ITEMS
            message = f"{what}, so there was no unit"
            self._out.append(Note(message=message, task_id=task_id))
        self._exhausted(state)

    def source_failed(self, task_id: str, message: str, now: float) -> None:
        """Take note that a stream broke; the units drawn from it stay."""
        state = self._graph.states[task_id]
        self._endings.now = now
        if state.stage is Stage.OPEN:
            state.source_error = message
        self._exhausted(state)

    def pending(self, task_id: str) -> None:
        """Take note that a stream has nothing now."""
        state = self._graph.states[task_id]
        state.pending = True
        if state.pick is not None:
            self._picker.looked(state, state.pick)
            self._follow_news()

    def readable(self, task_id: str) -> None:
        """Take note that a pending stream has something again."""
        self._graph.states[task_id].pending = False

    def spread(self, number: int) -> None:
        """Take note that a unit in flight is worked on in chunks: it keeps a worker for them."""
        self._dispatcher.spread(number)

    def ended(self, report: Report, now: float) -> None:
        """Take the end of an attempt."""
        one = self._dispatcher.land(report.number)
        self._endings.now = now
        state = one.task
        self._dispatcher.took(state, report.duration_s)
        outcome = self._endings.final_word(one, report.outcome)
        if outcome is not report.outcome:
            report = replace(report, outcome=outcome)
        if outcome.kind in ENDS_WELL or one.stopping or state.stopped:
            delay_s = None
        else:
            delay_s = self._retries.delay(one, outcome)
        if delay_s is None:
            self._finish(one, report)
            if self._news:
                self._follow_news()
        else:
            self._out.append(UnitRetried(unit=one.unit, report=report, delay_s=delay_s))
            self._retries.add(one, now + delay_s)

    def returned(self, number: int, now: float) -> None:
        """Take back an order that was never begun."""
        one = self._dispatcher.land(number)
        self._endings.now = now
        one.attempt -= 1
        if one.stopping or one.task.stopped:
            self._finish(one, report_of_unbegun(one, self._endings.outcome_of_unbegun(one.task)))
            self._follow_news()
        else:
            self._dispatcher.make_ready(one, first=True)

    def answered(self, task_id: str, now: float, *, go_on: bool) -> None:
        """Take the answer to a question: go on with the next wave, or abort the rest."""
        self._endings.now = now
        self._waves.answered(task_id, go_on=go_on)
        self._follow_news()

    def tick(self, now: float) -> None:
        """Let time pass: retries and waves become due, the deadline and graces run out."""
        self._endings.now = now
        for one in self._retries.due(now):
            self._dispatcher.make_ready(one)
        self._waves.time_passes()
        if self._dispatcher.polling and now >= self._polled_at + POLL_S:
            self._polled_at = now
            self._dispatcher.poll()
        self._endings.time_passes()
        self._follow_news()

    def stop(self, kind: StopKind, now: float, grace_s: float = 0.0) -> None:
        """End the run early.

        Args:
            kind: Who wants it, and how urgently.
            now: The time.
            grace_s: For SIGTERM and SIGHUP: how long running units may go on.
        """
        self._endings.now = now
        self._endings.stop(kind, grace_s)
        self._follow_news()

    def dispatch(self) -> None:
        """Put an Order for every unit that can start now among the commands."""
        while True:
            self._open_tasks()
            self._out.extend(self._dispatcher.orders())
            if not self._dispatcher.refused:
                return
            self._take_refused()

    # ---- units that wait ------------------------------------------------------------------

    def _admit(self, one: UnitState) -> None:
        """Let a planned unit go on, unless it waits for the next wave."""
        waves = one.task.waves
        if waves is None or self._waves.planned(one, waves):
            self._place(one)

    def _place(self, one: UnitState) -> None:
        """Let a planned unit start, wait for its target, or end at once."""
        if one.unit.verdict is not None:
            self._finish(one, report_of_unbegun(one, one.unit.verdict))
            return
        answer = self._targets.check(one)
        if answer is None and one.unit.later is not None:
            one.resolve(one.unit.later())
            self._place(one)
        elif answer is None:
            self._dispatcher.make_ready(one)
        elif isinstance(answer, Aborted):
            self._finish(one, report_of_unbegun(one, answer))
        else:
            self._targets.hold(one, answer)

    def _follow_news(self) -> None:
        """Look again at each unit whose target has news.

        One after the other, not from within each other: a chain of tasks may be long.
        """
        while self._news:
            one = self._news.popleft()
            # Its task may have been stopped meanwhile.
            if one in one.task.blocked:
                one.task.blocked.remove(one)
                self._place(one)

    def _open_tasks(self) -> None:
        while self._dispatcher.ready < READY_IN_ALL:
            state = self._graph.open_next()
            if state is None:
                return
            self._out.append(Open(state.task.id))

    def _take_refused(self) -> None:
        """End the units whose machine locks can never be had."""
        refused, self._dispatcher.refused = self._dispatcher.refused, []
        for one, why in refused:
            # The failure of the one before may have stopped its task.
            if one in one.task.blocked:
                one.task.blocked.remove(one)
                self._finish(one, report_of_unbegun(one, Failed(message=why)))
        self._follow_news()

    def _finish(self, one: UnitState, report: Report) -> None:
        """Take the last word of a unit; another host may take the place of its own."""
        pick = one.task.pick
        if pick is None:
            self._end(one, report)
        else:
            self._picker.ended(one, report, pick)

    def _end(self, one: UnitState, report: Report) -> None:
        """Give a unit its outcome, for good; the next wave may begin."""
        self._endings.finish(one, report)
        waves = one.task.waves
        if waves is not None:
            self._waves.went_on(one.task, waves)

    def _exhausted(self, state: TaskState) -> None:
        if state.stage is Stage.OPEN:
            self._endings.exhausted(state)
            if state.pick is not None:
                self._picker.looked(state, state.pick)
            self._follow_news()


def _capacities(job: Job) -> dict[str, int]:
    """How many units may hold each named resource, where it is not one."""
    capacities = {f"limit:{name}": count for name, count in job.limits.items()}
    for task in (*job.tasks, *job.final_tasks):
        if task.max_parallel is not None:
            capacities[f"task:{task.id}"] = task.max_parallel
    return capacities
