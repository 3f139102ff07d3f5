"""Connections to bastions, each shared by all hosts behind it."""

import dataclasses
import math
import threading
from collections import Counter
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
    """Hands out the connections to bastions, and makes each of them once; for many threads.

    One that nobody goes through is kept, because the next host behind it may come, until somebody
    needs the room.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._links: dict[Hashable, Link] = {}
        self._making: dict[Hashable, _Making] = {}
        #: How many connections go through each, or are about to.
        self._users: Counter[Link] = Counter()

    def let_go(self, link: "Link") -> None:
        """Take back one `get` or `hold`."""
        with self._lock:
            self._users[link] -= 1
            if not self._users[link]:
                del self._users[link]

    def hold(self, link: "Link") -> None:
        """Count one more that goes through a bastion that was got."""
        with self._lock:
            self._users[link] += 1

    def close_unused(self, spare: int) -> None:
        """Close those that nobody goes through, all but so many."""
        with self._lock:
            unused = [key for key, link in self._links.items() if not self._users[link]]
            closing = [self._links.pop(key) for key in unused[: max(0, len(unused) - spare)]]
        for link in closing:
            link.close()

    def get(self, host: Host, asking: Asking) -> "Link":
        """Return the connection to a bastion, to be given back by `let_go`.

        Raises:
            UnreachableError: there is none to be had; said for all who waited for it.
            UnitStoppedError: the unit was stopped meanwhile.
        """
        key = host_key(host)
        while True:
            with self._lock:
                link = self._links.get(key)
                if link is not None and link.alive:
                    self._users[link] += 1
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
                self._users[link] += 1
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
