"""How hosts are reached, as far as whoever starts a run says something about it."""

from dataclasses import dataclass

__all__ = ["HOST_KEY_POLICIES", "HostAccess"]

#: What becomes of a host whose key is not known.
HOST_KEY_POLICIES: tuple[str, ...] = ("strict", "accept-new", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAccess:
    """What wins over the job file, the inventory and the SSH configuration."""

    #: As `ssh -F`: the SSH configuration, instead of the user's and the machine's; empty: these.
    ssh_config: str = ""
    #: As `ssh -o`, each `KEY=VALUE`, first wins.
    ssh_options: tuple[str, ...] = ()
    #: Login user on every host; empty: nothing is said.
    user: str = ""
    #: Until a connection must stand, in seconds; None: nothing is said.
    connect_timeout_s: float | None = None
    #: One of `HOST_KEY_POLICIES`; empty: nothing is said.
    host_key: str = ""
    #: Most hosts at once; None: nothing is said.
    fanout: int | None = None
