"""`hosts` and `delegate_to`: which hosts the units of a task, or of a step, are for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchrun.errors import NodeSetError, SourceError, UsageError
from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.entries import Entry
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.fleet import Fleet
from batchrun.jobfile.places import HERE
from batchrun.jobfile.problems import Path
from batchrun.jobfile.scope import Names
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.model.host import Host
from batchrun.nodes.inventory import Inventory

__all__ = ["HostPlan", "HostText", "check_left", "compile_delegate", "compile_hosts"]

_TEXT = Shape(scalars=(Scalar(type=str),))
_TEXTS = Shape(items=_TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostText:
    """One host that is computed for each unit, or `local`."""

    place: Path
    name: Compiled

    def find(self, names: Names, inventory: Inventory) -> Host | None:
        """Return the host; None: this machine.

        Raises:
            ValueError: it cannot be computed, or is no single host.
        """
        text = self.name.value if isinstance(self.name, Constant) else self.name(names)
        return None if text == HERE else _only_host(str(text), inventory)


def _only_host(text: str, inventory: Inventory) -> Host:
    try:
        hosts = inventory.select(text)
    except NodeSetError as error:
        raise ValueError(str(error)) from None
    if len(hosts) > 1:
        message = f"`{text}` means {len(hosts)} hosts; name one"
        raise ValueError(message)
    return hosts[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The hosts of a task."""

    #: As they are written.
    described: str
    #: The node sets.
    texts: Compiled
    #: The hosts, when they are known before anything runs.
    known: tuple[Host, ...] | None = None

    def open(self, names: Names, fleet: Fleet) -> tuple[Host, ...]:
        """Return the hosts, now that the task begins.

        Raises:
            SourceError: they cannot be computed, or there are none.
        """
        if self.known is not None:
            return self.known
        try:
            return fleet.select(_texts(self.texts, names))
        except (ValueError, NodeSetError) as error:
            message = f"the hosts `{self.described}` cannot be told: {error}"
            raise SourceError(message) from None


def _texts(compiled: Compiled, names: Names) -> Sequence[str]:
    found = compiled.value if isinstance(compiled, Constant) else compiled(names)
    return [str(one) for one in found]


def compile_hosts(
    entry: Entry, compiler: Compiler, names: Names, fleet: Fleet
) -> HostPlan | None:
    """Compile the hosts of a task; None: it has none, or a mistake was noted.

    Args:
        entry: The task.
        compiler: That of what is computed once, when the task begins.
        names: What is known before anything runs.
        fleet: The hosts that are known.
    """
    raw = entry.modifiers.hosts
    if raw is None:
        return None
    place = entry.place_of("hosts")
    before = len(compiler.problems)
    texts = compiler.value(_TEXTS, raw, place)
    if texts is None or len(compiler.problems) > before:
        return None
    plan = HostPlan(described=_described(raw), texts=texts)
    try:
        found = _texts(texts, names)
    except ValueError:
        return plan  # it needs what is known only when the task begins
    try:
        return replace(plan, known=fleet.select(found))
    except NodeSetError as error:
        compiler.problems.add(place, str(error))
        return None


def _described(raw: Any) -> str:
    return ",".join(map(str, raw)) if isinstance(raw, list) else str(raw)


def compile_delegate(entry: Entry, compiler: Compiler, inventory: Inventory) -> HostText | None:
    """Compile `delegate_to` of a step; None: there is none, or a mistake was noted."""
    raw = entry.modifiers.delegate_to
    if raw is None:
        return None
    place = entry.place_of("delegate_to")
    name = compiler.value(_TEXT, raw, place)
    if name is None:
        return None
    if isinstance(name, Constant) and name.value != HERE:
        try:
            _only_host(name.value, inventory)
        except ValueError as error:
            compiler.problems.add(place, str(error))
            return None
    return HostText(place=place, name=name)


def check_left(plans: Iterable[HostPlan | None], fleet: Fleet) -> None:
    """Refuse a command line that leaves no task any host.

    Raises:
        UsageError: it does.
    """
    if not fleet.is_narrowed:
        return
    found = [plan for plan in plans if plan is not None]
    if not found:
        message = "-w and -x say which hosts; no task that is selected has `hosts`"
        raise UsageError(message)
    if all(plan.known == () for plan in found):
        message = "-w and -x leave no host to any task"
        raise UsageError(message)
