"""Units with steps: what runs after what, and what the whole unit is said to have come to."""

import errno
from dataclasses import replace
from typing import Any

import pytest

from batchrun.engine.steps import CONNECT
from batchrun.engine.stops import FINALLY_LIMIT_S
from batchrun.model.event import UnitOutput, UnitProgress, UnitStaged
from batchrun.model.host import Host
from batchrun.model.job import RetryPolicy
from batchrun.model.outcome import (
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Output,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.ports import Returned, Silent, Started
from batchrun.model.steps import Section, StepFailure
from batchrun.model.unit import Order, Unit
from doubles import CHANGED, OK, Play, report_of, task, units
from step_doubles import ListProgram, StepStage, planned, unit_with

STATUS_3 = Failed(message="exit status 3", exit_status=3)
LOST = Lost(message="worker-1 was killed")
BY_SIGNAL = "a second signal came"


# ---- one after the other ------------------------------------------------------------------------


def test_steps_run_one_after_the_other_and_the_unit_is_ok() -> None:
    stage = StepStage(ListProgram(["a", "b", "c"]))
    assert stage.ran == ["a"]
    stage.end(OK, CHANGED)
    assert stage.ran == ["a", "b", "c"]
    assert stage.queue.empty()
    stage.end(OK)
    assert stage.outcome == Ok(changed=True)
    assert stage.program.restarts == 1


def test_a_unit_in_which_no_step_changed_anything_is_unchanged() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    stage.end(OK, Skipped(because="creates: it is there"))
    assert stage.outcome == Ok(changed=False)


def test_an_ordinary_unit_goes_to_the_runner_as_it_is() -> None:
    stage = StepStage(ListProgram(["a"]))
    unit = Unit(task_id="x", index=1, operation="noop")
    order = Order(number=8, attempt=1, unit=unit, expected_s=0.001)
    stage.sequencer.submit(order)
    assert stage.orders[-1] is order
    stage.sequencer.stop(8)
    assert stage.stopped == [8]


def test_each_step_has_a_number_of_its_own_and_the_attempt_of_its_unit() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    stage.end(OK, OK)
    numbers = [order.number for order in stage.orders]
    assert len({7, *numbers}) == 3
    assert {order.attempt for order in stage.orders} == {1}
    assert {order.expected_s for order in stage.orders} == {None}


def test_a_step_with_a_verdict_is_not_run() -> None:
    skipped = planned("b", verdict=Skipped(because="when"))
    stage = StepStage(ListProgram(["a", skipped, "c"]))
    stage.end(CHANGED, OK)
    assert stage.ran == ["a", "c"]
    assert stage.outcome == Ok(changed=True)


def test_a_unit_whose_steps_are_all_skipped_never_sees_a_runner() -> None:
    stage = StepStage(ListProgram([planned("a", verdict=Skipped(because="when"))]))
    report = stage.report
    assert (stage.ran, report.outcome) == ([], Ok(changed=False))
    assert report.started_at == 0.0


def test_a_template_that_fails_is_a_step_that_fails() -> None:
    bad = planned("b", verdict=Failed(message="`x` is unknown", retryable=False))
    stage = StepStage(ListProgram(["a", bad, "c"], rescue=["r"], always=["z"]))
    stage.end(OK, OK, OK)
    assert stage.ran == ["a", "r", "z"]
    message = "step `b`: `x` is unknown; rescued"
    assert stage.outcome == Failed(message=message, retryable=False)


# ---- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "whole"),
    [
        (STATUS_3, Failed(message="step `b`: exit status 3", exit_status=3)),
        (
            Failed(message="signal 9", signal=9, retryable=False),
            Failed(message="step `b`: signal 9", signal=9, retryable=False),
        ),
        (LOST, Lost(message="step `b`: worker-1 was killed")),
        (Unreachable(message="no route"), Unreachable(message="step `b`: no route")),
        (TimedOut(limit_s=5.0), TimedOut(limit_s=5.0, note="step `b`")),
        (
            TimedOut(limit_s=9.0, idle=True),
            TimedOut(limit_s=9.0, idle=True, note="step `b`"),
        ),
    ],
)
def test_the_first_step_that_fails_ends_the_unit_in_its_way_and_is_named(
    ending: Outcome, whole: Outcome
) -> None:
    stage = StepStage(ListProgram(["a", "b", "c"]))
    stage.end(CHANGED, ending)
    assert stage.ran == ["a", "b"]
    assert stage.outcome == whole


def test_rescue_runs_after_a_failure_and_always_after_that() -> None:
    stage = StepStage(ListProgram(["a", "b"], rescue=["r1", "r2"], always=["z1", "z2"]))
    stage.end(STATUS_3, OK, OK, OK, OK)
    assert stage.ran == ["a", "r1", "r2", "z1", "z2"]
    assert stage.outcome == Failed(message="step `a`: exit status 3; rescued", exit_status=3)


def test_always_runs_after_success_and_rescue_does_not() -> None:
    stage = StepStage(ListProgram(["a"], rescue=["r"], always=["z"]))
    stage.end(OK, OK)
    assert stage.ran == ["a", "z"]
    assert stage.outcome == OK


def test_rescue_ok_makes_a_rescued_unit_ok_and_says_what_happened() -> None:
    stage = StepStage(ListProgram(["a"], rescue=["r"], rescue_ok=True))
    stage.end(STATUS_3, CHANGED)
    assert stage.outcome == Ok(changed=True, note="rescued: step `a`: exit status 3")


def test_rescue_ok_without_rescue_steps_excuses_nothing() -> None:
    stage = StepStage(ListProgram(["a"], rescue_ok=True))
    stage.end(STATUS_3)
    assert stage.outcome == Failed(message="step `a`: exit status 3", exit_status=3)


def test_a_rescue_step_that_fails_ends_rescue_and_is_named() -> None:
    program = ListProgram(["a"], rescue=["r1", "r2"], always=["z"], rescue_ok=True)
    stage = StepStage(program)
    stage.end(STATUS_3, LOST, OK)
    assert stage.ran == ["a", "r1", "z"]
    message = "step `a`: exit status 3; rescue step `r1`: worker-1 was killed"
    assert stage.outcome == Failed(message=message, exit_status=3)


def test_all_steps_of_always_run_even_if_one_fails() -> None:
    stage = StepStage(ListProgram(["a"], always=["z1", "z2", "z3"]))
    stage.end(OK, STATUS_3, LOST, OK)
    assert stage.ran == ["a", "z1", "z2", "z3"]
    message = "always step `z1`: exit status 3; always step `z2`: worker-1 was killed"
    assert stage.outcome == Failed(message=message, exit_status=3)


def test_what_fails_in_always_is_named_beside_the_first_failure() -> None:
    stage = StepStage(ListProgram(["a"], rescue=["r"], always=["z"], rescue_ok=True))
    stage.end(LOST, OK, STATUS_3)
    message = "step `a`: worker-1 was killed; rescued; always step `z`: exit status 3"
    assert stage.outcome == Lost(message=message)


def test_a_failure_of_a_step_with_ignore_errors_is_noted_and_the_next_one_runs() -> None:
    stage = StepStage(ListProgram([planned("a", ignore_errors=True), "b"]))
    stage.end(STATUS_3, OK)
    report = stage.report
    assert report.outcome == OK
    assert report.warnings == ("step `a` did not end well, which is ignored: exit status 3",)


def test_rescue_and_always_are_told_what_failed() -> None:
    stage = StepStage(ListProgram(["a", "b"], rescue=["r"], always=["z"]))
    output = Output(stdout=Captured(head=b"out\xff"), stderr=Captured(head=b"e1", tail=b"e2"))
    stage.end(OK)
    stage.end(STATUS_3, output=output)
    stage.end(OK, OK)
    failure = StepFailure(
        step="b",
        outcome="failed",
        message="exit status 3",
        exit_status=3,
        stdout="out\udcff",
        stderr="e1e2",
    )
    assert stage.program.told == {"a": None, "b": None, "r": failure, "z": failure}


def test_the_program_sees_each_attempt_and_may_change_its_ending() -> None:
    class Lenient(ListProgram):
        def review(self, section: Section, at: int, report: Report) -> Report:
            report = super().review(section, at, report)
            return replace(report, outcome=CHANGED) if report.outcome == STATUS_3 else report

    stage = StepStage(Lenient(["a", "b"]))
    stage.end(STATUS_3, OK)
    assert [report.number for report in stage.program.reviewed] == [7, 7]
    assert stage.outcome == CHANGED


# ---- retries ------------------------------------------------------------------------------------


def test_a_step_is_tried_again_and_its_last_word_counts() -> None:
    stage = StepStage(ListProgram([planned("a", retries=2), "b"]))
    stage.end(STATUS_3, STATUS_3, OK, OK)
    assert stage.ran == ["a", "a", "a", "b"]
    assert stage.program.planned == ["a", "b"]
    assert stage.outcome == OK


def test_a_step_that_fails_too_often_fails_the_unit() -> None:
    stage = StepStage(ListProgram([planned("a", retries=1)]))
    stage.end(STATUS_3, Failed(message="exit status 4", exit_status=4))
    assert stage.outcome == Failed(message="step `a`: exit status 4", exit_status=4)


def test_a_step_waits_before_it_is_tried_again() -> None:
    policy = RetryPolicy(retries=1, delay_s=10.0)
    stage = StepStage(ListProgram([planned("a", retry=policy)]))
    stage.end(STATUS_3)
    assert stage.sequencer.next_wakeup() == pytest.approx(110.0)
    stage.wait(9.9)
    assert stage.ran == ["a"]
    stage.wait(0.1)
    assert stage.ran == ["a", "a"]
    stage.end(OK)
    assert stage.outcome == OK


def test_a_step_lost_with_its_worker_is_repeated_when_that_is_safe() -> None:
    policy = RetryPolicy(repeat_lost=True)
    stage = StepStage(ListProgram([planned("a", retry=policy)]))
    stage.end(LOST, LOST, OK)
    assert stage.ran == ["a", "a", "a"]
    assert stage.outcome == OK


# ---- time ---------------------------------------------------------------------------------------


def test_a_step_gets_what_is_left_of_the_unit_s_time_if_that_is_less_than_its_own() -> None:
    steps = [planned("a", timeout_s=50.0), planned("b", timeout_s=50.0), planned("c")]
    stage = StepStage(ListProgram(steps), timeout_s=60.0)
    for seconds in (30.0, 20.0):
        stage.start()
        stage.clock.now += seconds
        stage.end(OK)
    assert [order.unit.timeout_s for order in stage.orders] == [50.0, 30.0, 10.0]


def test_waiting_for_a_worker_is_not_the_unit_s_time() -> None:
    stage = StepStage(ListProgram(["a", "b"]), timeout_s=60.0)
    stage.clock.now += 1000.0
    stage.end(OK)
    assert [order.unit.timeout_s for order in stage.orders] == [60.0, 60.0]


def test_a_unit_whose_time_is_over_is_timed_out_with_its_own_limit_and_not_rescued() -> None:
    stage = StepStage(ListProgram(["a", "b"], rescue=["r"], always=["z"]), timeout_s=60.0)
    stage.start()
    stage.clock.now += 45.0
    stage.end(OK)
    assert stage.orders[-1].unit.timeout_s == 15.0
    stage.clock.now += 15.0
    stage.end(TimedOut(limit_s=15.0), OK)
    assert stage.ran == ["a", "b", "z"]
    assert stage.outcome == TimedOut(limit_s=60.0, note="step `b` was not done by then")


def test_a_step_whose_own_time_is_over_is_rescued() -> None:
    steps = [planned("a", timeout_s=5.0)]
    stage = StepStage(ListProgram(steps, rescue=["r"]), timeout_s=60.0)
    stage.end(TimedOut(limit_s=5.0), OK)
    assert stage.ran == ["a", "r"]
    assert stage.outcome == TimedOut(limit_s=5.0, note="step `a`; rescued")


def test_time_that_ends_during_rescue_is_the_unit_s_end() -> None:
    stage = StepStage(ListProgram(["a"], rescue=["r"], always=["z"]), timeout_s=60.0)
    stage.end(STATUS_3, TimedOut(limit_s=60.0), OK)
    note = "step `a`: exit status 3; step `r` was not done by then"
    assert stage.outcome == TimedOut(limit_s=60.0, note=note)


def test_no_step_begins_when_the_time_is_over() -> None:
    stage = StepStage(ListProgram(["a", "b"], always=["z"]), timeout_s=60.0)
    stage.start()
    stage.clock.now += 61.0
    stage.end(OK, OK)
    assert stage.ran == ["a", "z"]
    assert stage.outcome == TimedOut(limit_s=60.0, note="step `b` was not done by then")


def test_time_that_ends_while_a_step_waits_for_its_retry_ends_the_unit() -> None:
    policy = RetryPolicy(retries=5, delay_s=100.0)
    stage = StepStage(ListProgram([planned("a", retry=policy)], always=["z"]), timeout_s=60.0)
    stage.end(STATUS_3)
    stage.wait(60.0)
    assert stage.running == "z"
    stage.end(OK)
    assert stage.outcome == TimedOut(limit_s=60.0, note="step `a` was not done by then")


def test_always_has_its_own_time() -> None:
    always = [planned("z1", timeout_s=900.0), planned("z2")]
    stage = StepStage(ListProgram(["a"], always=always), timeout_s=60.0)
    stage.start()
    stage.clock.now += 60.0
    stage.end(TimedOut(limit_s=60.0), OK, OK)
    limits = [order.unit.timeout_s for order in stage.orders]
    assert limits == [60.0, 900.0, FINALLY_LIMIT_S]


def test_a_unit_without_a_limit_sets_none_to_always() -> None:
    stage = StepStage(ListProgram(["a"], always=["z"]))
    stage.end(OK, OK)
    assert [order.unit.timeout_s for order in stage.orders] == [None, None]


def test_a_step_that_could_not_be_killed_leaves_the_unit_marked_so() -> None:
    stage = StepStage(ListProgram(["a"]), timeout_s=60.0)
    stage.end(TimedOut(limit_s=60.0, stuck=True))
    note = "step `a` was not done by then"
    assert stage.outcome == TimedOut(limit_s=60.0, stuck=True, note=note)


# ---- stops --------------------------------------------------------------------------------------


def test_a_stop_ends_the_running_step_runs_always_and_nothing_else() -> None:
    stage = StepStage(ListProgram(["a", "b"], rescue=["r"], always=["z"]))
    stage.start()
    stage.sequencer.stop(7)
    assert stage.stopped == [stage.orders[0].number]
    stage.end_stopped()
    stage.end(OK)
    assert stage.ran == ["a", "z"]
    assert stage.outcome == Cancelled(was_running=True)
    assert not stage.sequencer.always_cut


def test_a_stop_that_comes_too_late_for_a_step_begins_no_other() -> None:
    stage = StepStage(ListProgram(["a", "b"], always=["z"]))
    stage.start()
    stage.sequencer.stop(7)
    stage.end(OK, OK)
    assert stage.ran == ["a", "z"]
    assert stage.outcome == Cancelled(was_running=True)
    assert stage.orders[-1].number not in stage.stopped


def test_a_stop_that_comes_too_late_for_the_last_step_changes_nothing() -> None:
    stage = StepStage(ListProgram(["a"], always=["z"]))
    stage.start()
    stage.sequencer.stop(7)
    stage.end(CHANGED, OK)
    assert stage.outcome == CHANGED


def test_a_failure_is_not_rescued_after_a_stop() -> None:
    stage = StepStage(ListProgram(["a"], rescue=["r"], always=["z"]))
    stage.start()
    stage.sequencer.stop(7)
    stage.end(STATUS_3, OK)
    assert stage.ran == ["a", "z"]
    assert stage.outcome == Failed(message="step `a`: exit status 3", exit_status=3)


def test_a_unit_stopped_before_its_first_step_began_has_nothing_to_tidy_up() -> None:
    stage = StepStage(ListProgram(["a"], always=["z"]))
    stage.sequencer.stop(7)
    stage.sequencer.taken(stopped_unbegun(stage))
    assert stage.ran == ["a"]
    assert stage.outcome == Cancelled(was_running=False)


def stopped_unbegun(stage: StepStage) -> Report:
    return report_of(stage.orders[-1], Cancelled(was_running=False))


def test_a_step_that_waits_for_its_retry_ends_at_once_on_a_stop() -> None:
    policy = RetryPolicy(retries=5, delay_s=100.0)
    stage = StepStage(ListProgram([planned("a", retry=policy)], always=["z"]))
    stage.end(STATUS_3)
    stage.sequencer.stop(7)
    assert (stage.ran, stage.stopped) == (["a", "z"], [])
    stage.end(OK)
    assert stage.outcome == Cancelled(was_running=True)


def test_a_step_is_not_tried_again_after_a_stop() -> None:
    stage = StepStage(ListProgram([planned("a", retries=3)]))
    stage.start()
    stage.sequencer.stop(7)
    stage.end(STATUS_3)
    assert stage.outcome == Failed(message="step `a`: exit status 3", exit_status=3)


def test_a_stop_during_always_lets_it_go_on_for_the_time_of_finally() -> None:
    stage = StepStage(ListProgram(["a"], always=["z1", "z2"]))
    stage.end(OK)
    stage.start()
    stage.sequencer.stop(7)
    assert stage.stopped == []
    stage.wait(FINALLY_LIMIT_S - 1)
    assert stage.stopped == []
    stage.wait(1)
    assert stage.stopped == [stage.orders[-1].number]
    stage.end_stopped()
    assert stage.ran == ["a", "z1"]
    assert stage.outcome == Cancelled(was_running=True)


def test_always_after_a_stop_has_the_time_of_finally_in_all() -> None:
    always = [planned("z1"), planned("z2", timeout_s=1000.0)]
    stage = StepStage(ListProgram(["a"], always=always))
    stage.start()
    stage.sequencer.stop(7)
    stage.end_stopped()
    stage.clock.now += 100.0
    stage.end(OK, OK)
    limits = [order.unit.timeout_s for order in stage.orders]
    assert limits == [None, FINALLY_LIMIT_S, FINALLY_LIMIT_S - 100.0]
    assert stage.outcome == Cancelled(was_running=True)


def test_an_urgent_stop_leaves_always_out_and_counts_that() -> None:
    stage = StepStage(ListProgram(["a"], always=["z"]))
    stage.start()
    stage.sequencer.stop(7, urgent=BY_SIGNAL)
    stage.end_stopped()
    assert stage.ran == ["a"]
    assert stage.outcome == Cancelled(was_running=True)
    assert stage.sequencer.always_cut == {BY_SIGNAL: 1}


def test_an_urgent_stop_ends_always_too() -> None:
    stage = StepStage(ListProgram(["a"], always=["z"]))
    stage.end(OK)
    stage.start()
    stage.sequencer.stop(7)
    stage.sequencer.stop(7, urgent=BY_SIGNAL)
    stage.end_stopped()
    assert stage.outcome == Cancelled(was_running=True)
    assert stage.sequencer.always_cut == {BY_SIGNAL: 1}


def test_an_urgent_stop_that_comes_too_late_for_the_last_step_cuts_nothing() -> None:
    stage = StepStage(ListProgram(["a"], always=["z"]))
    stage.end(OK)
    stage.start()
    stage.sequencer.stop(7, urgent=BY_SIGNAL)
    stage.end(OK)
    assert stage.outcome == OK
    assert not stage.sequencer.always_cut


def test_a_unit_without_always_has_none_that_is_left_out() -> None:
    stage = StepStage(ListProgram(["a"]))
    stage.start()
    stage.sequencer.stop(7, urgent=BY_SIGNAL)
    stage.end_stopped()
    assert not stage.sequencer.always_cut


def test_a_stopped_unit_says_as_warnings_what_had_gone_wrong() -> None:
    stage = StepStage(ListProgram(["a"], always=["z"]))
    stage.start()
    stage.sequencer.stop(7)
    stage.end_stopped()
    stage.end(STATUS_3)
    warnings = stage.report.warnings
    assert warnings == ("step `a`: stopped while it ran", "always step `z`: exit status 3")


# ---- what is handed back ------------------------------------------------------------------------


def test_a_unit_whose_first_step_is_handed_back_is_handed_back_as_a_whole() -> None:
    stage = StepStage(ListProgram(["a", "b"], always=["z"]))
    stage.give_back()
    assert stage.answer == Returned(number=7, attempt=1)
    assert stage.ran == ["a"]


def test_a_later_step_that_is_handed_back_goes_to_the_runner_again() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    stage.end(OK)
    first = stage.orders[-1]
    stage.give_back()
    assert stage.ran == ["a", "b", "b"]
    assert stage.orders[-1].number != first.number
    stage.end(OK)
    assert stage.outcome == OK


def test_a_later_step_that_is_handed_back_after_a_stop_is_cancelled_and_always_runs() -> None:
    stage = StepStage(ListProgram(["a", "b"], always=["z"]))
    stage.end(OK)
    stage.sequencer.stop(7)
    stage.give_back()
    stage.end(OK)
    assert stage.ran == ["a", "b", "z"]
    assert stage.outcome == Cancelled(was_running=True)


def test_what_is_said_of_a_step_that_is_history_is_not_heard() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    old = stage.orders[0]
    stage.end(OK)
    late = Started(number=old.number, attempt=1, at=1.0, worker="w")
    assert list(stage.sequencer.told(late)) == []
    stage.end(OK)
    assert stage.outcome == OK


# ---- what the unit says -------------------------------------------------------------------------


def test_a_unit_has_started_once_and_then_says_which_step_it_is_at() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    assert stage.start() == [
        Started(number=7, attempt=1, at=2.0, worker="w1"),
        UnitProgress(number=7, bytes_done=0, step="a"),
    ]
    stage.end(OK, bytes_done=10)
    assert stage.start() == [UnitProgress(number=7, bytes_done=10, step="b")]
    more = UnitProgress(number=stage.orders[-1].number, bytes_done=5)
    assert list(stage.sequencer.told(more)) == [UnitProgress(number=7, bytes_done=15)]


def test_live_output_of_a_step_is_that_of_its_unit() -> None:
    stage = StepStage(ListProgram(["a"]))
    order = stage.orders[-1]
    piece = UnitOutput(number=order.number, unit=order.unit, stream="stdout", data=b"x")
    (told,) = stage.sequencer.told(piece)
    assert told == UnitOutput(number=7, unit=stage.order.unit, stream="stdout", data=b"x")


def test_output_bytes_warnings_and_diffs_of_all_steps_are_collected() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    for name in ("a", "b"):
        output = Output(stdout=Captured(head=name.encode()))
        stage.end(OK, output=output, warnings=(name,), diff=f"+{name}\n", bytes_done=3)
    report = stage.report
    assert report.output == Output(stdout=Captured(head=b"ab"))
    assert (report.warnings, report.diff, report.bytes_done) == (("a", "b"), "+a\n+b\n", 6)
    assert report.started_at == 1.0


def test_a_failed_unit_shows_the_output_of_the_step_that_failed() -> None:
    stage = StepStage(ListProgram(["a", "b"], rescue=["r"]))
    for name, outcome in (("a", OK), ("b", STATUS_3), ("r", OK)):
        stage.end(outcome, output=Output(stderr=Captured(head=name.encode())))
    output = stage.report.output
    assert (output.stderr.head, output.stderr.size_bytes) == (b"b", 1)
    assert output.stdout == Captured()


def test_the_output_of_the_step_that_failed_leads_to_that_of_all_steps() -> None:
    stage = StepStage(ListProgram(["a", "b"], rescue=["r"]))
    for name, outcome in (("a", OK), ("b", STATUS_3), ("r", OK)):
        stage.end(outcome, output=Output(stderr=Captured(head=name.encode())))
    assert stage.report.output.stderr.parts == (Captured(head=b"abr"),)


def test_the_files_with_the_whole_output_of_steps_stay_known() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    long = {name: Captured(head=b"x", omitted_bytes=5, spool=f"/spool/{name}") for name in "ab"}
    for name in "ab":
        stage.end(OK, output=Output(stdout=long[name]))
    assert stage.report.output.stdout.parts == (long["a"], long["b"])


def test_the_duration_is_that_of_the_whole() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    stage.clock.now += 50.0
    stage.start()
    stage.clock.now += 3.0
    stage.end(OK)
    stage.clock.now += 4.0
    stage.end(OK)
    assert stage.report.duration_s == 7.0


def test_notes_of_steps_are_told_with_their_names() -> None:
    stage = StepStage(ListProgram(["a", "b"]))
    stage.end(Ok(changed=True, note="would run"), Ok(changed=True, note="would copy"))
    assert stage.outcome == Ok(changed=True, note="`a`: would run; `b`: would copy")


def test_secrets_of_the_unit_are_those_of_its_steps() -> None:
    steps = [planned("a", secrets=("b", "d")), planned("b")]
    stage = StepStage(ListProgram(steps), secrets=("c",))
    stage.end(OK, OK)
    assert [order.unit.secrets for order in stage.orders] == [("b", "c", "d"), ("c",)]


# ---- dry runs -----------------------------------------------------------------------------------

MISSING = Failed(message="/x: No such file or directory", errno=errno.ENOENT)


def test_in_a_dry_run_what_an_earlier_step_would_make_is_unknown_until_run() -> None:
    stage = StepStage(ListProgram(["a", "b", "c"], always=["z"]), dry=True)
    stage.end(CHANGED, MISSING, OK, OK)
    assert stage.ran == ["a", "b", "c", "z"]
    told = "`a`: would change; `b`: unknown until run: /x: No such file or directory"
    assert stage.outcome == Ok(changed=True, note=told)


def test_in_a_dry_run_a_failure_is_not_rescued_and_always_is_rehearsed() -> None:
    stage = StepStage(ListProgram(["a", "b"], rescue=["r"], always=["z"]), dry=True)
    stage.end(MISSING, OK)
    assert stage.ran == ["a", "z"]
    message = "step `a`: /x: No such file or directory"
    assert stage.outcome == Failed(message=message, errno=errno.ENOENT)


# ---- beside other units -------------------------------------------------------------------------


def test_nothing_is_handed_over_into_the_way_of_the_next_step() -> None:
    steps = [unit_with(ListProgram(["a"]), task_id="s", label=f"s{n}", index=n) for n in (1, 2, 3)]
    play = Play(task("s"), task("o"), plans={"s": steps, "o": units("o", 9)}, slots=2)
    while play.flying:
        numbers = [order.number for order in play.flying.values()]
        if any(order.unit.program is not None for order in play.flying.values()):
            assert len(numbers) <= 2
        play.end(play.running[0])
    assert len(play.outcomes()) == 12


def test_a_single_operation_that_is_resolved_late_may_be_queued_ahead_as_others_may() -> None:
    for names, expected_s in ((["a"], 0.001), (["a", "b"], None)):
        stage = StepStage(ListProgram(names))
        order = replace(stage.order, number=8, expected_s=0.001)
        stage.sequencer.submit(order)
        assert stage.orders[-1].expected_s == expected_s


# ---- on a host ----------------------------------------------------------------------------------

HOST = Host(name="web1")


def on_host(program: ListProgram, **fields: Any) -> StepStage:
    """Make a stage for a unit that is for a host."""
    return StepStage(program, host="web1", place=HOST, **fields)


def test_a_unit_for_a_host_is_connected_before_its_first_step() -> None:
    stage = on_host(ListProgram(["drain", "restart"]))
    (first,) = stage.orders
    assert (first.unit.operation, first.unit.place, first.unit.host) == (CONNECT, HOST, "web1")
    assert stage.program.planned == []
    stage.end(OK)
    assert stage.program.planned == ["drain"]
    stage.end(CHANGED, OK)
    assert stage.outcome == Ok(changed=True)


@pytest.mark.parametrize(
    "ending", [Unreachable(message="refused"), Cancelled(was_running=True), Failed(message="full")]
)
def test_nothing_is_done_for_a_host_that_is_not_connected(ending: Outcome) -> None:
    stage = on_host(ListProgram(["drain"], ["rescue"], ["undrain"]))
    stage.end(ending)
    assert stage.outcome == ending
    assert stage.program.planned == []


def test_a_stop_that_comes_too_late_for_the_connection_begins_no_step() -> None:
    stage = on_host(ListProgram(["drain"], [], ["undrain"]))
    stage.start()
    stage.sequencer.stop(stage.order.number)
    stage.end(OK)
    assert stage.outcome == Cancelled(was_running=True)
    assert stage.program.planned == []


def test_connecting_is_not_the_time_of_the_unit() -> None:
    stage = on_host(ListProgram(["a", "b"]), timeout_s=10.0)
    assert stage.orders[0].unit.timeout_s is None
    stage.start()
    stage.wait(60.0)
    stage.end(OK)
    assert stage.orders[-1].unit.timeout_s == 10.0


def test_a_connection_that_is_handed_back_hands_the_whole_unit_back() -> None:
    stage = on_host(ListProgram(["a", "b"]))
    stage.give_back()
    assert isinstance(stage.answer, Returned)


def test_a_single_operation_connects_by_itself() -> None:
    stage = on_host(ListProgram(["only"]))
    assert stage.ran == ["only"]


def test_stages_and_silence_of_a_step_are_those_of_its_unit() -> None:
    stage = on_host(ListProgram(["a", "b"]))
    number = stage.orders[-1].number
    told = [
        *stage.sequencer.told(UnitStaged(number=number, stage="authenticating", at=1.0)),
        *stage.sequencer.told(Silent(number=number, stage="authenticating", silent_s=600.0)),
    ]
    assert told == [
        UnitStaged(number=7, stage="authenticating", at=1.0),
        Silent(number=7, stage="authenticating", silent_s=600.0),
    ]
