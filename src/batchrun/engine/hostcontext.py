"""What an operation on a host sees of the thread that runs it."""

import time
from typing import Protocol

from batchrun.engine.context import Control, UnitContext, Upward
from batchrun.model.host import Host
from batchrun.model.session import Connector, HostSession
from batchrun.model.unit import Order, RunSettings

__all__ = ["RUNNING", "HostUnitContext", "HostUpward"]

#: What a unit does once it is connected, as long as its operation says nothing more exact.
RUNNING = "running"


class HostUpward(Upward, Protocol):
    """Where a context passes on what its unit on a host has to say while it runs."""

    @property
    def insisted(self) -> bool:
        """It was told to stop a second time."""

    def staged(self, words: str) -> None:
        """It has come to another stage."""

    def heard(self) -> None:
        """The host has given a sign of life."""


class HostUnitContext(UnitContext):
    """The HostContext of one attempt; only for the thread that runs it.

    Args:
        order: The attempt; its unit has a `place`.
        settings: What is the same for all units.
        control: Where stops and acknowledgements arrive.
        upward: Where words of the unit go.
        connector: Makes the connection, and gets it back.
    """

    __slots__ = ("_connector", "_session", "_told", "host")

    def __init__(
        self,
        order: Order,
        settings: RunSettings,
        control: Control,
        upward: HostUpward,
        connector: Connector,
    ) -> None:
        super().__init__(order, settings, control, upward)
        self.host = order.unit.place or Host(name=order.unit.host)
        self._told = upward
        self._connector = connector
        self._session: HostSession | None = None

    @property
    def session(self) -> HostSession:
        """The connection to the host, which is made when it is first asked for."""
        if self._session is None:
            self._session = self._connect()
        return self._session

    @property
    def insisted(self) -> bool:
        """Whether it was told to stop a second time."""
        return self._told.insisted

    def stage(self, words: str) -> None:
        """Pass on what it does now."""
        self._told.staged(words)

    def heard(self) -> None:
        """Pass on that the host has given a sign of life."""
        self._told.heard()

    def disconnect(self) -> None:
        """Give the connection back; what becomes of it is the connector's business."""
        session, self._session = self._session, None
        if session is not None:
            self._connector.release(session)

    def _connect(self) -> HostSession:
        """Connect; that has time limits of its own, and does not count as the unit's time."""
        began = time.monotonic()
        deadline, self.deadline = self.deadline, None
        try:
            session = self._connector.connect(self.host, self, self.stage)
        finally:
            if deadline is not None:
                self.deadline = deadline + time.monotonic() - began
        self.stage(RUNNING)
        return session
