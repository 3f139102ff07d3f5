"""Keeps logins from being too many at once for a server, and learns how many are.

sshd drops connections that have not logged in yet when there are too many of them (`MaxStartups`,
10 by default, from then on by chance). Each server, told apart by its address and the way to it,
has a `_Gate` that lets only so many through; a drop halves that number, a success raises it slowly.
Who goes through a bastion passes the gate of the server first and then that of the bastion, so that
nobody holds a place at the bastion while waiting for another one.
"""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from batchrun.remote.patience import SLICE_S

__all__ = ["AT_ONCE", "BY_WAY_OF", "Ramp", "Turn"]

#: Logins in flight to one server to begin with: below sshd's usual 10.
AT_ONCE: Final = 8
#: Logins in flight by way of one bastion: all of their key exchanges go through one process there.
BY_WAY_OF: Final = 32


@dataclass(slots=True, kw_only=True)
class _Gate:
    """One server; all fields belong to the lock of the `Ramp`."""

    most: int
    limit: float
    inside: int = 0
    most_inside: int = 0
    #: Counts drops: one that began before the last of them halves nothing more.
    drops: int = 0
    changed: threading.Condition


@dataclass(slots=True, kw_only=True)
class Turn:
    """One login's way through a gate; belongs to the thread that took it."""

    #: Set it when the server has closed the connection before it said anything.
    dropped: bool = False


class Ramp:
    """Lets threads log in to servers; for any number of them.

    Args:
        at_once: Logins in flight to one server to begin with, and at most.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._gates: dict[Hashable, _Gate] = {}

    @contextmanager
    def turn(
        self, server: Hashable, check: Callable[[], None], most: int | None = None
    ) -> Iterator[Turn]:
        """Wait for a turn to log in to a server, and hold it for the body.

        Args:
            server: Told apart from others by this.
            check: Called while it waits.
            most: Instead of `at_once`.

        Raises:
            UnitStoppedError: what `check` raises while it waits.
        """
        gate = self._gate(server, most or self._at_once)
        drops = self._go_in(gate, check)
        turn = Turn()
        try:
            yield turn
        finally:
            self._come_out(gate, drops if turn.dropped else None)

    def most_at_once(self, server: Hashable) -> int:
        """Return how many were in flight to a server at the same time, at most."""
        return self._gate(server, self._at_once).most_inside

    def _gate(self, server: Hashable, most: int) -> _Gate:
        with self._lock:
            gate = self._gates.get(server)
            if gate is None:
                changed = threading.Condition(self._lock)
                gate = self._gates[server] = _Gate(most=most, limit=most, changed=changed)
            return gate

    def _go_in(self, gate: _Gate, check: Callable[[], None]) -> int:
        with gate.changed:
            while gate.inside >= int(gate.limit):
                gate.changed.wait(SLICE_S)
                check()
            gate.inside += 1
            gate.most_inside = max(gate.most_inside, gate.inside)
            return gate.drops

    def _come_out(self, gate: _Gate, dropped_since: int | None) -> None:
        with gate.changed:
            gate.inside -= 1
            if dropped_since is None:
                gate.limit = min(gate.most, gate.limit + 0.1)
            elif dropped_since == gate.drops:
                gate.limit = max(1.0, gate.limit / 2)
                gate.drops += 1
            gate.changed.notify_all()
