"""Units whose machine locks another process has: one of them looks again, the others wait for it.

With a thousand units for one lock, a thousand would ask the kernel several times a second.
"""

from collections import OrderedDict

from batchrun.engine.state import UnitState

__all__ = ["Aside"]


class Aside:
    """Queues of blocked units, one for each combination of machine locks."""

    def __init__(self) -> None:
        # Ordered, not deques: on a stop thousands leave from the middle.
        self._queues: dict[tuple[str, ...], OrderedDict[UnitState, None]] = {}

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._queues)

    def __contains__(self, one: UnitState) -> bool:
        """Whether this unit waits here."""
        return one in self._queues.get(one.unit.machine_locks, ())

    def has(self, names: tuple[str, ...]) -> bool:
        """Tell whether somebody waits for exactly these locks."""
        return names in self._queues

    def join(self, one: UnitState, *, first: bool) -> None:
        """Set a unit aside; `first` when it had been the first there before."""
        one.task.blocked.add(one)
        queue = self._queues.setdefault(one.unit.machine_locks, OrderedDict())
        queue[one] = None
        if first:
            queue.move_to_end(one, last=False)

    def take_first_of_each(self) -> list[UnitState]:
        """Take the first unit of each queue out."""
        firsts = [next(iter(queue)) for queue in self._queues.values()]
        for one in firsts:
            self._leave(one)
        return firsts

    def take_all(self, names: tuple[str, ...]) -> list[UnitState]:
        """Take everybody out who waits for exactly these locks, in order."""
        everybody = list(self._queues.get(names, ()))
        for one in everybody:
            self._leave(one)
        return everybody

    def forget(self, one: UnitState) -> None:
        """Take a unit out that is blocked no longer."""
        names = one.unit.machine_locks
        queue = self._queues[names]
        del queue[one]
        if not queue:
            del self._queues[names]

    def _leave(self, one: UnitState) -> None:
        self.forget(one)
        one.task.blocked.remove(one)
