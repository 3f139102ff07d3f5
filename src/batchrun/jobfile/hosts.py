"""`hosts` and `delegate_to`: which hosts the units of a task, or of a step, are for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchrun.errors import NodeSetError, SourceError, UsageError
from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.entries import SECTIONS, Entry
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.fleet import Fleet
from batchrun.jobfile.places import HERE
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.scope import Names
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.variables import names_in
from batchrun.model.host import Host
from batchrun.nodes.inventory import Inventory
from batchrun.nodes.nodeset import fold

__all__ = [
    "HostPlan",
    "HostText",
    "check_host_modifiers",
    "check_left",
    "check_told_apart",
    "compile_delegate",
    "compile_hosts",
    "mentions_hosts",
]

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
    #: The names of all of them, also of those that the command line leaves out.
    everyone: frozenset[str] = frozenset()

    def open(self, names: Names, fleet: Fleet, connect_timeout_s: float | None) -> tuple[Host, ...]:
        """Return the hosts, now that the task begins; none when a list came out empty.

        Raises:
            SourceError: they cannot be computed, or a node set is no good.
        """
        found = self.known
        if found is None:
            try:
                everyone = fleet.inventory.select_all(_texts(self.texts, names))
                found = fleet.narrowed(everyone)
            except (ValueError, NodeSetError) as error:
                message = f"the hosts `{self.described}` cannot be told: {error}"
                raise SourceError(message) from None
        if connect_timeout_s is None:
            return found
        return tuple(replace(host, connect_timeout_s=connect_timeout_s) for host in found)


def _texts(compiled: Compiled, names: Names) -> Sequence[str]:
    found = compiled.value if isinstance(compiled, Constant) else compiled(names)
    return [str(one) for one in found]


def compile_hosts(entry: Entry, compiler: Compiler, names: Names, fleet: Fleet) -> HostPlan | None:
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
        everyone = fleet.inventory.select_all(found)
    except NodeSetError as error:
        if fleet.is_whole:
            compiler.problems.add(place, str(error))
        return None
    named = frozenset(host.name for host in everyone)
    return replace(plan, known=fleet.narrowed(everyone), everyone=named)


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


#: Modifiers of a task that say how it goes about its hosts.
_OF_HOSTS = ("connect_timeout", "ignore_unreachable", "per_host", "pick")


def check_host_modifiers(entry: Entry, problems: Problems) -> None:
    """Note modifiers that say nothing where they stand."""
    if "delegate_to" in entry.written:
        message = (
            "`delegate_to` is for a step: write the operation as one of `steps`, or say with "
            "`hosts` where the task runs"
        )
        problems.add((*entry.path, "delegate_to"), message)
    if entry.on_hosts:
        return
    for key in _OF_HOSTS:
        if key in entry.written:
            problems.add((*entry.path, key), f"`{key}` is for a task with `hosts`")


def check_told_apart(entry: Entry, task: Entry, hosts: HostPlan | None, problems: Problems) -> None:
    """Note a download by which one host would overwrite what came from another.

    Args:
        entry: The task or the step that may be one.
        task: The task that it is, or belongs to.
        hosts: Those of the task; None: it has none, or that is not known.
        problems: Where mistakes go.
    """
    operation = entry.operation
    if operation is None or operation.name != "download" or hosts is None:
        return
    if hosts.known is not None and len(hosts.known) <= 1:
        return
    raw = entry.raw.get("dest") if isinstance(entry.raw, dict) else None
    if isinstance(raw, str) and not _names_host(raw, task.modifiers.vars):
        message = (
            f"every host would write to `{raw}`; tell them apart, as in "
            f"`{raw.rstrip('/')}/{{{{ host }}}}/`"
        )
        problems.add((*entry.path, "download", "dest"), message)


def _names_host(raw: str, variables: Mapping[str, Any]) -> bool:
    """Tell whether a text differs from host to host."""
    seen: set[str] = set()
    left = names_in(raw)
    while left:
        name = left.pop()
        if name in ("host", "mine"):
            return True
        if name in variables and name not in seen:
            seen.add(name)
            left |= names_in(variables[name])
    return False


def mentions_hosts(data: Mapping[str, Any]) -> bool:
    """Tell whether a job file has tasks on hosts, or steps that are done on one."""
    defaults = data.get("defaults")
    if isinstance(defaults, dict) and "hosts" in defaults:
        return True
    lists = [data.get(key) for key in ("tasks", "finally")]
    entries = [one for some in lists if isinstance(some, list) for one in some]
    return any(_mentions(one) for one in entries if isinstance(one, dict))


def _mentions(entry: Mapping[str, Any]) -> bool:
    lists = [entry.get(key) for key in SECTIONS]
    steps = [one for some in lists if isinstance(some, list) for one in some]
    return "hosts" in entry or any(isinstance(one, dict) and "delegate_to" in one for one in steps)


def check_left(plans: Iterable[HostPlan | None], fleet: Fleet) -> list[str]:
    """Refuse a command line that leaves no task any host, or excludes one that nobody knows.

    Returns:
        Sentences about what is allowed, but probably not meant.

    Raises:
        UsageError: there is no host left.
        NodeSetError: a host to be excluded is in no task, and no source knows it.
    """
    if not fleet.is_narrowed:
        return []
    found = [plan for plan in plans if plan is not None]
    if not found:
        message = "-w and -x say which hosts; no task that is selected has `hosts`"
        raise UsageError(message)
    if all(plan.known == () for plan in found):
        message = "-w and -x leave no host to any task"
        raise UsageError(message)
    if any(plan.known is None for plan in found):
        return []
    everyone = frozenset(name for plan in found for name in plan.everyone)
    for name in sorted(fleet.excluded - everyone):
        if not fleet.inventory.knows(name):
            close = did_you_mean(name, everyone)
            message = f"-x {name}: no task is for this host, and no source knows it{close}"
            raise NodeSetError(message)
    beside = sorted(frozenset(fleet.only or ()) - everyone)
    return [f"-w {fold(beside)}: no task is for {'these' if beside[1:] else 'this'}"] * bool(beside)
