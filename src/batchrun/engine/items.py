"""`needs` per item: a unit waits for the units of its own item in another task, and for no other.

    planned(unit of a) ──► key of a: open ──ended──► well, or not
                                                       │ wakes
    check(unit of b) ──► free, doomed, or hold ────────┴──► news: to be checked again

A unit waits for one task at a time: for the first whose word on its item is still out. What it
waits for is the units of its key that are planned by then: who gives the same item twice, far
apart, gets no barrier. It cannot deadlock: a unit is only ever held for a task that comes before
its own, and nothing in that task waits for a later one.
"""

from collections import deque
from collections.abc import Mapping

from batchrun.engine.state import ItemKeys, Stage, TaskState, UnitState
from batchrun.model.outcome import Aborted

__all__ = ["ItemNeeds"]

_BAD = -1


class ItemNeeds:
    """Who waits for which item.

    Args:
        states: Every task by id; those that are concerned are told here.
    """

    def __init__(self, states: Mapping[str, TaskState]) -> None:
        #: Held units whose item has news: to be taken from here, and checked again.
        self.news: deque[UnitState] = deque()
        for state in states.values():
            ids = {need.task_id: None for need in state.task.needs if need.per == "item"}
            state.item_needs = tuple(states[task_id] for task_id in ids)
            if ids:
                state.plain = False
            for needed in state.item_needs:
                needed.keys = needed.keys or ItemKeys()
                needed.keys.dependants += 1

    def planned(self, one: UnitState, keys: ItemKeys) -> None:
        """Take note of a unit that others may wait for."""
        count = keys.well.get(one.unit.key, 0)
        if count != _BAD:
            keys.well[one.unit.key] = count + 1

    def ended(self, one: UnitState, keys: ItemKeys, *, well: bool) -> None:
        """Take note of how a unit ended that others may wait for."""
        key = one.unit.key
        count = keys.well[key]
        if count == _BAD:
            return
        count = count - 1 if well else _BAD
        keys.well[key] = count
        if count <= 0:
            self.news.extend(keys.waiting.pop(key, ()))

    def exhausted(self, state: TaskState) -> None:
        """Take note that a task will have no further item: who waits for one waits in vain."""
        keys = state.keys
        if keys is not None:
            vain = [key for key in keys.waiting if key not in keys.well]
            for key in vain:
                self.news.extend(keys.waiting.pop(key))

    def forget(self, state: TaskState) -> None:
        """Forget what only this task, which has ended, wanted to know."""
        for needed in state.item_needs:
            keys = needed.keys
            if keys is not None:
                keys.dependants -= 1
                if not keys.dependants:
                    needed.keys = None

    def check(self, one: UnitState) -> TaskState | Aborted | None:
        """Tell whether a unit may start.

        Returns:
            The task whose unit of this item it must wait for; why it can never start; or None:
            it may.
        """
        for needed in one.task.item_needs:
            keys = needed.keys
            count = None if keys is None else keys.well.get(one.unit.key)
            if count is None:
                if needed.stage is Stage.OPEN:
                    return needed
                if needed.source_error and needed.task.ignore_errors:
                    continue
                return Aborted(because=_why_missing(needed, one))
            if count == _BAD:
                return Aborted(
                    because=f"needs {needed.task.id}, whose {_unit(one)} did not end well"
                )
            if count:
                return needed
        return None

    def hold(self, one: UnitState, needed: TaskState) -> None:
        """Let a unit wait for its item in a task, as `check` has said."""
        if needed.keys is not None:
            one.task.blocked.add(one)
            needed.keys.waiting.setdefault(one.unit.key, []).append(one)


def _unit(one: UnitState) -> str:
    return f"item {one.unit.label}" if one.unit.key else "unit"


def _why_missing(needed: TaskState, one: UnitState) -> str:
    task_id = needed.task.id
    if needed.source_error:
        return f"needs {task_id}, whose `foreach` failed before its {_unit(one)}"
    if needed.not_expanded:
        return f"needs {task_id}, which was stopped before its {_unit(one)}"
    return f"needs {task_id}, which had no {_unit(one)}"
