"""Stands in for the SSH configuration and for host keys."""

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import paramiko

from batchrun.model.host import Host

__all__ = ["AnyKey", "KnownHosts", "SettingsFor", "SshSettings", "settings_for"]

Policy: TypeAlias = Literal["strict", "accept-new", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """What holds for a connection to one host."""

    hostname: str
    port: int = 22
    user: str
    identity_files: tuple[str, ...] = ()
    certificate_files: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    proxy_jump: tuple[str, ...] = ()
    proxy_command: str = ""
    connect_timeout_s: float = 10.0
    alive_interval_s: float = 15.0
    alive_count: int = 4
    known_hosts: tuple[str, ...] = ()
    strict: Policy = "strict"
    host_key_alias: str = ""
    ciphers: tuple[str, ...] | None = None
    kex: tuple[str, ...] | None = None
    macs: tuple[str, ...] | None = None
    host_key_algorithms: tuple[str, ...] | None = None


SettingsFor: TypeAlias = Callable[[Host], SshSettings]


def settings_for(host: Host) -> SshSettings:
    """Return what the host itself says, and defaults."""
    jumps = "" if host.jump == "none" else host.jump
    return SshSettings(
        hostname=host.address or host.name,
        port=host.port or 22,
        user=host.user or getpass.getuser(),
        identity_files=host.identity,
        agent=os.environ.get("SSH_AUTH_SOCK"),
        proxy_jump=tuple(hop.strip() for hop in jumps.split(",") if hop.strip()),
    )


class KnownHosts(Protocol):
    """Checks the keys of hosts."""

    def check(self, name: str, port: int, key: paramiko.PKey, policy: Policy) -> None:
        """Return when the key is right.

        Raises:
            UnreachableError: it is not known, or another one is.
        """

    def algorithms_for(self, name: str, port: int) -> tuple[str, ...]:
        """Return the host key algorithms to ask for, in this order; empty: any."""


class AnyKey:
    """Takes any key."""

    def check(self, name: str, port: int, key: paramiko.PKey, policy: Policy) -> None:
        """Take it."""

    def algorithms_for(self, name: str, port: int) -> tuple[str, ...]:
        """Ask for any."""
        del name, port
        return ()
