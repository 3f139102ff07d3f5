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
        self._register = plan.frame.register
        self._results = desk.results
        self._hides = hides
        #: The verdicts of units that are planned and not run, by reason.
        self._verdicts: dict[str, Skipped] = {}

    @property
    def may_leave_out(self) -> bool:
        """Whether there may be fewer units than items."""
        return self.earlier is not None and self._hides

    def verdict(
        self, identity: bytes, origin: Callable[[], Origin], *, is_new: bool = False
    ) -> Skipped | None:
        """Decide about a unit that is being planned; None: it is to be run.

        Args:
            identity: The unit's.
            origin: Says which unit a result is of.
            is_new: See `Earlier`.
        """
        if self.earlier is None:
            return None
        found = self.earlier.settled(
            self._task.id,
            identity,
            keeps=bool(self._task.registers),
            register=self._register,
            is_new=is_new,
        )
        if found is None:
            return None
        for one in found.kept:
            self._results.restore(origin(), one)
        if not self._hides:
            return self._verdicts.setdefault(found.because, Skipped(because=found.because))
        self.left_out += 1
        return LEFT_OUT

    def repeats(self, identity: bytes) -> bool:
        """Tell whether a rerun is for this, which was no unit but what stood for several."""
        return self.earlier is not None and self.earlier.repeats(identity)

    def gave(self, verdict: object) -> bool:
        """Tell whether a verdict is one of these: what it is of may have registered something."""
        return any(one is verdict for one in self._verdicts.values())

    def over(self) -> None:
        """Take note that all units of the task were planned."""
        if self.earlier is not None:
            self.earlier.planned(self._task.id)
