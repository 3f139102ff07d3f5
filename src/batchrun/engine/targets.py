"""`needs` per item and per host: a unit waits for the units of its own target, and for no other.

    planned(unit of a) ──► key of a: open ──ended──► well, or not
                                                       │ wakes
    check(unit of b) ──► free, doomed, or hold ────────┴──► news: to be checked again

A unit waits for one task at a time: for the first whose word on its target is still out. What it
waits for is the units of its key that are planned by then: who gives the same item twice, far
apart, gets no barrier. With hosts and items, the word on a host is out when every unit of the task
is planned and those of that host have ended.

Between two tasks on hosts a need of the whole task is one per host as well, behind a barrier: its
word on every host is out when the dependant is opened. A host that is none of its hosts is free.

It cannot deadlock: a unit is only ever held for a task that comes before its own, and nothing in
that task waits for a later one.
"""

from collections import deque
from collections.abc import Mapping
from typing import Literal

from batchrun.engine.state import Stage, TargetKeys, TargetNeed, TaskState, UnitState
from batchrun.model.job import Need
from batchrun.model.outcome import Aborted

__all__ = ["TargetNeeds"]

_BAD = -1
#: Not well, but only because a host was not reached.
_AWAY = -2


class TargetNeeds:
    """Who waits for which target.

    Args:
        states: Every task by id; those that are concerned are told here.
    """

    def __init__(self, states: Mapping[str, TaskState]) -> None:
        #: Held units whose target has news: to be taken from here, and checked again.
        self.news: deque[UnitState] = deque()
        for state in states.values():
            needs: dict[tuple[str, str], TargetNeed] = {}
            for need in state.task.needs:
                needed = states[need.task_id]
                per = _per(need, state, needed)
                if per is not None and (need.task_id, per) not in needs:
                    needs[need.task_id, per] = TargetNeed(needed, _keys(needed, per))
            if needs:
                state.plain = False
                state.target_needs = tuple(needs.values())

    def planned(self, one: UnitState) -> None:
        """Take note of a unit that others may wait for."""
        for keys in one.task.keys:
            key = keys.key_of(one.unit)
            keys.has_items = keys.has_items or bool(one.unit.key)
            count = keys.well.get(key, 0)
            if count >= 0:
                keys.well[key] = count + 1

    def ended(self, one: UnitState, *, well: bool, away: bool) -> None:
        """Take note of how a unit ended that others may wait for.

        Args:
            one: Which.
            well: It ended well, or nobody minds.
            away: It did not, and only because its host was not reached.
        """
        for keys in one.task.keys:
            key = keys.key_of(one.unit)
            count = keys.well[key]
            if count < 0 and (well or away):
                continue
            count = count - 1 if well else _AWAY if away else _BAD
            keys.well[key] = count
            if count <= 0:
                self.news.extend(keys.waiting.pop(key, ()))

    def exhausted(self, state: TaskState) -> None:
        """Take note that a task will have no further unit: who waits for one waits in vain."""
        for keys in state.keys:
            decided = [key for key in keys.waiting if not keys.well.get(key)]
            for key in decided:
                self.news.extend(keys.waiting.pop(key))

    def forget(self, state: TaskState) -> None:
        """Forget what only this task, which has ended, wanted to know."""
        for need in state.target_needs:
            keys = need.keys
            keys.dependants -= 1
            if not keys.dependants:
                need.task.keys = tuple(one for one in need.task.keys if one is not keys)

    def check(self, one: UnitState) -> TargetNeed | Aborted | None:
        """Tell whether a unit may start.

        Returns:
            The need for whose word on its target it must wait; why it can never start; or None:
            it may.
        """
        for need in one.task.target_needs:
            needed, keys = need.task, need.keys
            count = keys.well.get(keys.key_of(one.unit))
            if count is not None and count < 0:
                one.is_away = count == _AWAY
                what = _target(keys, one)
                return Aborted(because=f"needs {needed.task.id}, whose {what} did not end well")
            may_come = needed.stage is Stage.OPEN and (count is None or keys.is_open)
            if count or may_come:
                return need
            if count is None and not _is_free(needed, keys):
                return Aborted(because=_why_missing(needed, _target(keys, one)))
        return None

    def hold(self, one: UnitState, need: TargetNeed) -> None:
        """Let a unit wait for its target in a task, as `check` has said."""
        one.task.blocked.add(one)
        need.keys.waiting.setdefault(need.keys.key_of(one.unit), []).append(one)


def _per(need: Need, state: TaskState, needed: TaskState) -> Literal["item", "host", "both"] | None:
    """Tell by what the units of two tasks belong together; None: one waits for all of the other."""
    both = state.task.on_hosts and needed.task.on_hosts
    if need.per == "item":
        return "both" if both else "item"
    return "host" if both or need.per == "host" else None


def _keys(needed: TaskState, per: Literal["item", "host", "both"]) -> TargetKeys:
    """Return what is known of a task by target, which has one more dependant now."""
    keys = next((one for one in needed.keys if one.per == per), None)
    if keys is None:
        keys = TargetKeys(per)
        needed.keys = (*needed.keys, keys)
    keys.dependants += 1
    return keys


def _is_free(needed: TaskState, keys: TargetKeys) -> bool:
    """Whether a unit may start of whose target nothing was planned in what it needs."""
    if needed.source_error:
        return needed.task.ignore_errors
    return keys.per == "host" and not needed.not_expanded


def _target(keys: TargetKeys, one: UnitState) -> str:
    unit = one.unit
    if keys.per == "host":
        return f"host {unit.host}"
    what = f"item {unit.label}" if unit.key else "unit"
    return f"{what} on {unit.host}" if keys.per == "both" else what


def _why_missing(needed: TaskState, target: str) -> str:
    task_id = needed.task.id
    if needed.source_error:
        return f"needs {task_id}, whose `foreach` failed before its {target}"
    if needed.not_expanded:
        return f"needs {task_id}, which was stopped before its {target}"
    return f"needs {task_id}, which had no {target}"
