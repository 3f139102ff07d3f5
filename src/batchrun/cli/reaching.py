"""How hosts are reached: what flags say of it, what the record keeps of it, a password."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from batchrun.cli.asking import ask_password
from batchrun.cli.flags import AccessFlags, Flags, FleetFlags
from batchrun.errors import UsageError
from batchrun.model.access import HostAccess

__all__ = ["Reach", "access_of", "reach_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How hosts are reached, with what people have typed for that."""

    access: HostAccess
    #: Most hosts at once; None: as the job file says.
    fanout: int | None = None
    #: Of the login; empty: nobody was asked.
    password: str = field(default="", repr=False)

    @property
    def record(self) -> dict[str, Any]:
        """What a run that goes on with this one needs of it; no password is among it."""
        access = self.access
        found = {
            "ssh_config": access.ssh_config,
            "ssh_options": list(access.ssh_options),
            "user": access.user,
            "connect_timeout_s": access.connect_timeout_s,
            "host_key": access.host_key,
            "fanout": self.fanout,
            "ask_pass": bool(self.password),
        }
        return {name: value for name, value in found.items() if value}


def reach_of(flags: Flags, recorded: Mapping[str, Any] | None) -> Reach:
    """Return how hosts are reached; ask for a password if one is wanted.

    Args:
        flags: The command line.
        recorded: `Reach.record` of the run that this one goes on with; None: there is none.

    Raises:
        UsageError: the SSH configuration is not there.
        JobFileError: somebody has to be asked, and there is no terminal.
    """
    fleet = flags if isinstance(flags, FleetFlags) else FleetFlags()
    before = recorded or {}
    reach = Reach(
        access=access_of(fleet, before),
        fanout=before.get("fanout") if fleet.fanout is None else fleet.fanout,
    )
    if not fleet.ask_pass and not before.get("ask_pass"):
        return reach
    why = "the password of the login is to be typed in (-k)"
    return replace(reach, password=ask_password(why, "SSH password: "))


def access_of(flags: AccessFlags, recorded: Mapping[str, Any] | None = None) -> HostAccess:
    """Return what flags say, else what was said when the first run began.

    Args:
        flags: The command line.
        recorded: `Reach.record` of that run; None: there was none.

    Raises:
        UsageError: the SSH configuration is not there.
    """
    before = recorded or {}
    config = str(flags.ssh_config) if flags.ssh_config is not None else ""
    # As with ssh, `none` means that there is no configuration at all.
    if config and config != "none":
        config = os.path.abspath(os.path.expanduser(config))
        if not os.path.isfile(config):
            message = f"-F: there is no file {config}"
            raise UsageError(message)
    timeout_s = flags.connect_timeout
    return HostAccess(
        ssh_config=config or before.get("ssh_config", ""),
        ssh_options=tuple(flags.ssh_option or before.get("ssh_options", ())),
        user=flags.user or before.get("user", ""),
        connect_timeout_s=before.get("connect_timeout_s") if timeout_s is None else timeout_s,
        host_key=flags.host_key.value if flags.host_key else before.get("host_key", ""),
    )
