"""Opens what a connection runs over: a TCP socket, or a program that stands for one."""

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from batchrun.errors import UnreachableError
from batchrun.remote.patience import SLICE_S, Patience
from batchrun.remote.resolve import Address

__all__ = ["ProxyProgram", "dial", "run_proxy", "tune"]

#: A name with several addresses: the next one is tried beside those that have not answered yet.
_NEXT_AFTER_S: Final = 0.25
#: How long a proxy program may take to end after its input did.
_PROXY_END_S: Final = 1.0

_REASONS: Final = {
    errno.ECONNREFUSED: "it refuses connections; is sshd running there, and on this port?",
    errno.EHOSTUNREACH: "there is no route to the host; is it up?",
    errno.ENETUNREACH: "its network cannot be reached from here; check the address and the routes",
    errno.EMFILE: "too many files are open here; lower --fanout or raise `ulimit -n`",
    errno.EADDRNOTAVAIL: "this machine cannot connect from there; check `BindAddress`",
    errno.EACCES: "a firewall here forbids it",
    errno.EPERM: "a firewall here forbids it",
}


def dial(addresses: list[Address], patience: Patience, *, bind: str = "") -> socket.socket:
    """Connect to the first address that answers.

    Args:
        addresses: Where to, the best first.
        patience: How long it may take.
        bind: The address here to connect from; empty: any.

    Raises:
        UnreachableError: none does in time.
        UnitStoppedError: the unit was stopped meanwhile.
    """
    race = _Race(waiting=deque(addresses), bind=bind)
    try:
        winner = race.run(patience)
    finally:
        race.close()
    tune(winner)
    return winner


def tune(sock: socket.socket) -> None:
    """Send small packets at once (46 ms a command otherwise), and notice a host that is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


@dataclass(slots=True, kw_only=True)
class _Race:
    """Connects to several addresses, each a little later than the one before."""

    waiting: deque[Address]
    bind: str
    running: dict[int, socket.socket] = field(default_factory=dict)
    next_start: float = 0.0
    last_error: int = 0
    poll: select.poll = field(default_factory=select.poll)

    def run(self, patience: Patience) -> socket.socket:
        while self.waiting or self.running:
            if self.waiting and (not self.running or time.monotonic() >= self.next_start):
                self._start(self.waiting.popleft())
            slice_s = patience.slice_s()
            if not slice_s:
                break
            winner = self._look(slice_s)
            if winner is not None:
                return winner
        raise self._lost()

    def _start(self, address: Address) -> None:
        self.next_start = time.monotonic() + _NEXT_AFTER_S
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:
            self.last_error = error.errno or 0
            return
        result = self._connect(sock, address)
        if result not in (0, errno.EINPROGRESS):
            self.last_error = result
            sock.close()
            return
        self.running[sock.fileno()] = sock
        self.poll.register(sock, select.POLLOUT)

    def _connect(self, sock: socket.socket, address: Address) -> int:
        sock.settimeout(0)
        try:
            if self.bind:
                sock.bind((self.bind, 0))
        except OSError as error:
            return error.errno or errno.EADDRNOTAVAIL
        return sock.connect_ex(address.where)

    def _look(self, slice_s: float) -> socket.socket | None:
        if self.waiting:
            slice_s = min(slice_s, max(0.0, self.next_start - time.monotonic()))
        for number, _ in self.poll.poll(slice_s * 1000):
            sock = self.running.pop(number)
            self.poll.unregister(sock)
            result = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not result:
                return sock
            self.last_error = result
            sock.close()
        return None

    def _lost(self) -> UnreachableError:
        if self.running or not self.last_error:
            return UnreachableError("connect: no answer in time; is the host up, is the port open?")
        reason = _REASONS.get(self.last_error, os.strerror(self.last_error))
        return UnreachableError(f"connect: {reason}")

    def close(self) -> None:
        for sock in self.running.values():
            sock.close()


class ProxyProgram:
    """A ProxyCommand: its standard input and output are the connection.

    Its standard error is read by a daemon thread, which ends with it.
    """

    def __init__(self, command: str) -> None:
        self.sock, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for us; we end it
                )
            except OSError:
                self.sock.close()
                raise
        self._lock = threading.Lock()
        self._said: deque[bytes] = deque(maxlen=1)
        self._reader = threading.Thread(target=self._listen, daemon=True, name="proxy command")
        self._reader.start()

    def _listen(self) -> None:
        pipe = self._process.stderr
        assert pipe is not None  # noqa: S101  # asked for above
        with pipe:
            for line in iter(lambda: pipe.readline(1000), b""):
                self._said.append(line)

    def last_words(self) -> str:
        """Return the last line that it wrote on standard error; empty: none."""
        self._reader.join(SLICE_S)
        return self._said[-1].decode(errors="replace").strip() if self._said else ""

    def hang_up(self) -> None:
        """Let it read the end of its input; does not block."""
        self.sock.close()

    def close(self, grace_s: float) -> None:
        """End it, with everything that it started; any thread may.

        Args:
            grace_s: How long it may take to end by itself; a second at most.
        """
        self.hang_up()
        self._reader.join(min(grace_s, _PROXY_END_S))
        with self._lock:
            if self._process.returncode is not None:
                return
            # Before it is waited for: until then, nobody else can have its number.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(_PROXY_END_S)


def run_proxy(command: str) -> ProxyProgram:
    """Start a ProxyCommand.

    Raises:
        UnreachableError: it cannot be started.
    """
    try:
        return ProxyProgram(command)
    except OSError as error:
        message = f"connect: the ProxyCommand cannot be started: {error.strerror}"
        raise UnreachableError(message) from error
