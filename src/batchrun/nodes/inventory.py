"""The inventory: what is known of hosts, and which hosts a node set means. Pure.

    defaults < groups, in the order in which they are written < hosts, in that order

What it does not say about a host, the SSH configuration does. A host that it does not know is
still a host: its name is its address, and the defaults hold for it as well.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from batchrun.errors import NodeSetError
from batchrun.model.host import Host
from batchrun.nodes.machinegroups import MachineGroups
from batchrun.nodes.nodeset import expand
from batchrun.nodes.reading import check_name, evaluate

__all__ = ["GroupRow", "HostRow", "Inventory", "Note", "Place", "Settings", "build_inventory"]

#: Where in an inventory: the keys from the top.
Place: TypeAlias = tuple[str, ...]
#: Takes a mistake: where, and a sentence.
Note: TypeAlias = Callable[[Place, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is said about hosts, in the defaults, of a group, or of a host; None: nothing is."""

    #: With ranges it is one for each host of the entry.
    address: str | None = None
    port: int | None = None
    user: str | None = None
    identity: tuple[str, ...] | None = None
    jump: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    def over(self, below: "Settings") -> "Settings":
        """Return what both say; this one wins."""
        return Settings(
            address=below.address if self.address is None else self.address,
            port=below.port if self.port is None else self.port,
            user=below.user if self.user is None else self.user,
            identity=below.identity if self.identity is None else self.identity,
            jump=below.jump if self.jump is None else self.jump,
            variables={**below.variables, **self.variables},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One entry of `hosts`."""

    #: A name, or several by ranges.
    nodes: str
    settings: Settings = Settings()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """One entry of `groups`."""

    name: str
    #: Its hosts as a node set, beside those that name it themselves; empty: only these.
    nodes: str = ""
    settings: Settings = Settings()


class Inventory:
    """Hosts and groups; satisfies KnownNames.

    Args:
        hosts: By name, in the order in which they are written.
        groups: The names of the hosts of each group.
        defaults: What holds for hosts that it does not know.
        machine: The groups of this machine.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host],
        groups: Mapping[str, Sequence[str]],
        defaults: Settings,
        machine: MachineGroups,
    ) -> None:
        self.hosts = hosts
        self.groups = groups
        self._defaults = defaults
        self._machine = machine

    @classmethod
    def empty(cls) -> "Inventory":
        """Make the inventory of who has none."""
        return cls({}, {}, Settings(), MachineGroups())

    def select(self, text: str) -> tuple[Host, ...]:
        """Return the hosts that a node set means, in its order.

        Raises:
            NodeSetError: it cannot be read, refers to what there is not, or means no host.
        """
        return tuple(self.host(name, user) for name, user in evaluate(text, self).items())

    def select_all(self, texts: Iterable[str]) -> tuple[Host, ...]:
        """Return the hosts that any of several node sets means.

        Raises:
            NodeSetError: as `select`.
        """
        found: dict[str, Host] = {}
        for text in texts:
            for host in self.select(text):
                found.setdefault(host.name, host)
        return tuple(found.values())

    def host(self, name: str, user: str = "") -> Host:
        """Return what is known of a host.

        Args:
            name: Its name.
            user: The login user that the node set says; empty: it says none.
        """
        known = self.hosts.get(name)
        if known is None:
            known = _host(name, self._defaults, ())
        return replace(known, user=user) if user else known

    # --- what node sets may refer to

    def all_hosts(self) -> Sequence[str]:
        """Return every host that is known; of this machine's groups when the inventory has none."""
        return list(self.hosts) or self._machine.all()

    def members(self, group: str, source: str) -> Sequence[str] | None:
        """Return the hosts of a group; None: there is no such group."""
        if source:
            found = self._machine.all(source) if group == "*" else None
            return found or self._machine.members(group, source) or None
        if group == "*":
            return self.all_hosts() or None
        own = self.groups.get(group)
        return self._machine.members(group) or None if own is None else own

    def group_names(self, source: str) -> Sequence[str]:
        """Return the names of its groups; of this machine's when it has none."""
        own = () if source else tuple(self.groups)
        return own or self._machine.names(source) or ()

    def where_groups_are(self) -> str:
        """Say in which files groups were looked for."""
        before = "the inventory, and in " if self.hosts else ""
        none = "" if self.hosts else "no inventory names any host; "
        return f"{none}looked in {before}{' and '.join(self._machine.files)}"

    def knows(self, name: str) -> bool:
        """Whether it, or else this machine, names a host."""
        return name in (self.hosts or frozenset(self._machine.all()))


def build_inventory(
    defaults: Settings, hosts: Sequence[HostRow], groups: Sequence[GroupRow], note: Note
) -> Inventory:
    """Put together what is said about hosts; mistakes are noted and left out."""
    return _Builder(defaults, hosts, groups, note).inventory()


class _BrokenGroupError(NodeSetError):
    """A group that another one refers to is wrong itself, which was told."""


class _Builder:
    """Resolves groups in groups, then what is said about each host."""

    def __init__(
        self,
        defaults: Settings,
        hosts: Sequence[HostRow],
        groups: Sequence[GroupRow],
        note: Note,
    ) -> None:
        self._defaults = defaults
        self._note = note
        self._machine = MachineGroups()
        #: What is said about each host itself.
        self._own: dict[str, Settings] = {}
        #: The hosts that name a group themselves.
        self._named: dict[str, dict[str, None]] = defaultdict(dict)
        for row in hosts:
            self._take(row)
        self._rows = {row.name: row for row in groups}
        self._members: dict[str, Sequence[str]] = {}
        self._open: list[str] = []
        self._broken: set[str] = set()

    def inventory(self) -> Inventory:
        """Build it."""
        names = dict.fromkeys((*self._rows, *self._named))
        groups = {name: self._group(name) for name in names}
        of_host: dict[str, list[str]] = defaultdict(list)
        for name, members in groups.items():
            for host in members:
                of_host[host].append(name)
        known = dict.fromkeys((*self._own, *of_host))
        hosts = {name: self._known(name, of_host[name]) for name in known}
        return Inventory(hosts, groups, self._defaults, self._machine)

    def _take(self, row: HostRow) -> None:
        try:
            names = expand(row.nodes)
            for name in names:
                check_name(name, row.nodes)
        except NodeSetError as error:
            self._note(("hosts", row.nodes), str(error))
            return
        for name, settings in zip(names, self._each(row, len(names)), strict=True):
            self._own[name] = settings.over(self._own.get(name, Settings()))
            for group in row.groups:
                self._named[group][name] = None

    def _each(self, row: HostRow, number: int) -> list[Settings]:
        """Say what holds for each host of an entry: its address may differ."""
        settings, address = row.settings, row.settings.address
        if address is None or "[" not in address:
            return [settings] * number
        try:
            addresses = expand(address)
            if len(addresses) != number:
                message = f"`{address}` means {len(addresses)} addresses, for {number} hosts"
                raise NodeSetError(message)
        except NodeSetError as error:
            self._note(("hosts", row.nodes, "address"), str(error))
            return [settings] * number
        return [replace(settings, address=one) for one in addresses]

    def _known(self, name: str, groups: Sequence[str]) -> Host:
        """Put together what is said about a host."""
        settings = self._defaults
        for group in self._rows:  # in their order, whatever that of the host
            if group in groups:
                settings = self._rows[group].settings.over(settings)
        return _host(name, self._own.get(name, Settings()).over(settings), groups)

    # --- groups

    def _group(self, name: str) -> Sequence[str]:
        """Return the hosts of a group: those of its node set, then those that name it."""
        found = self._members.get(name)
        if found is None:
            row = self._rows.get(name)
            own = self._resolved(row) if row is not None and row.nodes else []
            found = self._members[name] = list(dict.fromkeys((*own, *self._named.get(name, ()))))
        return found

    def _resolved(self, row: GroupRow) -> list[str]:
        place = ("groups", row.name, "hosts")
        if row.name in self._open:
            circle = " -> ".join([*self._open[self._open.index(row.name) :], row.name])
            self._note(place, f"the groups contain each other in a circle: {circle}")
            raise _BrokenGroupError(circle)
        self._open.append(row.name)
        try:
            return list(evaluate(row.nodes, self))
        except _BrokenGroupError:
            self._broken.add(row.name)
        except NodeSetError as error:
            self._note(place, str(error))
            self._broken.add(row.name)
        finally:
            self._open.pop()
        return []

    def all_hosts(self) -> Sequence[str]:
        """Return the hosts that have an entry: what only groups name is not known yet."""
        return list(self._own)

    def members(self, group: str, source: str) -> Sequence[str] | None:
        """Return the hosts of another group; None: there is no such group."""
        if not source and group == "*":
            return self.all_hosts() or None
        if not source and (group in self._rows or group in self._named):
            found = self._group(group)
            if group in self._broken:
                raise _BrokenGroupError(group)
            return found
        return self._machine.members(group, source) or None

    def group_names(self, source: str) -> Sequence[str]:
        """Return the names of the groups."""
        if source:
            return self._machine.names(source) or ()
        return list(dict.fromkeys((*self._rows, *self._named)))

    def where_groups_are(self) -> str:
        """Say in which files groups were looked for."""
        return f"looked here, and in {' and '.join(self._machine.files)}"

    def knows(self, name: str) -> bool:
        """Whether a host has an entry."""
        return name in self._own


def _host(name: str, settings: Settings, groups: Iterable[str]) -> Host:
    return Host(
        name=name,
        address=settings.address or "",
        port=settings.port,
        user=settings.user or "",
        identity=settings.identity or (),
        jump=settings.jump or "",
        groups=tuple(sorted(groups)),
        variables=settings.variables,
    )
