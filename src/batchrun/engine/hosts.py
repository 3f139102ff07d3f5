"""The hosts of a run: how many units each has, and when a connection is not needed any more."""

from collections import deque
from collections.abc import Iterable

from batchrun.engine.commands import Command, Forget
from batchrun.engine.dispatch import Dispatcher
from batchrun.engine.state import TaskState, UnitState, host_resources
from batchrun.model.host import Host
from batchrun.model.unit import Unit

__all__ = ["Hosts"]


class Hosts:
    """Which hosts have units that have not ended.

    A host is let go after its last unit, once no task can name it any more. It grows with the
    hosts.

    Args:
        states: Every task.
        dispatcher: Told how many units each host takes at once.
        out: Where commands go.
    """

    def __init__(
        self, states: Iterable[TaskState], dispatcher: Dispatcher, out: deque[Command]
    ) -> None:
        tasks = [state.task for state in states if state.task.on_hosts]
        self._dispatcher = dispatcher
        self._out = out
        # A host has one connection for each of its units that run at once.
        self._per_host = max((task.per_host for task in tasks), default=1)
        #: Tasks that may still have further hosts.
        self._open = {task.id for task in tasks}
        self._units: dict[str, int] = {}
        self._places: dict[str, Host] = {}

    def planned(self, one: UnitState) -> None:
        """Take note of a unit for a host."""
        unit, task = one.unit, one.task.task
        if unit.host not in self._units and self._per_host > 1:
            self._dispatcher.allow(host_resources(task, unit.host)[0], self._per_host)
        if task.per_host > 1:
            self._dispatcher.allow(host_resources(task, unit.host)[1], task.per_host)
        self._units[unit.host] = self._units.get(unit.host, 0) + 1
        if unit.place is not None:
            self._places[unit.host] = unit.place

    def ended(self, unit: Unit) -> None:
        """Take note that a unit for a host has ended, for good."""
        self._units[unit.host] -= 1
        if not self._open and not self._units[unit.host]:
            self._forget(unit.host)

    def exhausted(self, state: TaskState) -> None:
        """Take note that a task will have no further unit; what was said before changes nothing."""
        if state.task.id not in self._open:
            return
        self._open.remove(state.task.id)
        if not self._open:
            for name in [name for name, count in self._units.items() if not count]:
                self._forget(name)

    def _forget(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            self._out.append(Forget(place))
