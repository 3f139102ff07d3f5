"""Tasks on hosts: how many at once, who needs whom, and when a connection is let go."""

from typing import Any

import pytest

from batchrun.engine.stops import StopKind
from batchrun.errors import SourceError
from batchrun.model.host import Host
from batchrun.model.job import Batch, FailLimit, Need, RetryPolicy, Task, WaveSize
from batchrun.model.outcome import Aborted, Skipped, Unreachable
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit
from doubles import FAILED, OK, Plan, Play, task

AWAY = Unreachable(message="connection refused")


def on_hosts(name: str, *needs: str, **modifiers: Any) -> Task:
    """Make a task on hosts."""
    return task(name, *needs, on_hosts=True, **modifiers)


def each_host(name: str, *needs: str, **modifiers: Any) -> Task:
    """Make a task on hosts that needs others per host."""
    made = on_hosts(name, **modifiers)
    per_host = tuple(Need(task_id=need, per="host") for need in needs)
    return Task(**{field: getattr(made, field) for field in made.__slots__} | {"needs": per_host})


def for_hosts(task_id: str, *hosts: str, items: tuple[str, ...] = (), **fields: Any) -> list[Unit]:
    """Make one unit for each host, or for each item and host, labelled `TASK.HOST[.ITEM]`."""
    return [
        Unit(
            task_id=task_id,
            index=index,
            label=f"{task_id}.{host}" + (f".{item}" if item else ""),
            key=item,
            operation="noop",
            host=host,
            place=Host(name=host),
            **fields,
        )
        for index, (item, host) in enumerate(
            ((item, host) for item in items or ("",) for host in hosts), 1
        )
    ]


# ---- how many at once ---------------------------------------------------------------------------


def test_as_many_hosts_as_fanout_says_are_worked_on_at_once() -> None:
    plans = {"a": for_hosts("a", "h1", "h2", "h3", "h4", "h5")}
    play = Play(on_hosts("a"), plans=plans, fanout=3)
    assert play.running == ["a.h1", "a.h2", "a.h3"]
    play.end("a.h2")
    assert play.running == ["a.h1", "a.h3", "a.h4"]


def test_hosts_take_no_slot_of_this_machine_and_local_units_none_of_fanout() -> None:
    plans: dict[str, Plan] = {"a": for_hosts("a", "h1", "h2", "h3"), "b": for_hosts("b", "x")}
    play = Play(on_hosts("a"), task("b", slots=9), plans=plans, fanout=2, slots=1)
    assert sorted(play.running) == ["a.h1", "a.h2", "b.x"]


def test_a_host_has_one_unit_at_a_time_also_of_two_tasks() -> None:
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h1", "h3")}
    play = Play(on_hosts("a"), on_hosts("b"), plans=plans)
    assert sorted(play.running) == ["a.h1", "a.h2", "b.h3"]
    play.end("a.h1")
    assert sorted(play.running) == ["a.h2", "b.h1", "b.h3"]


def test_the_items_of_a_host_are_run_in_order_one_at_a_time() -> None:
    plans = {"a": for_hosts("a", "h1", "h2", items=("1", "2", "3"))}
    play = Play(on_hosts("a"), plans=plans)
    assert play.running == ["a.h1.1", "a.h2.1"]
    play.end("a.h1.1")
    play.end("a.h1.2")
    assert play.running == ["a.h2.1", "a.h1.3"]


def test_per_host_lets_several_units_of_a_task_run_on_a_host_and_not_those_of_another() -> None:
    items = ("1", "2", "3", "4")
    plans = {"a": for_hosts("a", "h1", items=items), "b": for_hosts("b", "h1", items=items)}
    play = Play(on_hosts("a", per_host=3), on_hosts("b"), plans=plans)
    assert sorted(play.running) == ["a.h1.1", "a.h1.2", "b.h1.1"]
    play.end("b.h1.1")
    assert len([label for label in play.running if label.startswith("b")]) <= 1
    play.end_all()
    assert set(play.outcomes().values()) == {OK}


def test_a_host_that_hangs_holds_one_of_fanout_and_nothing_else() -> None:
    hosts = [f"h{number}" for number in range(1, 21)]
    plans = {"a": for_hosts("a", *hosts, items=("1", "2"))}
    play = Play(on_hosts("a"), plans=plans, fanout=2)
    while len(play.flying) > 1:
        play.end(next(label for label in play.running if not label.startswith("a.h1.")))
    assert play.running == ["a.h1.1"]
    assert len(play.outcomes()) == 38


def test_a_host_that_waits_for_its_retry_holds_nothing() -> None:
    retry = RetryPolicy(retries=1, delay_s=10.0)
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h1")}
    play = Play(on_hosts("a", retry=retry), on_hosts("b"), plans=plans, fanout=1)
    play.end("a.h1", AWAY)
    assert play.running == ["b.h1"]
    play.end("b.h1")
    play.end("a.h2")
    play.wait(20.0)
    play.end("a.h1")
    assert set(play.outcomes().values()) == {OK}


def test_a_refusal_that_no_retry_can_mend_is_final() -> None:
    wrong_key = Unreachable(message="the host key is wrong", retryable=False)
    retry = RetryPolicy(retries=5)
    play = Play(on_hosts("a", retry=retry), plans={"a": for_hosts("a", "h1")})
    play.end("a.h1", wrong_key)
    assert play.outcomes() == {"a.h1": wrong_key}


def test_a_lock_is_held_across_hosts_and_this_machine() -> None:
    plans = {"a": for_hosts("a", "h1", "h2", locks=("x",)), "b": for_hosts("b", "y", locks=("x",))}
    play = Play(on_hosts("a"), task("b"), plans=plans)
    assert len(play.running) == 1
    play.end_all()
    assert set(play.outcomes().values()) == {OK}


def test_no_unit_on_hosts_is_said_to_wait_at_a_runner_when_the_run_is_stopped() -> None:
    play = Play(on_hosts("a"), plans={"a": for_hosts("a", *"pqrstu")}, fanout=5, slots=1)
    assert play.scheduler.running == 5


# ---- needs --------------------------------------------------------------------------------------


def test_a_host_that_did_badly_is_aborted_in_what_needs_it_and_the_others_go_on() -> None:
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h1", "h2", "h3")}
    play = Play(on_hosts("a"), on_hosts("b", "a"), plans=plans)
    play.end("a.h1", FAILED)
    assert play.running == ["a.h2"]
    play.end("a.h2")
    assert play.running == ["b.h2", "b.h3"]
    play.end_all()
    assert play.outcomes()["b.h1"] == Aborted(because="needs a, whose host h1 did not end well")
    assert not play.tasks_ended()["b"].good


def test_a_host_that_was_aborted_is_aborted_further_on_too() -> None:
    hosts = ("h1", "h2")
    plans = {name: for_hosts(name, *hosts) for name in "abc"}
    play = Play(on_hosts("a"), on_hosts("b", "a"), on_hosts("c", "b"), plans=plans)
    play.end("a.h1", AWAY)
    play.end_all()
    assert play.outcomes()["c.h1"] == Aborted(because="needs b, whose host h1 did not end well")
    assert play.outcomes()["c.h2"] == OK


def test_each_item_of_a_host_counts() -> None:
    plans = {"a": for_hosts("a", "h1", "h2", items=("1", "2")), "b": for_hosts("b", "h1", "h2")}
    play = Play(on_hosts("a"), on_hosts("b", "a"), plans=plans)
    play.end("a.h1.1", FAILED)
    play.end_all()
    assert isinstance(play.outcomes()["b.h1"], Aborted)
    assert play.outcomes()["b.h2"] == OK


def test_what_is_no_host_of_a_stopped_task_does_not_count_as_done() -> None:
    plans: dict[str, Plan] = {
        "a": for_hosts("a", *(f"h{number}" for number in range(9999))),
        "b": for_hosts("b", "h0", "h9998"),
    }
    play = Play(on_hosts("a", max_fail=FailLimit(count=0)), on_hosts("b", "a"), plans=plans)
    play.end("a.h0")
    play.end("a.h1", FAILED)
    play.end_all()
    assert play.outcomes()["b.h0"] == OK
    because = "needs a, which was stopped before its host h9998"
    assert play.outcomes()["b.h9998"] == Aborted(because=because)


def test_hosts_that_were_not_even_known_are_aborted() -> None:
    plans: dict[str, Plan] = {
        "a": [*for_hosts("a", "h1"), SourceError("broken")],
        "b": for_hosts("b", "h1", "h2"),
    }
    play = Play(on_hosts("a"), on_hosts("b", "a"), plans=plans)
    play.end_all()
    assert play.outcomes()["b.h1"] == OK
    assert isinstance(play.outcomes()["b.h2"], Aborted)


def test_a_task_on_this_machine_needs_all_hosts() -> None:
    plans = {"a": for_hosts("a", "h1", "h2")}
    play = Play(on_hosts("a"), task("b", "a"), plans=plans)
    play.end("a.h1", FAILED)
    play.end_all()
    assert "b1" not in play.outcomes()
    assert play.tasks_ended()["b"].not_expanded


def test_without_a_barrier_each_host_goes_on_as_soon_as_it_ended_well() -> None:
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h1", "h2", "h3")}
    play = Play(on_hosts("a"), each_host("b", "a"), plans=plans)
    assert sorted(play.running) == ["a.h1", "a.h2", "b.h3"]
    play.end("a.h2")
    assert sorted(play.running) == ["a.h1", "b.h2", "b.h3"]
    play.end("a.h1", FAILED)
    play.end_all()
    assert play.outcomes()["b.h1"] == Aborted(because="needs a, whose host h1 did not end well")


def test_without_a_barrier_a_host_waits_for_all_of_its_items() -> None:
    plans = {"a": for_hosts("a", "h1", "h2", items=("1", "2")), "b": for_hosts("b", "h1", "h2")}
    play = Play(on_hosts("a"), each_host("b", "a"), plans=plans)
    play.end("a.h1.1")
    assert play.running == ["a.h2.1", "a.h1.2"]
    play.end("a.h1.2")
    assert play.running == ["a.h2.1", "b.h1"]


def test_per_item_means_the_same_item_on_the_same_host_between_tasks_on_hosts() -> None:
    items = ("1", "2")
    plans = {name: for_hosts(name, "h1", "h2", items=items) for name in "ab"}
    made = on_hosts("b")
    needs = (Need(task_id="a", per="item"),)
    second = Task(**{field: getattr(made, field) for field in made.__slots__} | {"needs": needs})
    play = Play(on_hosts("a"), second, plans=plans)
    play.end("a.h1.1", FAILED)
    play.end_all()
    because = "needs a, whose item b.h1.1 on h1 did not end well"
    assert play.outcomes()["b.h1.1"] == Aborted(because=because)
    assert [label for label, one in play.outcomes().items() if isinstance(one, Aborted)] == [
        "b.h1.1"
    ]


@pytest.mark.parametrize("excuse", ["ignore_errors", "ignore_unreachable"])
def test_an_excused_host_holds_nobody_up(excuse: str) -> None:
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h1", "h2")}
    limit = FailLimit(count=0)
    play = Play(on_hosts("a", max_fail=limit, **{excuse: True}), on_hosts("b", "a"), plans=plans)
    play.end("a.h1", AWAY)
    play.end_all()
    assert play.tasks_ended()["a"].good
    assert play.outcomes()["b.h1"] == OK


def test_ignore_unreachable_does_not_excuse_failures() -> None:
    play = Play(on_hosts("a", ignore_unreachable=True), plans={"a": for_hosts("a", "h1")})
    play.end("a.h1", FAILED)
    assert not play.tasks_ended()["a"].good


def test_unreachable_hosts_count_against_the_fail_limit() -> None:
    limit = FailLimit(count=1)
    plans = {"a": for_hosts("a", "h1", "h2", "h3", "h4")}
    play = Play(on_hosts("a", max_fail=limit), plans=plans, fanout=1)
    play.end("a.h1", AWAY)
    play.end("a.h2", AWAY)
    assert play.running == []
    assert play.scheduler.fail_limit_hit


# ---- when a connection is let go ----------------------------------------------------------------


def test_a_host_is_let_go_after_its_last_unit_once_no_task_can_name_it() -> None:
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h2", "h3")}
    play = Play(on_hosts("a"), on_hosts("b", "a"), plans=plans)
    play.end("a.h1")
    assert play.forgotten == []
    play.end("a.h2")
    assert play.forgotten == ["h1"]
    play.end("b.h3")
    assert play.forgotten == ["h1", "h3"]
    play.end_all()
    assert play.forgotten == ["h1", "h3", "h2"]


def test_hosts_of_finally_are_kept_until_then() -> None:
    plans = {"a": for_hosts("a", "h1"), "f": for_hosts("f", "h2")}
    play = Play(on_hosts("a"), plans=plans, final_tasks=(on_hosts("f"),))
    play.end("a.h1")
    play.end("f.h2")
    assert play.forgotten == ["h1", "h2"]


def test_a_run_that_is_stopped_lets_go_of_its_hosts_as_they_end() -> None:
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h3")}
    play = Play(on_hosts("a"), on_hosts("b", "a"), plans=plans, fanout=1)
    play.stop(StopKind.INTERRUPT)
    play.end_all()
    assert play.forgotten == ["h2", "h1"]


# ---- waves --------------------------------------------------------------------------------------


def wave(*sizes: int, percent: float | None = None) -> Batch:
    made = [WaveSize(count=size) for size in sizes]
    return Batch(sizes=(*made, *([WaveSize(percent=percent)] if percent else [])))


def in_waves(*hosts: tuple[str, ...], items: tuple[str, ...] = ("1", "2")) -> list[Unit]:
    """Make the units wave by wave, each host with all its items."""
    return [unit for some in hosts for unit in for_hosts("a", *some, items=items)]


def test_a_wave_is_so_many_hosts_with_all_their_items() -> None:
    plans = {"a": in_waves(("h1",), ("h2", "h3"), ("h4",))}
    play = Play(on_hosts("a", batch=wave(1, 2)), plans=plans)
    assert play.running == ["a.h1.1"]
    play.end("a.h1.1")
    assert play.running == ["a.h1.2"]
    play.end("a.h1.2")
    assert play.running == ["a.h2.1", "a.h3.1"]
    play.end_all()
    assert len(play.outcomes()) == 8
    assert play.notes == ["wave 1 (at most 1 host)", "wave 2 (at most 2 hosts)",
                          "wave 3 (at most 2 hosts)"]  # fmt: skip


def test_a_share_is_one_of_the_hosts() -> None:
    hosts = [f"h{number}" for number in range(1, 9)]
    units = [one for host in hosts for one in for_hosts("a", host, items=("1", "2", "3"))]
    play = Play(on_hosts("a", batch=wave(1, percent=50)), plans={"a": units},
                totals={"a": 24}, hosts={"a": 8})  # fmt: skip
    for _ in range(3):
        play.end(play.running[0])
    assert len(play.running) == 4
    assert play.notes[-1] == "wave 2 of 3 (4 hosts)"


def test_a_host_counts_once_against_the_limit_of_a_wave() -> None:
    plans = {"a": in_waves(("h1", "h2", "h3"), ("h4",), items=("1", "2"))}
    limit = FailLimit(count=1)
    play = Play(on_hosts("a", batch=wave(3), max_fail=limit), plans=plans)
    play.end("a.h1.1", FAILED)
    play.end("a.h1.2", AWAY)
    for host in ("h2", "h3"):
        play.end(f"a.{host}.1")
        play.end(f"a.{host}.2")
    assert play.running == ["a.h4.1"]


def test_a_canary_that_cannot_be_reached_stops_the_waves() -> None:
    plans = {"a": in_waves(("h1",), ("h2",), items=("",))}
    play = Play(on_hosts("a", batch=wave(1)), plans=plans)
    play.end("a.h1", AWAY)
    assert play.scheduler.done
    assert isinstance(play.outcomes()["a.h2"], Aborted)
    assert play.scheduler.fail_limit_hit


def test_a_wave_takes_another_host_for_one_that_is_passed_over() -> None:
    plans = {"a": for_hosts("a", *(f"h{number}" for number in range(1, 7)))}
    play = Play(on_hosts("a", batch=wave(5), pick=2), plans=plans)
    assert play.running == ["a.h1", "a.h2"]
    play.end("a.h1", AWAY)
    play.end("a.h2", AWAY)
    assert play.running == ["a.h3", "a.h4"]
    play.end_all()
    kinds = [outcome.kind for outcome in play.outcomes().values()]
    assert sorted(kinds) == ["ok", "ok", "skipped", "skipped", "skipped", "skipped"]


# ---- pick ---------------------------------------------------------------------------------------


def picked(*hosts: str, pick: int, **more: Any) -> Play:
    items = more.pop("items", ())
    return Play(on_hosts("a", pick=pick), plans={"a": for_hosts("a", *hosts, items=items)}, **more)


def test_the_first_hosts_that_can_be_reached_are_taken_and_the_rest_skipped() -> None:
    play = picked("h1", "h2", "h3", pick=2)
    assert play.running == ["a.h1", "a.h2"]
    play.end("a.h1", FAILED)
    play.end("a.h2")
    assert play.outcomes()["a.h3"] == Skipped(because="2 other hosts were picked")


def test_a_host_that_cannot_be_reached_is_replaced_by_the_next() -> None:
    play = picked("h1", "h2", "h3", pick=1)
    play.end("a.h1", AWAY)
    assert play.running == ["a.h2"]
    play.end_all()
    assert play.outcomes() == {
        "a.h1": Skipped(because="another host was picked instead: connection refused"),
        "a.h2": OK,
        "a.h3": Skipped(because="another host was picked"),
    }
    assert play.tasks_ended()["a"].good


def test_a_host_that_did_badly_in_what_is_needed_is_replaced_too() -> None:
    plans = {"a": for_hosts("a", "h1", "h2"), "b": for_hosts("b", "h1", "h2", "h3")}
    play = Play(on_hosts("a"), on_hosts("b", "a", pick=1), plans=plans)
    play.end("a.h1", AWAY)
    play.end("a.h2")
    assert play.running == ["b.h2"]
    because = "another host was picked instead: needs a, whose host h1 did not end well"
    play.end_all()
    assert play.outcomes()["b.h1"] == Skipped(because=because)
    assert play.tasks_ended()["b"].good


def test_thousands_of_hosts_may_be_passed_over_at_once() -> None:
    hosts = [f"h{number}" for number in range(3000)]
    plans = {"a": for_hosts("a", *hosts), "b": for_hosts("b", *hosts, "last")}
    play = Play(on_hosts("a"), on_hosts("b", "a", pick=1), plans=plans)
    play.end_all(AWAY)
    assert play.outcomes()["b.last"] == AWAY
    assert sum(isinstance(one, Skipped) for one in play.outcomes().values()) == 3000


def test_a_host_that_nobody_replaces_stays_aborted() -> None:
    plans = {"a": for_hosts("a", "h1"), "b": for_hosts("b", "h1")}
    play = Play(on_hosts("a"), on_hosts("b", "a", pick=1), plans=plans)
    play.end("a.h1", AWAY)
    assert isinstance(play.outcomes()["b.h1"], Aborted)


def test_the_last_host_that_cannot_be_reached_is_unreachable() -> None:
    play = picked("h1", "h2", pick=1)
    play.end("a.h1", AWAY)
    play.end("a.h2", AWAY)
    assert play.outcomes()["a.h2"] == AWAY
    assert isinstance(play.outcomes()["a.h1"], Skipped)


def test_a_host_is_tried_with_its_first_item_only() -> None:
    play = picked("h1", "h2", pick=1, items=("1", "2"))
    play.end("a.h1.1", AWAY)
    assert play.running == ["a.h2.1"]
    assert isinstance(play.outcomes()["a.h1.2"], Skipped)
    play.end("a.h2.1", FAILED)
    assert play.running == ["a.h2.2"]


def test_a_host_that_breaks_off_after_it_was_reached_is_not_replaced() -> None:
    play = picked("h1", "h2", pick=1, items=("1", "2"))
    play.end("a.h1.1")
    play.end("a.h1.2", AWAY)
    assert play.outcomes()["a.h1.2"] == AWAY
    assert isinstance(play.outcomes()["a.h2.1"], Skipped)


def many(pick: int, count: int, *more: Unit | Drawn) -> Play:
    """So many hosts that not all are planned before the first have ended."""
    hosts = [f"h{number}" for number in range(1, count + 1)]
    units: Plan = [*for_hosts("a", *hosts), *more]
    return Play(on_hosts("a", pick=pick), plans={"a": units}, fanout=1)


def test_whether_another_host_comes_is_waited_for() -> None:
    play = many(200, 201)
    play.end("a.h1", AWAY)
    assert play.outcomes() == {}
    play.end_all()
    assert isinstance(play.outcomes()["a.h1"], Skipped)
    assert play.outcomes()["a.h201"] == OK
    assert play.tasks_ended()["a"].good


def test_a_host_that_nobody_replaces_is_unreachable_in_the_end() -> None:
    play = many(200, 200)
    play.end("a.h1", AWAY)
    play.end_all()
    assert play.outcomes()["a.h1"] == AWAY


def test_a_host_is_not_waited_for_when_its_own_units_may_be_what_is_waited_for() -> None:
    # As a stream does that plans only a few units of each host ahead.
    play = many(200, 200, Drawn.PENDING, *for_hosts("a", "h201"))
    play.end("a.h1", AWAY)
    play.end_all()
    assert play.outcomes()["a.h1"] == AWAY
    assert not play.scheduler.done


def test_a_host_whose_fate_was_open_keeps_its_ending_when_the_run_is_stopped() -> None:
    play = many(200, 201)
    play.end("a.h1", AWAY)
    play.stop(StopKind.INTERRUPT)
    assert play.outcomes()["a.h1"] == AWAY
    play.end_all()
    assert play.scheduler.done


def test_what_is_known_of_the_number_of_hosts_decides_at_once() -> None:
    play = Play(on_hosts("a", pick=2), hosts={"a": 2}, fanout=1,
                plans={"a": [*for_hosts("a", "h1", "h2"), Drawn.PENDING]})  # fmt: skip
    play.end("a.h1", AWAY)
    assert play.outcomes() == {"a.h1": AWAY}


def test_a_task_that_is_stopped_ends_the_spares_too() -> None:
    play = picked("h1", "h2", "h3", pick=1)
    play.stop(StopKind.INTERRUPT)
    play.end("a.h1", AWAY)
    assert play.outcomes()["a.h1"] == AWAY
    assert len(play.outcomes()) == 3
    assert play.scheduler.done
