"""Which hosts of a recorded run people mean by a node set."""

from collections.abc import Sequence

from batchrun.errors import UsageError
from batchrun.journal.recorded import Recorded
from batchrun.nodes.reading import evaluate

__all__ = ["meant_hosts"]


class _Known:
    """The hosts of a run; satisfies `nodes.reading.KnownNames`."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = tuple(hosts)
        self._names = frozenset(hosts)

    def all_hosts(self) -> Sequence[str]:
        return self._hosts

    def members(self, group: str, source: str) -> Sequence[str] | None:
        return self._hosts if group == "*" and not source else None

    def group_names(self, source: str) -> Sequence[str]:
        del source
        return ()

    def where_groups_are(self) -> str:
        return "a run's record has the names of its hosts, not their groups"

    def knows(self, name: str) -> bool:
        return name in self._names


def meant_hosts(recorded: Recorded, text: str) -> tuple[str, ...]:
    """Return those hosts of a run that a node set means; groups are not on record.

    Raises:
        NodeSetError: it cannot be read.
        UsageError: none of them is on record.
    """
    hosts = recorded.hosts()
    wanted = evaluate(text, _Known(hosts))
    found = tuple(name for name in hosts if name in wanted)
    if not found:
        message = f"--host: run {recorded.run.run_id} has no unit for a host of {text!r}"
        raise UsageError(message)
    return found
