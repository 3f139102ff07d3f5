"""How hosts are reached, as far as whoever starts a run says something about it."""

from dataclasses import dataclass

from batchrun.model.host import Host

__all__ = ["HOST_KEY_POLICIES", "HostAccess", "ReachedHost"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedHost:
    """How a host would be reached; nobody has tried."""

    host: Host
    #: Address, or name for the resolver.
    address: str = ""
    port: int = 0
    user: str = ""
    #: Hosts to go through, the nearest first.
    jump: tuple[str, ...] = ()
    #: The program whose input and output would be the connection; empty: none.
    proxy_command: str = ""
    #: The private key files that would be tried, those that are there.
    identity: tuple[str, ...] = ()
    #: Whether its key is known; None: nobody can tell.
    is_known: bool | None = None
    #: Why it cannot be reached, as far as that is known without trying; empty: it may be.
    problem: str = ""
