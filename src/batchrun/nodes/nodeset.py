"""Sets of hosts as text: `web[01-20]` and back."""

from collections.abc import Iterable

__all__ = ["expand", "fold"]


def expand(text: str) -> tuple[str, ...]:
    """Return the names in a node set, in its order.

    >>> expand("web[1-3]")
    ('web1', 'web2', 'web3')
    """
    from ClusterShell.NodeSet import NodeSet  # noqa: PLC0415 - slow to load, rarely needed

    return tuple(NodeSet(text, resolver=None))


def fold(names: Iterable[str]) -> str:
    """Write names as a node set.

    >>> fold(["web01", "web03", "web02"])
    'web[01-03]'
    """
    from ClusterShell.NodeSet import NodeSet, NodeSetParseError  # noqa: PLC0415 - as above

    listed = list(names)
    try:
        return str(NodeSet.fromlist(listed))
    except NodeSetParseError:
        return ",".join(sorted(set(listed)))
