"""Hand-made stand-ins for connections to hosts."""

import select
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from batchrun.errors import UnreachableError
from batchrun.model.host import Host
from batchrun.model.operation import Context
from batchrun.model.session import HostChannel, HostSession, Stage

__all__ = ["FakeConnector", "FakeSession", "refuse", "wait_for_stop"]


@dataclass(eq=False)
class FakeSession:
    """A connection to nowhere."""

    host: Host

    def open_channel(self, command: str, context: Context) -> HostChannel:
        raise AssertionError(command, context)

    def open_files(self, context: Context) -> object:
        raise AssertionError(context)


class FakeConnector:
    """Gives each thread a connection of its own; `hurdle` may say why there is none."""

    def __init__(self, hurdle: Callable[[Host, Context, Stage], None] = lambda *_: None) -> None:
        self.hurdle = hurdle
        self.most = 100
        self._lock = threading.Lock()
        #: Connections that a thread has now, by the name of the host, and most of them at once.
        self.held = Counter[str]()
        self.most_held = Counter[str]()
        self.connected: list[str] = []
        self.forgotten: list[str] = []
        self.closed = 0

    def connect(self, host: Host, context: Context, stage: Stage) -> FakeSession:
        stage("connecting")
        self.hurdle(host, context, stage)
        with self._lock:
            self.connected.append(host.name)
            self.held[host.name] += 1
            self.most_held[host.name] = max(self.most_held[host.name], self.held[host.name])
        return FakeSession(host)

    def release(self, session: HostSession) -> None:
        with self._lock:
            self.held[session.host.name] -= 1

    def forget(self, host: Host) -> None:
        self.forgotten.append(host.name)

    def close(self) -> None:
        self.closed += 1


def refuse(host: Host, _context: Context, _stage: Stage) -> None:
    """Have no session with any host."""
    message = f"{host.name}: connection refused"
    raise UnreachableError(message)


def wait_for_stop(context: Context) -> None:
    """Wait as an operation must, until the unit is stopped."""
    poll = select.poll()
    poll.register(-1 if context.control_fd is None else context.control_fd, select.POLLIN)
    while True:
        poll.poll(50_000)
        context.check()
