"""One runner over two: units for this machine go to the one, those for hosts to the other."""

from collections.abc import Callable

from batchrun.engine.threads import SshThreads
from batchrun.model.host import Host
from batchrun.model.ports import Runner
from batchrun.model.unit import Order

__all__ = ["Routing"]


class Routing:
    """Sends each order to where its unit runs (`Unit.place`).

    Args:
        local: Runs units on this machine.
        make_remote: Makes who runs units on hosts; called once, with the first of these.
    """

    def __init__(self, local: Runner, make_remote: Callable[[], SshThreads]) -> None:
        self._local = local
        self._make_remote = make_remote
        self._remote: SshThreads | None = None

    @property
    def slots(self) -> int:
        """How many units it can run at the same time on this machine."""
        return self._local.slots

    def submit(self, order: Order) -> None:
        """Take an order."""
        if order.unit.place is None:
            self._local.submit(order)
            return
        if self._remote is None:
            self._remote = self._make_remote()
        self._remote.submit(order)

    def stop(self, number: int) -> None:
        """End a unit, wherever it runs: the other one does not know it."""
        self._local.stop(number)
        if self._remote is not None:
            self._remote.stop(number)

    def withdraw(self) -> None:
        """Give back what was not begun."""
        self._local.withdraw()
        if self._remote is not None:
            self._remote.withdraw()

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Say that this much live output of a unit has been shown."""
        self._local.acknowledge(number, size_bytes)
        if self._remote is not None:
            self._remote.acknowledge(number, size_bytes)

    def forget(self, host: Host) -> None:
        """Let the connection to a host go: there is nothing more to do for it."""
        if self._remote is not None:
            self._remote.forget(host)

    def close(self) -> None:
        """Let both end."""
        self._local.close()
        if self._remote is not None:
            self._remote.close()

    def kill(self) -> None:
        """End both now."""
        self._local.kill()
        if self._remote is not None:
            self._remote.kill()
