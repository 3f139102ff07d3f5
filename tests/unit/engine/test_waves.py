"""`batch`: which units make a wave, and when the next one begins."""

from dataclasses import replace

import pytest

from batchrun.engine.scheduler import AskPause
from batchrun.engine.stops import StopKind
from batchrun.engine.waves import count_waves, unhurried
from batchrun.model.job import Batch, FailLimit, Job, Need, RetryPolicy, Task, WaveSize, wave_size
from batchrun.model.outcome import Aborted, Cancelled, Outcome, Skipped
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit
from doubles import FAILED, OK, Plan, Play, task, units

SKIPPED = Skipped(because="when")


def batch(*sizes: float, pause_s: float = 0.0, ask: bool = False) -> Batch:
    """Make waves: whole numbers are units, others are percent."""
    made = tuple(
        WaveSize(count=size) if isinstance(size, int) else WaveSize(percent=size) for size in sizes
    )
    return Batch(sizes=made, pause_s=pause_s, ask=ask)


def rollout(count: int, waves: Batch, *, slots: int = 8, **modifiers: object) -> Play:
    """One task with so many units, in waves; how many it has is known."""
    return Play(
        task("a", batch=waves, **modifiers),
        plans={"a": units("a", count)},
        totals={"a": count},
        slots=slots,
    )


# ---- sizes ----------------------------------------------------------------------------------


def test_the_last_size_repeats() -> None:
    sizes = batch(1, 3).sizes
    assert [wave_size(sizes, number, 100) for number in (1, 2, 3, 9)] == [1, 3, 3, 3]


@pytest.mark.parametrize(
    ("percent", "total", "size"),
    [(10.0, 25, 2), (50.0, 3, 1), (1.0, 20, 1), (33.3, 1000, 333), (29.0, 100, 29), (100.0, 7, 7)],
)
def test_a_share_is_rounded_down_and_at_least_one(percent: float, total: int, size: int) -> None:
    assert wave_size([WaveSize(percent=percent)], 1, total) == size


@pytest.mark.parametrize("total", [*range(12), 100])
def test_the_number_of_waves_is_how_many_it_takes_to_use_up_the_units(total: int) -> None:
    sizes = batch(1, 2, 20.0).sizes
    left, waves = total, 0
    while left > 0:
        waves += 1
        left -= wave_size(sizes, waves, total)
    assert count_waves(sizes, total) == waves


# ---- one wave after the other ---------------------------------------------------------------


def test_the_next_wave_begins_when_all_of_the_one_before_have_ended() -> None:
    play = rollout(6, batch(1, 2, 3))
    assert play.running == ["a1"]
    play.end("a1")
    assert play.running == ["a2", "a3"]
    play.end("a3")
    assert play.running == ["a2"]
    play.end("a2")
    assert play.running == ["a4", "a5", "a6"]
    play.end_all()
    assert play.tasks_ended()["a"].good


def test_each_wave_says_its_number_and_its_size_when_it_begins() -> None:
    play = rollout(6, batch(1, 4))
    play.end_all()
    assert play.notes == ["wave 1 of 3 (1 unit)", "wave 2 of 3 (4 units)", "wave 3 of 3 (1 unit)"]


def test_waves_of_a_source_of_unknown_length_say_what_is_known() -> None:
    play = Play(task("a", batch=batch(2)), plans={"a": units("a", 3)})
    play.end_all()
    assert play.notes == ["wave 1 (at most 2 units)", "wave 2 (at most 2 units)"]


def test_one_unit_only_is_planned_beyond_the_wave_under_way() -> None:
    play = rollout(1000, batch(2))
    assert (play.running, play.drawn["a"]) == (["a1", "a2"], 3)


def test_a_retry_belongs_to_its_wave() -> None:
    play = rollout(2, batch(1), retry=RetryPolicy(retries=1))
    play.end("a1", FAILED)
    assert play.running == []
    play.wait(10.0)
    play.end("a1")
    assert play.running == ["a2"]


def test_a_wave_of_skipped_units_lets_the_next_one_begin() -> None:
    plan = [*units("s", 2, verdict=SKIPPED), *units("a", 1)]
    play = Play(task("a", batch=batch(2)), plans={"a": plan})
    assert play.running == ["a1"]


def test_a_wave_whose_failures_are_ignored_lets_the_next_one_begin() -> None:
    play = rollout(2, batch(1), ignore_errors=True)
    play.end("a1", FAILED)
    assert play.running == ["a2"]
    assert play.scheduler.fail_limit_hit == ""


def test_a_slow_source_holds_the_next_wave_up_and_nothing_else() -> None:
    plan: Plan = [*units("a", 1), Drawn.PENDING, *units("late", 1)]
    play = Play(task("a", batch=batch(1)), plans={"a": plan})
    play.end("a1")
    assert (play.running, play.scheduler.done) == ([], False)
    play.scheduler.readable("a")
    play.go()
    assert play.running == ["late1"]


def test_waves_of_units_that_wait_for_their_items_follow_each_other() -> None:
    needs = (Need(task_id="a", per="item"),)
    second = Task(id="b", name="b", operation="noop", needs=needs, single=False, batch=batch(1))
    plans = {
        name: [
            Unit(task_id=name, index=index, label=name + key, key=key, operation="noop")
            for index, key in enumerate("xy", 1)
        ]
        for name in "ab"
    }
    play = Play(task("a"), second, plans=plans, slots=4)
    play.end("ay")
    assert play.running == ["ax"]
    play.end("ax")
    assert play.running == ["bx"]
    play.end("bx")
    assert play.running == ["by"]


# ---- when not to go on ----------------------------------------------------------------------


def test_one_failure_in_a_wave_ends_it_when_no_limit_is_given() -> None:
    play = rollout(9, batch(3), slots=2)
    play.end("a1")
    play.end("a2", FAILED)
    play.end_all()
    because = "wave 1 of `a` had 1 failure, more than 0 allowed"
    assert play.scheduler.fail_limit_hit == because
    assert play.outcomes()["a4"] == Aborted(because=because)
    assert play.tasks_ended()["a"].not_expanded == because
    assert set(play.outcomes()) == {"a1", "a2", "a3", "a4"}
    assert play.scheduler.done


def test_failures_count_anew_in_each_wave() -> None:
    play = rollout(4, batch(2), max_fail=FailLimit(count=1))
    for label, outcome in (("a1", FAILED), ("a2", OK), ("a3", FAILED), ("a4", OK)):
        play.end(label, outcome)
    assert play.scheduler.fail_limit_hit == ""
    assert play.scheduler.done


def test_a_share_of_failures_is_one_of_the_wave_and_not_of_the_task() -> None:
    play = rollout(100, batch(4), max_fail=FailLimit(percent=25.0))
    play.end("a1", FAILED)
    play.end("a2", FAILED)
    assert play.scheduler.fail_limit_hit == "wave 1 of `a` had 2 failures, more than 25% allowed"


def test_a_share_of_a_last_wave_that_is_smaller_is_judged_by_its_real_size() -> None:
    plan: Plan = [*units("a", 2), Drawn.PENDING]
    limit = FailLimit(percent=40.0)
    play = Play(task("a", batch=batch(4), max_fail=limit), plans={"a": plan})
    play.end("a1", FAILED)
    assert play.scheduler.fail_limit_hit == ""
    play.scheduler.readable("a")
    play.go()
    assert play.scheduler.fail_limit_hit == "wave 1 of `a` had 1 failure, more than 40% allowed"


def test_a_wave_in_which_nothing_was_ok_ends_the_task() -> None:
    play = rollout(3, batch(1), max_fail=FailLimit(count=5))
    play.end("a1", FAILED)
    because = "no unit of wave 1 of `a` was ok"
    assert play.outcomes() == {"a1": FAILED, "a2": Aborted(because=because)}
    assert play.scheduler.fail_limit_hit == because
    assert play.scheduler.done


def test_a_last_wave_in_which_nothing_was_ok_stops_nothing() -> None:
    play = rollout(1, batch(1), max_fail=FailLimit(count=5))
    play.end("a1", FAILED)
    assert play.scheduler.fail_limit_hit == ""
    assert play.scheduler.done


def test_other_tasks_go_on_when_a_wave_ends_one() -> None:
    plans = {"a": units("a", 4), "b": units("b", 2)}
    play = Play(task("a", batch=batch(1)), task("b"), plans=plans, slots=4)
    play.end("a1", FAILED)
    play.end_all()
    assert play.tasks_ended()["b"].good
    assert play.scheduler.stop_reason is None


# ---- between two waves ----------------------------------------------------------------------


def test_a_pause_holds_no_slot_and_ends_on_its_own() -> None:
    plans = {"a": units("a", 2), "b": units("b", 9)}
    play = Play(task("a", batch=batch(1, pause_s=300.0)), task("b"), plans=plans, slots=1)
    play.end("a1")
    assert play.scheduler.next_wakeup() == 300.0
    play.wait(299.0)
    assert "a2" not in play.running
    play.wait(1.0)
    for label in ("b1", "b2", "b3"):
        play.end(label)
    assert play.running[0] == "a2"


def test_there_is_no_pause_after_the_last_wave() -> None:
    play = rollout(2, batch(1, pause_s=300.0))
    play.end("a1")
    play.wait(300.0)
    play.end("a2")
    assert play.scheduler.done


def test_a_question_comes_before_each_wave_but_the_first() -> None:
    play = rollout(3, batch(1, ask=True))
    assert play.asked == []
    play.end("a1")
    question = "`a`: wave 1 is over (1 ok, 0 failed); begin wave 2?"
    assert (play.asked, play.running) == ([AskPause("a", question)], [])
    play.answer("a", go_on=True)
    play.end("a2")
    assert len(play.asked) == 2
    play.answer("a", go_on=True)
    play.end("a3")
    assert play.scheduler.done
    assert len(play.asked) == 2


def test_no_ends_the_task_and_is_no_fail_limit() -> None:
    play = rollout(9, batch(1, ask=True))
    play.end("a1")
    play.answer("a", go_on=False)
    assert play.outcomes() == {"a1": OK, "a2": Aborted(because="the answer was no")}
    assert play.tasks_ended()["a"].not_expanded == "the answer was no"
    assert play.scheduler.fail_limit_hit == ""
    assert play.scheduler.done


def test_a_question_is_asked_after_the_pause() -> None:
    play = rollout(2, batch(1, pause_s=60.0, ask=True))
    play.end("a1")
    assert play.asked == []
    play.wait(60.0)
    assert len(play.asked) == 1


def test_an_answer_that_comes_after_a_stop_changes_nothing() -> None:
    play = rollout(3, batch(1, ask=True))
    play.end("a1")
    play.stop(StopKind.INTERRUPT)
    play.answer("a", go_on=True)
    assert play.outcomes()["a2"] == Cancelled(was_running=False)
    assert play.scheduler.done


@pytest.mark.parametrize("ask", [False, True])
def test_a_signal_between_two_waves_ends_the_run_at_once(ask: bool) -> None:
    play = rollout(3, batch(1, pause_s=0.0 if ask else 60.0, ask=ask))
    play.end("a1")
    play.stop(StopKind.TERMINATE, 60.0)
    assert play.scheduler.done


@pytest.mark.parametrize("outcome", [OK, SKIPPED])
def test_an_empty_source_and_one_without_a_second_wave_begin_none(outcome: Outcome) -> None:
    play = Play(task("a", batch=batch(2, ask=True)), plans={"a": units("a", 2)}, slots=4)
    play.end("a1", outcome)
    play.end("a2", outcome)
    assert play.scheduler.done
    assert play.asked == []
    assert Play(task("a", batch=batch(2, ask=True)), plans={"a": []}).scheduler.done


def test_a_rehearsal_neither_pauses_nor_asks_nor_takes_more_than_one_slot() -> None:
    one = task("a", batch=batch(2, pause_s=60.0, ask=True), slots=4)
    job = unhurried(Job(name="j", tasks=(one,), final_tasks=(task("f", slots=2),)))
    assert job.tasks == (replace(one, batch=batch(2), slots=1),)
    assert job.final_tasks == (task("f"),)
