"""Who starts next: room at the runner, turns between tasks, reservations."""

import errno
import sys
from collections.abc import Sequence
from types import FrameType

import pytest

from batchrun.engine.dispatch import AHEAD_UNITS, Dispatcher
from batchrun.engine.machine import LockTable
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
        machine: LockTable | None = None,
    ) -> None:
        self.dispatcher = Dispatcher(slots=slots, capacities=capacities or {}, machine=machine)
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


# ---- units that take several slots ----------------------------------------------------------


def test_a_wide_unit_starts_only_when_all_its_slots_are_free() -> None:
    desk = Desk(slots=4)
    desk.add(task("a"), units("a", 2))
    assert desk.started() == ["a1", "a2"]
    desk.add(task("wide", slots=3), units("wide", 1))
    assert desk.started() == []
    desk.land("a1")
    assert desk.started() == ["wide1"]


def test_nothing_is_queued_ahead_beside_a_wide_unit() -> None:
    desk = Desk(slots=4)
    desk.add(task("wide", slots=3), units("wide", 1))
    assert desk.started() == ["wide1"]
    desk.add(task("a"), units("a", 9))
    assert desk.started() == ["a1"]
    desk.land("wide1")
    assert desk.started() == ["a2", "a3", "a4", "a5", "a6", "a7", "a8"]


def test_small_units_do_not_starve_a_wide_one() -> None:
    desk = Desk(slots=2)
    desk.add(task("a"), units("a", 100))
    running = desk.started()
    desk.add(task("wide", slots=2), units("wide", 1))
    ended = 0
    while "wide1" not in running:
        desk.land(running.pop(0))
        ended += 1
        running += desk.started()
    # Each task had its turn: one more of the small ones began, then none before the wide one.
    assert (running, ended) == (["wide1"], 5)


def test_short_units_do_not_starve_a_wide_one_and_go_on_after_it() -> None:
    desk = Desk(slots=2)
    short = desk.add(task("short"), units("short", 1000))
    desk.dispatcher.took(short, 0.00001)
    ahead = desk.started()
    assert len(ahead) == 2 * AHEAD_UNITS
    desk.add(task("wide", slots=2), units("wide", 1))
    for label in ahead:
        assert desk.started() == []
        desk.land(label)
    assert desk.started() == ["wide1"]
    desk.land("wide1")
    assert len(desk.started()) == 2 * AHEAD_UNITS


def test_short_units_beside_a_wide_one_take_the_slots_that_are_left_and_no_more() -> None:
    desk = Desk(slots=4)
    desk.add(task("wide", slots=2), units("wide", 1))
    assert desk.started() == ["wide1"]
    short = desk.add(task("short"), units("short", 1000))
    desk.dispatcher.took(short, 0.00001)
    assert desk.started() == ["short1", "short2"]


def test_long_units_get_their_share_beside_a_wide_one_and_a_million_short_ones() -> None:
    desk = Desk(slots=3)
    desk.add(task("wide", slots=2), units("wide", 1))
    assert desk.started() == ["wide1"]
    short = desk.add(task("short"), units("short", 100))
    desk.dispatcher.took(short, 0.00001)
    desk.add(task("long"), units("long", 1))
    began: list[str] = desk.started()
    for _ in range(3):
        desk.land(began[-1])
        began += desk.started()
    assert "long1" in began


def test_wide_units_are_never_queued_ahead_however_short_they_were() -> None:
    desk = Desk(slots=2)
    state = desk.add(task("wide", slots=2), units("wide", 9))
    desk.dispatcher.took(state, 0.00001)
    orders = list(desk.dispatcher.orders())
    assert [order.expected_s for order in orders] == [None]


def test_units_of_many_steps_wait_for_a_free_slot_and_are_never_queued_ahead() -> None:
    desk = Desk(slots=2)
    steps = Task(id="s", name="s", operation="steps", single=False)
    state = desk.add(steps, units("s", 9))
    desk.dispatcher.took(state, 0.00001)
    assert desk.started() == ["s1", "s2"]


def test_a_wide_unit_takes_its_lock_only_together_with_its_slots() -> None:
    desk = Desk(slots=2)
    desk.add(task("a"), units("a", 1))
    desk.add(task("wide", slots=2), units("wide", 1, locks=("x",)))
    assert desk.started() == ["a1"]
    assert dict(desk.dispatcher.held) == {}
    desk.land("a1")
    assert desk.started() == ["wide1"]


def test_a_removed_wide_unit_keeps_no_slot_reserved() -> None:
    desk = Desk(slots=2)
    desk.add(task("a"), units("a", 1))
    wide = desk.add(task("wide", slots=2), units("wide", 1))
    assert desk.started() == ["a1"]
    desk.dispatcher.remove(wide)
    desk.add(task("b"), units("b", 3))
    assert desk.started() == ["b1", "b2", "b3"]


# ---- machine locks --------------------------------------------------------------------------


class Neighbour:
    """Machine locks of which another process may have some."""

    def __init__(self, *busy: str) -> None:
        self.busy = set(busy)
        self.held: set[str] = set()
        self.broken = False
        self.tries = 0

    def try_take(self, names: Sequence[str]) -> bool:
        self.tries += 1
        if self.broken:
            raise PermissionError(errno.EACCES, "Permission denied", "/state/x.lock")
        if not self.busy.isdisjoint(names):
            return False
        self.held.update(names)
        return True

    def release(self, names: Sequence[str]) -> None:
        self.held.difference_update(names)


def shared(task_id: str, count: int, *names: str) -> list[Unit]:
    return units(task_id, count, machine_locks=names)


def test_a_machine_lock_is_taken_with_the_unit_and_given_back_with_it() -> None:
    neighbour = Neighbour()
    desk = Desk(slots=2, machine=neighbour)
    desk.add(task("a"), shared("a", 1, "x", "y"))
    assert (desk.started(), neighbour.held) == (["a1"], {"x", "y"})
    desk.land("a1")
    assert neighbour.held == set()


def test_a_unit_whose_machine_lock_is_busy_holds_nothing_and_blocks_nobody_behind_it() -> None:
    neighbour = Neighbour("x")
    desk = Desk(slots=2, machine=neighbour)
    state = desk.add(task("a"), [*shared("a", 1, "x"), *units("b", 2)])
    assert desk.started() == ["b1", "b2"]
    assert (dict(desk.dispatcher.held), neighbour.held) == ({}, set())
    assert (desk.dispatcher.polling, state.window) == (True, 1)
    neighbour.busy.clear()
    assert desk.started() == []
    desk.dispatcher.poll()
    desk.land("b1")
    assert desk.started() == ["a1"]
    assert not desk.dispatcher.polling


def test_of_many_that_wait_for_one_machine_lock_only_the_first_looks_for_it() -> None:
    neighbour = Neighbour("x")
    desk = Desk(slots=2, machine=neighbour)
    desk.add(task("a"), shared("a", 1000, "x"))
    assert desk.started() == []
    assert neighbour.tries == 1
    desk.dispatcher.poll()
    assert desk.started() == []
    assert neighbour.tries == 2


def test_once_the_first_has_its_machine_lock_the_others_follow_without_being_polled() -> None:
    neighbour = Neighbour("x")
    desk = Desk(slots=2, machine=neighbour)
    desk.add(task("a"), shared("a", 3, "x"))
    assert desk.started() == []
    neighbour.busy.clear()
    desk.dispatcher.poll()
    for label in ("a1", "a2", "a3"):
        assert desk.started() == [label]
        desk.land(label)


def test_two_units_of_one_run_exclude_each_other_whatever_scope_their_lock_has() -> None:
    desk = Desk(slots=4)
    desk.add(task("a"), [*shared("a", 1, "x"), *units("b", 1, locks=("x",)), *shared("c", 1, "x")])
    assert desk.started() == ["a1"]
    desk.land("a1")
    assert desk.started() == ["b1"]


def test_a_unit_set_aside_passes_on_the_place_that_it_was_woken_for() -> None:
    neighbour = Neighbour("x")
    desk = Desk(slots=8, machine=neighbour)
    desk.add(task("a"), units("a", 1, locks=("l",)))
    assert desk.started() == ["a1"]
    both = units("both", 1, locks=("l",), machine_locks=("x",))
    desk.add(task("b"), [*both, *units("next", 1, locks=("l",))])
    assert desk.started() == []
    desk.land("a1")
    assert desk.started() == ["next1"]


def test_removing_a_task_takes_what_waits_for_another_process_too() -> None:
    desk = Desk(slots=2, machine=Neighbour("x"))
    state = desk.add(task("a"), shared("a", 3, "x"))
    assert desk.started() == []
    assert len(desk.dispatcher.remove(state)) == 3
    assert not desk.dispatcher.polling


def test_a_unit_whose_machine_lock_can_never_be_had_is_refused_with_the_file_and_the_reason() -> (
    None
):
    neighbour = Neighbour()
    neighbour.broken = True
    desk = Desk(slots=2, machine=neighbour)
    desk.add(task("a"), shared("a", 1, "x"))
    assert desk.started() == []
    assert [(one.unit.label, why) for one, why in desk.dispatcher.refused] == [
        ("a1", "the lock file /state/x.lock cannot be locked: Permission denied")
    ]
