"""What streams must know of hosts before they can plan: looked up by the runner, counted nowhere.

    stream ──Look──► Planner ──► Looks ──order──► Runner ──report──► Queue ──► the loop ──► Looks
                                                                                 told ◄───────┘

The orders have numbers below zero, so that nobody takes them for units. Not promised: that a host
is looked at once only; an order that the runner gives back is given to it again.
"""

from batchrun.engine.sequence import Submitter
from batchrun.model.outcome import Report
from batchrun.model.ports import Look
from batchrun.model.unit import Order, Unit

__all__ = ["Looks"]


class Looks:
    """All look-ups that are under way; only for the loop's thread.

    Args:
        runner: Who does them. They use no secrets, and what they find must not be changed by
            hiding any.
    """

    def __init__(self, runner: Submitter) -> None:
        self._runner = runner
        self._last = 0
        self._active: dict[int, Look] = {}

    def begin(self, look: Look) -> None:
        """Have a host looked at."""
        self._last -= 1
        self._active[self._last] = look
        self._submit(self._last)

    def unit(self, number: int) -> Unit | None:
        """Return what has this number; None: it has ended, or nobody waits for it any more."""
        look = self._active.get(number)
        return None if look is None else look.unit

    def ended(self, report: Report) -> None:
        """Take an answer."""
        look = self._active.pop(report.number, None)
        if look is not None:
            look.told(report)

    def returned(self, number: int) -> None:
        """Take back an order that was not begun: others were stopped."""
        if number in self._active:
            self._submit(number)

    def drop(self, task_id: str) -> None:
        """End those of a task that nobody draws from any more."""
        for number, look in tuple(self._active.items()):
            if look.unit.task_id == task_id:
                del self._active[number]
                self._runner.stop(number)

    def _submit(self, number: int) -> None:
        self._runner.submit(Order(number=number, attempt=1, unit=self._active[number].unit))
