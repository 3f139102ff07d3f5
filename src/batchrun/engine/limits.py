"""Named resources (mutexes, semaphores, `max_parallel`): taken all or nothing, never waited on.

A unit that finds one of its resources taken is put into that resource's queue and blocks nobody
behind it. Whoever gives a resource back gets the units that may try again.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

__all__ = ["Resources"]

T = TypeVar("T", bound=Hashable)


class Resources(Generic[T]):
    """Who holds how much of what, and who waits for it.

    Args:
        capacities: Holders at once by resource; one where it is not given.
    """

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self._capacities = dict(capacities)
        self._held: dict[str, int] = {}
        # Ordered, not deques: on a stop thousands leave from the middle.
        self._waiting: dict[str, OrderedDict[T, None]] = {}

    def allow(self, name: str, holders: int) -> None:
        """Let a resource have so many holders at once."""
        self._capacities[name] = holders

    def missing(self, names: Iterable[str]) -> str | None:
        """Return the first of `names` that is taken now; None: all are free."""
        for name in names:
            if self._held.get(name, 0) >= self._capacities.get(name, 1):
                return name
        return None

    def take(self, names: Iterable[str]) -> None:
        """Hold all of `names`, which must be free."""
        for name in names:
            self._held[name] = self._held.get(name, 0) + 1

    def wait(self, name: str, waiter: T, *, first: bool) -> None:
        """Put `waiter` into the queue of `name`; `first` when it had waited there before."""
        queue = self._waiting.setdefault(name, OrderedDict())
        queue[waiter] = None
        if first:
            queue.move_to_end(waiter, last=False)

    def give_back(self, names: Iterable[str]) -> list[T]:
        """Release all of `names`; return those who may try again, longest waiting first."""
        woken: list[T] = []
        for name in names:
            left = self._held[name] - 1
            if left:
                self._held[name] = left
            else:
                del self._held[name]
            woken.extend(self.wake(name))
        return woken

    def wake(self, name: str) -> list[T]:
        """Take as many from the queue of `name` as it has free places."""
        queue = self._waiting.get(name)
        if queue is None:
            return []
        free = self._capacities.get(name, 1) - self._held.get(name, 0)
        woken = [queue.popitem(last=False)[0] for _ in range(min(free, len(queue)))]
        if not queue:
            del self._waiting[name]
        return woken

    def remove(self, name: str, waiter: T) -> None:
        """Take `waiter` out of the queue of `name`, in which it is."""
        queue = self._waiting[name]
        del queue[waiter]
        if not queue:
            del self._waiting[name]

    def held(self) -> Mapping[str, int]:
        """Tell what is held, for tests and for people."""
        return self._held
