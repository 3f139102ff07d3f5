"""`needs` per item: no barrier, every item for itself."""

from dataclasses import replace
from itertools import pairwise

import pytest

from batchrun.engine.scheduler import WINDOW
from batchrun.engine.stops import StopKind
from batchrun.errors import SourceError
from batchrun.model.job import FailLimit, Need, RetryPolicy, Task
from batchrun.model.outcome import Aborted, Cancelled, Failed, Skipped
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit
from doubles import FAILED, OK, Plan, Play, task


def follower(name: str, *needs: str, **modifiers: object) -> Task:
    """Make a task that needs each of `needs` per item."""
    made = tuple(Need(task_id=need, per="item") for need in needs)
    return Task(
        id=name,
        name=name,
        operation="noop",
        needs=made,
        single=False,
        **modifiers,  # type: ignore[arg-type]  # whatever a test wants to set
    )


def items(task_id: str, *keys: str, verdict: Skipped | Failed | None = None) -> list[Unit]:
    """Make one unit for each key, labelled `TASK.KEY`."""
    return [
        Unit(
            task_id=task_id,
            index=index,
            label=f"{task_id}.{key}",
            key=key,
            operation="noop",
            verdict=verdict,
        )
        for index, key in enumerate(keys, 1)
    ]


def pair(*keys: str, slots: int = 4, **modifiers: object) -> Play:
    """Two tasks over the same items, the second of which needs the first per item."""
    plans = {"a": items("a", *keys), "b": items("b", *keys)}
    return Play(task("a"), follower("b", "a", **modifiers), plans=plans, slots=slots)


def test_a_unit_starts_as_soon_as_its_own_item_ended_well() -> None:
    play = pair("x", "y")
    assert play.running == ["a.x", "a.y"]
    play.end("a.y")
    assert play.running == ["a.x", "b.y"]
    play.end_all()
    assert set(play.outcomes().values()) == {OK}
    assert play.tasks_ended()["b"].good


def test_only_the_item_that_failed_is_aborted_and_the_others_go_on() -> None:
    play = pair("x", "y")
    play.end("a.x", FAILED)
    play.end_all()
    assert play.outcomes()["b.x"] == Aborted(because="needs a, whose item b.x did not end well")
    assert play.outcomes()["b.y"] == OK
    assert play.tasks_ended()["b"].not_expanded == ""


def test_an_item_that_is_tried_again_is_waited_for() -> None:
    policy = RetryPolicy(retries=1)
    plans = {"a": items("a", "x"), "b": items("b", "x")}
    play = Play(task("a", retry=policy), follower("b", "a"), plans=plans)
    play.end("a.x", FAILED)
    assert play.running == []
    play.wait(10.0)
    play.end("a.x")
    assert play.running == ["b.x"]


def test_skipped_and_ignored_items_are_as_good_as_ok() -> None:
    plans = {
        "a": items("a", "x", verdict=Skipped(because="when")),
        "i": items("i", "x"),
        "b": items("b", "x"),
    }
    play = Play(task("a"), task("i", ignore_errors=True), follower("b", "a", "i"), plans=plans)
    play.end("i.x", FAILED)
    assert play.running == ["b.x"]


def test_an_item_that_the_needed_task_never_had_is_aborted_once_that_is_known() -> None:
    plans: dict[str, Plan] = {"a": [*items("a", "x"), Drawn.PENDING], "b": items("b", "z")}
    play = Play(task("a"), follower("b", "a"), plans=plans)
    assert "b.z" not in play.outcomes()
    play.scheduler.readable("a")
    play.go()
    assert play.outcomes() == {"b.z": Aborted(because="needs a, which had no item b.z")}
    play.end_all()
    assert play.scheduler.done


def test_an_item_given_twice_must_end_well_both_times() -> None:
    twice = items("a", "x", "x")
    second = Unit(task_id="a", index=2, label="again", key="x", operation="noop")
    play = Play(
        task("a"), follower("b", "a"), plans={"a": [twice[0], second], "b": items("b", "x")}
    )
    play.end("a.x")
    assert play.running == ["again"]
    play.end("again", FAILED)
    assert play.outcomes()["b.x"].kind == "aborted"


def test_when_the_source_breaks_the_items_that_came_go_on_and_the_others_do_not() -> None:
    plans: dict[str, Plan] = {
        "a": [*items("a", "x"), SourceError("disk gone")],
        "b": items("b", "x", "y"),
    }
    play = Play(task("a"), follower("b", "a"), plans=plans)
    play.end_all()
    missing = Aborted(because="needs a, whose `foreach` failed before its item b.y")
    assert play.outcomes() == {"a.x": OK, "b.x": OK, "b.y": missing}


def test_a_source_that_breaks_under_ignore_errors_holds_nobody_up() -> None:
    plans: dict[str, Plan] = {"a": [SourceError("disk gone")], "b": items("b", "x")}
    play = Play(task("a", ignore_errors=True), follower("b", "a"), plans=plans)
    assert play.running == ["b.x"]


def test_when_a_fail_limit_ends_the_needed_task_its_good_items_go_on() -> None:
    keys = [f"k{number}" for number in range(100)]
    play = Play(
        task("a", max_fail=FailLimit(count=0)),
        follower("b", "a"),
        plans={"a": items("a", *keys), "b": items("b", *keys)},
        slots=1,
    )
    play.end("a.k0")
    play.end("a.k1", FAILED)
    assert play.running == ["b.k0"]
    play.end_all()
    outcomes = play.outcomes()
    assert outcomes["b.k0"] == OK
    assert outcomes["b.k2"] == Aborted(because="needs a, whose item b.k2 did not end well")
    assert outcomes["b.k99"] == Aborted(because="needs a, which was stopped before its item b.k99")
    assert play.scheduler.done


def test_a_task_that_never_began_is_no_more_begun_than_one_needed_as_a_whole() -> None:
    play = Play(task("z"), task("a", "z"), follower("b", "a"))
    play.end("z1", FAILED)
    assert play.tasks_ended()["b"].not_expanded == "needs a, which was not started"
    assert play.opened == ["z"]


def test_a_task_waits_for_all_of_one_need_and_for_its_item_of_another() -> None:
    first = task("z")
    both = Task(
        id="b",
        name="b",
        operation="noop",
        needs=(Need(task_id="z"), Need(task_id="a", per="item")),
        single=False,
    )
    plans = {"a": items("a", "x"), "b": items("b", "x")}
    play = Play(first, task("a"), both, plans=plans)
    play.end("a.x")
    assert play.opened == ["z", "a"]
    play.end("z1")
    assert play.running == ["b.x"]


def test_an_item_passes_through_a_chain_of_tasks_while_others_are_at_its_beginning() -> None:
    plans = {name: items(name, "x", "y") for name in "abc"}
    play = Play(task("a"), follower("b", "a"), follower("c", "b"), plans=plans, slots=4)
    for label in ("a.x", "b.x", "c.x"):
        play.end(label)
    assert play.running == ["a.y"]
    play.end("a.y", FAILED)
    assert play.outcomes()["c.y"] == Aborted(because="needs b, whose item c.y did not end well")
    assert play.scheduler.done


def test_a_chain_of_a_thousand_tasks_per_item_falls_without_recursion() -> None:
    names = [f"t{number}" for number in range(1500)]
    chain = [task(names[0])]
    chain += [follower(name, before) for before, name in pairwise(names)]
    play = Play(*chain, plans={name: items(name, "x") for name in names}, slots=2)
    play.end("t0.x", FAILED)
    assert len(play.tasks_ended()) == 1500
    assert play.scheduler.done


@pytest.mark.parametrize("reverse", [False, True])
def test_a_window_full_of_held_units_keeps_nothing_from_going_on(reverse: bool) -> None:
    count = WINDOW + 500
    keys = [f"k{number}" for number in range(count)]
    others = keys[::-1] if reverse else keys
    plans = {"a": iter(items("a", *keys)), "b": iter(items("b", *others))}
    play = Play(task("a"), follower("b", "a"), plans=plans, slots=2)
    assert play.drawn["b"] == WINDOW
    held = max(0, play.drawn["b"])
    play.end_all()
    assert held <= WINDOW
    assert play.scheduler.done
    assert len(play.outcomes()) == 2 * count


def test_a_unit_that_waits_for_its_item_holds_no_lock_and_no_slot() -> None:
    held = [Unit(task_id="b", index=1, label="b.x", key="x", operation="noop", locks=("l",))]
    free = [Unit(task_id="c", index=1, label="c", operation="noop", locks=("l",))]
    plans = {"a": items("a", "x"), "b": held, "c": free}
    play = Play(task("a"), follower("b", "a"), task("c"), plans=plans, slots=2)
    assert play.running == ["a.x", "c"]


def test_a_signal_cancels_what_waits_for_its_item() -> None:
    play = pair("x", slots=1)
    play.stop(StopKind.INTERRUPT)
    play.end_all()
    assert play.outcomes() == {"a.x": OK, "b.x": Cancelled(was_running=False)}
    assert play.scheduler.done


def test_finally_tasks_may_follow_per_item_those_that_ran_long_ago() -> None:
    plans = {"a": items("a", "x", "y"), "f": items("f", "y", "x")}
    play = Play(task("a"), final_tasks=(follower("f", "a"),), plans=plans)
    play.end("a.x", FAILED)
    play.end("a.y")
    assert play.running == ["f.y"]
    play.end_all()
    assert play.outcomes()["f.x"].kind == "aborted"
    assert play.scheduler.done


def test_tasks_without_items_follow_each_other_per_item_as_usual() -> None:
    play = Play(task("a", single=True), follower("b", "a"))
    assert play.running == ["a1"]
    play.end("a1")
    assert play.running == ["b1"]


def test_a_need_per_item_on_a_task_without_items_ends_in_words_and_not_in_a_hang() -> None:
    play = Play(task("a", single=True), follower("b", "a"), plans={"b": items("b", "x")})
    play.end_all()
    assert play.outcomes()["b.x"] == Aborted(because="needs a, which had no item b.x")
    assert play.scheduler.done


def test_a_unit_may_be_resolved_only_when_its_item_ended_well() -> None:
    log: list[str] = []
    resolved = Unit(
        task_id="b", index=1, label="b.x", key="x", operation="noop", locks=("l",)
    )  # fmt: skip

    def later() -> Unit:
        log.append("resolved")
        return resolved

    plans = {"a": items("a", "x"), "b": [replace(resolved, locks=(), later=later)]}
    other = [Unit(task_id="c", index=1, label="c", operation="noop", locks=("l",))]
    play = Play(task("a"), follower("b", "a"), task("c"), plans={**plans, "c": other})
    assert (log, play.running) == ([], ["a.x", "c"])
    play.end("a.x")
    assert (log, play.running) == (["resolved"], ["c"])
    play.end("c")
    assert play.order("b.x").unit is resolved


def test_a_unit_that_turns_out_to_be_skipped_when_it_is_resolved_never_runs() -> None:
    skipped = items("b", "x", verdict=Skipped(because="when"))[0]
    held = replace(skipped, verdict=None, later=lambda: skipped)
    play = Play(task("a"), follower("b", "a"), plans={"a": items("a", "x"), "b": [held]})
    play.end("a.x")
    assert play.outcomes()["b.x"] == Skipped(because="when")
    assert play.scheduler.done
