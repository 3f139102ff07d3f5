"""The units of one task, planned one at a time as they are drawn."""

from typing import Any

from batchrun.errors import SourceError
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.records import UnknownUntilRunError
from batchrun.jobfile.rendering import skipped_unknown
from batchrun.jobfile.settled import Settled
from batchrun.jobfile.sources import Items
from batchrun.jobfile.units import NO_ITEM, UnitMaker, Which
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit

__all__ = [
    "DRAWN_AT_ONCE",
    "PlannedStream",
    "missing_items",
    "one_item",
    "unknown_items",
    "unknown_unit",
]

#: Units that are left out before others have their turn.
DRAWN_AT_ONCE = 256


class PlannedStream:
    """A UnitStream over the items of one task that is for no hosts.

    Args:
        plan: The task.
        maker: Makes its units.
        items: Where the items come from.
        settled: Leaves out what an earlier run has done.
    """

    def __init__(self, plan: TaskPlan, maker: UnitMaker, items: Items, settled: Settled) -> None:
        self._plan = plan
        self._maker = maker
        self._settled = settled
        self._items = items
        self._index = 0
        self._exhausted = False

    @property
    def total(self) -> int | None:
        """How many units there will be in all, when that is known.

        Of a task whose waves are shares of them, those that an earlier run has done count: the
        waves of a run that goes on with another one are as big as the first time.
        """
        if self._settled.may_leave_out and not self._plan.needs_total:
            return None
        return self._items.total

    @property
    def hosts(self) -> int | None:
        """For how many hosts there will be units: for none."""
        return None

    @property
    def done_before(self) -> int:
        """How many units were left out so far."""
        return self._settled.left_out

    def draw(self) -> Unit | Drawn:
        """Plan the next unit.

        Raises:
            SourceError: the source failed, or has no items although it must have.
        """
        if self._exhausted:
            return Drawn.EXHAUSTED
        for _ in range(DRAWN_AT_ONCE):
            try:
                item = self._items.next()
            except UnknownUntilRunError as error:
                self.close()
                return unknown_unit(self._plan, self._index + 1, error)
            if item is Drawn.PENDING:
                return Drawn.PENDING
            if item is Drawn.EXHAUSTED:
                return self._end()
            self._index += 1
            unit = self._maker.make(Which(self._index, item, self._index))
            if unit is not None:
                return unit
        self._settled.waker()
        return Drawn.PENDING

    def _end(self) -> Drawn:
        self._exhausted = True
        self.close()
        if self._plan.frame.require and not self._index:
            raise missing_items(self._plan)
        self._settled.over()
        return Drawn.EXHAUSTED

    def ended(self, unit: Unit) -> None:
        """Take note that a unit has ended: its items do not wait for that."""

    def close(self) -> None:
        """Let go of files and threads."""
        self._exhausted = True
        self._items.close()


def unknown_unit(plan: TaskPlan, index: int, error: UnknownUntilRunError) -> Unit:
    """Make the unit that stands for all those whose items a dry run cannot know."""
    task = plan.task
    return Unit(
        task_id=task.id, index=index, operation=task.operation, verdict=skipped_unknown(error)
    )


def missing_items(plan: TaskPlan) -> SourceError:
    """Say that there are no items, although there must be."""
    described = "" if plan.frame.source is None else plan.frame.source.described
    message = (
        f"foreach has no items ({described}), and `require: true` says that there must be some"
    )
    return SourceError(message)


def unknown_items(error: UnknownUntilRunError) -> Items:
    """Make the items of a source that a dry run cannot open."""

    def fail() -> Any:
        raise error

    return Items(next=fail, total=1)


def one_item() -> Items:
    """Make the items of a task without `foreach`."""
    items = iter([NO_ITEM])
    return Items(next=lambda: next(items, Drawn.EXHAUSTED), total=1)
