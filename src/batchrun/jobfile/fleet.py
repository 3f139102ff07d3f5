"""The hosts that a job knows, and which of them the command line wants."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from batchrun.jobfile.options import LoadOptions
from batchrun.model.host import Host
from batchrun.nodes.inventory import Inventory

__all__ = ["Fleet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The hosts that are known, and which of them the command line wants."""

    inventory: Inventory = field(default_factory=Inventory.empty)
    #: All of the inventory could be read: what is not in it is a mistake.
    is_whole: bool = True
    #: Of `-w`: only these, by name; None: all.
    only: Mapping[str, Host] | None = None
    #: Of `-x`: none of these.
    excluded: frozenset[str] = frozenset()

    @classmethod
    def of(cls, inventory: Inventory, options: LoadOptions) -> "Fleet":
        """Make the fleet of a job.

        Raises:
            NodeSetError: a node set of the command line cannot be read.
        """
        only: Mapping[str, Host] | None = None
        if options.hosts:
            only = {host.name: host for host in inventory.select_all(options.hosts)}
        for texts in options.within:
            within = {host.name: host for host in inventory.select_all(texts)}
            only = within if only is None else _both(only, within)
        excluded = [host.name for host in inventory.select_all(options.exclude)]
        return cls(inventory=inventory, only=only, excluded=frozenset(excluded))

    @property
    def is_narrowed(self) -> bool:
        """Whether the command line leaves hosts out."""
        return self.only is not None or bool(self.excluded)

    def narrowed(self, found: tuple[Host, ...]) -> tuple[Host, ...]:
        """Return those of some hosts that the command line wants."""
        only = self.only
        if only is not None:
            found = tuple(_as(only[host.name], host) for host in found if host.name in only)
        return tuple(host for host in found if host.name not in self.excluded)


def _both(only: Mapping[str, Host], within: Mapping[str, Host]) -> Mapping[str, Host]:
    """Return the hosts of the one that are in the other."""
    return {name: host for name, host in only.items() if name in within}


def _as(wanted: Host, host: Host) -> Host:
    """Take over the login user that `-w user@host` says."""
    return replace(host, user=wanted.user) if wanted.user != host.user and wanted.user else host
