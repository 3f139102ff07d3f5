"""The units of one task, planned one at a time as they are drawn."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Render
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.problems import Path
from batchrun.jobfile.scalars import text_of
from batchrun.jobfile.scope import Names
from batchrun.jobfile.sources import Items
from batchrun.model.outcome import Failed, Skipped
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit

__all__ = ["PlannedStream"]

_ONE = object()
_LONGEST_LABEL = 4096


class PlannedStream:
    """A UnitStream over the items of one task.

    Args:
        plan: The task.
        names: Its scope; the item and its variables are put into it for each unit.
        items: Where the items come from; None: there is one unit, without an item.
        limits: The semaphores of the job, for names that are computed.
        where: Writes `FILE:LINE: PATH`, for templates that fail.
    """

    def __init__(
        self,
        plan: TaskPlan,
        names: Names,
        items: Items | None,
        *,
        limits: Mapping[str, int],
        where: Callable[[Path], str],
    ) -> None:
        self._plan = plan
        self._names = names
        self._items = items or _one_item()
        self._with_item = items is not None
        self._index = 0
        self._limits = limits
        self._where = where
        self._exhausted = False
        self._path: Path = plan.entry.path
        self._held = bool(plan.computed_limits or plan.computed_locks)

    @property
    def total(self) -> int | None:
        """How many units there will be in all, when that is known."""
        return self._items.total

    def draw(self) -> Unit | Drawn:
        """Plan the next unit.

        Raises:
            SourceError: the source failed, or has no items although it must have.
        """
        if self._exhausted:
            return Drawn.EXHAUSTED
        item = self._items.next()
        if item is Drawn.PENDING:
            return Drawn.PENDING
        if item is Drawn.EXHAUSTED:
            return self._end()
        self._index += 1
        return self._unit(item)

    def _end(self) -> Drawn:
        self._exhausted = True
        self.close()
        if self._plan.require and not self._index:
            message = (
                f"foreach has no items ({self._described()}), and `require: true` "
                "says that there must be some"
            )
            raise SourceError(message)
        return Drawn.EXHAUSTED

    def _described(self) -> str:
        return "" if self._plan.source is None else self._plan.source.described

    def close(self) -> None:
        """Let go of files and threads."""
        self._exhausted = True
        self._items.close()

    def _unit(self, item: Any) -> Unit:
        plan, names = self._plan, self._names
        label = ""
        if self._with_item:
            if plan.variables:
                names.forget()
            names["item"], names["index"] = item, self._index
            label = item if type(item) is str else _label(item)
        self._path = plan.entry.path
        limits, locks = plan.limits, plan.locks
        params: dict[str, Any] = {}
        verdict: Skipped | Failed | None = None
        try:
            if plan.when is not None and (verdict := self._skipped()) is not None:
                return self._made(label, params, limits, locks, verdict)
            params = dict(plan.constants)
            for field, path, render in plan.computed:
                self._path = path
                params[field] = render(names)
            if self._held:
                limits = self._named(limits, plan.computed_limits, "limit", known=self._limits)
                locks = self._named(locks, plan.computed_locks, "lock")
        except ValueError as error:
            params = {}
            verdict = Failed(message=f"{self._where(self._path)}: {error}", retryable=False)
        return self._made(label, params, limits, locks, verdict)

    def _made(
        self,
        label: str,
        params: dict[str, Any],
        limits: tuple[str, ...],
        locks: tuple[str, ...],
        verdict: Skipped | Failed | None,
    ) -> Unit:
        return Unit(
            task_id=self._plan.task.id,
            index=self._index,
            label=label,
            operation=self._plan.task.operation,
            params=params,
            timeout_s=self._plan.timeout_s,
            locks=locks,
            limits=limits,
            verdict=verdict,
        )

    def _skipped(self) -> Skipped | None:
        condition = self._plan.when
        if condition is None:
            return None
        self._path = (*self._plan.entry.path, "when")
        if condition.compute(self._names):
            return None
        return Skipped(because=f"when: {condition.source} is false")

    def _named(
        self,
        fixed: tuple[str, ...],
        renders: Iterable[Render],
        key: str,
        known: Mapping[str, int] | None = None,
    ) -> tuple[str, ...]:
        self._path = (*self._plan.entry.path, key)
        found = set(fixed)
        for render in renders:
            name = render(self._names)
            if not name:
                message = "the name came out empty"
                raise ValueError(message)
            if known is not None and name not in known:
                message = f"`{name}` is not one of the job's `limits`"
                raise ValueError(message)
            found.add(name)
        return tuple(sorted(found))


def _one_item() -> Items:
    items = iter([_ONE])
    return Items(next=lambda: next(items, Drawn.EXHAUSTED), total=1)


def _label(item: Any) -> str:
    """Write an item as people see it."""
    try:
        return text_of(item)
    except ValueError:
        text = json.dumps(item, ensure_ascii=False, default=str)
        return text if len(text) <= _LONGEST_LABEL else text[:_LONGEST_LABEL] + "…"
