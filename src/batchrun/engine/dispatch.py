"""Which ready unit starts next: slots, named resources and fairness between tasks.

Tasks with ready units take turns, those with short units and the others separately, because a
runner has room for the ones when it has none for the others. A unit that lacks a named resource
is set aside into that resource's queue; a unit that lacks only a slot keeps its turn, so that
nobody starves. Each step starts a unit, sets one aside or ends the search: what a start costs
does not depend on how many tasks wait.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from batchrun.engine.limits import Resources
from batchrun.engine.state import SHORT_S, TaskState, UnitState
from batchrun.model.unit import Order

__all__ = ["AHEAD_S", "AHEAD_UNITS", "Dispatcher"]

#: Short units are queued ahead at a worker for this long, and at most this many.
AHEAD_S = 2 * SHORT_S
AHEAD_UNITS = 64


class Dispatcher:
    """Everything that is ready, blocked or with the runner.

    Args:
        slots: Units that run at the same time.
        capacities: Holders at once by resource.
    """

    def __init__(self, *, slots: int, capacities: Mapping[str, int]) -> None:
        self._slots = slots
        self._resources: Resources[UnitState] = Resources(capacities)
        # Tasks with ready units: those whose units are short, and the others.
        self._short: deque[TaskState] = deque()
        self._long: deque[TaskState] = deque()
        #: A unit that has its resources free and waits for a slot: the next one is for it.
        self._reserved: UnitState | None = None
        #: Units with the runner, by number.
        self.in_flight: dict[int, UnitState] = {}
        #: Ready units of all tasks together.
        self.ready = 0
        # Units in flight that may take long, and short ones with their expected time together.
        self._heavy = 0
        self._light = 0
        self._light_s = 0.0

    @property
    def held(self) -> Mapping[str, int]:
        """How many units hold each resource."""
        return self._resources.held()

    def make_ready(self, one: UnitState, *, first: bool = False) -> None:
        """Let a unit start as soon as it may."""
        state = one.task
        if first:
            state.ready.appendleft(one)
        else:
            state.ready.append(one)
        self.ready += 1
        if not state.in_rotation:
            state.in_rotation = True
            self._rotation_of(state).append(state)

    def orders(self) -> Iterator[Order]:
        """Give an order for every unit that can start now."""
        reserved = self._reserved
        if reserved is not None and self._heavy < self._slots:
            if reserved.task.ready and reserved.task.ready[0] is reserved:
                order = self._first_of(reserved.task)
                if order is not None:
                    yield order
            else:
                self._reserved = None
        yield from self._turns(self._short, self._short_full)
        yield from self._turns(self._long, self._long_full)

    def _turns(self, rotation: deque[TaskState], full: Callable[[], bool]) -> Iterator[Order]:
        """Let the tasks take turns until there is no room, or none of them has a unit."""
        while rotation and not full():
            state = rotation[0]
            if not state.ready:
                rotation.popleft()
                state.in_rotation = False
                continue
            order = self._first_of(state)
            rotation.rotate(-1)
            if order is not None:
                yield order

    def took(self, state: TaskState, duration_s: float) -> None:
        """Learn how long an attempt of a task took."""
        was_short = state.expected_s is not None
        state.took(duration_s)
        if state.in_rotation and was_short is (state.expected_s is None):
            (self._short if was_short else self._long).remove(state)
            self._rotation_of(state).append(state)

    def land(self, number: int) -> UnitState:
        """Take a unit back from the runner, with everything that it held."""
        one = self.in_flight.pop(number)
        one.task.in_flight -= 1
        if one.expected_s is None:
            self._heavy -= 1
        else:
            self._light -= 1
            self._light_s = self._light_s - one.expected_s if self._light else 0.0
        for name in one.resources:
            self._wake(self._resources.give_back((name,)), name)
        return one

    def remove(self, state: TaskState) -> list[UnitState]:
        """Take every unit of a task that is ready or blocked out of the queues."""
        waiting = list(state.ready)
        self.ready -= len(waiting)
        state.ready.clear()
        for one in state.blocked:
            self._resources.remove(one.waits_for, one)
        waiting += state.blocked
        state.blocked.clear()
        for one in waiting:
            if one is self._reserved:
                self._reserved = None
            self._pass_on(one)
        return waiting

    def _first_of(self, state: TaskState) -> Order | None:
        """Start or set aside the first ready unit of a task; None: it was set aside or waits."""
        one = state.ready[0]
        names = one.resources
        missing = self._resources.missing(names) if names else None
        if missing is not None:
            state.ready.popleft()
            self.ready -= 1
            self._block(one, missing)
            return None
        if not self._has_room(one):
            return None
        state.ready.popleft()
        self.ready -= 1
        return self._start(one, state.expected_s)

    def _start(self, one: UnitState, expected_s: float | None) -> Order:
        if self._reserved is one:
            self._reserved = None
        if one.resources:
            one.woken_by = None
            self._resources.take(one.resources)
        one.attempt += 1
        one.expected_s = expected_s
        one.task.in_flight += 1
        self.in_flight[one.number] = one
        if expected_s is None:
            self._heavy += 1
        else:
            self._light += 1
            self._light_s += expected_s
        return Order(number=one.number, attempt=one.attempt, unit=one.unit, expected_s=expected_s)

    def _rotation_of(self, state: TaskState) -> deque[TaskState]:
        return self._long if state.expected_s is None else self._short

    def _short_full(self) -> bool:
        return self._light >= AHEAD_UNITS * self._slots or self._light_s >= AHEAD_S * self._slots

    def _long_full(self) -> bool:
        """Whether nothing long may be handed over now.

        One more than the slots is handed over per slot, so that a worker that becomes free finds
        its next command at once; but not past a unit that a slot is reserved for.
        """
        return self._heavy >= (2 * self._slots if self._reserved is None else self._slots)

    def _has_room(self, one: UnitState) -> bool:
        """Whether this unit may use the room that there is for its kind.

        A long one that holds a named resource must not wait at the runner: it needs a free slot.
        So does one with a fail limit: what waits there begins before we hear of a failure.
        """
        task = one.task
        needs_slot = bool(one.resources) or task.watched
        if not needs_slot or task.expected_s is not None or self._heavy < self._slots:
            return True
        if self._reserved is None:
            self._reserved = one
        return False

    def _block(self, one: UnitState, missing: str) -> None:
        """Put a unit into the queue of the resource that it lacks."""
        if self._reserved is one:
            self._reserved = None
        one.task.blocked.add(one)
        one.waits_for = missing
        self._resources.wait(missing, one, first=one.woken_by == missing)
        if one.woken_by == missing:
            one.woken_by = None
        self._pass_on(one)

    def _pass_on(self, one: UnitState) -> None:
        """Give the place for which a unit was woken, and which it cannot use, to the next in line.

        Nobody would ever be woken for it otherwise.
        """
        name, one.woken_by = one.woken_by, None
        if name is not None:
            self._wake(self._resources.wake(name), name)

    def _wake(self, ones: list[UnitState], name: str) -> None:
        for one in reversed(ones):
            one.task.blocked.remove(one)
            one.woken_by = name
            self.make_ready(one, first=True)
