"""A connection to a host as operations see it: commands and files, one thread at a time."""

import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import paramiko

from batchrun.errors import OperationError, UnreachableError
from batchrun.model.host import Host
from batchrun.model.operation import Context
from batchrun.remote.channels import SafeChannel
from batchrun.remote.links import Link
from batchrun.remote.patience import Patience

__all__ = ["Channel", "Session"]

#: Waits for a place when the host says that it opens no more sessions: it may not have noticed yet
#: that those before have ended.
_CROWDED_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
#: While the network takes no more, nobody wakes us who has something for us to read.
_FULL_S: Final = 0.02

Reopen: TypeAlias = Callable[[Context], Link]


class Channel:
    """One command on a host; see `batchrun.model.session.HostChannel`."""

    def __init__(self, channel: SafeChannel, *, ahead: bool = False) -> None:
        channel.settimeout(0)
        #: It was open before it was asked for: nothing has shown that the host was still there.
        self.ahead = ahead
        self._channel = channel
        self._said_end = [False, False]

    @property
    def exit_status(self) -> int | None:
        """How the command ended; None: it has not, or by a signal."""
        status: int = self._channel.exit_status
        return None if status == -1 else status

    @property
    def exit_signal(self) -> str:
        """The signal that ended it, without `SIG`; empty: none that we know of."""
        return self._channel.exit_signal

    @property
    def ended(self) -> bool:
        """Whether the host has closed the channel, or the connection is gone."""
        return bool(self._channel.closed)

    @property
    def broken(self) -> str:
        """Why the connection is gone; empty: it is not."""
        return self._channel.broken

    @property
    def refused(self) -> bool:
        """Whether the host has said that it does not run it; not known before it has ended."""
        channel = self._channel
        return bool(channel.closed and not channel.broken and not channel.agreed)

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as there is room for, and return how much."""
        channel = self._channel
        if channel.broken:
            raise ConnectionError(channel.broken)
        if channel.closed or channel.deaf or channel.eof_sent:
            raise BrokenPipeError
        if not data or not self._room():
            return 0
        return channel.write(memoryview(data))

    def _room(self) -> bool:
        return self._channel.out_window_size > 0 and self._channel.transport.writable()

    def end_input(self) -> None:
        """Let the command read the end of its standard input."""
        self._channel.shutdown_write()

    def read(self, size: int) -> bytes | None:
        """Read what has come on standard output; empty: its end; None: nothing now."""
        return self._read(size, stderr=False)

    def read_stderr(self, size: int) -> bytes | None:
        """Read what has come on standard error; empty: its end; None: nothing now."""
        return self._read(size, stderr=True)

    def _read(self, size: int, *, stderr: bool) -> bytes | None:
        if not self._channel.has_come(stderr=stderr):
            return None
        receive = self._channel.recv_stderr if stderr else self._channel.recv
        data = receive(size)
        if not data:
            self._said_end[stderr] = True
        return data

    def wait(self, timeout_s: float, *, to_send: bool = False) -> None:
        """Return when there is something to read, the channel has ended, or time is over."""
        end = time.monotonic() + timeout_s
        channel = self._channel
        while True:
            left = max(0.0, end - time.monotonic())
            if not to_send:
                channel.wait_for(self._has_news, left)
            elif channel.out_window_size <= 0:
                channel.wait_for(lambda: self._has_news() or channel.out_window_size > 0, left)
            elif channel.transport.writable(min(left, _FULL_S)):
                return
            if self._has_news() or time.monotonic() >= end:
                return

    def _has_news(self) -> bool:
        """Whether whoever reads would get on: by data, or by the end of everything."""
        channel = self._channel
        if channel.closed or channel.has_data():
            return True
        # Both streams end together, just before it is told how the command has ended.
        return bool(channel.eof_received and channel.has_ended and False in self._said_end)

    def signal(self, name: str) -> None:
        """Ask the host to send the command a signal, such as `TERM`."""
        self._channel.request("signal", reply=False, body=_string(name))

    def close(self) -> None:
        """Let go of it; what runs on the host is not ended by that."""
        self._channel.close()


class Session:
    """An open connection to a host; see `batchrun.model.session.HostSession`.

    Args:
        host: Whose.
        link: The connection.
        reopen: Makes a new one.
        channel_s: How long opening a channel may take.
    """

    def __init__(self, host: Host, link: Link, reopen: Reopen, channel_s: float) -> None:
        self._host = host
        self.link = link
        self._reopen = reopen
        self._channel_s = channel_s
        self._commands = 0
        #: A channel that is opened while a command runs, for the next: who runs a second one is
        #: likely to run a third. None: the host does not open two at a time.
        self._spares: deque[SafeChannel] | None = deque()

    @property
    def host(self) -> Host:
        """Whose."""
        return self._host

    def open_channel(self, command: str, context: Context) -> Channel:
        """Begin a command: the login shell of the host gets this text.

        A connection that had died before is made again, because nothing was sent yet. When it dies
        later, or that shows later only, the channel is `broken`, and the command may have run.

        Raises:
            UnreachableError: the connection had died before, and could not be made again.
            OperationError: the host refuses it.
            UnitStoppedError: the unit was stopped meanwhile.
        """
        spare = self._spare(context)
        channel = spare or self._open(context)
        # Its answer is not waited for: what the command says comes with it, or it has `refused`.
        channel.request("exec", reply=True, body=_string(command))
        if self._commands and self._spares is not None:
            self._spares.append(self.link.wire.begin("session"))
        self._commands += 1
        return Channel(channel, ahead=spare is not None)

    def open_files(self, context: Context) -> paramiko.SFTPClient:
        """Return a client for files without a shell (SFTP).

        Raises:
            UnreachableError, OperationError, UnitStoppedError: as `open_channel`.
        """
        channel = self._open(context)
        agreed = self._request_files(channel, context)
        if channel.broken:
            raise UnreachableError(f"channel: {channel.broken}")
        if not agreed:
            channel.close()
            message = "channel: the host has no SFTP; see `Subsystem sftp` in its sshd_config"
            raise OperationError(message, retryable=False)
        channel.settimeout(self._channel_s)
        try:
            return paramiko.SFTPClient(channel)
        except (paramiko.SSHException, EOFError, OSError) as error:
            channel.close()
            message = f"channel: the host speaks no SFTP: {error or 'it ended'}"
            raise OperationError(message) from error

    def _request_files(self, channel: SafeChannel, context: Context) -> bool:
        """Ask for SFTP and wait for the answer; False: refused, or there is none in time."""
        try:
            channel.request("subsystem", reply=True, body=_string("sftp"))
            Patience.of(self._channel_s, context.check).wait(channel.event, self._is_alive)
        except BaseException:
            channel.close()
            raise
        return channel.agreed

    def _open(self, context: Context) -> SafeChannel:
        """Open a channel, on a new connection when the old one is dead."""
        if self.link.alive:
            channel = self._try(context)
            if channel is not None:
                return channel
        self.link.close()
        self.link = self._reopen(context)
        channel = self._try(context)
        if channel is None:
            raise self._no_channel()
        return channel

    def _is_alive(self) -> bool:
        return self.link.alive

    def _no_channel(self) -> UnreachableError:
        if not self.link.alive:
            return UnreachableError(f"channel: {self.link.wire.reason()}")
        self.link.close()
        return UnreachableError("channel: not opened in time; is the host overloaded?")

    def _try(self, context: Context) -> SafeChannel | None:
        """Open a channel; None: the connection is dead."""
        refusal = ""
        for pause_s in (0.0, *_CROWDED_S):
            if pause_s:
                Patience.of(pause_s, context.check).pause(pause_s)
            channel = self._ask(context)
            if channel is None or channel.active:
                return channel
            refusal = channel.refusal[1] if channel.refusal else ""
        message = (
            f"channel: the host opens no more sessions on a connection ({refusal or 'refused'});"
            " raise `MaxSessions` in its sshd_config, or lower `per_host`"
        )
        raise OperationError(message)

    def _spare(self, context: Context) -> SafeChannel | None:
        """Return the channel that was opened ahead; None: there is none that can be used."""
        try:
            channel = self._spares.popleft() if self._spares else None
        except IndexError:  # another thread was quicker
            return None
        if channel is None or self._answer(channel, context) is None:
            return None
        if channel.refusal is not None:
            self._spares = None
        return channel if channel.active and not channel.closed else None

    def _ask(self, context: Context) -> SafeChannel | None:
        return self._answer(self.link.wire.begin("session"), context)

    def _answer(self, channel: SafeChannel, context: Context) -> SafeChannel | None:
        """Wait until the host has opened a channel or refused to; None: the connection is dead."""
        try:
            patience = Patience.of(self._channel_s, context.check)
            answered = patience.wait(channel.answered, self._is_alive)
        except BaseException:
            self.link.wire.abandon(channel)
            raise
        return None if not answered or channel.broken else channel


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data
