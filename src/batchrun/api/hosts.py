"""What the inventory and the SSH configuration make of hosts; none is connected to."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchrun.errors import UsageError
from batchrun.jobfile import LoadOptions, Tables, load_text
from batchrun.model.access import HostAccess, ReachedHost
from batchrun.model.host import Host
from batchrun.plugins import OPERATIONS

__all__ = ["HostList", "find_hosts", "look_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostList:
    """How hosts would be reached."""

    rows: Sequence[ReachedHost]
    #: Sentences about what of the SSH configuration is not honoured.
    ignored: Sequence[str]


def find_hosts(
    nodes: str, *, inventory: str = "", exclude: Sequence[str] = (), insecure: bool = False
) -> tuple[Host, ...]:
    """Return the hosts that a node set means.

    Args:
        nodes: The node set; empty: all hosts of the inventory.
        inventory: The path of the inventory; empty: there is none.
        exclude: Node sets of hosts that are not meant.
        insecure: As root, take an inventory that others can write.

    Raises:
        JobFileError: the inventory has mistakes.
        NodeSetError: a node set cannot be read, or means no host.
        UsageError: all hosts are meant, and none are known.
    """
    options = LoadOptions(
        inventory=inventory, exclude=tuple(exclude), insecure_permissions=insecure
    )
    # An inventory belongs to a job; this one has no tasks on hosts.
    text, table = "tasks: [{run: 'true'}]", Tables(here=OPERATIONS, on_hosts={})
    job = load_text(text, file="hosts", base_dir=".", table=table, options=options)
    fleet = job.fleet
    if not nodes and not fleet.inventory.all_hosts():
        message = "no hosts are known; name some, or an inventory with -i"
        raise UsageError(message)
    return fleet.narrowed(fleet.inventory.select(nodes or "@*"))


def look_up(hosts: Sequence[Host], access: HostAccess) -> HostList:
    """Say how hosts would be reached.

    Raises:
        UsageError: the SSH configuration has mistakes.
    """
    # It loads what talks to hosts, and few runs have any.
    from batchrun.remote.connecting import reached, ssh_config  # noqa: PLC0415

    config = ssh_config(access)
    rows = list(reached(hosts, config))
    return HostList(rows=rows, ignored=config.ignored_options())
