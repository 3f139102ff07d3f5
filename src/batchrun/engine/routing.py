"""One runner over two: units for this machine go to the one, those for hosts to the other."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from batchrun.model.host import Host
from batchrun.model.ports import Runner
from batchrun.model.unit import Order

if TYPE_CHECKING:  # few runs have hosts
    from batchrun.engine.threads import SshThreads

__all__ = ["Routing"]


class Routing:
    """Sends each order to where its unit runs (`Unit.place`).

    Args:
        make_local: Makes who runs units on this machine; called once, with the first of these.
        slots: How many of them it can run at the same time.
        make_remote: Makes who runs units on hosts; called once, with the first of these.
    """

    def __init__(
        self, make_local: Callable[[], Runner], slots: int, make_remote: "Callable[[], SshThreads]"
    ) -> None:
        self._make_local = make_local
        self._slots = slots
        self._make_remote = make_remote
        self._local: Runner | None = None
        self._remote: SshThreads | None = None

    @property
    def slots(self) -> int:
        """How many units it can run at the same time on this machine."""
        return self._slots

    def submit(self, order: Order) -> None:
        """Take an order."""
        if order.unit.place is None:
            self.local().submit(order)
            return
        if self._remote is None:
            self._remote = self._make_remote()
        self._remote.submit(order)

    def local(self) -> Runner:
        """Return who runs units on this machine; made by now at the latest."""
        if self._local is None:
            self._local = self._make_local()
        return self._local

    def _both(self) -> Iterator[Runner]:
        """Yield those that were made."""
        if self._local is not None:
            yield self._local
        if self._remote is not None:
            yield self._remote

    def stop(self, number: int) -> None:
        """End a unit, wherever it runs: the other one does not know it."""
        for one in self._both():
            one.stop(number)

    def withdraw(self) -> None:
        """Give back what was not begun."""
        for one in self._both():
            one.withdraw()

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Say that this much live output of a unit has been shown."""
        for one in self._both():
            one.acknowledge(number, size_bytes)

    def forget(self, host: Host) -> None:
        """Let the connection to a host go: there is nothing more to do for it."""
        if self._remote is not None:
            self._remote.forget(host)

    def close(self) -> None:
        """Let both end."""
        for one in self._both():
            one.close()

    def kill(self) -> None:
        """End both now."""
        for one in self._both():
            one.kill()
