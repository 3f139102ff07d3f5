"""Units that need not be run, because the runs that this one goes on with have settled them."""

from collections.abc import Callable
from typing import Final

from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.records import Origin
from batchrun.jobfile.rendering import Desk
from batchrun.model.outcome import Skipped
from batchrun.model.ports import Waker

__all__ = ["LEFT_OUT", "Settled"]

#: The verdict of a unit that is not even planned.
LEFT_OUT: Final = Skipped(because="left out")


class Settled:
    """Decides, for the units of one task.

    Args:
        plan: The task.
        desk: What all streams share.
        waker: Called when so many were left out that others must have their turn.
        hides: Nobody waits for single units of it, so that they need not be planned.
    """

    def __init__(self, plan: TaskPlan, desk: Desk, waker: Waker, *, hides: bool) -> None:
        # `finally` tasks run last in any case, also the second time.
        self.earlier = None if plan.entry.final else desk.earlier
        self.waker = waker
        #: How many were left out.
        self.left_out = 0
        self._task = plan.task
        self._results = desk.results
        self._hides = hides
        #: The verdict of a unit that is planned and not run.
        self.done = Skipped(because=f"done in run {self.earlier.run_id}" if self.earlier else "")

    @property
    def may_leave_out(self) -> bool:
        """Whether there may be fewer units than items."""
        return self.earlier is not None and self._hides

    def verdict(self, identity: bytes, origin: Callable[[], Origin]) -> Skipped | None:
        """Decide about a unit that is being planned; None: it is to be run.

        Args:
            identity: The unit's.
            origin: Says which unit a result is of.
        """
        earlier, task = self.earlier, self._task
        if earlier is None or not earlier.settles(task.id, identity):
            return None
        if task.registers:
            kept = earlier.kept(task.id, identity)
            if kept is None:
                return None
            for one in kept:
                self._results.restore(origin(), one)
        if not self._hides:
            return self.done
        self.left_out += 1
        return LEFT_OUT
