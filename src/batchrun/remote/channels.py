"""Connections and channels that several threads may use at once; all that reaches into paramiko.

Nothing else in the program touches a name of paramiko that is not public, and what is used here
was tried with the versions in `TESTED` only. Beyond 300 lines, because it has to stay in one place.

What paramiko gets wrong when threads share a connection, and what is done about it here:

- A channel lets go of its lock before it writes, so that data, the end of input or a request can
  come after CLOSE: sshd then ends the whole connection, with everything that goes through it.
  Here, whoever writes is counted (`SafeChannel.enter`); CLOSE is written by the last one to leave.
- The thread that reads a connection writes, too; while keys are exchanged anew it would wait for
  itself. Here it puts that aside until the new keys are there.
- Nobody notices a peer that is gone. Here the reading thread asks, and gives up (`Wire.alive`).
- A refused channel is told to whoever asks first. Here each channel has its own refusal.
- A timer thread for each handshake outlives it and holds up the exit of the program. There is none.

Data flow: one thread for each `Wire` reads packets and feeds them to channels; any thread writes,
one packet at a time. A `Wire` may run over a channel of another one (a bastion).
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import (
    MSG_SERVICE_ACCEPT,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_WINDOW_ADJUST,
    cMSG_GLOBAL_REQUEST,
    cMSG_SERVICE_REQUEST,
    cMSG_USERAUTH_REQUEST,
)
from paramiko.message import Message
from paramiko.packet import NeedRekeyException, Packetizer

from batchrun.errors import BatchrunError

__all__ = ["IDLE_S", "TESTED", "Login", "SafeChannel", "Wire", "check_version"]

#: The first version that this was tried with, and the first that it was not.
TESTED: Final = ((5, 1), (6, 0))
#: How often a reading thread that hears nothing looks around; 300 idle connections cost 5 % of a
#: core with paramiko's 0.1 s.
IDLE_S: Final = 5.0
# What it logs is told in our own words; without a handler, Python would print it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

#: A packet of no more bytes is a question: its answer is acknowledged at once. sshd holds back what
#: follows until then, and the first command on a connection would take 45 ms instead of 4.
_SMALL: Final = 1024
#: Asked for beyond the end of a packet: most are small, and several have come by the time that one
#: is read. Not more, because each idle connection waits with a buffer of this size.
_AHEAD: Final = 4096
#: Lines that a server may say before its banner, and characters of each that are kept.
_GREETING = (20, 200)


def check_version(version: str = paramiko.__version__) -> None:
    """Refuse a paramiko that this module was not tried with.

    Raises:
        BatchrunError: says which is needed.
    """
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not TESTED[0] <= found < TESTED[1]:
        first, beyond = (".".join(map(str, bound)) for bound in TESTED)
        message = f"paramiko {version} cannot be used: install `paramiko>={first},<{beyond}`"
        raise BatchrunError(message)


class _Packets(Packetizer):  # type: ignore[misc]  # paramiko has no types
    """Packets of one connection: knows when it last heard something, and never writes for ever."""

    #: paramiko asks for new keys each 512 MB; RFC 4344 allows 64 GB for AES.
    REKEY_BYTES = 2**33
    #: Its own: what came together with the banner.
    _Packetizer__remainder: bytes

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._wired = sock
        #: What was read of the packets to come.
        self._ahead = memoryview(b"")
        #: What the server said before its banner, its banner included.
        self.greeting: list[str] = []
        #: When anything was last read, by the monotonic clock.
        self.heard = time.monotonic()
        #: Nothing can be written for so long: the peer is gone.
        self.stall_s = 60.0
        #: Called by the reading thread whenever it has heard nothing for a while.
        self.quiet: Callable[[], None] = lambda: None

    def start_handshake(self, timeout: float) -> None:
        """Start no timer: whoever waits for the handshake has a deadline."""

    def readline(self, timeout: float) -> str:
        line = str(super().readline(timeout))
        if len(self.greeting) < _GREETING[0]:
            self.greeting.append(line[: _GREETING[1]])
        return line

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002 - its own
        """Return so many bytes; several packets by one system call, where paramiko makes two each.

        Each of those lets go of the interpreter, and has to wait for it again.
        """
        if self._Packetizer__remainder:
            self._ahead = memoryview(self._Packetizer__remainder)
            self._Packetizer__remainder = b""
        while (missing := n - len(self._ahead)) > 0:
            if piece := self._receive(missing + _AHEAD):
                self._ahead = memoryview(bytes(self._ahead) + piece if self._ahead else piece)
            elif check_rekey and not self._ahead and self.need_rekey():
                raise NeedRekeyException
            else:
                self._check_keepalive()
        wanted, self._ahead = self._ahead[:n], self._ahead[n:]
        return bytes(wanted)

    def _receive(self, size: int) -> bytes:
        """Return what has come; empty: nothing for a while."""
        try:
            piece = bytes(self._wired.recv(size))
        except (TimeoutError, BlockingIOError):
            if self.closed:
                raise EOFError from None
            return b""
        except OSError:
            if self.closed:
                raise EOFError from None
            raise
        if not piece:
            raise EOFError
        return piece

    def read_message(self) -> tuple[int, Message]:
        message: tuple[int, Message] = super().read_message()
        self.heard = time.monotonic()
        return message

    def _check_keepalive(self) -> None:
        self.quiet()

    def write_all(self, out: bytes) -> None:
        small = len(out) <= _SMALL
        last = time.monotonic()
        while out:
            try:
                sent = self._wired.send(out)
            except TimeoutError:
                if self.closed or time.monotonic() - last > self.stall_s:
                    raise EOFError from None
                continue
            except OSError:
                raise EOFError from None
            if not sent:  # a channel that has ended
                raise EOFError
            last = time.monotonic()
            out = out[sent:]
        if small and isinstance(self._wired, socket.socket):
            with contextlib.suppress(OSError):
                self._wired.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def close(self) -> None:
        if not isinstance(self._wired, socket.socket):
            super().close()
            return
        # The reading thread wakes up and closes it. If this thread did, the number could be that of
        # a new connection before the other one has looked, and it would go on to wait for that.
        self._Packetizer__closed = True
        with contextlib.suppress(OSError):
            self._wired.shutdown(socket.SHUT_RDWR)


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
        for message in words:
            self.transport._send_user_message(message)

    def _close_internal(self) -> tuple[Message | None, Message | None]:
        end, close = super()._close_internal()
        if not self._writers or close is None:
            return end, close
        self._last_words = tuple(message for message in (end, close) if message is not None)
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
            message = _message(cMSG_CHANNEL_REQUEST, self.remote_chanid, name, reply)
            message.add_bytes(body)
            self.transport._send_user_message(message)
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
                    _message(cMSG_CHANNEL_WINDOW_ADJUST, self.remote_chanid, credit)
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


class Login(AuthOnlyHandler):  # type: ignore[misc]  # paramiko has no types
    """Asks a server to let somebody in, one way at a time, and keeps what it answers.

    paramiko's own loses an answer that comes fast, and does not tell which methods are left.
    """

    #: What the server would take, as of its last refusal.
    methods: tuple[str, ...] = ()
    #: The last attempt was right, but is not enough.
    partial = False

    def ask_key(self, user: str, key: paramiko.PKey) -> threading.Event:
        """Show a key; signs in the caller's thread. The event is set when there is an answer."""
        kind, blob = self._get_key_type_and_bits(key)
        algorithm = self._finalize_pubkey_algorithm(kind)
        signed = self._get_session_blob(key, "ssh-connection", user, algorithm)
        signature = key.sign_ssh_data(signed, algorithm)
        return self._ask(user, "publickey", True, algorithm, blob, signature)

    def ask_nothing(self, user: str) -> threading.Event:
        """Ask without anything to show: its refusal says what the server takes."""
        return self._ask(user, "none")

    def ask_password(self, user: str, password: str) -> threading.Event:
        """Show a password."""
        return self._ask(user, "password", False, password)

    def ask_questions(
        self, user: str, answer: Callable[[str, str, list[tuple[str, bool]]], list[str]]
    ) -> threading.Event:
        """Let the server ask; `answer` is called in the reading thread and may not block."""
        self.interactive_handler = answer
        return self._ask(user, "keyboard-interactive", "", "")

    def _ask(self, user: str, method: str, *rest: Any) -> threading.Event:
        self.auth_method, self.username = method, user
        self.partial = False
        event = self.auth_event = threading.Event()
        self.transport._send_message(
            _message(cMSG_USERAUTH_REQUEST, user, "ssh-connection", method, *rest)
        )
        return event

    def _parse_userauth_failure(self, m: Message) -> None:
        peek = Message(m.get_remainder())
        self.methods = tuple(peek.get_list())
        self.partial = peek.get_boolean()
        super()._parse_userauth_failure(m)


def _by_name(name: str) -> Callable[[SafeChannel, Message], None]:
    def handle(channel: SafeChannel, message: Message) -> None:
        getattr(channel, name)(message)

    return handle


class Wire(paramiko.Transport):  # type: ignore[misc]  # paramiko has no types
    """One connection; several threads may open channels on it and use them at the same time."""

    #: As paramiko's, but by name: its own calls the methods of `paramiko.Channel` only.
    _channel_handler_table: ClassVar = {
        kind: _by_name(function.__name__)
        for kind, function in paramiko.Transport._channel_handler_table.items()
    }

    def __init__(self, sock: Any) -> None:
        super().__init__(sock, packetizer_class=_Packets)
        sock.settimeout(IDLE_S)
        self._put_off: list[Message] = []
        self._unwanted: dict[int, SafeChannel] = {}
        self._alive = (0.0, 0)
        #: Questions since something was last heard, and when the last one was.
        self._asked, self._asked_at = 0, 0.0
        self._why = ""
        self._service = threading.Event()
        #: What the server said when it ended the connection.
        self.goodbye = ""
        self._handler_table[MSG_SERVICE_ACCEPT] = lambda _: self._service.set()

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
            self.sock.settimeout(min(IDLE_S, interval_s / 2))

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
            self._send_message(_message(cMSG_GLOBAL_REQUEST, "keepalive@openssh.com", True))

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
        self._send_message(_message(cMSG_SERVICE_REQUEST, "ssh-userauth"))
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
        sizes = (self.default_window_size, self.default_max_packet_size)
        self._send_user_message(_message(cMSG_CHANNEL_OPEN, kind, number, *sizes, *rest))
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

    def _send_user_message(self, data: Message) -> None:
        if threading.current_thread() is self and not self.clear_to_send.is_set():
            self._put_off.append(data)
            return
        try:
            super()._send_user_message(data)
        except paramiko.SSHException:  # new keys do not come
            self._why = self._why or "the host does not finish exchanging keys"
            self.packetizer.close()

    def _send_message(self, data: Message) -> None:
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
        for message in put_off:
            self._send_message(message)


def _message(kind: bytes, *fields: Any) -> Message:
    """Encode a message: text and keys as strings, whole numbers in four bytes, truth in one."""
    message = Message()
    message.add_byte(kind)
    for value in fields:
        if isinstance(value, bool):
            message.add_boolean(value)
        elif isinstance(value, int):
            message.add_int(value)
        else:
            message.add_string(value)
    return message
