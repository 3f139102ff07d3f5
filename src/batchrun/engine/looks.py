"""What streams must know of hosts before they can plan: looked up by the runner, counted nowhere.

    stream ──Look──► Planner ──► Looks ──order──► Runner ──report──► Queue ──► the loop ──► Looks
                                                                                 told ◄───────┘

The orders have numbers below zero, so that nobody takes them for units. Not promised: that a host
is looked at once only; an order that the runner gives back is given to it again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batchrun.engine.sequence import Submitter
from batchrun.model.outcome import Report
from batchrun.model.ports import Look
from batchrun.model.unit import Order, Unit

__all__ = ["Looks"]

#: Hosts that are named in a sentence; a number stands for the others.
_NAMED = 20


@dataclass(slots=True, kw_only=True)
class _Active:
    """A look-up that is under way."""

    look: Look
    #: By a monotonic clock.
    since: float
    #: How far it is, in one or two words; empty: nobody has said.
    stage: str = ""


class Looks:
    """All look-ups that are under way; only for the loop's thread.

    Args:
        runner: Who does them. What they find must not be changed by hiding secrets of others.
        secretive: Who does those that use secrets; None: the job has none.
        clock: Monotonic.
    """

    def __init__(
        self,
        runner: Submitter,
        secretive: Submitter | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._secretive = secretive
        self._last = 0
        self._clock = clock
        self._active: dict[int, _Active] = {}

    def begin(self, look: Look) -> None:
        """Have a host looked at."""
        self._last -= 1
        self._active[self._last] = _Active(look=look, since=self._clock())
        self._submit(self._last)

    def unit(self, number: int) -> Unit | None:
        """Return what has this number; None: it has ended, or nobody waits for it any more."""
        active = self._active.get(number)
        return None if active is None else active.look.unit

    def staged(self, number: int, stage: str) -> None:
        """Take note of how far one is."""
        active = self._active.get(number)
        if active is not None:
            active.stage = stage

    def sentences(self) -> Iterator[str]:
        """Say who is asked, the longest first, for people that want to know."""
        now = self._clock()
        for active in tuple(self._active.values())[:_NAMED]:
            stage = f", {active.stage}" if active.stage else ""
            host, seconds = active.look.unit.host, now - active.since
            yield f"{host} is asked for its items, for {seconds:.0f} s{stage}"
        if len(self._active) > _NAMED:
            yield f"and {len(self._active) - _NAMED} more hosts are asked for their items"

    def ended(self, report: Report) -> None:
        """Take an answer."""
        active = self._active.pop(report.number, None)
        if active is not None:
            active.look.told(report)

    def returned(self, number: int) -> None:
        """Take back an order that was not begun: others were stopped."""
        if number in self._active:
            self._submit(number)

    def drop(self, task_id: str) -> None:
        """End those of a task that nobody draws from any more."""
        for number, active in tuple(self._active.items()):
            if active.look.unit.task_id == task_id:
                del self._active[number]
                self._runner_of(active.look).stop(number)

    def _submit(self, number: int) -> None:
        look = self._active[number].look
        self._runner_of(look).submit(Order(number=number, attempt=1, unit=look.unit))

    def _runner_of(self, look: Look) -> Submitter:
        return self._secretive if self._secretive and look.unit.secrets else self._runner
