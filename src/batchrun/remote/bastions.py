"""Connections to bastions, each shared by all hosts behind it."""

import dataclasses
import math
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from batchrun.errors import UnreachableError
from batchrun.model.host import Host
from batchrun.model.session import Stage
from batchrun.remote.patience import Patience

if TYPE_CHECKING:
    from batchrun.remote.links import Link

__all__ = ["Asking", "Bastions", "host_key"]


def host_key(host: Host) -> Hashable:
    """Return what tells connections apart: hosts with the same can share one."""
    return (host.name, host.address, host.port, host.user, host.identity, host.jump)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who wants a connection."""

    #: `Context.check` of the unit.
    check: Callable[[], None]
    #: Told how far it is.
    stage: Stage
    #: How long each stage may take; None: as the configuration says.
    connect_s: float | None = None


Make: TypeAlias = "Callable[[Host, Asking], Link]"


@dataclass(slots=True, kw_only=True)
class _Making:
    """A connection that one thread makes while others wait for it."""

    done: threading.Event = field(default_factory=threading.Event)
    error: UnreachableError | None = None


class Bastions:
    """Hands out the connections to bastions, and makes each of them once; for many threads."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._links: dict[Hashable, Link] = {}
        self._making: dict[Hashable, _Making] = {}

    def get(self, host: Host, asking: Asking) -> "Link":
        """Return the connection to a bastion.

        Raises:
            UnreachableError: there is none to be had; said for all who waited for it.
            UnitStoppedError: the unit was stopped meanwhile.
        """
        key = host_key(host)
        while True:
            with self._lock:
                link = self._links.get(key)
                if link is not None and link.alive:
                    return link
                making = self._making.get(key)
                mine = making is None
                if making is None:
                    making = self._making[key] = _Making()
            if mine:
                return self._made(key, making, host, asking)
            asking.stage(f"waiting for {host.name}")
            Patience(deadline=math.inf, check=asking.check).wait(making.done)
            if making.error is not None:
                raise _again(making.error)
            # Made, or its maker was stopped: look again.

    def _made(self, key: Hashable, making: _Making, host: Host, asking: Asking) -> "Link":
        def stage(words: str) -> None:
            asking.stage(f"{host.name}: {words}")

        try:
            link = self._make(host, dataclasses.replace(asking, stage=stage))
            with self._lock:
                self._links[key] = link
            return link
        except UnreachableError as error:
            making.error = UnreachableError(
                f"jump host {host.name}: {error}", retryable=error.retryable
            )
            raise making.error from error
        finally:
            with self._lock:
                del self._making[key]
            making.done.set()


def _again(error: UnreachableError) -> UnreachableError:
    return UnreachableError(str(error), retryable=error.retryable)
