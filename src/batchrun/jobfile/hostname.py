"""What `host` is in templates: its name, and what the inventory says about it."""

from typing import Any, Self

from batchrun.model.host import Host

__all__ = ["HOST_ENTRIES", "HostName"]

#: What every host has, beside its variables.
HOST_ENTRIES = ("name", "address", "port", "user", "groups")


class HostName(str):
    """A text, the name of the host, with entries: the sandbox looks them up before methods."""

    __slots__ = ("_host",)
    _host: Host

    def __new__(cls, host: Host) -> Self:
        """Make it of a host."""
        name = super().__new__(cls, host.name)
        name._host = host
        return name

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Travel to other processes as the name."""
        return str, (str(self),)

    def entry(self, name: str) -> Any:
        """Return an entry.

        Raises:
            KeyError: there is none.
        """
        host = self._host
        match name:
            case "name":
                return host.name
            case "address":
                return host.address or host.name
            case "groups":
                return list(host.groups)
            case "port" | "user":
                return getattr(host, name) or ""
            case _:
                return host.variables[name]

    def __getitem__(self, key: Any) -> Any:
        """Return an entry, or a part of the name."""
        return self.entry(key) if isinstance(key, str) else super().__getitem__(key)

    def has(self, name: str) -> bool:
        """Tell whether there is such an entry."""
        return name in HOST_ENTRIES or name in self._host.variables
