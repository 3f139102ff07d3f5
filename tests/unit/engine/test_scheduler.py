"""The order of tasks and units, retries, limits and stops, one step at a time."""

import pytest

from batchrun.engine.scheduler import READY_PER_TASK, WINDOW, StopUnit, Withdraw
from batchrun.engine.stops import FINALLY_LIMIT_S, StopKind
from batchrun.errors import SourceError
from batchrun.model.job import FailLimit, RetryPolicy, Task
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
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit
from doubles import FAILED, OK, Plan, Play, stream_of, task, units

REPEATABLE = RetryPolicy(repeat_lost=True)
SIGNALS = (StopKind.INTERRUPT, StopKind.TERMINATE, StopKind.HANGUP)


def retrying(retries: int, *kinds: str, delay_s: float = 1.0) -> RetryPolicy:
    return RetryPolicy(retries=retries, delay_s=delay_s, kinds=frozenset(kinds or {"failed"}))


# ---- needs ----------------------------------------------------------------------------------


def test_a_task_starts_only_when_all_units_of_what_it_needs_have_ended() -> None:
    play = Play(task("a"), task("b", "a"), plans={"a": units("a", 2)})
    assert play.running == ["a1", "a2"]
    play.end("a1")
    assert (play.running, play.opened) == (["a2"], ["a"])
    play.end("a2")
    assert play.running == ["b1"]


def test_tasks_that_need_nothing_run_side_by_side() -> None:
    assert Play(task("a"), task("b"), slots=2).running == ["a1", "b1"]


def test_a_task_waits_for_each_of_its_needs() -> None:
    play = Play(task("a"), task("b"), task("c", "a", "b"))
    play.end("a1")
    assert play.running == ["b1"]
    play.end("b1")
    assert play.running == ["c1"]


def test_naming_a_need_twice_means_the_same_as_naming_it_once() -> None:
    play = Play(task("a"), task("b", "a", "a"))
    play.end("a1")
    assert play.running == ["b1"]


def test_a_need_may_be_written_below_the_task_that_has_it() -> None:
    play = Play(task("last", "first"), task("first"))
    assert play.running == ["first1"]
    play.end("first1")
    assert play.running == ["last1"]


def test_skipped_units_satisfy_a_need() -> None:
    skipped = units("a", 3, verdict=Skipped(because="when"))
    play = Play(task("a"), task("b", "a"), plans={"a": skipped})
    assert play.running == ["b1"]
    assert play.outcomes() == {f"a{n}": Skipped(because="when") for n in (1, 2, 3)}


def test_ignored_failures_satisfy_a_need() -> None:
    play = Play(task("a", ignore_errors=True), task("b", "a"))
    play.end("a1", FAILED)
    assert play.running == ["b1"]
    assert [event.ignored for event in play.events if hasattr(event, "ignored")] == [True]


def test_a_task_without_units_satisfies_a_need_and_says_that_it_had_none() -> None:
    play = Play(task("a", title="copy it"), task("b", "a"), plans={"a": []})
    assert play.running == ["b1"]
    assert play.notes == ["its `foreach` gave no items, so there was no unit"]


def test_a_task_whose_foreach_gave_items_says_nothing() -> None:
    play = Play(task("a"))
    play.end_all()
    assert play.notes == []


@pytest.mark.parametrize(
    "outcome",
    [
        FAILED,
        TimedOut(limit_s=1.0),
        Lost(message="killed"),
        Unreachable(message="no"),
        Cancelled(was_running=True),
        Aborted(because="no"),
    ],
    ids=lambda outcome: outcome.kind,
)
def test_a_need_that_did_not_end_well_stops_all_that_depend_on_it(outcome: Outcome) -> None:
    play = Play(task("a"), task("b", "a"), task("c", "b"), task("d"), plans={"a": units("a", 2)})
    play.end("a1", outcome)
    play.end_all()
    ended = play.tasks_ended()
    assert ended["a"].good is False
    assert ended["b"].not_expanded == "needs a, which did not end well"
    assert ended["c"].not_expanded == "needs b, which was not started"
    assert (ended["b"].planned, ended["c"].planned, ended["d"].good) == (0, 0, True)
    assert set(play.opened) == {"a", "d"}
    assert play.scheduler.done


def test_a_task_with_two_bad_needs_ends_once_because_of_the_first() -> None:
    play = Play(task("a"), task("b"), task("c", "a", "b"), task("d", "a", "b", "c"))
    play.end("b1", FAILED)
    play.end("a1", FAILED)
    ended = play.tasks_ended()
    assert ended["c"].not_expanded == "needs b, which did not end well"
    assert ended["d"].not_expanded == "needs b, which did not end well"
    assert play.scheduler.done


def test_a_chain_of_a_thousand_tasks_falls_without_recursion() -> None:
    chain = [task("t0"), *(task(f"t{n}", f"t{n - 1}") for n in range(1, 1500))]
    play = Play(*chain)
    play.end("t01", FAILED)
    assert len(play.tasks_ended()) == 1500
    assert play.scheduler.done


def test_what_depends_on_a_broken_source_says_so() -> None:
    play = Play(task("a"), task("b", "a"), plans={"a": [SourceError("no such file")]})
    assert play.tasks_ended()["b"].not_expanded == "needs a, whose `foreach` failed"


# ---- drawing --------------------------------------------------------------------------------


def test_a_long_stream_is_drawn_only_a_little_ahead() -> None:
    play = Play(task("a"), plans={"a": stream_of("a", 1_000_000)}, slots=2)
    assert play.drawn["a"] - len(play.running) == READY_PER_TASK
    for _ in range(100):
        play.end(play.running[0])
    assert play.drawn["a"] - 100 - len(play.running) == READY_PER_TASK


def test_units_that_wait_for_a_lock_are_drawn_up_to_the_window_and_no_further() -> None:
    play = Play(task("a"), plans={"a": stream_of("a", 1_000_000, locks=("x",))})
    assert play.running == ["a1"]
    assert play.drawn["a"] == WINDOW + 1
    play.end("a1")
    assert (play.running, play.drawn["a"]) == (["a2"], WINDOW + 2)


def test_units_that_wait_for_their_retry_are_drawn_up_to_the_window_and_no_further() -> None:
    policy = retrying(1, delay_s=100.0)
    play = Play(task("a", retry=policy), plans={"a": stream_of("a", 1_000_000)})
    for _ in range(WINDOW - READY_PER_TASK + 10):
        if play.flying:
            play.end(play.running[0], FAILED)
    assert play.drawn["a"] <= WINDOW + 2 * play.slots


def test_the_scheduler_looks_past_units_that_wait_for_a_lock() -> None:
    free = Unit(task_id="a", index=501, label="free", operation="noop")
    play = Play(task("a"), plans={"a": [*units("a", 500, locks=("x",)), free]})
    assert play.running == ["a1", "free"]


def test_a_source_without_items_now_is_asked_again_when_it_says_so() -> None:
    play = Play(task("a"), plans={"a": [*units("a", 1), Drawn.PENDING, *units("more", 1)]})
    assert play.drawn["a"] == 1
    play.end("a1")
    assert not play.scheduler.done
    play.scheduler.readable("a")
    play.go()
    assert play.drawn["a"] == 2


def test_a_pending_source_does_not_keep_others_from_being_drawn() -> None:
    play = Play(task("a"), task("b"), plans={"a": [Drawn.PENDING]})
    assert play.running == ["b1"]


def test_a_source_that_fails_half_way_keeps_the_units_that_it_gave() -> None:
    play = Play(task("a"), plans={"a": [*units("a", 2), SourceError("disk gone")]})
    assert play.closed == ["a"]
    play.end_all()
    ended = play.tasks_ended()["a"]
    assert play.outcomes() == {"a1": OK, "a2": OK}
    assert (ended.good, ended.source_error, ended.planned) == (False, "disk gone", 2)


def test_each_stream_is_opened_once_and_closed_once() -> None:
    play = Play(task("a"), task("b", "a"), plans={"a": units("a", 300)})
    play.end_all()
    assert (play.opened, play.closed) == (["a", "b"], ["a", "b"])


def test_no_more_than_256_streams_are_open_at_once() -> None:
    tasks = [task(f"t{n}") for n in range(400)]
    play = Play(*tasks, plans={one.id: [Drawn.PENDING, *units(one.id, 1)] for one in tasks})
    assert len(play.opened) - len(play.closed) == 256
    for task_id in list(play.opened):
        play.scheduler.readable(task_id)
    play.go()
    assert len(play.opened) == 400


def test_units_are_numbered_from_one_in_the_order_of_their_planning() -> None:
    play = Play(task("a"), plans={"a": units("a", 3)})
    assert {order.unit.label: number for number, order in play.flying.items()} == {
        "a1": 1,
        "a2": 2,
        "a3": 3,
    }


def test_a_verdict_ends_a_unit_without_a_runner() -> None:
    verdict = Failed(message="template", retryable=False)
    play = Play(task("a"), plans={"a": units("a", 1, verdict=verdict)})
    assert (play.running, play.outcomes()) == ([], {"a1": verdict})
    assert play.tasks_ended()["a"].good is False


# ---- locks, limits, max_parallel ------------------------------------------------------------


def test_units_with_the_same_lock_run_one_after_the_other() -> None:
    play = Play(task("a"), plans={"a": units("a", 3, locks=("x",))}, slots=4)
    for label in ("a1", "a2", "a3"):
        assert play.running == [label]
        play.end(label)
    assert play.scheduler.done


def test_a_semaphore_lets_in_as_many_as_it_says() -> None:
    plans = {"a": units("a", 5, limits=("db",))}
    play = Play(task("a"), plans=plans, slots=4, limits={"db": 2})
    assert play.running == ["a1", "a2"]
    play.end("a2")
    assert play.running == ["a1", "a3"]


def test_a_lock_and_a_limit_of_one_name_are_two_things() -> None:
    plans = {"a": units("a", 1, locks=("x",)), "b": units("b", 1, limits=("x",))}
    assert Play(task("a"), task("b"), plans=plans, limits={"x": 1}).running == ["a1", "b1"]


def test_max_parallel_bounds_one_task_only() -> None:
    plans = {"a": units("a", 9), "b": units("b", 9)}
    play = Play(task("a", max_parallel=2), task("b"), plans=plans, slots=4)
    assert sum(label.startswith("a") for label in play.running) == 2
    assert sum(label.startswith("b") for label in play.running) >= 2


def test_locks_are_taken_all_or_not_at_all() -> None:
    plans = {
        "holder": units("holder", 1, locks=("x",)),
        "both": units("both", 1, locks=("w", "x")),
        "other": units("other", 1, locks=("w",)),
    }
    play = Play(task("holder"), task("both"), task("other"), plans=plans, slots=4)
    assert play.running == ["holder1", "other1"]
    play.end("holder1")
    assert play.running == ["other1"]
    play.end("other1")
    assert play.running == ["both1"]


def test_a_unit_that_waits_for_a_lock_takes_no_slot() -> None:
    plans = {"a": units("a", 10, locks=("x",)), "b": units("b", 1), "c": units("c", 1)}
    play = Play(task("a"), task("b"), task("c"), plans=plans, slots=2)
    assert sorted(play.running) == ["a1", "b1", "c1"]


def test_a_locked_task_does_not_starve_beside_a_task_with_a_million_units() -> None:
    plans = {"big": stream_of("big", 1_000_000), "small": units("small", 3, locks=("x",))}
    play = Play(task("big"), task("small"), plans=plans, slots=2)
    for _ in range(30):
        play.end(play.running[0])
    assert {"small1", "small2", "small3"} <= play.outcomes().keys()


def test_a_locked_task_does_not_starve_beside_a_million_units_with_the_same_lock() -> None:
    big = stream_of("big", 1_000_000, locks=("x",))
    play = Play(
        task("big"),
        task("small"),
        slots=2,
        plans={"big": big, "small": units("small", 1, locks=("x",))},
    )
    for _ in range(WINDOW + 2):
        play.end(play.running[0])
        if "small1" in play.outcomes():
            break
    assert "small1" in play.outcomes()


def test_a_lock_is_free_for_others_while_its_unit_waits_for_a_retry() -> None:
    plans = {"a": units("a", 1, locks=("x",)), "b": units("b", 1, locks=("x",))}
    play = Play(task("a", retry=retrying(1)), task("b"), plans=plans, slots=1)
    play.end("a1", FAILED)
    assert play.running == ["b1"]
    play.wait(10.0)
    assert play.running == ["b1"]
    play.end("b1")
    assert play.running == ["a1"]


# ---- retries --------------------------------------------------------------------------------


def test_a_unit_that_waits_for_its_retry_holds_no_slot() -> None:
    plans = {"a": units("a", 1), "b": units("b", 1)}
    play = Play(task("a", retry=retrying(1)), task("b"), plans=plans, slots=1)
    play.end("a1", FAILED)
    assert play.scheduler.in_flight == 1
    assert play.running == ["b1"]


def test_a_retry_comes_when_its_delay_is_over_and_not_before() -> None:
    play = Play(task("a", retry=retrying(1, delay_s=10.0)))
    play.end("a1", FAILED)
    assert play.retried[0].delay_s == 10.0
    assert play.scheduler.next_wakeup() == 10.0
    play.wait(9.9)
    assert play.running == []
    play.wait(0.2)
    assert play.order("a1").attempt == 2


def test_a_unit_is_tried_once_and_as_often_again_as_retries_says() -> None:
    play = Play(task("a", retry=retrying(2)))
    for _ in range(3):
        play.end("a1", FAILED)
        play.wait(1000.0)
    assert play.outcomes() == {"a1": FAILED}
    assert len(play.retried) == 2
    assert play.scheduler.done


def test_a_retry_that_succeeds_makes_the_task_good() -> None:
    play = Play(task("a", retry=retrying(1)), task("b", "a"))
    play.end("a1", FAILED)
    play.wait(10.0)
    play.end("a1")
    assert play.running == ["b1"]


def test_a_failure_that_is_retried_does_not_count_against_the_fail_limit() -> None:
    play = Play(task("a", retry=retrying(1), max_fail=FailLimit(count=0)))
    play.end("a1", FAILED)
    assert play.scheduler.fail_limit_hit == ""
    play.wait(10.0)
    play.end("a1", FAILED)
    assert play.scheduler.fail_limit_hit == "more than 0 of a failed"


def test_a_unit_lost_with_its_worker_is_repeated_three_times_whatever_retries_says() -> None:
    play = Play(task("a", retry=REPEATABLE))
    for attempt in (1, 2, 3, 4):
        assert play.order("a1").attempt == attempt
        play.end("a1", Lost(message="killed"))
        play.wait(0.0)
    assert play.outcomes() == {"a1": Lost(message="killed")}
    assert [event.delay_s for event in play.retried] == [0.0, 0.0, 0.0]


def test_repeating_what_was_lost_takes_nothing_from_the_retries() -> None:
    policy = RetryPolicy(retries=1, kinds=frozenset({"failed"}), repeat_lost=True)
    play = Play(task("a", retry=policy))
    play.end("a1", Lost(message="killed"))
    play.wait(0.0)
    play.end("a1", FAILED)
    play.wait(10.0)
    play.end("a1")
    assert play.outcomes() == {"a1": OK}


def test_retries_that_name_lost_come_after_the_free_repeats() -> None:
    policy = RetryPolicy(retries=2, kinds=frozenset({"lost"}), repeat_lost=True)
    play = Play(task("a", retry=policy))
    while play.flying:
        play.end("a1", Lost(message="killed"))
        play.wait(1000.0)
    assert [event.delay_s for event in play.retried] == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_a_command_lost_with_its_worker_is_not_repeated() -> None:
    play = Play(task("a", is_command=True))
    play.end("a1", Lost(message="killed"))
    assert play.outcomes() == {"a1": Lost(message="killed")}


# ---- fail limits ----------------------------------------------------------------------------


def test_one_failure_more_than_max_fail_aborts_what_has_not_begun() -> None:
    play = Play(task("a", max_fail=FailLimit(count=1)), plans={"a": units("a", 9)}, slots=1)
    play.end("a1", FAILED)
    assert play.scheduler.fail_limit_hit == ""
    play.end("a2", FAILED)
    assert play.running == []
    aborted = Aborted(because="more than 1 of a failed")
    expected = {"a1": FAILED, "a2": FAILED, **{f"a{n}": aborted for n in range(3, 10)}}
    assert play.outcomes() == expected
    assert play.scheduler.done


def test_a_stream_cut_short_by_a_fail_limit_is_reported_as_not_expanded() -> None:
    play = Play(task("a", max_fail=FailLimit(count=0)), plans={"a": stream_of("a", 1000)})
    play.end("a1", FAILED)
    play.end_all()
    ended = play.tasks_ended()["a"]
    assert ended.not_expanded == "more than 0 of a failed"
    assert ended.planned == len(play.outcomes()) < 1000


def test_the_fail_limit_of_a_task_leaves_others_alone() -> None:
    plans = {"b": units("b", 3)}
    play = Play(task("a", max_fail=FailLimit(count=0)), task("b"), plans=plans)
    play.end("a1", FAILED)
    play.end_all()
    assert play.scheduler.stop_reason is None
    assert play.tasks_ended()["b"].good


def test_the_fail_limit_of_the_job_adds_up_all_tasks_and_lets_running_units_finish() -> None:
    play = Play(
        task("a"),
        task("b"),
        task("c", "a"),
        slots=1,
        max_fail=FailLimit(count=1),
        plans={"a": units("a", 2), "b": units("b", 9)},
    )
    play.end("a1", FAILED)
    play.end("b1", FAILED)
    assert play.stops == []
    play.end_all()
    assert play.scheduler.fail_limit_hit == "more than 1 of the job failed"
    assert play.outcomes()["b9"] == Aborted(because="the fail limit was passed")
    assert play.tasks_ended()["c"].not_expanded == "the fail limit was passed"
    assert play.scheduler.done


def test_ignored_failures_count_against_no_limit() -> None:
    limit = FailLimit(count=0)
    play = Play(task("a", ignore_errors=True, max_fail=limit), max_fail=limit)
    play.end("a1", FAILED)
    assert play.scheduler.fail_limit_hit == ""


@pytest.mark.parametrize("outcome", [Skipped(because="guard"), OK], ids=lambda one: one.kind)
def test_what_ends_well_counts_against_no_limit(outcome: Outcome) -> None:
    play = Play(task("a", max_fail=FailLimit(count=0)))
    play.end("a1", outcome)
    assert play.scheduler.fail_limit_hit == ""


def test_a_share_of_a_known_total_is_not_passed_by_early_failures() -> None:
    play = Play(
        task("a", max_fail=FailLimit(percent=10.0)),
        totals={"a": 100},
        plans={"a": stream_of("a", 100)},
    )
    for _ in range(10):
        play.end(play.running[0], FAILED)
    assert play.scheduler.fail_limit_hit == ""
    play.end(play.running[0], FAILED)
    assert play.scheduler.fail_limit_hit == "more than 10% of a failed"


def test_a_share_of_an_unknown_total_counts_from_twenty_attempts_on() -> None:
    play = Play(task("a", max_fail=FailLimit(percent=10.0)), plans={"a": stream_of("a", 1000)})
    for _ in range(19):
        play.end(play.running[0], FAILED)
    assert play.scheduler.fail_limit_hit == ""
    play.end(play.running[0], FAILED)
    assert play.scheduler.fail_limit_hit == "more than 10% of a failed"


def test_the_twentieth_attempt_is_judged_also_when_it_succeeds() -> None:
    play = Play(task("a", max_fail=FailLimit(percent=10.0)), plans={"a": stream_of("a", 1000)})
    for _ in range(19):
        play.end(play.running[0], FAILED)
    play.end(play.running[0])
    assert play.scheduler.fail_limit_hit == "more than 10% of a failed"


def test_a_share_is_judged_when_the_source_turns_out_to_be_short() -> None:
    plan: Plan = [*units("a", 4), Drawn.PENDING]
    play = Play(task("a", max_fail=FailLimit(percent=10.0)), plans={"a": plan})
    play.end("a1", FAILED)
    assert play.scheduler.fail_limit_hit == ""
    play.scheduler.readable("a")
    play.go()
    assert play.scheduler.fail_limit_hit == "more than 10% of a failed"


def test_a_share_of_the_job_is_judged_when_all_totals_are_known() -> None:
    plans: dict[str, Plan] = {"a": units("a", 4), "b": [*units("b", 2), Drawn.PENDING]}
    play = Play(task("a"), task("b"), plans=plans, slots=4, max_fail=FailLimit(percent=20.0))
    play.end("a1", FAILED)
    play.end("a2", FAILED)
    assert play.scheduler.fail_limit_hit == ""
    play.scheduler.readable("b")
    play.go()
    assert play.scheduler.fail_limit_hit == "more than 20% of the job failed"


def test_units_of_tasks_that_never_ran_are_not_part_of_a_share() -> None:
    chain = [task(f"c{n}", "a", single=True) for n in range(90)]
    play = Play(
        task("a"),
        *chain,
        task("b"),
        max_fail=FailLimit(percent=15.0),
        totals={"a": 1, "b": 10},
        plans={"b": units("b", 10)},
    )
    play.end("a1", FAILED)
    play.end("b1", FAILED)
    assert play.scheduler.fail_limit_hit == "more than 15% of the job failed"


# ---- the deadline ---------------------------------------------------------------------------


def test_at_the_deadline_what_runs_is_stopped_and_the_rest_is_aborted() -> None:
    play = Play(task("a"), task("b", "a"), plans={"a": units("a", 9)}, slots=1, deadline_s=60.0)
    play.wait(59.0)
    assert play.stops == []
    play.wait(1.0)
    assert 1 in play.stops
    play.cancel_stopped()
    aborted = Aborted(because="the deadline was reached")
    assert play.outcomes() == {f"a{n}": aborted for n in range(1, 10)}
    assert play.tasks_ended()["b"].not_expanded == "the deadline was reached"
    assert play.scheduler.done


def test_a_unit_that_still_ends_well_after_the_deadline_keeps_its_outcome() -> None:
    play = Play(task("a"), deadline_s=1.0)
    play.wait(2.0)
    play.end("a1")
    assert play.outcomes() == {"a1": OK}


def test_a_failure_after_the_deadline_is_not_retried() -> None:
    play = Play(task("a", retry=retrying(5)), deadline_s=1.0)
    play.wait(2.0)
    play.end("a1", FAILED)
    assert play.outcomes() == {"a1": FAILED}


# ---- signals --------------------------------------------------------------------------------


def test_after_the_first_interrupt_running_units_finish_and_the_rest_is_cancelled() -> None:
    play = Play(task("a"), task("b", "a"), plans={"a": units("a", 9)}, slots=2)
    play.stop(StopKind.INTERRUPT)
    assert (play.running, play.stops, play.withdrawals) == (["a1", "a2"], [], 1)
    play.end_all()
    outcomes = play.outcomes()
    assert (outcomes.pop("a1"), outcomes.pop("a2")) == (OK, OK)
    assert outcomes == {f"a{n}": Cancelled(was_running=False) for n in range(3, 10)}
    assert play.tasks_ended()["b"].not_expanded == "interrupted"
    assert play.scheduler.done


def test_a_second_signal_stops_what_runs() -> None:
    play = Play(task("a"), plans={"a": units("a", 9)}, slots=2)
    play.stop(StopKind.INTERRUPT)
    play.stop(StopKind.INSIST)
    assert sorted(play.stops) == [1, 2]
    play.cancel_stopped()
    assert play.outcomes()["a1"] == Cancelled(was_running=True)
    assert play.scheduler.stop_reason is not None
    assert play.scheduler.stop_reason.kind is StopKind.INTERRUPT
    assert play.scheduler.done


@pytest.mark.parametrize("kind", [StopKind.TERMINATE, StopKind.HANGUP])
def test_after_a_request_to_end_running_units_have_the_grace_and_are_stopped_then(
    kind: StopKind,
) -> None:
    play = Play(task("a"), plans={"a": units("a", 9)}, slots=2)
    play.stop(kind, grace_s=60.0)
    assert play.stops == []
    play.wait(59.0)
    assert play.stops == []
    play.wait(1.0)
    assert sorted(play.stops) == [1, 2]
    play.cancel_stopped()
    assert play.outcomes()["a1"] == Cancelled(was_running=True)
    assert play.scheduler.done


def test_a_request_to_end_that_comes_again_stops_at_once() -> None:
    play = Play(task("a"))
    play.stop(StopKind.TERMINATE, grace_s=60.0)
    play.stop(StopKind.INSIST)
    assert play.stops == [1]


def test_a_signal_cancels_units_that_wait_for_a_lock_or_a_retry() -> None:
    plans = {"a": units("a", 3, locks=("x",)), "b": units("b", 1)}
    play = Play(task("a"), task("b", retry=retrying(3)), plans=plans, slots=2)
    play.end("b1", FAILED)
    play.stop(StopKind.INTERRUPT)
    play.end_all()
    cancelled = Cancelled(was_running=False)
    assert play.outcomes() == {"a1": OK, "a2": cancelled, "a3": cancelled, "b1": cancelled}
    assert play.scheduler.done


def test_nothing_of_a_stopped_task_is_tried_again() -> None:
    play = Play(task("a", retry=retrying(3)), plans={"a": units("a", 2)}, slots=2)
    play.end("a2", FAILED)
    play.stop(StopKind.INTERRUPT)
    play.wait(1000.0)
    assert play.running == ["a1"]
    play.end("a1", FAILED)
    assert play.outcomes() == {"a1": FAILED, "a2": Cancelled(was_running=False)}


def test_orders_are_withdrawn_before_running_units_are_stopped() -> None:
    play = Play(task("a"), plans={"a": units("a", 9)}, slots=2, deadline_s=1.0)
    play.wait(1.0)
    kinds = [type(one) for one in play.commands if isinstance(one, StopUnit | Withdraw)]
    assert kinds[0] is Withdraw


def test_a_signal_outranks_the_deadline_and_the_deadline_outranks_a_fail_limit() -> None:
    play = Play(task("a"), task("b"), max_fail=FailLimit(count=0), deadline_s=1.0)
    kinds = []
    for step in ("fail", "wait", "hang up"):
        match step:
            case "fail":
                play.end("a1", FAILED)
            case "wait":
                play.wait(1.0)
            case _:
                play.stop(StopKind.HANGUP)
        assert play.scheduler.stop_reason is not None
        kinds.append(play.scheduler.stop_reason.kind)
    assert kinds == [StopKind.FAIL_LIMIT, StopKind.DEADLINE, StopKind.HANGUP]


def test_the_kind_of_the_first_signal_stays() -> None:
    play = Play(task("a"))
    play.stop(StopKind.TERMINATE)
    play.stop(StopKind.INSIST)
    assert play.scheduler.stop_reason is not None
    assert play.scheduler.stop_reason.kind is StopKind.TERMINATE


def test_a_returned_order_goes_first_when_its_task_goes_on() -> None:
    plans = {"a": units("a", 1), "b": units("b", 5)}
    play = Play(task("a", max_fail=FailLimit(count=0)), task("b"), plans=plans, slots=1)
    assert play.running == ["a1", "b1"]
    play.end("a1", FAILED)
    assert play.running[0] == "b1"
    assert play.order("b1").attempt == 1
    play.end_all()
    assert play.outcomes() == {"a1": FAILED, **{f"b{n}": OK for n in range(1, 6)}}


# ---- finally --------------------------------------------------------------------------------


def with_finally(
    *tasks: Task,
    slots: int = 2,
    deadline_s: float | None = None,
    max_fail: FailLimit | None = None,
) -> Play:
    """Two `finally` tasks, the second of which needs the first."""
    final_tasks = (task("f", single=True), task("g", "f", single=True))
    return Play(
        *tasks, slots=slots, final_tasks=final_tasks, deadline_s=deadline_s, max_fail=max_fail
    )


def test_finally_tasks_run_when_all_others_have_ended() -> None:
    play = with_finally(task("a"), task("b"))
    play.end("a1")
    assert "f" not in play.opened
    play.end("b1")
    assert (play.running, play.scheduler.in_finally) == (["f1"], True)
    play.end("f1")
    play.end("g1")
    assert play.scheduler.done


def test_finally_tasks_run_in_a_job_without_other_tasks() -> None:
    play = with_finally()
    play.end_all()
    assert play.outcomes() == {"f1": OK, "g1": OK}


def test_an_empty_job_is_done_at_once() -> None:
    assert Play().scheduler.done


def test_finally_tasks_run_after_failures() -> None:
    play = with_finally(task("a"), task("b", "a"))
    play.end("a1", FAILED)
    play.end_all()
    assert play.tasks_ended()["g"].good


def test_finally_tasks_may_take_as_long_as_they_like_after_a_run_that_was_not_stopped() -> None:
    play = with_finally(task("a"))
    play.end("a1")
    assert play.scheduler.next_wakeup() is None


@pytest.mark.parametrize("kind", SIGNALS)
def test_finally_tasks_run_after_the_first_signal_for_five_minutes_at_most(kind: StopKind) -> None:
    play = with_finally(task("a"))
    play.stop(kind, grace_s=60.0)
    play.end("a1")
    assert play.running == ["f1"]
    play.wait(FINALLY_LIMIT_S - 1)
    assert play.stops == []
    play.wait(1.0)
    assert play.stops == [play.order("f1").number]
    play.cancel_stopped()
    assert play.outcomes()["f1"] == Aborted(because="the time for `finally` tasks is over")
    assert play.tasks_ended()["g"].planned == 0
    assert play.scheduler.done


def test_finally_tasks_run_after_a_deadline() -> None:
    play = with_finally(task("a"), deadline_s=1.0)
    play.wait(1.0)
    play.cancel_stopped()
    assert play.running == ["f1"]
    play.end_all()
    assert play.tasks_ended()["g"].good


def test_finally_tasks_run_after_a_fail_limit() -> None:
    play = with_finally(task("a"), task("b", "a"), max_fail=FailLimit(count=0))
    play.end("a1", FAILED)
    assert play.running == ["f1"]


def test_a_deadline_that_comes_during_finally_stops_nothing_of_it_for_five_minutes() -> None:
    play = with_finally(task("a"), deadline_s=10.0)
    play.end("a1")
    play.wait(10.0)
    assert (play.running, play.stops) == (["f1"], [])
    play.wait(FINALLY_LIMIT_S)
    assert play.stops == [play.order("f1").number]


def test_the_first_signal_during_finally_lets_it_go_on() -> None:
    play = with_finally(task("a"))
    play.end("a1")
    play.stop(StopKind.INTERRUPT)
    assert (play.running, play.stops) == (["f1"], [])
    play.end_all()
    assert play.outcomes()["g1"] == OK


def test_a_second_signal_skips_finally_tasks_that_have_not_begun() -> None:
    play = with_finally(task("a"))
    play.stop(StopKind.INTERRUPT)
    play.stop(StopKind.INSIST)
    play.cancel_stopped()
    assert "f" not in play.opened
    assert play.tasks_ended()["f"].not_expanded == "skipped because a second signal came"
    assert play.scheduler.done


def test_a_second_signal_during_finally_stops_it() -> None:
    play = with_finally(task("a"))
    play.stop(StopKind.INTERRUPT)
    play.end("a1")
    play.stop(StopKind.INSIST)
    play.cancel_stopped()
    assert play.outcomes()["f1"] == Cancelled(was_running=True)
    assert play.tasks_ended()["g"].planned == 0
    assert play.scheduler.done


def test_a_finally_task_that_needs_an_ordinary_one_still_waits_for_all_of_them() -> None:
    play = Play(task("a"), task("b"), final_tasks=(task("f", "a"),))
    play.end("a1")
    assert play.running == ["b1"]
    play.end("b1")
    assert play.running == ["f1"]


def test_a_failure_in_finally_stops_no_job_whose_limit_it_would_pass() -> None:
    play = with_finally(task("a"), max_fail=FailLimit(count=0))
    play.end("a1")
    play.end("f1", FAILED)
    assert play.scheduler.fail_limit_hit == ""
    assert play.scheduler.done
