"""Which ready unit starts next: slots, named resources, machine locks, fairness between tasks.

Tasks with ready units take turns, those with short units and the others separately, because a
runner has room for the ones when it has none for the others. A unit that lacks a named resource
is set aside into that resource's queue; a unit that lacks only a slot keeps its turn, so that
nobody starves. Each step starts a unit, sets one aside or ends the search: what a start costs
does not depend on how many tasks wait.

Units of tasks on hosts take no slot of this machine but one of `fanout`, and their tasks take
turns among themselves; the host is one of their named resources. None of them waits at a runner.

A unit that takes several slots (a wide one) is counted exactly: as long as one is in flight or
has its turn, nothing is queued ahead at the runner, and what short units have there counts too.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from batchrun.engine.aside import Aside
from batchrun.engine.limits import Resources
from batchrun.engine.machine import LockTable
from batchrun.engine.state import SHORT_S, TaskState, UnitState
from batchrun.model.job import DEFAULT_FANOUT
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
        fanout: Units of tasks on hosts at the same time.
        machine: Where machine locks are had; None: they exclude units of this run only.
    """

    def __init__(
        self,
        *,
        slots: int,
        capacities: Mapping[str, int],
        fanout: int = DEFAULT_FANOUT,
        machine: LockTable | None = None,
    ) -> None:
        self._slots = slots
        self._fanout = fanout
        self._resources: Resources[UnitState] = Resources(capacities)
        self._machine = machine
        # Tasks with ready units: those on hosts, those whose units are short, and the others.
        self._far: deque[TaskState] = deque()
        self._short: deque[TaskState] = deque()
        self._long: deque[TaskState] = deque()
        #: A unit that has its resources free and waits for a slot: the next one is for it.
        self._reserved: UnitState | None = None
        self._aside = Aside()
        #: Blocked units whose machine locks can never be had, with the reason; to be emptied.
        self.refused: list[tuple[UnitState, str]] = []
        #: Units with the runner, by number.
        self.in_flight: dict[int, UnitState] = {}
        #: Ready units of all tasks together.
        self.ready = 0
        #: Units of tasks on hosts in flight.
        self.far = 0
        # Slots of units in flight that may take long; how many of those units are wide; and short
        # ones with their expected time together.
        self._heavy = 0
        self._wide = 0
        # Units with steps, and spread ones, in flight: each keeps a worker for what comes next.
        self._stepping = 0
        self._light = 0
        self._light_s = 0.0
        # A wide unit is in flight, or the next room is for one: every slot counts.
        self._exact = False
        self._long_first = False

    @property
    def polling(self) -> bool:
        """Whether a unit waits for another process to let go of a machine lock."""
        return bool(self._aside)

    @property
    def held(self) -> Mapping[str, int]:
        """How many units hold each resource."""
        return self._resources.held()

    @property
    def running(self) -> int:
        """How many units run now: what a runner has beyond its slots it has not begun."""
        return self.far + min(len(self.in_flight) - self.far, self._slots)

    def allow(self, resource: str, holders: int) -> None:
        """Let so many units hold a resource at once, whose name was not known beforehand."""
        self._resources.allow(resource, holders)

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
        if reserved is not None and self._fits(reserved.task.width):
            if reserved.task.ready and reserved.task.ready[0] is reserved:
                order = self._first_of(reserved.task)
                if order is not None:
                    yield order
            else:
                self._reserve(None)
        if self._exact:
            # Both kinds want the same slots now.
            self._long_first = not self._long_first
            if self._long_first:
                yield from self._turns(self._long, self._long_full)
        yield from self._turns(self._short, self._short_full)
        yield from self._turns(self._long, self._long_full)
        yield from self._turns(self._far, self._far_full)

    def poll(self) -> None:
        """Let the first of all that wait for the same machine locks try again."""
        for one in self._aside.take_first_of_each():
            one.polled = True
            self.make_ready(one, first=True)

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

    def spread(self, number: int) -> None:
        """Take note that a unit with the runner is worked on in chunks from now on."""
        one = self.in_flight[number]
        one.spread = True
        self._stepping += 1
        if one.expected_s is not None:
            # It looked short, and is not.
            self._light -= 1
            self._light_s = self._light_s - one.expected_s if self._light else 0.0
            one.expected_s = None
            self._heavy += one.task.width
            if one.task.width > 1:
                self._wide += 1
                self._exact = True

    def land(self, number: int) -> UnitState:
        """Take a unit back from the runner, with everything that it held."""
        one = self.in_flight.pop(number)
        one.task.in_flight -= 1
        if one.task.on_hosts:
            self.far -= 1
        else:
            self._free_slot(one)
        if one.resources:
            if self._machine is not None and one.unit.machine_locks:
                self._machine.release(one.unit.machine_locks)
            for name in one.resources:
                self._wake(self._resources.give_back((name,)), name)
        return one

    def remove(self, state: TaskState) -> list[UnitState]:
        """Take every unit of a task that is ready or blocked out of the queues."""
        waiting = list(state.ready)
        self.ready -= len(waiting)
        state.ready.clear()
        for one in state.blocked:
            if one.waits_for:
                self._resources.remove(one.waits_for, one)
            elif one in self._aside:
                self._aside.forget(one)
        waiting += state.blocked
        state.blocked.clear()
        for one in waiting:
            if one is self._reserved:
                self._reserve(None)
            self._pass_on(one)
        return waiting

    def _first_of(self, state: TaskState) -> Order | None:
        """Start or set aside the first ready unit of a task; None: it was set aside or waits."""
        one = state.ready[0]
        names = one.resources
        missing = self._resources.missing(names) if names else None
        if missing is None and not self._has_room(one):
            return None
        state.ready.popleft()
        self.ready -= 1
        if missing is not None:
            self._block(one, missing)
            return None
        if names and one.unit.machine_locks and not self._has_machine(one):
            return None
        return self._start(one, state.expected_s)

    def _start(self, one: UnitState, expected_s: float | None) -> Order:
        if self._reserved is one:
            self._reserve(None)
        if one.resources:
            one.woken_by = None
            self._resources.take(one.resources)
        one.attempt += 1
        one.expected_s = expected_s
        one.task.in_flight += 1
        self.in_flight[one.number] = one
        if one.task.on_hosts:
            self.far += 1
        else:
            self._fill_slot(one)
        return Order(number=one.number, attempt=one.attempt, unit=one.unit, expected_s=expected_s)

    def _rotation_of(self, state: TaskState) -> deque[TaskState]:
        if state.on_hosts:
            return self._far
        return self._long if state.expected_s is None else self._short

    # ---- room -----------------------------------------------------------------------------

    def _fill_slot(self, one: UnitState) -> None:
        """Count a unit in that runs on this machine."""
        if one.unit.program is not None:
            self._stepping += 1
        if one.expected_s is None:
            width = one.task.width
            self._heavy += width
            if width > 1:
                self._wide += 1
                self._exact = True
        else:
            self._light += 1
            self._light_s += one.expected_s

    def _free_slot(self, one: UnitState) -> None:
        """Count a unit out that ran on this machine."""
        if one.unit.program is not None or one.spread:
            one.spread = False
            self._stepping -= 1
        if one.expected_s is None:
            width = one.task.width
            self._heavy -= width
            if width > 1:
                self._wide -= 1
                self._reserve(self._reserved)
        else:
            self._light -= 1
            self._light_s = self._light_s - one.expected_s if self._light else 0.0

    def _fits(self, width: int) -> bool:
        """Whether so many slots are free."""
        used = self._heavy
        if self._wide or width > 1:
            used += self._light
        return used + width <= self._slots

    def _reserve(self, one: UnitState | None) -> None:
        """Keep the next room for a unit; None: for nobody."""
        self._reserved = one
        self._exact = self._wide > 0 or (one is not None and one.task.width > 1)

    def _exact_full(self) -> bool:
        """Whether nothing may start beside a wide unit, or before the one that has its turn."""
        reserved = self._reserved
        return (reserved is not None and reserved.task.width > 1) or not self._fits(1)

    def _short_full(self) -> bool:
        if self._exact:
            return self._exact_full()
        return self._light >= AHEAD_UNITS * self._slots or self._light_s >= AHEAD_S * self._slots

    def _long_full(self) -> bool:
        """Whether nothing long may be handed over now.

        One more than the slots is handed over per slot, so that a worker that becomes free finds
        its next command at once; but not past a unit that a slot is reserved for, nor into the
        way of the next step of a unit that has begun.
        """
        if self._exact:
            return self._exact_full()
        ahead = self._reserved is None and not self._stepping
        return self._heavy >= (2 * self._slots if ahead else self._slots)

    def _far_full(self) -> bool:
        return self.far >= self._fanout

    def _has_room(self, one: UnitState) -> bool:
        """Whether this unit may use the room that there is for its kind.

        A long one that holds a named resource must not wait at the runner: it needs a free slot.
        So do wide ones, those with steps, and those with a fail limit: what waits there begins
        before we hear of a failure.
        """
        task = one.task
        if task.on_hosts:
            return True  # its rotation has its turn only when there is room
        if task.width == 1:
            needs_slot = one.resources or task.watched or one.unit.program is not None
            if task.expected_s is not None or not needs_slot:
                return True
        if self._fits(task.width):
            return True
        if self._reserved is None:
            self._reserve(one)
        return False

    # ---- what a unit lacks ----------------------------------------------------------------

    def _block(self, one: UnitState, missing: str) -> None:
        """Put a unit into the queue of the resource that it lacks."""
        if self._reserved is one:
            self._reserve(None)
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
            one.waits_for = ""
            one.woken_by = name
            self.make_ready(one, first=True)

    # ---- machine locks --------------------------------------------------------------------

    def _has_machine(self, one: UnitState) -> bool:
        """Take the machine locks of a unit that has all else; False: it was set aside."""
        machine = self._machine
        if machine is None:
            return True
        names = one.unit.machine_locks
        polled, one.polled = one.polled, False
        if polled or not self._aside.has(names):
            try:
                if machine.try_take(names):
                    # Now they can queue within the run: each would wait for a poll otherwise.
                    for other in reversed(self._aside.take_all(names)):
                        self.make_ready(other, first=True)
                    return True
            except OSError as error:
                self._refuse(one, error)
                return False
        if self._reserved is one:
            self._reserve(None)
        self._aside.join(one, first=polled)
        self._pass_on(one)
        return False

    def _refuse(self, one: UnitState, error: OSError) -> None:
        if self._reserved is one:
            self._reserve(None)
        why = f"the lock file {error.filename} cannot be locked: {error.strerror}"
        one.task.blocked.add(one)
        self.refused.append((one, why))
        self._pass_on(one)
