"""A channel that several threads may use while another one reads its connection."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import paramiko
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import cMSG_CHANNEL_REQUEST, cMSG_CHANNEL_WINDOW_ADJUST
from paramiko.message import Message

from batchrun.remote.channels.messages import message

if TYPE_CHECKING:
    from batchrun.remote.channels.wire import Wire

__all__ = ["SafeChannel"]


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
        self._last_words: tuple[Message, ...] = ()
        self._news = threading.Condition()

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
            words, self._last_words = self._last_words, ()
        for word in words:
            self.transport._send_user_message(word)

    def _close_internal(self) -> tuple[Message | None, Message | None]:
        end, close = super()._close_internal()
        if not self._writers or close is None:
            return end, close
        self._last_words = tuple(word for word in (end, close) if word is not None)
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

    # Reading

    def has_come(self, *, stderr: bool) -> bool:
        """Whether reading a stream would say something now: data, or its end; takes no lock."""
        buffer = self.in_stderr_buffer if stderr else self.in_buffer
        return bool(buffer._buffer or buffer._closed)

    def recv(self, nbytes: int) -> bytes:
        return self._take(self.in_buffer, nbytes)

    def recv_stderr(self, nbytes: int) -> bytes:
        return self._take(self.in_stderr_buffer, nbytes)

    def _take(self, buffer: BufferedPipe, size: int) -> bytes:
        try:
            data = bytes(buffer.read(size, self.timeout))
        except PipeTimeout:
            raise TimeoutError from None
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

    def wait_for(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something has come that makes `ready()` true; it may take no lock of ours."""
        with self._news:
            self._news.wait_for(ready, timeout_s)

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    def _feed(self, m: Message | bytes) -> None:
        super()._feed(m)
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
