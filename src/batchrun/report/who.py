"""Which unit is meant, for people: the host that it is for, and its item."""

from collections.abc import Collection

from batchrun.model.unit import Unit
from batchrun.nodes.nodeset import fold
from batchrun.report.text import count, visible

__all__ = ["hosts_text", "who", "without_who"]


def who(unit: Unit) -> str:
    """Name a unit among those of its task; empty: it is the only one.

    What is in it may hold anything, and be of any length.

    >>> who(Unit(task_id="t", index=1, operation="run", host="web1", label="a.csv"))
    'web1 a.csv'
    """
    if unit.host and unit.label:
        return f"{unit.host} {unit.label}"
    return unit.host or unit.label


def without_who(message: str, unit: Unit) -> str:
    """Take away what a message begins with and who reads it sees beside it: host, item.

    >>> without_who("web1: a: no space", Unit(task_id="t", index=1, operation="run", host="web1"))
    'a: no space'
    """
    for name in (unit.host, unit.label):
        if name:
            message = message.removeprefix(f"{name}: ")
    return message


def hosts_text(hosts: Collection[str], more: int = 0) -> str:
    """Write hosts as a node set and their number, as clush does.

    Args:
        hosts: Their names.
        more: How many there are besides, of which nobody knows the names.
    """
    others = ", ..." if more else ""
    return f"{visible(fold(hosts))}{others} ({count(len(hosts) + more)})"
