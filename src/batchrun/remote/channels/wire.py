"""One connection: a thread reads it, and any thread writes."""

import select
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

import paramiko
from paramiko.common import (
    MSG_SERVICE_ACCEPT,
    cMSG_CHANNEL_OPEN,
    cMSG_GLOBAL_REQUEST,
    cMSG_SERVICE_REQUEST,
)
from paramiko.message import Message

from batchrun.remote.channels.channel import SafeChannel
from batchrun.remote.channels.login import Login
from batchrun.remote.channels.messages import message
from batchrun.remote.channels.packets import Batch, Packets

__all__ = ["Wire"]

#: How often a reading thread that hears nothing looks around; 300 idle connections cost 5 % of a
#: core with paramiko's 0.1 s.
_IDLE_S: Final = 5.0


def _by_name(name: str) -> Callable[[SafeChannel, Message], None]:
    def handle(channel: SafeChannel, m: Message) -> None:
        getattr(channel, name)(m)

    return handle


class Wire(paramiko.Transport):  # type: ignore[misc]  # paramiko has no types
    """One connection; several threads may open channels on it and use them at the same time."""

    #: As paramiko's, but by name: its own calls the methods of `paramiko.Channel` only.
    _channel_handler_table: ClassVar = {
        kind: _by_name(function.__name__)
        for kind, function in paramiko.Transport._channel_handler_table.items()
    }

    def __init__(self, sock: Any) -> None:
        super().__init__(sock, packetizer_class=Packets)
        self.packetizer.wait_at_most(_IDLE_S)
        self._put_off: list[Message | Batch] = []
        self._unwanted: dict[int, SafeChannel] = {}
        self._alive = (0.0, 0)
        #: Questions since something was last heard, and when the last one was.
        self._asked, self._asked_at = 0, 0.0
        self._why = ""
        self._service = threading.Event()
        #: What the server said when it ended the connection.
        self.goodbye = ""
        self._handler_table[MSG_SERVICE_ACCEPT] = lambda _: self._service.set()

    def _log(self, level: int, msg: object, *args: object) -> None:
        """Log nothing: `reason` says why a connection has ended."""

    def _parse_debug(self, m: Message) -> None:
        """Pass over what nobody reads: only to make it readable took 8 % of the time to connect."""

    def _filter_algorithm(self, type_: str) -> tuple[str, ...]:
        """Return what is offered of a kind; nothing is taken out of it, sixteen times each."""
        offered: tuple[str, ...] = getattr(self, f"_preferred_{type_}")
        return offered

    def close(self) -> None:
        """End the connection, also one that was never begun; its thread ends soon."""
        self.active = False
        self.packetizer.close()
        for channel in list(self._channels.values()):
            channel._unlink()
        if self.ident is None:
            self.sock.close()

    @property
    def greeting(self) -> list[str]:
        """What the server said before the key exchange, line by line."""
        return list(self.packetizer.greeting)

    def alive(self, interval_s: float, count: int) -> None:
        """Ask a peer that is silent, and give up when it stays so.

        Args:
            interval_s: Ask after so much silence; 0: never.
            count: Give up after so many intervals.
        """
        if interval_s > 0:
            self._alive = (interval_s, count)
            self.packetizer.stall_s = interval_s * max(count, 1)
            self.packetizer.quiet = self._look_after
            self.packetizer.wait_at_most(min(_IDLE_S, interval_s / 2))

    def _look_after(self) -> None:
        """Count questions, not seconds: after Ctrl-Z much time has passed, and nobody is gone."""
        interval_s, count = self._alive
        now, heard = time.monotonic(), self.packetizer.heard
        if heard >= self._asked_at:
            self._asked = 0
        if now - max(heard, self._asked_at) < interval_s:
            return
        if self._asked >= count:
            self._why = f"the host has not answered for {now - heard:.0f} s"
            raise EOFError
        self._asked += 1
        self._asked_at = now
        # Not while another thread is stuck writing: this one would be, too.
        if self.writable() and self.clear_to_send.is_set():
            self._send_message(message(cMSG_GLOBAL_REQUEST, "keepalive@openssh.com", True))

    def reason(self) -> str:
        """Say why the connection has ended, as a sentence fragment."""
        if self._why or self.goodbye:
            return self._why or f"the host ended the connection: {self.goodbye}"
        error = self.saved_exception
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        if error is None or isinstance(error, EOFError):
            return "the connection was closed"
        return str(error) or type(error).__name__

    def writable(self, wait_s: float = 0.0) -> bool:
        """Whether a packet could be written without waiting: now, or before so long has passed."""
        under = self.sock
        if isinstance(under, SafeChannel):
            under.wait_for(lambda: under.out_window_size > 0 or under.closed, wait_s)
            return bool(under.send_ready()) and under.transport.writable(wait_s)
        poll = select.poll()
        try:
            poll.register(under, select.POLLOUT)
        except ValueError:  # closed: writing will say so
            return True
        return bool(poll.poll(wait_s * 1000))

    def ask_service(self) -> threading.Event:
        """Ask for logins; the event is set when the server is ready, `auth_handler` answers."""
        self.auth_handler = Login(self)
        self._send_message(message(cMSG_SERVICE_REQUEST, "ssh-userauth"))
        return self._service

    def begin(self, kind: str, *rest: Any) -> SafeChannel:
        """Ask for a channel; its `answered` says when there is an answer."""
        with self.lock:
            number = self._next_channel()
            channel = SafeChannel(number)
            self._channels.put(number, channel)
            self.channel_events[number] = channel.answered
            self.channels_seen[number] = True
            channel._set_transport(self)
            channel._set_window(self.default_window_size, self.default_max_packet_size)
            # paramiko gives room back after each tenth: 1 000 small packets for 200 MB.
            channel.in_window_threshold = self.default_window_size // 4
        sizes = (self.default_window_size, self.default_max_packet_size)
        self._send_user_message(message(cMSG_CHANNEL_OPEN, kind, number, *sizes, *rest))
        if not self.active:  # it may have ended before it knew this channel
            channel._unlink()
        return channel

    def abandon(self, channel: SafeChannel) -> None:
        """Close a channel that may not be open yet, whenever it is."""
        with self.lock:
            channel.abandoned = not channel.active
            if channel.abandoned:
                self._unwanted[channel.chanid] = channel
        channel.close()

    def _parse_channel_open_success(self, m: Message) -> None:
        number = Message(m.get_remainder()).get_int()
        super()._parse_channel_open_success(m)
        with self.lock:
            unwanted = self._unwanted.pop(number, None)
        if unwanted is not None:
            unwanted.close()

    def _parse_channel_open_failure(self, m: Message) -> None:
        peek = Message(m.get_remainder())
        number, code, text = peek.get_int(), peek.get_int(), peek.get_text()
        channel = self._channels.get(number)
        if channel is not None:
            channel.refusal = (code, text)
        with self.lock:
            self._unwanted.pop(number, None)
        super()._parse_channel_open_failure(m)

    def _parse_disconnect(self, m: Message) -> None:
        peek = Message(m.get_remainder())
        peek.get_int()
        self.goodbye = peek.get_text().strip()
        super()._parse_disconnect(m)

    def _send_user_message(self, data: Message | Batch) -> None:
        if threading.current_thread() is self and not self.clear_to_send.is_set():
            self._put_off.append(data)
            return
        try:
            super()._send_user_message(data)
        except paramiko.SSHException:  # new keys do not come
            self._why = self._why or "the host does not finish exchanging keys"
            self.packetizer.close()

    def _send_message(self, data: Message | Batch) -> None:
        try:
            super()._send_message(data)
        except EOFError:
            if threading.current_thread() is self:
                raise
            # Who writes need not care: the reading thread finds the end, and tells everybody.
            self.packetizer.close()

    def _parse_newkeys(self, m: Message) -> None:
        super()._parse_newkeys(m)
        put_off, self._put_off = self._put_off, []
        for late in put_off:
            self._send_message(late)
