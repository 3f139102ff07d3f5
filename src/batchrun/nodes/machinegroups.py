"""The groups that this machine's own ClusterShell configuration knows."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from batchrun.errors import NodeSetError

__all__ = ["MachineGroups"]

_Answer = TypeVar("_Answer")
#: The nodes of the groups that packages of ClusterShell bring along, for people to replace. They
#: are in /etc too, and `-a` would go to more than a hundred hosts that nobody has.
_OF_THE_EXAMPLE = re.compile(r"example\d+")


class MachineGroups:
    """Asks ClusterShell for groups; its configuration is read when it is first asked.

    What was configured for this machine or by its user counts. The examples of the package do
    not: neither the files beside the Python that it is installed for, nor their copy in /etc for
    as long as nobody has edited it.
    """

    def __init__(self) -> None:
        #: Every host of a source that was asked for them: a source may be a program.
        self._all: dict[str, list[str]] = {}

    def members(self, name: str, source: str = "") -> list[str]:
        """Return the hosts of a group, groups in it written out; empty: there is no such group.

        Raises:
            NodeSetError: there is no such source, or it cannot be asked.
        """
        self._check(source)
        known = self._every_name(source)
        if known is not None and name not in known:
            return []
        prefix = f"{source}:" if source else ""
        return self._hosts(f"@{prefix}{name}")

    def names(self, source: str = "") -> list[str] | None:
        """Return the names of the groups; None: the source cannot list them."""
        self._check(source)
        found = self._every_name(source)
        if found is None or self.all(source):
            return found
        # There are no hosts in all: the groups may be the example's, beside some that are not.
        return [name for name in found if self.members(name, source)]

    @cached_property
    def files(self) -> Sequence[str]:
        """Where their configuration may be."""
        return _config_files()

    def all(self, source: str = "") -> list[str]:
        """Return every host that a source knows.

        Raises:
            NodeSetError: there is no such source, or it cannot be asked.
        """
        if not source and not self._sources:
            return []
        self._check(source)
        if source not in self._all:
            self._all[source] = self._hosts(f"@{source}:*" if source else "@*")
        return self._all[source]

    def _check(self, source: str) -> None:
        if source and source not in self._sources:
            listed = ", ".join(self._sources)
            advice = f"there are {listed}" if listed else "this machine has none"
            message = f"there is no source of groups `{source}`; {advice}"
            raise NodeSetError(message)

    @cached_property
    def _resolver(self) -> Any:
        from ClusterShell.NodeUtils import GroupResolverConfig  # noqa: PLC0415 - rarely needed

        return GroupResolverConfig(self.files)

    @cached_property
    def _sources(self) -> list[str]:
        return self._asked(lambda: list(self._resolver.sources()), missing=[])

    def _every_name(self, source: str) -> list[str] | None:
        listed: list[str] | None = None
        return self._asked(lambda: list(self._resolver.grouplist(source or None)), missing=listed)

    def _hosts(self, text: str) -> list[str]:
        """Return the hosts that a group means; none: there is no such group, but in the example."""
        none: list[str] = []
        found = self._asked(lambda: self._written_out(text), missing=none)
        return [] if all(map(_OF_THE_EXAMPLE.fullmatch, found)) else found

    def _written_out(self, text: str) -> list[str]:
        from ClusterShell.NodeSet import NodeSet  # noqa: PLC0415 - rarely needed

        return list(NodeSet(text, resolver=self._resolver))

    def _asked(self, ask: Callable[[], _Answer], missing: _Answer) -> _Answer:
        """Ask; a group, or a way to list them, that is not there gives `missing`.

        Raises:
            NodeSetError: the configuration cannot be read.
        """
        from ClusterShell.NodeSet import NodeSetException  # noqa: PLC0415 - rarely needed
        from ClusterShell.NodeUtils import (  # noqa: PLC0415 - rarely needed
            GroupResolverConfigError,
            GroupResolverError,
            GroupSourceError,
        )

        try:
            return ask()
        except GroupResolverConfigError as error:
            message = f"the machine's groups cannot be read: {error}"
            raise NodeSetError(message) from None
        except (GroupResolverError, GroupSourceError, NodeSetException):
            return missing


def _config_files() -> list[str]:
    """Return where ClusterShell looks, but for what its package brings along as an example."""
    from ClusterShell.Defaults import config_paths  # noqa: PLC0415 - rarely needed

    examples = {os.path.join(sys.prefix, "etc"), os.path.expanduser("~/.local/etc")} - {"/etc"}
    chosen = os.environ.get("CLUSTERSHELL_CFGDIR", "")
    return [
        path
        for path in config_paths("groups.conf")
        if os.path.dirname(path) == chosen or os.path.dirname(os.path.dirname(path)) not in examples
    ]
