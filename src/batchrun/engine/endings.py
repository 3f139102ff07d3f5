"""Gives every unit and every task its end, exactly once, and draws the consequences.

    finish(unit) ──► counts ──► fail limits ──► stop of a task, or of the run
         │                                          │
         └──► end of the task ──► those that need it, the next phase

Units that wait for the target of a unit that has ended here are left in `TargetNeeds.news`: whoever
calls looks at them afterwards, one after the other, so that a long chain needs no recursion.
"""

from collections import deque

from batchrun.engine.commands import Close, Command, StopUnit, Withdraw
from batchrun.engine.dispatch import Dispatcher
from batchrun.engine.failures import FailureCount
from batchrun.engine.hosts import Hosts
from batchrun.engine.state import Phase, Stage, TaskState, UnitState
from batchrun.engine.stops import FINALLY_LIMIT_S, Stop, StopKind
from batchrun.engine.targets import TargetNeeds
from batchrun.engine.taskgraph import TaskGraph
from batchrun.model.event import TaskEnded, UnitEnded
from batchrun.model.job import Job, Task
from batchrun.model.outcome import Aborted, Cancelled, Outcome, Report

__all__ = ["ENDS_WELL", "Endings", "report_of_unbegun"]

#: Kinds of outcome that satisfy a need.
ENDS_WELL = frozenset({"ok", "skipped"})
_COUNTS_AGAINST_LIMIT = frozenset({"failed", "timed_out", "unreachable", "lost"})
_FINALLY_OVER = "the time for `finally` tasks is over"


class Endings:
    """How the run goes down, unit by unit and task by task.

    Args:
        job: Its fail limit and its deadline.
        graph: Its tasks.
        dispatcher: What is ready, blocked or with the runner.
        out: Where commands and events go.
        now: The time of the run's start.
    """

    def __init__(
        self,
        job: Job,
        graph: TaskGraph,
        dispatcher: Dispatcher,
        out: deque[Command],
        now: float,
    ) -> None:
        self._graph = graph
        self._dispatcher = dispatcher
        self._out = out
        self.targets = TargetNeeds(graph.states)
        self.hosts = Hosts(graph.states.values(), dispatcher, out)
        self.failures = FailureCount(job.max_fail, graph.tasks.values())
        #: Units that were aborted only because a host was not reached before.
        self.away = 0
        #: The time, as last told.
        self.now = now
        #: Why the run ends before its time; None: it does not.
        self.stop_reason: Stop | None = None
        #: Which fail limit ended a task or the job, as a sentence; empty: none.
        self.limit_hit = ""
        #: When running units are asked to stop: at the deadline, and at the end of a grace.
        self.deadline = None if job.deadline_s is None else now + job.deadline_s
        self.kill_at: float | None = None
        if graph.phase_over:
            self._enter_finally()

    # ---- units ----------------------------------------------------------------------------

    def finish(self, one: UnitState, report: Report) -> None:
        """Give a unit its outcome, for good, and draw the consequences."""
        state = one.task
        kind = report.outcome.kind
        self._settle(one, report)
        failed = kind in _COUNTS_AGAINST_LIMIT
        if failed or kind == "ok":
            excused = failed and _is_excused(state.task, kind)
            self.failures.count(state, 1 if failed and not excused else 0)
            if state.failures or self.failures.number:
                self._check_limits(state)
        if state.stage is Stage.DRAINED:
            self._maybe_end(state)

    def final_word(self, one: UnitState, outcome: Outcome) -> Outcome:
        """A unit that we stopped was aborted, one that the user stopped was cancelled."""
        if outcome.kind != "cancelled" or not one.stopping or self._stopped_by_user(one.task):
            return outcome
        return Aborted(because=one.stopping)

    def outcome_of_unbegun(self, state: TaskState) -> Outcome:
        """How a unit ends that was planned and never started."""
        if self._stopped_by_user(state):
            return Cancelled(was_running=False)
        return Aborted(because=state.stopped)

    def _stopped_by_user(self, state: TaskState) -> bool:
        """Whether a signal ended this task; `finally` tasks end only when it came again."""
        stop = self.stop_reason
        return stop is not None and stop.by_user and (not state.final or stop.insisted)

    def _settle(self, one: UnitState, report: Report) -> None:
        """Give a unit its outcome, for good."""
        state = one.task
        kind = report.outcome.kind
        bad = kind not in ENDS_WELL
        ignored = bad and _is_excused(state.task, kind)
        self._out.append(UnitEnded(unit=one.unit, report=report, ignored=ignored))
        hurt = bad and not ignored
        if hurt:
            state.bad += 1
            self.away += one.is_away
        if state.keys:
            away = one.is_away or kind == "unreachable"
            self.targets.ended(one, well=not hurt, away=away)
        if state.waves is not None and one.in_wave:
            failed = hurt and kind in _COUNTS_AGAINST_LIMIT
            state.waves.end(one.unit, ok=kind == "ok", failed=failed, bad=hurt)
        if state.on_hosts:
            self.hosts.ended(one.unit)

    def _check_limits(self, state: TaskState) -> None:
        """Stop the task, or all of them, when more has failed than may.

        Not only after a failure: a share of the units is known once the source has ended, or
        after enough attempts.
        """
        because = "" if state.stopped else self.failures.over_in_task(state)
        if because:
            self.hit_limit(state, because)
        because = "" if state.final or self.stop_reason is not None else self.failures.over_in_job()
        if because:
            self.limit_hit = because
            self.stop(StopKind.FAIL_LIMIT)

    def hit_limit(self, state: TaskState, because: str) -> None:
        """Start nothing more of a task in which too much failed."""
        self.limit_hit = self.limit_hit or because
        self.stop_task(state, because)
        self._out.append(Withdraw())

    # ---- stops ----------------------------------------------------------------------------

    def stop(self, kind: StopKind, grace_s: float = 0.0) -> None:
        """End the run early.

        Args:
            kind: Who wants it, and how urgently.
            grace_s: For SIGTERM and SIGHUP: how long running units may go on.
        """
        self.stop_reason = self.stop_reason.then(kind) if self.stop_reason else Stop(kind=kind)
        because = self.stop_reason.because
        for state in self._graph.tasks.values():
            self.stop_task(state, because)
        if kind.urgent:
            for state in self._graph.finals.values():
                self.stop_task(state, "skipped because a second signal came")
        # Before the stops: what has not begun must not begin when a stopped unit makes room.
        self._out.append(Withdraw())
        if kind.kills_running:
            self._stop_running(because, finals=kind.urgent, urgent=kind is StopKind.INSIST)
        if kind.has_grace and self._graph.phase is Phase.TASKS:
            self.kill_at = self.now + grace_s
        elif self._graph.phase is Phase.FINALLY:
            self._limit_finally()

    def stop_task(self, state: TaskState, because: str) -> None:
        """Start nothing more of a task; what runs goes on."""
        if state.stage is Stage.ENDED or state.stopped:
            return
        state.stopped = because
        if state.stage is Stage.WAITING:
            state.not_expanded = because
            self._end(state)
            return
        if state.stage is Stage.OPEN:
            state.not_expanded = because
            self._close_stream(state)
        for one in self._take_waiting(state):
            unbegun = report_of_unbegun(one, self.outcome_of_unbegun(state))
            self._settle(one, one.last_word or unbegun)
        self._maybe_end(state)

    def _take_waiting(self, state: TaskState) -> list[UnitState]:
        """Take everything of a task that waits out of its queues, in the order of planning."""
        waiting = [*self._dispatcher.remove(state), *state.retrying]
        state.retrying.clear()
        state.first_of_wave = None
        return sorted(waiting, key=lambda one: one.number)

    def _stop_running(self, because: str, *, finals: bool, urgent: bool = False) -> None:
        for one in self._dispatcher.in_flight.values():
            if finals or not one.task.final:
                one.stopping = because
                self._out.append(StopUnit(one.number, urgent))

    def _out_of_grace(self) -> None:
        """End what still runs when the grace of a stop, or the time of `finally`, is over."""
        if self._graph.phase is Phase.TASKS:
            self._stop_running(self.stop_reason.because if self.stop_reason else "", finals=False)
            return
        for state in self._graph.finals.values():
            self.stop_task(state, _FINALLY_OVER)
        self._out.append(Withdraw())
        self._stop_running(_FINALLY_OVER, finals=True)

    def time_passes(self) -> None:
        """Take note that `now` has moved: the deadline or a grace may be over."""
        if self.deadline is not None and self.now >= self.deadline:
            self.deadline = None
            self.stop(StopKind.DEADLINE)
        if self.kill_at is not None and self.now >= self.kill_at:
            self.kill_at = None
            self._out_of_grace()

    # ---- tasks ----------------------------------------------------------------------------

    def exhausted(self, state: TaskState) -> None:
        """Take note that no unit of an open task will come any more."""
        self._close_stream(state)
        if state.failures or self.failures.number:
            self._check_limits(state)
        self._maybe_end(state)

    def _close_stream(self, state: TaskState) -> None:
        self._graph.drained(state)
        self.failures.learn_total(state, state.planned)
        if state.waves is not None:
            state.waves.exhausted()
        self.targets.exhausted(state)
        self._out.append(Close(state.task.id))
        self.hosts.exhausted(state)

    def _maybe_end(self, state: TaskState) -> None:
        if state.stage is Stage.DRAINED and not state.in_flight and not state.window:
            self._end(state)

    def _end(self, first: TaskState) -> None:
        """End a task, and with it all that need it when it did not end well."""
        because = self.stop_reason.because if self.stop_reason else ""
        for state in self._graph.end(first, because):
            self.failures.learn_total(state, state.planned)
            self._out.append(_task_ended(state))
            self.targets.forget(state)
            self.hosts.exhausted(state)
        if self._graph.phase_over and self._graph.phase is not Phase.OVER:
            self._next_phase()

    def _next_phase(self) -> None:
        if self._graph.phase is Phase.TASKS:
            self._enter_finally()
        else:
            self._graph.phase = Phase.OVER
            self.kill_at = self.deadline = None

    def _enter_finally(self) -> None:
        self.kill_at = None
        if not self._graph.begin_finally():
            self._next_phase()
        elif self.stop_reason is not None:
            self._limit_finally()

    def _limit_finally(self) -> None:
        """Begin the time that `finally` tasks have once a run was stopped."""
        if self.kill_at is None:
            self.kill_at = self.now + FINALLY_LIMIT_S


def report_of_unbegun(one: UnitState, outcome: Outcome) -> Report:
    """Make the report of a unit that no runner had."""
    return Report(
        number=one.number, attempt=one.attempt, outcome=outcome, started_at=0.0, duration_s=0.0
    )


def _is_excused(task: Task, kind: str) -> bool:
    """Whether a unit that did not end well fails nothing."""
    return task.ignore_errors or (kind == "unreachable" and task.ignore_unreachable)


def _task_ended(state: TaskState) -> TaskEnded:
    return TaskEnded(
        task_id=state.task.id,
        good=state.good,
        not_expanded=state.not_expanded,
        source_error=state.source_error,
        planned=state.planned,
        done_before=state.done_before,
    )
