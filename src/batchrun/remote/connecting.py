"""What the front door needs of this package: who connects, and what is known of hosts before."""

import os
from collections.abc import Iterable, Iterator

import batchrun.remote.lean  # noqa: F401 - before what imports paramiko
from batchrun.errors import UnreachableError
from batchrun.model.access import HostAccess, ReachedHost
from batchrun.model.host import Host
from batchrun.remote.auth import Password
from batchrun.remote.budget import descriptor_budget
from batchrun.remote.config import SshConfig
from batchrun.remote.fleet import Fleet
from batchrun.remote.hostkeys import HostKeyFiles, HostKeyPolicy
from batchrun.remote.links import Parts

__all__ = ["connector", "reached", "ssh_config"]


def connector(config: SshConfig, password: str, connect_s: float | None) -> Fleet:
    """Make what connects to hosts.

    Args:
        config: How they are reached.
        password: Of the login; empty: nobody has typed one.
        connect_s: Until a connection must stand, whatever the job file and `config` say.
    """
    asked = Password(lambda: password) if password else None
    parts = Parts(settings_for=config.settings_for, password=asked, connect_s=connect_s)
    return Fleet(parts, descriptor_budget())


def ssh_config(access: HostAccess) -> SshConfig:
    """Read the SSH configuration; the command line wins over it.

    Raises:
        UsageError: a file or an option of it is wrong.
    """
    return SshConfig.load(
        file=access.ssh_config,
        options=access.ssh_options,
        user=access.user,
        host_key=HostKeyPolicy(access.host_key) if access.host_key else None,
    )


def reached(hosts: Iterable[Host], config: SshConfig) -> Iterator[ReachedHost]:
    """Say how hosts would be reached; nothing is looked up or connected to."""
    files = HostKeyFiles()
    for host in hosts:
        try:
            settings = config.settings_for(host)
        except UnreachableError as error:
            yield ReachedHost(host=host, problem=str(error))
            continue
        known = files.known(settings.known_hosts, settings.global_known_hosts)
        try:
            name = settings.host_key_alias or settings.hostname
            is_known: bool | None = bool(known.algorithms_for(name, settings.port))
        except UnreachableError:
            is_known = None
        yield ReachedHost(
            host=host,
            address=settings.hostname,
            port=settings.port,
            user=settings.user,
            jump=settings.proxy_jump,
            proxy_command=settings.proxy_command,
            identity=tuple(filter(os.path.exists, settings.identity_files)),
            is_known=is_known,
        )
