"""A host as the inventory knows it; what it does not say, the SSH configuration does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine that is reached over SSH."""

    #: As it is called in node sets, on the screen and in the record.
    name: str
    #: Where it is; empty: what the SSH configuration makes of its name, else the name itself.
    address: str = ""
    #: None: as the SSH configuration says, else 22.
    port: int | None = None
    #: Login user; empty: as the SSH configuration says, else who runs batchrun.
    user: str = ""
    #: Private key files, tried in this order; empty: as the SSH configuration says.
    identity: tuple[str, ...] = ()
    #: Hosts to go through, as in `ssh -J`; empty: as the SSH configuration says; `none`: none.
    jump: str = ""
    #: How long connecting to it may take, in seconds; None: as the run says.
    connect_timeout_s: float | None = None
    #: The groups of the inventory that it is in, sorted.
    groups: tuple[str, ...] = ()
    #: Its variables, those of its groups and of the inventory's defaults included.
    variables: Mapping[str, Any] = field(default_factory=dict)
