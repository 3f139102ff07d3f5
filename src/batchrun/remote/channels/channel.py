"""A channel that several threads may use while another one reads its connection."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import paramiko
from paramiko.common import cMSG_CHANNEL_DATA, cMSG_CHANNEL_REQUEST, cMSG_CHANNEL_WINDOW_ADJUST
from paramiko.message import Message

from batchrun.remote.channels.data import Data, Pipe
from batchrun.remote.channels.messages import message
from batchrun.remote.channels.packets import Batch

if TYPE_CHECKING:
    from batchrun.remote.channels.wire import Wire

__all__ = ["SafeChannel"]

#: Bytes in one packet at most; more is refused by some servers.
_PACKET_BYTES: Final = 32_000
#: What a server counts in a packet beside its data.
_AROUND_BYTES: Final = 64


class SafeChannel(paramiko.Channel):  # type: ignore[misc]  # paramiko has no types
    """A channel that never writes after CLOSE, whichever threads use it, and wakes who waits."""

    transport: "Wire"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        #: Set as soon as the peer has agreed, refused, or is gone.
        self.answered = threading.Event()
        #: Why the peer refused to open it: its code and its words.
        self.refusal: tuple[int, str] | None = None
        #: Nobody wants it any more: to be closed as soon as it is open.
        self.abandoned = False
        #: Why the connection ended under it; empty: it did not.
        self.broken = ""
        #: The signal that ended the command, without `SIG`.
        self.exit_signal = ""
        #: The peer has said that nobody reads what we send.
        self.deaf = False
        self._writers = 0
        self._farewell: Batch | None = None
        self._news = threading.Condition()
        #: What threads that wait wait for; made anew by each change.
        self._awaited: tuple[Callable[[], bool], ...] = ()
        self.in_buffer = self._stdout = Pipe()
        self.in_stderr_buffer = self._stderr = Pipe()

    def _log(self, level: int, msg: str, *args: object) -> None:
        """Log nothing: it is said by what is raised."""

    # Writing: everything between `enter` and `leave` comes before CLOSE.

    def enter(self) -> bool:
        """Begin to write; False: it is closed. Who got True must `leave`."""
        with self.lock:
            if self.closed or not self.active:
                return False
            self._writers += 1
            return True

    def leave(self) -> None:
        """End writing; the last one writes what closing had to put off."""
        with self.lock:
            self._writers -= 1
            if self._writers:
                return
            farewell, self._farewell = self._farewell, None
        if farewell is not None:
            self.transport._send_user_message(farewell)

    def _close_internal(self) -> tuple[None, Batch | None]:
        """Return what is to be written at the end, as one; None: nothing, or not by the caller."""
        words = [word.asbytes() for word in super()._close_internal() if word is not None]
        if not words:
            return None, None
        farewell = Batch([(word,) for word in words])
        if not self._writers:
            return None, farewell
        self._farewell = farewell
        return None, None

    def _send(self, s: bytes, m: Message) -> int:
        if not self.enter():
            return 0
        try:
            return int(super()._send(s, m))
        finally:
            self.leave()

    def shutdown(self, how: int) -> None:
        if not self.enter():
            return
        try:
            super().shutdown(how)
        finally:
            self.leave()

    def request(self, name: str, *, reply: bool, body: bytes = b"") -> bool:
        """Send a channel request; False: the channel is closed.

        Args:
            name: Which, such as `exec` or `signal`.
            reply: `event` is set when it was answered; a refusal closes the channel.
            body: What follows, encoded.
        """
        if not self.enter():
            return False
        try:
            if reply:
                self._event_pending()
            request = message(cMSG_CHANNEL_REQUEST, self.remote_chanid, name, reply)
            request.add_bytes(body)
            self.transport._send_user_message(request)
            return True
        finally:
            self.leave()

    @property
    def agreed(self) -> bool:
        """Whether the peer has agreed to the last request."""
        return bool(self.event_ready)

    def write(self, data: memoryview) -> int:
        """Send data in several packets at once, and return how much there was room for."""
        if not self.enter():
            return 0
        try:
            with self.lock:
                step = min(_PACKET_BYTES, self.out_max_packet_size - _AROUND_BYTES)
                most = min(self.out_window_size, step * self.transport.packetizer.at_once)
                data = data[: most if not self.eof_sent else 0]
                self.out_window_size -= len(data)
            if data:
                head = cMSG_CHANNEL_DATA + self.remote_chanid.to_bytes(4, "big")
                pieces = [data[at : at + step] for at in range(0, len(data), step)]
                payloads = [(head, len(piece).to_bytes(4, "big"), piece) for piece in pieces]
                self.transport._send_user_message(Batch(payloads))
            return len(data)
        finally:
            self.leave()

    # Reading

    def has_come(self, *, stderr: bool) -> bool:
        """Whether reading a stream would say something now: data, or its end; takes no lock."""
        return self._stderr.says() if stderr else self._stdout.says()

    def has_data(self) -> bool:
        """Whether there is something on either stream; takes no lock."""
        return self._stdout.has_data() or self._stderr.has_data()

    @property
    def has_ended(self) -> bool:
        """Whether the host has said how the command ended."""
        return self.exit_status != -1 or bool(self.exit_signal)

    def recv(self, nbytes: int) -> bytes:
        return self._take(self._stdout, nbytes)

    def recv_stderr(self, nbytes: int) -> bytes:
        return self._take(self._stderr, nbytes)

    def _take(self, pipe: Pipe, size: int) -> bytes:
        if not pipe.says():
            self.wait_for(pipe.says, self.timeout)
            if not pipe.says():
                raise TimeoutError
        data = pipe.take(size)
        credit = self._check_add_window(len(data))
        if credit and self.enter():
            try:
                self.transport._send_user_message(
                    message(cMSG_CHANNEL_WINDOW_ADJUST, self.remote_chanid, credit)
                )
            finally:
                self.leave()
        return data

    # News: told by the reading thread

    def wait_for(self, ready: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait until something has come that makes `ready()` true.

        Args:
            ready: May take no lock of ours: the reading thread calls it, too, to wake nobody in
                vain.
            timeout_s: At most so long; None: for ever.
        """
        if timeout_s == 0:
            return
        with self._news:
            self._awaited = (*self._awaited, ready)
            try:
                self._news.wait_for(ready, timeout_s)
            finally:
                left = list(self._awaited)
                left.remove(ready)
                self._awaited = tuple(left)

    def _tell(self) -> None:
        # Without the lock: who begins to wait looks once more after he is seen here.
        if any(ready() for ready in self._awaited):
            with self._news:
                self._news.notify_all()

    def _feed(self, m: Message | Data | bytes) -> None:
        self._stdout.feed(m if isinstance(m, bytes) else m.get_binary())
        self._tell()

    def _feed_extended(self, m: Message) -> None:
        super()._feed_extended(m)
        self._tell()

    def _handle_eof(self, m: Message) -> None:
        super()._handle_eof(m)
        self._tell()

    def _window_adjust(self, m: Message) -> None:
        super()._window_adjust(m)
        self._tell()

    def _set_closed(self) -> None:
        super()._set_closed()
        self.answered.set()
        self._tell()

    def _unlink(self) -> None:
        if not self.closed:
            self.broken = self.transport.reason()
        super()._unlink()

    def _handle_request(self, m: Message) -> None:
        peek = Message(m.get_remainder())
        name = peek.get_text()
        if name == "exit-signal":
            peek.get_boolean()
            self.exit_signal = peek.get_text()
        elif name == "eow@openssh.com":
            self.deaf = True
        super()._handle_request(m)
        self._tell()
