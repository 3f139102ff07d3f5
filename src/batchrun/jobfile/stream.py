"""The units of one task, planned one at a time as they are drawn."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Render
from batchrun.jobfile.identity import Identifier
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.program import LateProgram, ReviewedUnit, StepsProgram, Target
from batchrun.jobfile.records import Lookup, Origin, UnitResult, UnknownUntilRunError
from batchrun.jobfile.rendering import Desk, Rendering, skipped_unknown
from batchrun.jobfile.scalars import text_of
from batchrun.jobfile.scope import Names
from batchrun.jobfile.secrets import named_in
from batchrun.jobfile.settled import LEFT_OUT, Settled
from batchrun.jobfile.sources import Items
from batchrun.jobfile.variables import new_scope
from batchrun.model.around import Around
from batchrun.model.outcome import Failed, Skipped
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit

__all__ = ["PlannedStream", "unknown_items"]

_ONE = object()
#: Units that are left out before others have their turn.
_DRAWN_AT_ONCE = 256
_LONGEST_LABEL = 4096
_AS_JSON: dict[str, Any] = {"ensure_ascii": False, "default": str}


class PlannedStream:
    """A UnitStream over the items of one task.

    Args:
        plan: The task.
        names: Its scope; the item and its variables are put into it for each unit.
        items: Where the items come from; None: there is one unit, without an item.
        desk: What all streams share.
        settled: Leaves out what an earlier run has done.
    """

    def __init__(
        self, plan: TaskPlan, names: Names, items: Items | None, desk: Desk, settled: Settled
    ) -> None:
        self._plan = plan
        self._settled = settled
        self._task_names = self._names = names
        self._items = items or _one_item()
        self._with_item = items is not None
        self._index = 0
        self._desk = desk
        self._exhausted = False
        self._rendering = Rendering(plan, desk)
        self._held = bool(
            plan.frame.computed_limits
            or plan.frame.computed_locks
            or plan.frame.computed_machine_locks
        )
        #: Something of a unit is computed after the next one was planned.
        self._keeps_scope = (
            plan.frame.steps is not None or plan.late or plan.frame.changed_when is not None
        )
        self._is_plain = not (
            self._keeps_scope or plan.frame.register or plan.frame.around is not None
        )
        self._identify = Identifier(plan, desk.run_id).of if desk.identifies else None
        self._key = ""
        if plan.uses_mine:
            names["mine"] = Lookup(lambda name: desk.results.mine(name, self._key))

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
        for _ in range(_DRAWN_AT_ONCE):
            try:
                item = self._items.next()
            except UnknownUntilRunError as error:
                self.close()
                return self._unknown(error)
            if item is Drawn.PENDING:
                return Drawn.PENDING
            if item is Drawn.EXHAUSTED:
                return self._end()
            self._index += 1
            unit = self._unit(item)
            if unit is not None:
                return unit
        self._settled.waker()
        return Drawn.PENDING

    def _unknown(self, error: UnknownUntilRunError) -> Unit:
        """Stand for all units whose items a dry run cannot know."""
        task = self._plan.task
        verdict = skipped_unknown(error)
        return Unit(
            task_id=task.id, index=self._index + 1, operation=task.operation, verdict=verdict
        )

    def _end(self) -> Drawn:
        self._exhausted = True
        self.close()
        if self._plan.frame.require and not self._index:
            message = (
                f"foreach has no items ({self._described()}), and `require: true` "
                "says that there must be some"
            )
            raise SourceError(message)
        self._settled.over()
        return Drawn.EXHAUSTED

    def _described(self) -> str:
        return "" if self._plan.frame.source is None else self._plan.frame.source.described

    def ended(self, unit: Unit) -> None:
        """Take note that a unit has ended: its items do not wait for that."""

    def close(self) -> None:
        """Let go of files and threads."""
        self._exhausted = True
        self._items.close()

    def _unit(self, item: Any) -> Unit | None:
        """Plan the unit of an item; None: it is left out."""
        plan, rendering = self._plan, self._rendering
        label = self._enter(item)
        params: Mapping[str, Any] = {}
        around: Around | None = None
        held = plan.frame.limits, plan.frame.locks, plan.frame.machine_locks
        verdict: Skipped | Failed | None = None
        rendering.place = plan.entry.path
        try:
            if plan.frame.when is None or plan.late or (verdict := self._skipped()) is None:
                if self._is_plain:
                    params = rendering.params(self._names)
                elif not plan.late:
                    params, around = self._surrounded()
                if self._held:
                    held = self._named()
        except ValueError as error:
            params, verdict = {}, rendering.failed(error)
        except UnknownUntilRunError as error:
            params, verdict = {}, skipped_unknown(error)
        limits, locks, machine_locks = held
        identity = b""
        if self._identify is not None and verdict is None:
            identity = self._identify(params, around, self._key, self._index)
            if self._settled.earlier is not None:
                verdict = self._settled.verdict(identity, partial(self._origin, item, label))
                if verdict is LEFT_OUT:
                    return None
        unit = Unit(
            task_id=plan.task.id,
            index=self._index,
            label=label,
            operation=plan.task.operation,
            params=params,
            timeout_s=plan.frame.timeout_s,
            locks=locks,
            limits=limits,
            verdict=verdict,
            key=self._key,
            machine_locks=machine_locks,
            around=around,
            secrets=named_in(params) if plan.secrets else (),
            capture_bytes=plan.frame.capture_bytes,
            identity=identity,
        )
        return unit if self._is_plain else self._special(unit, item)

    def _origin(self, item: Any, label: str) -> Origin:
        """Say which unit a result is of."""
        if not self._with_item:
            return Origin(index=self._index)
        return Origin(index=self._index, item=item, label=label, key=self._key)

    def _enter(self, item: Any) -> str:
        """Put an item into the scope; return its label."""
        if self._keeps_scope:
            self._names = new_scope(self._plan.frame.variables, {}, outer=self._task_names)
        names = self._names
        label = ""
        if self._with_item:
            if self._plan.frame.variables:
                names.forget()
            names["item"], names["index"] = item, self._index
            if type(item) is str:
                label = self._key = item
            else:
                label, self._key = _label(item, chunked=self._plan.frame.chunked), _key(item)
        if self._keeps_scope:
            names["mine"] = Lookup(partial(self._desk.results.mine, key=self._key))
        return label

    def _skipped(self) -> Skipped | None:
        condition = self._plan.frame.when
        return None if condition is None else self._rendering.skipped(condition, self._names)

    def _surrounded(self) -> tuple[Mapping[str, Any], Around | None]:
        """Render the parameters, and what stands around the operation."""
        rendering, names = self._rendering, self._names
        output = rendering.output(names, self._index)
        params = rendering.params(names)
        return params, rendering.around(names, params, output)

    def _special(self, unit: Unit, item: Any) -> Unit:
        """Add what few units have: steps, and attempts that are looked at."""
        plan, desk = self._plan, self._desk
        origin = self._origin(item, unit.label)
        if unit.verdict is not None:
            if plan.frame.register and not self._settled.gave(unit.verdict):
                desk.results.keep_unrun(plan.frame.register, origin, unit.verdict)
            return unit
        target = Target(task_id=unit.task_id, origin=origin, desk=desk, scope=self._names)
        if plan.frame.steps is not None:
            unit = replace(unit, program=StepsProgram(plan.frame.steps, target))
        elif plan.late:
            unit = replace(unit, program=LateProgram(plan, target))
        if not plan.task.reviewed:
            return unit
        given = {one.name: getattr(unit, one.name) for one in fields(Unit)}
        return ReviewedUnit(**given, work=plan, target=target)

    def _named(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Compute the names of what the unit holds while it runs."""
        plan = self._plan
        return (
            self._names_of(
                plan.frame.limits, plan.frame.computed_limits, "limit", known=self._desk.limits
            ),
            self._names_of(plan.frame.locks, plan.frame.computed_locks, "lock"),
            self._names_of(plan.frame.machine_locks, plan.frame.computed_machine_locks, "lock"),
        )

    def _names_of(
        self,
        fixed: tuple[str, ...],
        renders: Iterable[Render],
        key: str,
        known: Mapping[str, int] | None = None,
    ) -> tuple[str, ...]:
        self._rendering.place = (*self._plan.entry.path, key)
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


def unknown_items(error: UnknownUntilRunError) -> Items:
    """Make the items of a source that a dry run cannot open."""

    def fail() -> Any:
        raise error

    return Items(next=fail, total=1)


def _one_item() -> Items:
    items = iter([_ONE])
    return Items(next=lambda: next(items, Drawn.EXHAUSTED), total=1)


def _label(item: Any, *, chunked: bool) -> str:
    """Write an item as people see it."""
    try:
        return text_of(item)
    except ValueError:
        if isinstance(item, UnitResult):
            return str(item)
        text = _chunk_label(item) if chunked else json.dumps(item, **_AS_JSON)
        return text if len(text) <= _LONGEST_LABEL else text[:_LONGEST_LABEL] + "…"


def _chunk_label(items: list[Any]) -> str:
    """Write a chunk as people see it.

    >>> _chunk_label(["a", "b", "c"]), _chunk_label(["a"])
    ('3 items: a ... c', '1 item: a')
    """
    ends = [_label(one, chunked=False) for one in (items[:1] + items[1:][-1:])]
    number = len(items)
    joined = (", " if number == 2 else " ... ").join(ends)
    return f"{number} item{'' if number == 1 else 's'}: {joined}"


def _key(item: Any) -> str:
    """Write an item so that equal ones are written equally."""
    return json.dumps(item, sort_keys=True, separators=(",", ":"), **_AS_JSON)
