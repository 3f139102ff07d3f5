"""Decides what runs next: a pure, single-threaded machine, events in, commands out.

    drawn / exhausted / source_failed ──┐                 ┌── Open, Close, Order
    ended / returned ───────────────────┤►  Scheduler  ──►├── StopUnit, Withdraw
    stop / tick (the clock is a number) ┘                 └── events for the sinks

It owns all state of tasks and units between planning and end; it starts no thread, reads no
clock and touches no file, so that a million units can be simulated in a test.

Promised: every unit drawn gets exactly one UnitEnded and every task exactly one TaskEnded; at
most `WINDOW` units of a task are ready, blocked or waiting for a retry; what waits holds no slot
and no resource; a unit is dispatched with all its resources or not at all.
Not promised: the order of units, beyond "earlier first where nothing else decides".

On a stop: what has not begun ends as cancelled (the user) or aborted (we); what runs goes on, or
is asked to stop, as the kind of stop says; `finally` tasks still run unless the user insisted.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from batchrun.engine.dispatch import Dispatcher
from batchrun.engine.fail_limit import exceeded, limit_text
from batchrun.engine.retry import repeated_for_free, retry_delay
from batchrun.engine.state import Phase, Stage, TaskState, UnitState
from batchrun.engine.stops import FINALLY_LIMIT_S, Stop, StopKind
from batchrun.model.event import Event, Note, TaskEnded, TaskOpened, UnitEnded, UnitRetried
from batchrun.model.job import Job
from batchrun.model.outcome import Aborted, Cancelled, Outcome, Report
from batchrun.model.unit import Order, Unit

__all__ = ["WINDOW", "Close", "Command", "Open", "Scheduler", "StopUnit", "Withdraw"]

#: Units of one task that may be ready, blocked or waiting for a retry.
WINDOW = 4096
#: Units of one task that are kept ready, and of all tasks together.
READY_PER_TASK = 64
READY_IN_ALL = 8192
#: Streams that may be open at once: each may hold a file.
OPEN_STREAMS = 256
_COUNTS_AGAINST_LIMIT = frozenset({"failed", "timed_out", "unreachable", "lost"})
_ENDS_WELL = frozenset({"ok", "skipped"})
_FINALLY_OVER = "the time for `finally` tasks is over"


@dataclass(frozen=True, slots=True)
class Open:
    """Open the stream of this task, then call `opened` or `source_failed`."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the stream of this task: nothing more is drawn from it."""

    task_id: str


@dataclass(frozen=True, slots=True)
class StopUnit:
    """Ask the runner to end this unit."""

    number: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Ask the runner for everything that it has not begun."""


Command: TypeAlias = Open | Close | Order | StopUnit | Withdraw | Event


class Scheduler:
    """The state of a run.

    Args:
        job: Tasks and limits.
        slots: Units that run at the same time.
        random: Gives numbers between 0 and 1, for the jitter of retries.
        started_at: The time of the run's start, on the clock of all `now` arguments, in seconds.
    """

    def __init__(
        self, job: Job, *, slots: int, random: Callable[[], float], started_at: float = 0.0
    ) -> None:
        self._job = job
        self._random = random
        watched = job.max_fail is not None
        self._tasks = {task.id: TaskState(task, final=False, watched=watched) for task in job.tasks}
        self._finals = {task.id: TaskState(task, final=True) for task in job.final_tasks}
        self._states = self._tasks | self._finals
        self._dependants: dict[str, list[TaskState]] = {}
        for state in self._states.values():
            for need in state.task.needs:
                self._dependants.setdefault(need.task_id, []).append(state)
        self._dispatcher = Dispatcher(slots=slots, capacities=_capacities(job))
        self._out: deque[Command] = deque()
        # Tasks whose needs have ended, and those whose streams are open. Ended ones are skipped
        # when their turn comes: taking them out of the middle would cost a search each.
        self._openable: deque[TaskState] = deque()
        self._drawable: deque[TaskState] = deque()
        # When each waiting unit is tried again; those of stopped tasks are passed over.
        self._retries: list[tuple[float, int, UnitState]] = []
        self._last_number = 0
        self._failures = 0
        self._attempted = 0
        # Units of all tasks whose number is known, and how many tasks' number is not.
        self._known_total = 0
        self._unknown_totals = 0
        for state in self._tasks.values():
            if state.total is None:
                self._unknown_totals += 1
            else:
                self._known_total += state.total
        self._stop: Stop | None = None
        self._limit_hit = ""
        self._phase = Phase.TASKS
        self._unended = len(self._tasks)
        self._deadline = None if job.deadline_s is None else started_at + job.deadline_s
        self._kill_at: float | None = None
        self._openable.extend(state for state in self._tasks.values() if not state.needs_left)
        if not self._tasks:
            self._enter_finally(started_at)

    # ---- what the engine asks -------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether every task has ended, nothing is in flight and every command was taken."""
        return self._phase is Phase.OVER and not self._out

    @property
    def stop_reason(self) -> Stop | None:
        """Why the run ends before its time; None: it does not."""
        return self._stop

    @property
    def fail_limit_hit(self) -> str:
        """Which fail limit ended a task or the job, as a sentence; empty: none."""
        return self._limit_hit

    @property
    def planned(self) -> int:
        """Units drawn so far."""
        return self._last_number

    @property
    def in_flight(self) -> int:
        """Units that a runner has now."""
        return len(self._dispatcher.in_flight)

    @property
    def in_finally(self) -> bool:
        """Whether all tasks have ended and only `finally` is left."""
        return self._phase is not Phase.TASKS

    def unit(self, number: int) -> Unit | None:
        """Return a unit that the runner has; None: it has ended, or never was."""
        one = self._dispatcher.in_flight.get(number)
        return None if one is None else one.unit

    def take(self) -> Command | None:
        """Return the next command, in order; None: nothing to do now."""
        return self._out.popleft() if self._out else None

    def next_wakeup(self) -> float | None:
        """Tell when `tick` must be called at the latest; None: only after another event."""
        times = [at for at in (self._kill_at, self._deadline) if at is not None]
        if self._retries:
            times.append(self._retries[0][0])
        return min(times, default=None)

    def hungry(self) -> str | None:
        """Return the task to draw from next; None: enough is planned for now."""
        if self._dispatcher.ready >= READY_IN_ALL:
            return None
        drawable = self._drawable
        for _ in range(len(drawable)):
            state = drawable[0]
            drawable.rotate(-1)
            if not state.pending and len(state.ready) < READY_PER_TASK and state.window < WINDOW:
                return state.task.id
        return None

    # ---- what happened --------------------------------------------------------------------

    def opened(self, task_id: str, total: int | None) -> None:
        """Take note that a stream is open; `total` units will come, if that is known."""
        state = self._states[task_id]
        if state.stage is Stage.OPEN:
            self._learn_total(state, total)
            self._out.append(TaskOpened(task_id=task_id, total=total))

    def drawn(self, task_id: str, unit: Unit, now: float) -> None:
        """Take a planned unit."""
        state = self._states[task_id]
        self._last_number += 1
        state.planned += 1
        one = UnitState(self._last_number, unit, state)
        if unit.verdict is not None:
            self._finish(one, _report(one, unit.verdict), now)
        else:
            self._dispatcher.make_ready(one)

    def exhausted(self, task_id: str, now: float) -> None:
        """Take note that a stream has ended."""
        state = self._states[task_id]
        if state.stage is Stage.OPEN:
            self._close_stream(state)
            if not state.planned and not state.task.single:
                message = "its `foreach` gave no items, so there was no unit"
                self._out.append(Note(message=message, task_id=task_id))
            self._check_limits(state, now)
            self._maybe_end(state, now)

    def source_failed(self, task_id: str, message: str, now: float) -> None:
        """Take note that a stream broke; the units drawn from it stay."""
        state = self._states[task_id]
        if state.stage is Stage.OPEN:
            state.source_error = message
            self._close_stream(state)
            self._check_limits(state, now)
            self._maybe_end(state, now)

    def pending(self, task_id: str) -> None:
        """Take note that a stream has nothing now."""
        self._states[task_id].pending = True

    def readable(self, task_id: str) -> None:
        """Take note that a pending stream has something again."""
        self._states[task_id].pending = False

    def ended(self, report: Report, now: float) -> None:
        """Take the end of an attempt."""
        one = self._dispatcher.land(report.number)
        state = one.task
        self._dispatcher.took(state, report.duration_s)
        outcome = self._final_word(one, report.outcome)
        if outcome is not report.outcome:
            report = replace(report, outcome=outcome)
        if outcome.kind in _ENDS_WELL or one.stopping or state.stopped:
            self._finish(one, report, now)
            return
        delay_s = self._delay_of_retry(one, outcome)
        if delay_s is None:
            self._finish(one, report, now)
        else:
            self._back_off(one, report, now + delay_s, delay_s)

    def returned(self, number: int, now: float) -> None:
        """Take back an order that was never begun."""
        one = self._dispatcher.land(number)
        one.attempt -= 1
        if one.stopping or one.task.stopped:
            self._finish(one, _report(one, self._unbegun(one.task)), now)
        else:
            self._dispatcher.make_ready(one, first=True)

    def tick(self, now: float) -> None:
        """Let time pass: retries become due, the deadline and the grace of a stop run out."""
        while self._retries and self._retries[0][0] <= now:
            one = heapq.heappop(self._retries)[2]
            if one in one.task.retrying:
                one.task.retrying.remove(one)
                self._dispatcher.make_ready(one)
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self.stop(StopKind.DEADLINE, now)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._out_of_grace(now)

    def stop(self, kind: StopKind, now: float, grace_s: float = 0.0) -> None:
        """End the run early.

        Args:
            kind: Who wants it, and how urgently.
            now: The time.
            grace_s: For SIGTERM and SIGHUP: how long running units may go on.
        """
        self._stop = self._stop.then(kind) if self._stop else Stop(kind=kind)
        because = self._stop.because
        for state in self._tasks.values():
            self._stop_task(state, because, now)
        if kind.urgent:
            for state in self._finals.values():
                self._stop_task(state, "skipped because a second signal came", now)
        # Before the stops: what has not begun must not begin when a stopped unit makes room.
        self._out.append(Withdraw())
        if kind.kills_running:
            self._stop_running(because, finals=kind.urgent)
        if kind.has_grace and self._phase is Phase.TASKS:
            self._kill_at = now + grace_s
        elif self._phase is Phase.FINALLY:
            self._limit_finally(now)

    def dispatch(self) -> None:
        """Put an Order for every unit that can start now among the commands."""
        while (
            self._openable
            and len(self._drawable) < OPEN_STREAMS
            and self._dispatcher.ready < READY_IN_ALL
        ):
            state = self._openable.popleft()
            if state.stage is Stage.WAITING:
                state.stage = Stage.OPEN
                self._drawable.append(state)
                self._out.append(Open(state.task.id))
        self._out.extend(self._dispatcher.orders())

    # ---- ends -----------------------------------------------------------------------------

    def _delay_of_retry(self, one: UnitState, outcome: Outcome) -> float | None:
        """Tell how long a unit waits for its next attempt; None: there is none."""
        policy = one.task.task.retry
        if repeated_for_free(policy, outcome, losses=one.losses):
            one.losses += 1
            return 0.0
        one.tries += 1
        return retry_delay(policy, outcome, tries=one.tries, random=self._random())

    def _back_off(self, one: UnitState, report: Report, due: float, delay_s: float) -> None:
        """Let a unit wait for its next attempt, holding nothing."""
        self._out.append(UnitRetried(unit=one.unit, report=report, delay_s=delay_s))
        one.task.retrying.add(one)
        heapq.heappush(self._retries, (due, one.number, one))

    def _final_word(self, one: UnitState, outcome: Outcome) -> Outcome:
        """A unit that we stopped was aborted, one that the user stopped was cancelled."""
        if outcome.kind != "cancelled" or not one.stopping or self._stopped_by_user(one.task):
            return outcome
        return Aborted(because=one.stopping)

    def _unbegun(self, state: TaskState) -> Outcome:
        """How a unit ends that was planned and never started."""
        if self._stopped_by_user(state):
            return Cancelled(was_running=False)
        return Aborted(because=state.stopped)

    def _stopped_by_user(self, state: TaskState) -> bool:
        """Whether a signal ended this task; `finally` tasks end only when it came again."""
        stop = self._stop
        return stop is not None and stop.by_user and (not state.final or stop.insisted)

    def _finish(self, one: UnitState, report: Report, now: float) -> None:
        """Give a unit its outcome, for good, and draw the consequences."""
        state = one.task
        kind = report.outcome.kind
        self._settle(one, report)
        if kind == "ok":
            self._count_attempt(state, now, failures=0)
        elif kind in _COUNTS_AGAINST_LIMIT:
            self._count_attempt(state, now, failures=0 if state.task.ignore_errors else 1)
        if state.stage is Stage.DRAINED:
            self._maybe_end(state, now)

    def _settle(self, one: UnitState, report: Report) -> None:
        """Give a unit its outcome, for good."""
        state = one.task
        ignored = False
        if report.outcome.kind not in _ENDS_WELL:
            state.bad += 1
            ignored = state.task.ignore_errors
        self._out.append(UnitEnded(unit=one.unit, report=report, ignored=ignored))

    def _count_attempt(self, state: TaskState, now: float, *, failures: int) -> None:
        state.attempted += 1
        state.failures += failures
        if not state.final:
            self._attempted += 1
            self._failures += failures
        self._check_limits(state, now)

    def _check_limits(self, state: TaskState, now: float) -> None:
        """Stop the task, or all of them, when more has failed than may.

        Not only after a failure: a share of the units is known once the source has ended, or
        after enough attempts.
        """
        if not state.failures and not self._failures:
            return
        limit = state.task.max_fail
        if limit and not state.stopped:
            total = state.total if state.stage is not Stage.DRAINED else state.planned
            if exceeded(limit, failures=state.failures, total=total, attempted=state.attempted):
                because = f"more than {limit_text(limit)} of {state.task.name} failed"
                self._limit_hit = self._limit_hit or because
                self._stop_task(state, because, now)
                self._out.append(Withdraw())
        limit = self._job.max_fail
        if limit is None or state.final or self._stop is not None:
            return
        total = None if self._unknown_totals else self._known_total
        if exceeded(limit, failures=self._failures, total=total, attempted=self._attempted):
            self._limit_hit = f"more than {limit_text(limit)} of the job failed"
            self.stop(StopKind.FAIL_LIMIT, now)

    def _learn_total(self, state: TaskState, total: int | None) -> None:
        """Remember how many units a task has, once that is known, or known better."""
        if total is None:
            return
        if not state.final:
            self._unknown_totals -= state.total is None
            self._known_total += total - (state.total or 0)
        state.total = total

    def _stop_task(self, state: TaskState, because: str, now: float) -> None:
        """Start nothing more of a task; what runs goes on."""
        if state.stage is Stage.ENDED or state.stopped:
            return
        state.stopped = because
        if state.stage is Stage.WAITING:
            state.not_expanded = because
            self._end(state, now)
            return
        if state.stage is Stage.OPEN:
            state.not_expanded = because
            self._close_stream(state)
        for one in self._take_waiting(state):
            self._settle(one, _report(one, self._unbegun(state)))
        self._maybe_end(state, now)

    def _take_waiting(self, state: TaskState) -> list[UnitState]:
        """Take everything of a task that waits out of its queues, in the order of planning."""
        waiting = [*self._dispatcher.remove(state), *state.retrying]
        state.retrying.clear()
        return sorted(waiting, key=lambda one: one.number)

    def _stop_running(self, because: str, *, finals: bool) -> None:
        for one in self._dispatcher.in_flight.values():
            if finals or not one.task.final:
                one.stopping = because
                self._out.append(StopUnit(one.number))

    def _out_of_grace(self, now: float) -> None:
        """End what still runs when the grace of a stop, or the time of `finally`, is over."""
        if self._phase is Phase.TASKS:
            self._stop_running(self._stop.because if self._stop else "", finals=False)
            return
        for state in self._finals.values():
            self._stop_task(state, _FINALLY_OVER, now)
        self._out.append(Withdraw())
        self._stop_running(_FINALLY_OVER, finals=True)

    def _close_stream(self, state: TaskState) -> None:
        state.stage = Stage.DRAINED
        self._drawable.remove(state)
        self._learn_total(state, state.planned)
        self._out.append(Close(state.task.id))

    def _maybe_end(self, state: TaskState, now: float) -> None:
        if state.stage is Stage.DRAINED and not state.in_flight and not state.window:
            self._end(state, now)

    def _end(self, first: TaskState, now: float) -> None:
        """End a task, and with it all that need it when it did not end well."""
        first.stage = Stage.ENDED
        ending = deque([first])
        while ending:
            state = ending.popleft()
            self._out.append(_task_ended(state))
            if state.final is (self._phase is Phase.FINALLY):
                self._unended -= 1
            for dependant in self._dependants.get(state.task.id, ()):
                if dependant.stage is Stage.WAITING and self._tell(dependant, state):
                    ending.append(dependant)
        if not self._unended and self._phase is not Phase.OVER:
            self._next_phase(now)

    def _tell(self, dependant: TaskState, ended: TaskState) -> bool:
        """Tell a task that one of its needs has ended; True: it has thereby ended too."""
        if not ended.good:
            because = self._stop.because if self._stop and not dependant.final else ""
            dependant.not_expanded = because or f"needs {ended.task.id}, {_why_bad(ended)}"
            dependant.stage = Stage.ENDED
            self._learn_total(dependant, 0)
            return True
        dependant.needs_left -= 1
        if not dependant.needs_left and (self._phase is Phase.FINALLY or not dependant.final):
            self._openable.append(dependant)
        return False

    def _next_phase(self, now: float) -> None:
        if self._phase is Phase.TASKS:
            self._enter_finally(now)
        else:
            self._phase = Phase.OVER
            self._kill_at = self._deadline = None

    def _enter_finally(self, now: float) -> None:
        self._phase = Phase.FINALLY
        self._kill_at = None
        left = [state for state in self._finals.values() if state.stage is not Stage.ENDED]
        self._unended = len(left)
        if not left:
            self._next_phase(now)
            return
        if self._stop is not None:
            self._limit_finally(now)
        self._openable.extend(state for state in left if not state.needs_left)

    def _limit_finally(self, now: float) -> None:
        """Begin the time that `finally` tasks have once a run was stopped."""
        if self._kill_at is None:
            self._kill_at = now + FINALLY_LIMIT_S


def _capacities(job: Job) -> dict[str, int]:
    """How many units may hold each named resource, where it is not one."""
    capacities = {f"limit:{name}": count for name, count in job.limits.items()}
    for task in (*job.tasks, *job.final_tasks):
        if task.max_parallel is not None:
            capacities[f"task:{task.id}"] = task.max_parallel
    return capacities


def _report(one: UnitState, outcome: Outcome) -> Report:
    """Make the report of a unit that no runner had."""
    return Report(
        number=one.number, attempt=one.attempt, outcome=outcome, started_at=0.0, duration_s=0.0
    )


def _task_ended(state: TaskState) -> TaskEnded:
    return TaskEnded(
        task_id=state.task.id,
        good=state.good,
        not_expanded=state.not_expanded,
        source_error=state.source_error,
        planned=state.planned,
    )


def _why_bad(state: TaskState) -> str:
    if state.source_error:
        return "whose `foreach` failed"
    if state.not_expanded and not state.planned:
        return "which was not started"
    return "which did not end well"
