"""Who starts next: room at the runner, turns between tasks, reservations."""

import sys
from types import FrameType

import pytest

from batchrun.engine.dispatch import AHEAD_UNITS, Dispatcher
from batchrun.engine.state import SHORT_S, TaskState, UnitState
from batchrun.model.job import FailLimit, Task
from batchrun.model.unit import Unit
from doubles import task, units


class Desk:
    """A dispatcher and the tasks that it serves."""

    def __init__(
        self,
        *,
        slots: int = 2,
        capacities: dict[str, int] | None = None,
        watched: bool = False,
    ) -> None:
        self.dispatcher = Dispatcher(slots=slots, capacities=capacities or {})
        self.watched = watched
        self.numbers: dict[str, int] = {}
        self.tasks: dict[str, TaskState] = {}

    def add(self, one: Task, given: list[Unit]) -> TaskState:
        fresh = TaskState(one, final=False, watched=self.watched)
        state = self.tasks.setdefault(one.id, fresh)
        for unit in given:
            number = self.numbers[unit.label] = len(self.numbers) + 1
            self.dispatcher.make_ready(UnitState(number, unit, state))
        return state

    def started(self) -> list[str]:
        return [order.unit.label for order in self.dispatcher.orders()]

    def land(self, label: str) -> None:
        self.dispatcher.land(self.numbers[label])


def test_one_unit_per_slot_runs_and_one_more_waits_at_the_runner() -> None:
    desk = Desk(slots=2)
    desk.add(task("a"), units("a", 9))
    assert desk.started() == ["a1", "a2", "a3", "a4"]
    desk.land("a2")
    assert desk.started() == ["a5"]


def test_tasks_take_turns() -> None:
    desk = Desk(slots=3)
    for name in "abc":
        desk.add(task(name), units(name, 9))
    assert desk.started() == ["a1", "b1", "c1", "a2", "b2", "c2"]


def test_units_known_to_be_short_are_queued_ahead_up_to_a_number() -> None:
    desk = Desk(slots=2)
    state = desk.add(task("a"), units("a", 1000))
    desk.dispatcher.took(state, 0.00001)
    assert len(desk.started()) == 2 * AHEAD_UNITS


def test_units_known_to_be_short_are_queued_ahead_up_to_five_milliseconds_of_work() -> None:
    desk = Desk(slots=2)
    state = desk.add(task("a"), units("a", 1000))
    desk.dispatcher.took(state, 0.001)
    orders = list(desk.dispatcher.orders())
    assert len(orders) == 10
    assert {order.expected_s for order in orders} == {0.001}


def test_commands_are_never_queued_ahead_however_short_they_were() -> None:
    desk = Desk(slots=2)
    state = desk.add(task("a", is_command=True), units("a", 1000))
    desk.dispatcher.took(state, 0.00001)
    orders = list(desk.dispatcher.orders())
    assert [order.expected_s for order in orders] == [None] * 4


def test_units_are_long_until_one_has_ended() -> None:
    desk = Desk(slots=1)
    desk.add(task("a"), units("a", 9))
    assert [order.expected_s for order in desk.dispatcher.orders()] == [None, None]


def test_one_pause_does_not_make_short_units_look_long() -> None:
    desk = Desk(slots=1)
    state = desk.add(task("a"), units("a", 9))
    desk.dispatcher.took(state, 0.00001)
    desk.dispatcher.took(state, 1000.0)
    assert len(desk.started()) == 9


@pytest.mark.parametrize("watched", ["task", "job"])
def test_a_long_unit_with_a_fail_limit_waits_for_a_free_slot_and_not_at_the_runner(
    watched: str,
) -> None:
    limit = FailLimit(count=0) if watched == "task" else None
    desk = Desk(slots=2, watched=watched == "job")
    desk.add(task("a", max_fail=limit), units("a", 9))
    assert desk.started() == ["a1", "a2"]
    desk.land("a1")
    assert desk.started() == ["a3"]


def test_short_units_start_while_there_is_no_room_for_long_ones() -> None:
    desk = Desk(slots=1)
    desk.add(task("long"), units("long", 9))
    assert desk.started() == ["long1", "long2"]
    short = desk.add(task("short"), units("short", 3))
    assert desk.started() == []
    desk.dispatcher.took(short, 0.00001)
    assert desk.started() == ["short1", "short2", "short3"]


def test_a_task_whose_units_become_long_takes_turns_with_the_long_ones() -> None:
    desk = Desk(slots=1)
    state = desk.add(task("a"), units("a", 200))
    desk.dispatcher.took(state, 0.00001)
    assert len(desk.started()) == AHEAD_UNITS
    for _ in range(100):
        desk.dispatcher.took(state, 100 * SHORT_S)
    assert desk.started() == [f"a{AHEAD_UNITS + 1}", f"a{AHEAD_UNITS + 2}"]


def test_a_long_unit_with_a_lock_waits_for_a_free_slot_and_not_at_the_runner() -> None:
    desk = Desk(slots=1)
    desk.add(task("a"), units("a", 1))
    desk.add(task("locked"), units("locked", 1, locks=("x",)))
    assert desk.started() == ["a1"]
    assert dict(desk.dispatcher.held) == {}
    desk.land("a1")
    assert desk.started() == ["locked1"]
    assert dict(desk.dispatcher.held) == {"lock:x": 1}


def test_the_next_free_slot_is_for_the_unit_that_waits_for_one_with_its_lock() -> None:
    desk = Desk(slots=2)
    desk.add(task("a"), units("a", 2))
    assert desk.started() == ["a1", "a2"]
    desk.add(task("locked"), units("locked", 1, locks=("x",)))
    desk.add(task("b"), units("b", 9))
    assert desk.started() == []
    desk.land("a1")
    assert desk.started() == ["locked1", "b1", "b2"]


def test_a_landed_unit_gives_back_everything_that_it_held() -> None:
    desk = Desk(slots=2, capacities={"limit:db": 2})
    desk.add(task("a", max_parallel=1), units("a", 1, locks=("x", "y"), limits=("db",)))
    assert desk.started() == ["a1"]
    assert dict(desk.dispatcher.held) == {"limit:db": 1, "lock:x": 1, "lock:y": 1, "task:a": 1}
    desk.land("a1")
    assert dict(desk.dispatcher.held) == {}


def test_a_unit_that_cannot_use_the_place_it_was_woken_for_passes_it_on() -> None:
    desk = Desk(slots=8)
    desk.add(task("a"), units("x", 1, locks=("x",)))
    desk.add(task("a"), units("y", 1, locks=("y",)))
    assert desk.started() == ["x1", "y1"]
    desk.add(task("a"), units("both", 1, locks=("x", "y")))
    desk.add(task("a"), units("next", 1, locks=("x",)))
    assert desk.started() == []
    desk.land("x1")
    assert desk.started() == ["next1"]
    desk.land("y1")
    desk.land("next1")
    assert desk.started() == ["both1"]


def test_removing_a_task_takes_its_ready_and_its_blocked_units() -> None:
    desk = Desk(slots=4)
    state = desk.add(task("a"), units("a", 3, locks=("x",)))
    assert desk.started() == ["a1"]
    assert len(state.blocked) == 2
    desk.add(task("a"), units("more", 5))
    removed = desk.dispatcher.remove(state)
    assert sorted(one.unit.label for one in removed) == [
        "a2", "a3", "more1", "more2", "more3", "more4", "more5",
    ]  # fmt: skip
    assert (state.window, desk.dispatcher.ready, desk.started()) == (0, 0, [])


def test_removing_a_task_lets_others_have_the_place_that_its_unit_was_woken_for() -> None:
    desk = Desk(slots=1)
    desk.add(task("holder"), units("holder", 1, locks=("x",)))
    assert desk.started() == ["holder1"]
    first = desk.add(task("first"), units("first", 1, locks=("x",)))
    desk.add(task("second"), units("second", 1, locks=("x",)))
    assert desk.started() == []
    desk.land("holder1")
    desk.dispatcher.remove(first)
    assert desk.started() == ["second1"]


def test_a_removed_task_keeps_no_slot_reserved() -> None:
    desk = Desk(slots=1)
    desk.add(task("a"), units("a", 1))
    locked = desk.add(task("locked"), units("locked", 1, locks=("x",)))
    assert desk.started() == ["a1"]
    desk.dispatcher.remove(locked)
    desk.add(task("b"), units("b", 1))
    assert desk.started() == ["b1"]


def calls_of_one_search(tasks: int) -> int:
    """Count the Python calls of one look for something to start, with the runner full."""
    desk = Desk(slots=1)
    for number in range(tasks):
        desk.add(task(f"t{number}"), units(f"t{number}-", 1))
    assert len(desk.started()) == 2
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        started = list(desk.dispatcher.orders())
    finally:
        sys.setprofile(None)
    assert started == []
    return count


def test_a_full_runner_costs_the_same_search_with_ten_tasks_as_with_three_thousand() -> None:
    assert calls_of_one_search(3000) == calls_of_one_search(10)
