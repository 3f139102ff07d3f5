"""Makes the units of one task: each of one item, one host, or one item on one host."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

from batchrun.jobfile.compiled import Render
from batchrun.jobfile.hostname import HostName
from batchrun.jobfile.identity import Identifier
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.program import LateProgram, ReviewedUnit, StepsProgram, Target
from batchrun.jobfile.records import Lookup, Origin, UnitResult, UnknownUntilRunError
from batchrun.jobfile.rendering import Desk, Rendering, skipped_unknown
from batchrun.jobfile.scalars import text_of
from batchrun.jobfile.scope import Names
from batchrun.jobfile.secrets import named_in
from batchrun.jobfile.settled import LEFT_OUT, Settled
from batchrun.jobfile.variables import new_scope
from batchrun.model.around import Around
from batchrun.model.host import Host
from batchrun.model.outcome import Failed, Outcome, Skipped
from batchrun.model.unit import Unit

__all__ = ["NO_ITEM", "UnitMaker", "Which"]

#: Stands for the item of a task without `foreach`.
NO_ITEM = object()
_LONGEST_LABEL = 4096
_AS_JSON: dict[str, Any] = {"ensure_ascii": False, "default": str}


class Which(NamedTuple):
    """What tells a unit from the others of its task."""

    #: Its position, from 1.
    position: int
    #: `NO_ITEM`: it has none.
    item: Any = NO_ITEM
    #: Position of the item, from 1.
    item_index: int = 1
    #: None: it is for no host.
    host: Host | None = None
    #: Its host could not be asked for its items in the run that is gone on with.
    is_new: bool = False


class UnitMaker:
    """Makes units, one after the other.

    Args:
        plan: The task.
        names: Its scope; the item, the host and its variables are put into it for each unit.
        desk: What all streams share.
        settled: Leaves out what an earlier run has done.
    """

    def __init__(self, plan: TaskPlan, names: Names, desk: Desk, settled: Settled) -> None:
        self._plan = plan
        self._settled = settled
        self._task_names = self._names = names
        self._desk = desk
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
        identifier = Identifier(plan, desk.run_id) if desk.identifies else None
        self._identify = None if identifier is None else identifier.of
        self._identify_host = None if identifier is None else identifier.of_host
        self._key = self._host = ""
        if plan.uses_mine:
            names["mine"] = Lookup(lambda name: desk.results.mine(name, self._key, self._host))

    def make(self, which: Which) -> Unit | None:
        """Plan a unit; None: it is left out."""
        plan, rendering = self._plan, self._rendering
        label = self._enter(which)
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
                    params, around = self._surrounded(which.position)
                if self._held:
                    held = self._named()
        except ValueError as error:
            params, verdict = {}, rendering.failed(error)
        except UnknownUntilRunError as error:
            params, verdict = {}, skipped_unknown(error)
        limits, locks, machine_locks = held
        identity = b""
        if self._identify is not None and verdict is None:
            identity = self._identify(params, around, self._key, which.position, self._host)
            if self._settled.earlier is not None:
                origin = partial(self._origin, which, label)
                verdict = self._settled.verdict(identity, origin, is_new=which.is_new)
                if verdict is LEFT_OUT:
                    return None
        unit = Unit(
            task_id=plan.task.id,
            index=which.position,
            label=label,
            operation=plan.task.operation,
            host=self._host,
            place=which.host,
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
        return unit if self._is_plain else self._special(unit, which)

    def unrun(self, which: Which, outcome: Outcome) -> Unit:
        """Make the unit of a host that has no items because it could not be asked for them."""
        self._enter(which)
        unit = Unit(
            task_id=self._plan.task.id,
            index=which.position,
            operation=self._plan.task.operation,
            host=self._host,
            place=which.host,
            verdict=outcome,
            identity=self._of_host(self._host),
        )
        return self._special(unit, which)

    def repeats_host(self, host: str) -> bool:
        """Tell whether a rerun is for all units of a host, which could not be asked before."""
        identity = self._of_host(host)
        return bool(identity) and self._settled.repeats(identity)

    def _of_host(self, host: str) -> bytes:
        return b"" if self._identify_host is None else self._identify_host(host)

    def _origin(self, which: Which, label: str) -> Origin:
        """Say which unit a result is of."""
        if which.item is NO_ITEM:
            return Origin(index=which.position, host=self._host)
        return Origin(
            index=which.position, item=which.item, label=label, key=self._key, host=self._host
        )

    def _enter(self, which: Which) -> str:
        """Put a host and an item into the scope; return the item's label."""
        if self._keeps_scope:
            self._names = new_scope(self._plan.frame.variables, {}, outer=self._task_names)
        names, item = self._names, which.item
        label = ""
        if self._plan.frame.variables:
            names.forget()
        if which.host is not None:
            self._host = which.host.name
            names["host"] = HostName(which.host)
        if item is not NO_ITEM:
            names["item"], names["index"] = item, which.item_index
            if type(item) is str:
                label = self._key = item
            else:
                label, self._key = _label(item, chunked=self._plan.frame.chunked), _key(item)
        if self._keeps_scope:
            names["mine"] = Lookup(partial(self._desk.results.mine, key=self._key, host=self._host))
        return label

    def _skipped(self) -> Skipped | None:
        condition = self._plan.frame.when
        return None if condition is None else self._rendering.skipped(condition, self._names)

    def _surrounded(self, index: int) -> tuple[Mapping[str, Any], Around | None]:
        """Render the parameters, and what stands around the operation."""
        rendering, names = self._rendering, self._names
        output = rendering.output(names, index)
        params = rendering.params(names)
        return params, rendering.around(names, params, output)

    def _special(self, unit: Unit, which: Which) -> Unit:
        """Add what few units have: steps, and attempts that are looked at."""
        plan, desk = self._plan, self._desk
        origin = self._origin(which, unit.label)
        if unit.verdict is not None:
            if plan.frame.register and not self._settled.gave(unit.verdict):
                desk.results.keep_unrun(plan.frame.register, origin, unit.verdict)
            return unit
        target = Target(
            task_id=unit.task_id, origin=origin, desk=desk, scope=self._names, place=which.host
        )
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
