"""The loop of a run: what it plans, whom it tells, how it ends."""

import errno
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from batchrun.engine.interrupt import SignalArrived
from batchrun.engine.run import Message, Run, RunOptions, RunResult, RunSoFar, SourceReady
from batchrun.engine.scheduler import WINDOW
from batchrun.engine.stops import FINALLY_LIMIT_S
from batchrun.errors import SourceError
from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    StatusAsked,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitOutput,
    UnitProgress,
    UnitStarted,
)
from batchrun.model.job import FailLimit, Job, RetryPolicy, Task
from batchrun.model.outcome import (
    Aborted,
    Cancelled,
    Failed,
    Lost,
    Outcome,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.ports import Drawn, Started
from batchrun.model.unit import Order
from doubles import (
    CHANGED,
    FAILED,
    OK,
    Behaviour,
    FakeClock,
    FakeRunner,
    ListSource,
    Plan,
    RecordingSink,
    execute,
    report_of,
    stream_of,
    task,
    units,
)

GRACE_S = 60.0


def starting(order: Order) -> Sequence[Message]:
    """Begin an order and never end it."""
    return [Started(number=order.number, attempt=order.attempt, at=2.0, worker="w1")]


class Stage:
    """A run whose runner begins every order and holds it until the test lets it end."""

    def __init__(
        self,
        *tasks: Task,
        plans: Mapping[str, Plan | SourceError] | None = None,
        behave: Behaviour = starting,
        final_scope: Callable[[RunSoFar], Mapping[str, Any]] = lambda _: {},
        **job: Any,
    ) -> None:
        self.clock = FakeClock(1000.0)
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self.source = ListSource(plans)
        self.runner = FakeRunner(self.queue, behave)
        self.sink = RecordingSink()
        options = RunOptions(
            run_id="r1",
            procs=2,
            grace_s=GRACE_S,
            sinks=(self.sink,),
            final_scope=final_scope,
            clock=self.clock,
            wall_clock=lambda: 5.0,
            random=lambda: 0.5,
        )
        job_ = Job(name="job", tasks=tasks, **job)
        self.run = Run(job_, self.source, self.runner, self.queue, options)

    def execute(self) -> RunResult:
        return self.run.execute()

    def signal(self, number: signal.Signals) -> None:
        self.queue.put(SignalArrived(number))

    def finish_running(self) -> None:
        """End well as many orders as the runner has slots."""
        for number in list(self.runner.held)[: self.runner.slots]:
            self.runner.finish(number)

    def outcomes(self) -> dict[str, Outcome]:
        return outcomes(self.sink.events)


class Script:
    """Does one thing after the other, each when the run has shown a certain event."""

    def __init__(self, stage: Stage, *steps: tuple[type[Event], Callable[[], None]]) -> None:
        self._steps = list(steps)
        stage.sink.on_event = self._see

    def _see(self, event: Event) -> None:
        if self._steps and isinstance(event, self._steps[0][0]):
            self._steps.pop(0)[1]()


def outcomes(events: Sequence[Event]) -> dict[str, Outcome]:
    """How each unit ended, by label."""
    ended = [event for event in events if isinstance(event, UnitEnded)]
    assert len({event.unit.label for event in ended}) == len(ended)
    return {event.unit.label: event.report.outcome for event in ended}


def answering(**by_label: Outcome) -> Behaviour:
    """Answer each order by its label; all others end well."""
    return lambda order: [report_of(order, by_label.get(order.unit.label, OK))]


# ---- a run that nothing disturbs ------------------------------------------------------------


def test_the_events_of_a_small_run_come_in_order() -> None:
    sink = RecordingSink()
    execute(task("a"), sinks=[sink])
    kinds = [type(event) for event in sink.events]
    assert kinds == [RunStarted, TaskOpened, UnitEnded, TaskEnded, RunEnded]


def test_the_first_event_names_all_tasks_with_finally_last() -> None:
    sink = RecordingSink()
    execute(task("a", title="copy"), final_tasks=(task("f"),), sinks=[sink])
    first = sink.events[0]
    assert isinstance(first, RunStarted)
    assert (first.run_id, first.procs) == ("r1", 2)
    assert first.tasks == (("a", "copy"), ("f", "f"))


def test_a_run_says_how_many_units_ended_how() -> None:
    result = execute(task("a"), plans={"a": units("a", 3)}, behave=answering(a1=CHANGED, a2=FAILED))
    assert result.counts.total.as_dict() | {"ok": 2, "failed": 1, "changed": 1} == (
        result.counts.total.as_dict()
    )
    assert (result.counts.total.planned, result.exit_code, result.ok) == (3, 2, False)


def test_an_empty_job_is_a_run_that_went_well() -> None:
    result = execute()
    assert (result.exit_code, result.counts.total.planned, result.stopped) == (0, 0, "")


def test_a_job_with_many_units_ends() -> None:
    result = execute(task("a"), plans={"a": stream_of("a", 20_000)})
    assert result.counts.total.ended["ok"] == 20_000


def test_units_beyond_the_window_are_drawn_while_others_wait_for_a_lock() -> None:
    count = 2 * WINDOW
    result = execute(task("a"), plans={"a": stream_of("a", count, locks=("x",))})
    assert result.counts.total.ended["ok"] == count


def test_a_stream_is_not_drawn_while_enough_is_planned() -> None:
    drawn = 0
    at_end = []

    def counted() -> Plan:
        nonlocal drawn
        for unit in stream_of("a", 1_000_000):
            drawn += 1
            yield unit

    def behave(order: Order) -> Sequence[Message]:
        at_end.append(drawn - order.number)
        if order.number == 2000:
            return [SignalArrived(signal.SIGINT), report_of(order)]
        return [report_of(order)]

    execute(task("a"), plans={"a": counted()}, behave=behave)
    assert max(at_end) <= WINDOW
    assert drawn < 2000 + WINDOW


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (OK, 0),
        (Skipped(because="guard"), 0),
        (FAILED, 2),
        (TimedOut(limit_s=1), 2),
        (Lost(message="killed"), 2),
        (Unreachable(message="no"), 4),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_the_outcome_of_a_unit_decides_the_exit_code(outcome: Outcome, code: int) -> None:
    sink = RecordingSink()
    result = execute(task("a"), behave=answering(a1=outcome), sinks=[sink])
    last = sink.events[-1]
    assert isinstance(last, RunEnded)
    assert (result.exit_code, last.exit_code) == (code, code)


def test_ignored_failures_leave_the_exit_code_alone() -> None:
    result = execute(task("a", ignore_errors=True), behave=answering(a1=FAILED))
    assert (result.exit_code, result.counts.total.ignored) == (0, 1)


def test_a_fail_limit_gives_5_and_says_which() -> None:
    result = execute(
        task("a"), task("b", "a"), max_fail=FailLimit(count=0), behave=answering(a1=FAILED)
    )
    assert (result.exit_code, result.stopped) == (5, "more than 0 of the job failed")


def test_warnings_and_outputs_of_a_report_reach_the_sinks_unharmed() -> None:
    sink = RecordingSink()
    execute(task("a"), sinks=[sink], behave=answering(a1=Failed(message="\udcff", exit_status=3)))
    assert outcomes(sink.events) == {"a1": Failed(message="\udcff", exit_status=3)}


# ---- what a runner says ---------------------------------------------------------------------


def test_started_progress_and_output_become_events_and_output_is_acknowledged() -> None:
    def behave(order: Order) -> Sequence[Message]:
        return [
            *starting(order),
            UnitOutput(number=order.number, unit=order.unit, stream="stdout", data=b"hello"),
            UnitProgress(number=order.number, bytes_done=7),
            report_of(order),
        ]

    stage = Stage(task("a"), behave=behave)
    stage.execute()
    kinds = [type(event) for event in stage.sink.events[2:-2]]
    assert kinds == [UnitStarted, UnitOutput, UnitProgress, UnitEnded]
    assert stage.runner.acknowledged == [(1, 5)]


def test_a_start_that_is_told_after_the_end_is_not_shown() -> None:
    stage = Stage(task("a"), behave=lambda order: [report_of(order), *starting(order)])
    stage.execute()
    assert not any(isinstance(event, UnitStarted) for event in stage.sink.events)


def test_a_retry_is_the_same_unit_with_the_next_attempt() -> None:
    policy = RetryPolicy(retries=1, delay_s=0.0)
    stage = Stage(task("a", retry=policy), behave=lambda order: [
        report_of(order, FAILED if order.attempt == 1 else OK)])  # fmt: skip
    result = stage.execute()
    assert [(order.number, order.attempt) for order in stage.runner.orders] == [(1, 1), (1, 2)]
    assert (result.exit_code, result.counts.total.retried) == (0, 1)


def test_the_runner_is_closed_when_all_is_done_and_killed_in_any_case() -> None:
    stage = Stage(task("a"), behave=lambda order: [report_of(order)])
    stage.execute()
    assert stage.runner.calls == ["close", "kill"]


def test_a_defect_of_a_runner_ends_everything_and_is_not_hidden() -> None:
    def behave(_: Order) -> Sequence[Message]:
        message = "defect"
        raise ZeroDivisionError(message)

    stage = Stage(task("a"), behave=behave)
    with pytest.raises(ZeroDivisionError, match="defect"):
        stage.execute()
    assert (stage.runner.calls, stage.sink.closed) == (["kill"], 1)
    assert stage.source.opened == stage.source.closed


# ---- sources --------------------------------------------------------------------------------


def test_a_source_that_cannot_be_opened_fails_its_task_and_the_run() -> None:
    sink = RecordingSink()
    result = execute(
        task("a"), task("b", "a"), task("c"), sinks=[sink], plans={"a": SourceError("no file")}
    )
    ended = {event.task_id: event for event in sink.events if isinstance(event, TaskEnded)}
    assert (ended["a"].source_error, ended["a"].good) == ("no file", False)
    assert ended["b"].not_expanded == "needs a, whose `foreach` failed"
    assert (ended["c"].good, result.exit_code) == (True, 2)


def test_a_source_that_fails_half_way_keeps_what_it_gave_and_the_run_ends_with_2() -> None:
    sink = RecordingSink()
    result = execute(
        task("a"), sinks=[sink], plans={"a": [*units("a", 3), SourceError("disk gone")]}
    )
    assert outcomes(sink.events) == {"a1": OK, "a2": OK, "a3": OK}
    assert (result.counts.total.planned, result.counts.total.accounted) == (3, True)
    assert result.exit_code == 2


def test_a_source_that_fails_in_a_task_whose_errors_are_ignored_does_not_fail_the_run() -> None:
    result = execute(
        task("a", ignore_errors=True), task("b", "a"), plans={"a": [SourceError("no file")]}
    )
    assert (result.exit_code, result.counts.total.ended["ok"]) == (0, 1)


def test_a_pending_source_is_waited_for_and_goes_on_when_it_wakes_us() -> None:
    stage = Stage(
        task("a"),
        plans={"a": [*units("a", 1), Drawn.PENDING, *units("more", 1)]},
        behave=lambda order: [report_of(order)],
    )

    def wake() -> None:
        stage.source.wakers["a"]()

    Script(stage, (UnitEnded, wake))
    assert stage.execute().counts.total.ended["ok"] == 2


def test_a_wake_up_for_a_task_that_has_ended_changes_nothing() -> None:
    stage = Stage(task("a"), behave=lambda order: [report_of(order)])
    Script(stage, (RunStarted, lambda: stage.queue.put(SourceReady("a"))))
    assert stage.execute().exit_code == 0


def test_streams_are_closed_once_each() -> None:
    stage = Stage(task("a"), task("b", "a"), behave=lambda order: [report_of(order)])
    stage.execute()
    assert stage.source.closed == ["a", "b"]


def test_a_foreach_without_items_is_a_warning_and_no_failure() -> None:
    sink = RecordingSink()
    result = execute(task("a", title="copy it"), plans={"a": []}, sinks=[sink])
    assert sink.notes == ["its `foreach` gave no items, so there was no unit"]
    assert (result.exit_code, result.counts.total.planned) == (0, 0)


# ---- signals --------------------------------------------------------------------------------


def test_the_first_interrupt_lets_running_units_finish_and_says_how_many() -> None:
    stage = Stage(task("a"), plans={"a": units("a", 9)})
    stage.runner.on_withdraw = stage.finish_running
    Script(stage, (UnitStarted, lambda: stage.signal(signal.SIGINT)))
    result = stage.execute()
    assert stage.sink.notes == [
        "interrupted: nothing new is started, 2 units may finish; once more stops them now"
    ]
    found = stage.outcomes()
    assert (found.pop("a1"), found.pop("a2")) == (OK, OK)
    assert set(found.values()) == {Cancelled(was_running=False)}
    assert (result.exit_code, result.stopped, stage.runner.stopped) == (130, "interrupted", [])


def test_a_second_interrupt_stops_what_runs() -> None:
    stage = Stage(task("a"), plans={"a": units("a", 9)})
    Script(
        stage,
        (UnitStarted, lambda: stage.signal(signal.SIGINT)),
        (StatusAsked, lambda: stage.signal(signal.SIGINT)),
    )
    result = stage.execute()
    assert stage.sink.notes[1] == "a second signal: stopping now what runs (2 units)"
    assert stage.outcomes()["a1"] == Cancelled(was_running=True)
    assert (result.exit_code, result.counts.total.ended["cancelled"]) == (130, 9)


@pytest.mark.parametrize(
    ("number", "word", "code"),
    [
        (signal.SIGTERM, "asked to end (SIGTERM)", 143),
        (signal.SIGHUP, "hung up (SIGHUP)", 129),
    ],
    ids=["SIGTERM", "SIGHUP"],
)
def test_a_request_to_end_gives_the_grace_and_stops_then(
    number: signal.Signals, word: str, code: int
) -> None:
    stage = Stage(task("a"), plans={"a": units("a", 9)})
    stopped_at = []
    cancel = stage.runner.on_stop

    def stop(unit: int) -> None:
        stopped_at.append(stage.clock.now - 1000.0)
        cancel(unit)

    def wait() -> None:
        stage.clock.now += GRACE_S

    stage.runner.on_stop = stop
    Script(stage, (UnitStarted, lambda: stage.signal(number)), (StatusAsked, wait))
    result = stage.execute()
    assert stage.sink.notes == [f"{word}: nothing new is started, 2 units may go on for 60 s"]
    assert set(stopped_at) == {GRACE_S}
    assert stage.runner.stopped[:2] == [1, 2]
    assert (result.exit_code, result.counts.total.ended["cancelled"]) == (code, 9)


def test_a_request_to_end_that_comes_again_does_not_wait_for_the_grace() -> None:
    stage = Stage(task("a"))
    Script(
        stage,
        (UnitStarted, lambda: stage.signal(signal.SIGTERM)),
        (StatusAsked, lambda: stage.signal(signal.SIGTERM)),
    )
    result = stage.execute()
    assert (stage.runner.stopped, stage.clock.now, result.exit_code) == ([1], 1000.0, 143)


def test_a_status_signal_asks_for_the_status_and_stops_nothing() -> None:
    stage = Stage(task("a"))
    Script(
        stage,
        (UnitStarted, lambda: stage.signal(signal.SIGUSR1)),
        (StatusAsked, stage.finish_running),
    )
    result = stage.execute()
    assert StatusAsked(at=5.0) in stage.sink.events
    assert (result.exit_code, stage.sink.notes) == (0, [])


def test_a_signal_before_the_first_unit_starts_nothing() -> None:
    stage = Stage(task("a"), task("b", "a"))
    stage.signal(signal.SIGINT)
    Script(stage, (StatusAsked, stage.finish_running))
    result = stage.execute()
    assert result.exit_code == 130
    assert result.counts.total.accounted


def test_the_deadline_stops_what_runs_and_gives_124() -> None:
    stage = Stage(task("a"), plans={"a": units("a", 9)}, deadline_s=30.0)

    def wait() -> None:
        stage.clock.now += 30.0

    Script(stage, (UnitStarted, wait))
    result = stage.execute()
    assert (result.exit_code, result.stopped) == (124, "the deadline was reached")
    assert set(stage.outcomes().values()) == {Aborted(because="the deadline was reached")}


def test_a_deadline_of_a_thousand_years_can_be_waited_for() -> None:
    result = Stage(task("a"), deadline_s=3e16, behave=lambda order: [report_of(order)]).execute()
    assert result.exit_code == 0


def test_a_signal_is_why_a_run_stopped_also_when_a_fail_limit_was_hit_before() -> None:
    stage = Stage(
        task("a", max_fail=FailLimit(count=0)),
        task("b"),
        behave=lambda order: [report_of(order, FAILED)] if order.unit.task_id == "a" else [],
    )
    Script(
        stage,
        (TaskEnded, lambda: stage.signal(signal.SIGTERM)),
        (StatusAsked, stage.finish_running),
    )
    result = stage.execute()
    assert (result.exit_code, result.stopped) == (143, "terminated")


# ---- finally --------------------------------------------------------------------------------


def test_finally_tasks_see_how_the_run_went() -> None:
    seen: list[RunSoFar] = []

    def scope(so_far: RunSoFar) -> Mapping[str, Any]:
        seen.append(so_far)
        return {"run": so_far.outcome}

    stage = Stage(
        task("a"),
        final_tasks=(task("f"), task("g", "f")),
        final_scope=scope,
        behave=answering(a1=FAILED),
    )
    result = stage.execute()
    assert stage.source.scopes == {"a": {}, "f": {"run": "failed"}, "g": {"run": "failed"}}
    assert [(one.run_id, one.exit_code) for one in seen] == [("r1", 2)]
    assert result.counts.total.ended["ok"] == 2


def test_finally_tasks_run_after_the_first_signal() -> None:
    stage = Stage(task("a"), task("b", "a"), final_tasks=(task("f"),))
    Script(
        stage,
        (UnitStarted, lambda: stage.signal(signal.SIGINT)),
        (StatusAsked, stage.finish_running),
    )
    stage.runner.behave = lambda order: (
        [report_of(order)] if order.unit.task_id == "f" else starting(order)
    )
    result = stage.execute()
    assert stage.outcomes() == {"a1": OK, "f1": OK}
    assert (stage.source.scopes["f"], result.exit_code) == ({}, 130)


def test_the_first_signal_during_finally_says_that_it_goes_on() -> None:
    stage = Stage(final_tasks=(task("f"),))
    Script(
        stage,
        (UnitStarted, lambda: stage.signal(signal.SIGINT)),
        (StatusAsked, stage.finish_running),
    )
    stage.execute()
    assert stage.sink.notes == [
        "interrupted: only `finally` tasks run, for at most 5 minutes; once more skips them"
    ]
    assert stage.outcomes() == {"f1": OK}


def test_a_second_signal_skips_finally_and_says_so() -> None:
    stage = Stage(task("a"), final_tasks=(task("f"),))
    Script(
        stage,
        (UnitStarted, lambda: stage.signal(signal.SIGINT)),
        (StatusAsked, lambda: stage.signal(signal.SIGTERM)),
    )
    result = stage.execute()
    assert stage.sink.notes[1] == (
        "a second signal: stopping now what runs (1 unit); `finally` tasks are skipped"
    )
    assert stage.source.opened == ["a"]
    ended = {event.task_id: event for event in stage.sink.events if isinstance(event, TaskEnded)}
    assert ended["f"].not_expanded == "skipped because a second signal came"
    assert result.exit_code == 130


def test_finally_tasks_that_take_too_long_after_a_stop_are_aborted() -> None:
    stage = Stage(task("a"), final_tasks=(task("f"),))

    def wait(order: Order) -> Sequence[Message]:
        if order.unit.task_id == "f":
            stage.clock.now += FINALLY_LIMIT_S
        return starting(order)

    stage.runner.behave = wait
    Script(
        stage,
        (UnitStarted, lambda: stage.signal(signal.SIGINT)),
        (StatusAsked, stage.finish_running),
    )
    result = stage.execute()
    assert stage.outcomes()["f1"] == Aborted(because="the time for `finally` tasks is over")
    assert result.exit_code == 130


def test_finally_tasks_run_after_a_deadline_and_the_code_stays_124() -> None:
    stage = Stage(task("a"), final_tasks=(task("f"),), deadline_s=30.0)

    def behave(order: Order) -> Sequence[Message]:
        if order.unit.task_id == "f":
            return [report_of(order)]
        stage.clock.now += 30.0
        return starting(order)

    stage.runner.behave = behave
    result = stage.execute()
    assert stage.outcomes() == {"a1": Aborted(because="the deadline was reached"), "f1": OK}
    assert result.exit_code == 124


# ---- sinks ----------------------------------------------------------------------------------


def failing(error: OSError, when: type[Event] = UnitEnded) -> RecordingSink:
    """Make a sink that cannot take one kind of event."""

    def fail(event: Event) -> None:
        if isinstance(event, when):
            raise error

    return RecordingSink(fail)


class FailsToClose(RecordingSink):
    """A sink that cannot write its last words."""

    def __init__(self, error: OSError, fail: Callable[[Event], None] = lambda _: None) -> None:
        super().__init__(fail)
        self._error = error

    def close(self) -> None:
        super().close()
        raise self._error


class FailsToTick(RecordingSink):
    """A sink on a terminal that has gone."""

    def tick(self) -> None:
        super().tick()
        raise OSError(errno.EIO, "Input/output error")


FULL = OSError(errno.ENOSPC, "No space left on device")
GONE = BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_every_sink_sees_every_event_and_is_closed_once() -> None:
    sinks = [RecordingSink(), RecordingSink()]
    execute(task("a"), sinks=sinks)
    assert sinks[0].events == sinks[1].events
    assert [sink.closed for sink in sinks] == [1, 1]


def test_a_sink_whose_reader_went_away_is_dropped_silently_and_the_run_goes_on() -> None:
    gone, other = failing(GONE), RecordingSink()
    result = execute(task("a"), plans={"a": units("a", 5)}, sinks=[gone, other])
    assert (result.exit_code, result.counts.total.ended["ok"]) == (0, 5)
    assert (other.notes, gone.closed, other.closed) == ([], 1, 1)
    assert [type(event) for event in gone.events] == [RunStarted, TaskOpened]


def test_a_sink_that_cannot_write_is_dropped_told_once_and_the_run_ends_with_1() -> None:
    full, other = failing(FULL), RecordingSink()
    result = execute(task("a"), plans={"a": units("a", 5)}, sinks=[full, other])
    assert result.counts.total.ended["ok"] == 5
    assert other.notes == [
        "an output of this run cannot be written any more: [Errno 28] No space left on device"
    ]
    assert (result.exit_code, full.closed) == (1, 1)


def test_two_sinks_that_fail_at_the_same_event_are_told_once_each() -> None:
    other = RecordingSink()
    execute(task("a"), sinks=[failing(FULL), failing(FULL), other])
    assert len(other.notes) == 2


def test_a_sink_that_fails_at_the_note_about_another_does_not_fail_for_ever() -> None:
    result = execute(task("a"), sinks=[failing(FULL), failing(FULL, Note)])
    assert result.exit_code == 1


def test_a_failure_at_the_last_event_still_counts_and_nothing_follows_that_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = RecordingSink()
    result = execute(task("a"), sinks=[failing(FULL, RunEnded), other])
    assert (result.exit_code, type(other.events[-1])) == (1, RunEnded)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_sink_that_fails_to_close_makes_it_1_and_the_others_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full, other = FailsToClose(FULL), RecordingSink()
    result = execute(task("a"), sinks=[full, other])
    assert (result.exit_code, full.closed, other.closed) == (1, 1, 1)
    assert "No space left on device" in caplog.text


def test_a_sink_whose_reader_went_away_before_it_was_closed_is_no_failure() -> None:
    assert execute(task("a"), sinks=[FailsToClose(GONE)]).exit_code == 0


def test_a_sink_that_was_dropped_may_fail_to_close_too() -> None:
    twice = FailsToClose(FULL, failing(GONE).fail)
    assert execute(task("a"), sinks=[twice]).exit_code == 0
    assert twice.closed == 1


def test_a_defect_of_a_sink_is_not_hidden_and_the_other_sinks_are_closed() -> None:
    def fail(_: Event) -> None:
        message = "defect"
        raise ZeroDivisionError(message)

    defect, other = RecordingSink(fail), RecordingSink()
    with pytest.raises(ZeroDivisionError):
        execute(task("a"), sinks=[defect, other])
    assert (defect.closed, other.closed) == (1, 1)


def test_a_ticker_is_called_while_a_run_goes_on() -> None:
    ticker = RecordingSink()
    execute(task("a"), tickers=[ticker])
    assert ticker.ticks >= 1


def test_a_ticker_whose_terminal_has_gone_is_dropped_as_a_sink_too() -> None:
    lost, other = FailsToTick(), RecordingSink()
    result = execute(task("a"), task("b", "a"), sinks=[lost, other], tickers=[lost])
    assert (lost.ticks, result.exit_code, result.counts.total.ended["ok"]) == (1, 1, 2)
    assert len(other.notes) == 1
    assert not any(isinstance(event, RunEnded) for event in lost.events)


# ---- accounting -----------------------------------------------------------------------------


def test_a_run_that_cannot_account_for_a_unit_says_so_and_ends_with_1() -> None:
    stage = Stage(task("a"), behave=lambda order: [report_of(order)])

    def forget(event: Event) -> None:
        if isinstance(event, TaskEnded):
            stage.run._account.counts.task("a").ended["ok"] -= 1

    stage.sink.on_event = forget
    result = stage.execute()
    sentence = "this run cannot account for its units: 1 were planned, 0 have ended"
    assert [note.partition(";")[0] for note in stage.sink.notes] == [sentence]
    assert result.exit_code == 1


# ---- the log of decisions -------------------------------------------------------------------


def test_every_decision_is_logged_when_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "batchrun.engine")
    execute(task("a"))
    decisions = [record.getMessage().partition("(")[0] for record in caplog.records]
    assert decisions == ["Open", "TaskOpened", "Close", "Order", "UnitEnded", "TaskEnded"]
