"""Servers that do what no sshd does: say nothing, die in the middle, show the wrong key.

Each listens on a port of its own at every address of 127.0.0.0/8, lets anybody in, and heeds no
command. What it does wrong, it does to each connection anew.
"""

import contextlib
import itertools
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from sshd import make_key

__all__ = [
    "BadServer",
    "dies_in_command",
    "dies_in_download",
    "dies_in_upload",
    "drops_at_banner",
    "endless_output",
    "loud_stderr",
    "only_a_banner",
    "refuses_channels",
    "refuses_commands",
    "says_nothing",
    "shows_the_wrong_key",
]

_BANNER = b"SSH-2.0-OpenSSH_9.2\r\n"
_ENDED = (OSError, EOFError, paramiko.SSHException)
_STEP = 32 * 1024
#: The number of that message (RFC 4254, 9).
_CHANNEL_SUCCESS = bytes([99])
#: How long threads may take to notice that their connection is gone.
_JOIN_S = 30.0

#: What is done to a connection, in a thread of its own.
Act = Callable[["BadServer", socket.socket], None]
#: What is done to a command.
Answer = Callable[[paramiko.Channel, socket.socket], None]


@dataclass(kw_only=True)
class BadServer:
    """A server that runs."""

    port: int
    dir: Path
    #: How many connections it has taken so far.
    connections: int = 0
    #: What it was asked to run; `subsystem NAME` for one of those.
    commands: list[str] = field(default_factory=list)

    @property
    def key(self) -> Path:
        """A private key to log in with; any is as good."""
        return self.dir / "id"

    @property
    def host_key(self) -> Path:
        return self.dir / "host"

    @property
    def known_hosts(self) -> Path:
        return self.dir / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F`: port, user, key and known hosts of this server, for every name."""
        return self.dir / "ssh_config"

    def argv(self, *words: str) -> list[str]:
        """The words of an `ssh` that knows this server."""
        return ["ssh", "-F", str(self.ssh_config), *words]


def says_nothing() -> contextlib.AbstractContextManager[BadServer]:
    """It takes connections, and that is all."""
    return _serving(lambda _server, sock: _until_closed(sock))


def only_a_banner() -> contextlib.AbstractContextManager[BadServer]:
    """It says that it speaks SSH, and nothing more."""

    def act(_server: BadServer, sock: socket.socket) -> None:
        sock.sendall(_BANNER)
        _until_closed(sock)

    return _serving(act)


def drops_at_banner(
    times: int | None = None, answer: Answer | None = None
) -> contextlib.AbstractContextManager[BadServer]:
    """It closes connections where its banner should be, as sshd does past MaxStartups.

    Args:
        times: Only the first so many; then all is well. None: for ever.
        answer: What it does to commands when all is well; None: they succeed and say nothing.
    """
    numbers = itertools.count(1)

    def act(server: BadServer, sock: socket.socket) -> None:
        if times is not None and next(numbers) > times:
            _speak(server, sock, answer or _succeed)

    return _serving(act)


def dies_in_command(said: bytes = b"half a li") -> contextlib.AbstractContextManager[BadServer]:
    """It is gone in the middle of every command.

    Args:
        said: Comes on standard output before that.
    """

    def answer(channel: paramiko.Channel, sock: socket.socket) -> None:
        channel.sendall(said)
        _die(channel, sock)

    return _answering(answer)


def dies_in_download(after: int = 1_000_000) -> contextlib.AbstractContextManager[BadServer]:
    """It is gone in the middle of what it sends; `after` so many bytes."""
    return dies_in_command(bytes(after))


def dies_in_upload(after: int = 1_000_000) -> contextlib.AbstractContextManager[BadServer]:
    """It is gone in the middle of what it is sent; `after` at least so many bytes."""

    def answer(channel: paramiko.Channel, sock: socket.socket) -> None:
        left = after
        while left > 0 and (data := channel.recv(_STEP)):
            left -= len(data)
        _die(channel, sock)

    return _answering(answer)


def endless_output() -> contextlib.AbstractContextManager[BadServer]:
    """Every command writes lines for ever."""

    def answer(channel: paramiko.Channel, _sock: socket.socket) -> None:
        while not channel.closed:
            channel.sendall(b"y\n" * 8192)

    return _answering(answer)


def loud_stderr(size: int = 4 * 1024 * 1024) -> contextlib.AbstractContextManager[BadServer]:
    """Every command writes so much on standard error, then `done` on standard output."""

    def answer(channel: paramiko.Channel, _sock: socket.socket) -> None:
        channel.sendall_stderr(b"e" * size)
        channel.sendall(b"done\n")
        _succeed(channel, _sock)

    return _answering(answer)


def refuses_channels() -> contextlib.AbstractContextManager[BadServer]:
    """It lets everybody in, and then nobody do anything."""
    return _serving(lambda server, sock: _speak(server, sock, None))


def refuses_commands() -> contextlib.AbstractContextManager[BadServer]:
    """It opens channels, and runs nothing in them."""
    return _serving(lambda server, sock: _speak(server, sock, _succeed, runs=False))


def shows_the_wrong_key() -> contextlib.AbstractContextManager[BadServer]:
    """Its key is not the one that is in `known_hosts`."""
    return _serving(lambda server, sock: _speak(server, sock, _succeed), honest=False)


def _answering(answer: Answer) -> contextlib.AbstractContextManager[BadServer]:
    return _serving(lambda server, sock: _speak(server, sock, answer))


@contextmanager
def _serving(act: Act, *, honest: bool = True) -> Iterator[BadServer]:
    """Listen, and do something to each connection."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("0.0.0.0", 0)) as listener:
        server = BadServer(port=listener.getsockname()[1], dir=Path(name))
        _write_files(server, honest=honest)
        open_now: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):  # the listener was shut down
                while True:
                    sock, _ = listener.accept()
                    open_now.append(sock)
                    server.connections += 1
                    threads.append(threading.Thread(target=_act, args=(act, server, sock)))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(_JOIN_S)
            for sock in open_now:
                _shut(sock)
            for thread in threads:
                thread.join(_JOIN_S)
                assert not thread.is_alive()


def _act(act: Act, server: BadServer, sock: socket.socket) -> None:
    with sock, contextlib.suppress(*_ENDED):
        act(server, sock)


def _write_files(server: BadServer, *, honest: bool) -> None:
    make_key(server.key)
    public = make_key(server.host_key)
    known = public if honest else make_key(server.dir / "other")
    names = f"[127.*]:{server.port},[localhost]:{server.port}"
    server.known_hosts.write_text(f"{names} {' '.join(known.read_text().split()[:2])}\n")
    server.ssh_config.write_text(
        f"""Host *
    Port {server.port}
    User anybody
    IdentityFile {server.key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {server.known_hosts}
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
"""
    )


def _speak(
    server: BadServer, sock: socket.socket, answer: Answer | None, *, runs: bool = True
) -> None:
    """Speak SSH until the connection is gone.

    Args:
        server: Whose.
        sock: The connection.
        answer: What is done to each command; None: no channel is opened for any.
        runs: Whether it agrees to run them.
    """
    transport = _Transport(sock)
    try:
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(server.host_key)))
        transport.start_server(server=_Anybody(server, transport, answer, runs=runs))
        transport.join()
    finally:
        transport.close()


class _Transport(paramiko.Transport):  # type: ignore[misc]  # paramiko has no types
    """Knows when it has said that a command was begun; nothing may be done to that before."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.begun = threading.Event()

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)
        if data.asbytes()[:1] == _CHANNEL_SUCCESS:
            self.begun.set()


class _Anybody(paramiko.ServerInterface):  # type: ignore[misc]  # paramiko has no types
    """Lets anybody in."""

    def __init__(
        self, server: BadServer, transport: _Transport, answer: Answer | None, *, runs: bool
    ) -> None:
        self._server = server
        self._runs = runs
        self._transport = transport
        self._answer = answer

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey,password"

    def check_auth_none(self, _username: str) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_auth_password(self, _username: str, _password: str) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_auth_publickey(self, _username: str, _key: paramiko.PKey) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        if self._answer is None:
            return int(paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self._begin(channel, command.decode(errors="replace"))

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        return self._begin(channel, f"subsystem {name}")

    def _begin(self, channel: paramiko.Channel, command: str) -> bool:
        self._server.commands.append(command)
        if not self._runs:
            return False
        threading.Thread(target=self._run, args=(channel,), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel) -> None:
        assert self._answer is not None
        self._transport.begun.wait(_JOIN_S)
        with contextlib.suppress(*_ENDED):
            self._answer(channel, self._transport.sock)


def _succeed(channel: paramiko.Channel, _sock: socket.socket) -> None:
    channel.send_exit_status(0)
    channel.close()


def _die(_channel: paramiko.Channel, sock: socket.socket) -> None:
    """Break the connection without the farewells of SSH, but with all that was said before.

    Closing it would take that away again: the other side has sent what was not read here.
    """
    sock.shutdown(socket.SHUT_WR)


def _until_closed(sock: socket.socket) -> None:
    """Read what comes, without heeding it."""
    while sock.recv(_STEP):
        pass


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
