"""Fleets of hosts for tests: a unit's context, commands run to their end, and servers that fail."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchrun.errors import UnitStoppedError, UnreachableError
from batchrun.model.host import Host
from batchrun.model.operation import Terms
from batchrun.model.session import HostChannel, HostSession
from batchrun.model.unit import RunSettings
from batchrun.remote.budget import Budget
from batchrun.remote.config import SshConfig
from batchrun.remote.fleet import Fleet
from batchrun.remote.links import Limits, Parts
from batchrun.remote.session import Session
from support import wait_until

__all__ = [
    "Answer",
    "UnitContext",
    "answer",
    "at_once",
    "collect",
    "connect",
    "fleet_of",
    "host_at",
    "nothing_left",
    "refusal",
    "send_for_ever",
    "server",
]


@dataclass(kw_only=True)
class UnitContext:
    """A unit that can be stopped; any number of threads may share it."""

    settings: RunSettings = field(default_factory=lambda: RunSettings(run_id="t", base_dir="/"))
    number: int = 1
    attempt: int = 1
    task_id: str = "task"
    label: str = ""
    deadline: float | None = None
    terms: Terms = field(default_factory=Terms)
    control_fd: int | None = None
    stopped: bool = False
    #: What it was told of the stages of its connection.
    stages: list[str] = field(default_factory=list)

    def check(self) -> None:
        if self.stopped:
            raise UnitStoppedError(timed_out=False)

    def command_started(self, pid: int) -> None:
        raise AssertionError(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        raise AssertionError(stream, data)

    def progress(self, bytes_done: int) -> None:
        raise AssertionError(bytes_done)

    def temp_name(self) -> str:
        return ".br-test-1"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command on a host left."""

    status: int | None
    signal: str
    out: bytes
    err: bytes
    broken: str


@contextmanager
def fleet_of(
    *lines: str,
    file: Path | None = None,
    most: int = 1000,
    limits: Limits | None = None,
    **parts: Any,
) -> Iterator[Fleet]:
    """Make connections as a run does.

    Args:
        lines: Options as of `ssh -o`.
        file: The SSH configuration; None: there is none.
        most: Connections that can be open at once.
        limits: Of the stages.
        parts: Others of `Parts`.
    """
    config = SshConfig.load(file=str(file or "none"), options=lines)
    parts.setdefault("settings_for", config.settings_for)
    fleet = Fleet(Parts(limits=limits or Limits(), **parts), Budget(most=most))
    try:
        yield fleet
    finally:
        fleet.close()


@contextmanager
def nothing_left() -> Iterator[None]:
    """See to it that the body leaves no thread and no descriptor."""
    threads, descriptors = threading.active_count(), _descriptors()
    yield
    wait_until(lambda: threading.active_count() <= threads, 10, "all threads have ended")
    wait_until(lambda: _descriptors() <= descriptors, 10, "all descriptors are closed")


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def host_at(address: str, **more: Any) -> Host:
    """Return a host that is called as its address."""
    return Host(name=address, **more)


def collect(channel: HostChannel) -> Answer:
    """Read a command's output until it has ended, and let go of it."""
    data = [b"", b""]
    reads = (channel.read, channel.read_stderr)
    ends = [False, False]
    while not (channel.ended and all(ends)):
        channel.wait(1)
        for number, read in enumerate(reads):
            piece = read(1 << 20)
            data[number] += piece or b""
            ends[number] = ends[number] or piece == b""
    channel.close()
    return Answer(
        status=channel.exit_status,
        signal=channel.exit_signal,
        out=data[0],
        err=data[1],
        broken=channel.broken,
    )


def send_for_ever(channel: HostChannel) -> None:
    """Send until something is raised."""
    data = b"x" * 30_000
    while True:
        channel.send(data)
        channel.wait(1, to_send=True)


def answer(session: HostSession, command: str, context: UnitContext | None = None) -> Answer:
    """Run a command to its end."""
    return collect(session.open_channel(command, context or UnitContext()))


def connect(fleet: Fleet, host: Host, context: UnitContext | None = None) -> Session:
    """Connect, and keep the stages in the context."""
    context = context or UnitContext()
    return fleet.connect(host, context, context.stages.append)


def refusal(fleet: Fleet, host: Host, context: UnitContext | None = None) -> UnreachableError:
    """Return why a host cannot be reached."""
    try:
        connect(fleet, host, context)
    except UnreachableError as error:
        return error
    message = f"{host.name} was reached"
    raise AssertionError(message)


def at_once(number: int, work: Callable[[int], Any], threads: int = 0) -> list[Any]:
    """Do work(1) to work(number) in threads; as many as there is work, or fewer."""
    with ThreadPoolExecutor(threads or number) as pool:
        return list(pool.map(work, range(1, number + 1)))


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a port of all addresses; `serve` gets each connection in a thread of its own.

    What it leaves open stays open until the end.
    """
    kept: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            kept.append(connection)
            threads.append(threading.Thread(target=guarded, args=(connection,)))
            threads[-1].start()

    def guarded(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(connection)

    with socket.create_server(("0.0.0.0", 0), backlog=200) as listening:
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for connection in kept:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            for thread in threads:
                thread.join()
