"""Units that wait for their next attempt, holding nothing."""

import heapq
from collections.abc import Callable, Iterator

from batchrun.engine.retry import repeated_for_free, retry_delay
from batchrun.engine.state import UnitState
from batchrun.model.outcome import Outcome

__all__ = ["Retries"]


class Retries:
    """When each waiting unit is tried again.

    Args:
        random: Gives numbers between 0 and 1, for the jitter.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        # Those of stopped tasks are passed over when they become due.
        self._waiting: list[tuple[float, int, UnitState]] = []

    @property
    def next_wakeup(self) -> float | None:
        """When the next one is due; None: nobody waits."""
        return self._waiting[0][0] if self._waiting else None

    def delay(self, one: UnitState, outcome: Outcome) -> float | None:
        """Tell how long a unit waits for its next attempt; None: there is none."""
        policy = one.task.task.retry
        if repeated_for_free(policy, outcome, losses=one.losses):
            one.losses += 1
            return 0.0
        one.tries += 1
        return retry_delay(policy, outcome, tries=one.tries, random=self._random())

    def add(self, one: UnitState, due: float) -> None:
        """Let a unit wait."""
        one.task.retrying.add(one)
        heapq.heappush(self._waiting, (due, one.number, one))

    def due(self, now: float) -> Iterator[UnitState]:
        """Yield each unit whose time has come, taken out of its task's waiting ones."""
        while self._waiting and self._waiting[0][0] <= now:
            one = heapq.heappop(self._waiting)[2]
            if one in one.task.retrying:
                one.task.retrying.remove(one)
                yield one
