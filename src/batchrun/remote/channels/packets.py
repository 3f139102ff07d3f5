"""Packets of one connection, as they are read from and written to its socket."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, TypeAlias

from paramiko.common import MSG_CHANNEL_DATA
from paramiko.message import Message
from paramiko.packet import NeedRekeyException, Packetizer
from paramiko.ssh_exception import SSHException

from batchrun.remote.channels.data import Data
from batchrun.remote.channels.sealing import Sealing, length_of

__all__ = ["Batch", "Packets", "Payload"]

#: What one packet carries, in parts.
Payload: TypeAlias = tuple[bytes | memoryview, ...]

#: A packet of no more bytes is a question: its answer is acknowledged at once. sshd holds back what
#: follows until then, and the first command on a connection would take 45 ms instead of 4.
_SMALL: Final = 1024
#: Bytes that are read at once: most packets are small, and several have come by the time that one
#: is looked at. An idle connection keeps as little as the first; a busy one gets up to the second.
_ROOM: Final = (4096, 128 * 1024)
#: Packets that are written at once, at most, to a socket that takes so many.
_MOST_AT_ONCE: Final = 8
#: As the kernel takes a length of time: seconds and microseconds.
_TIMEVAL: Final = Struct("@ll")
#: Lines that a server may say before its banner, and characters of each that are kept.
_GREETING: Final = (20, 200)


class Batch:
    """Several messages that are written at once, in the place of one."""

    def __init__(self, payloads: Sequence[Payload]) -> None:
        self.payloads = payloads


class Packets(Packetizer):  # type: ignore[misc]  # paramiko has no types
    """Packets of one connection: knows when it last heard something, and never writes for ever.

    Under AES-GCM, they are read and written here; all else is left to paramiko.
    """

    #: paramiko asks for new keys each 512 MB; RFC 4344 allows 64 GB for AES.
    REKEY_BYTES = 2**33
    #: Its own: what came together with the banner.
    _Packetizer__remainder: bytes
    #: Its own: a packet with something else than AES-GCM counts in the MAC how many came before.
    _Packetizer__sequence_number_in: int
    _Packetizer__sequence_number_out: int

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._wired = sock
        #: What was read of the packets to come is between two places of a buffer.
        self._buffer = bytearray(_ROOM[0])
        self._start = self._end = 0
        self._room = _ROOM[0]
        #: None: not AES-GCM, or nothing yet.
        self._outgoing: Sealing | None = None
        self._incoming: Sealing | None = None
        #: How many packets the socket is likely to take without waiting.
        self.at_once = 1
        #: What the server said before its banner, its banner included.
        self.greeting: list[str] = []
        #: When anything was last read, by the monotonic clock.
        self.heard = time.monotonic()
        #: Nothing can be written for so long: the peer is gone.
        self.stall_s = 60.0
        #: Called by the reading thread whenever it has heard nothing for a while.
        self.quiet: Callable[[], None] = lambda: None

    def _log(self, level: int, msg: object) -> None:
        """Log nothing: what goes wrong is raised."""

    def start_handshake(self, timeout: float) -> None:
        """Start no timer: whoever waits for the handshake has a deadline."""

    def set_outbound_cipher(self, **given: Any) -> None:
        super().set_outbound_cipher(**given)
        self._outgoing = _sealing(given, given.get("iv_out"))

    def set_inbound_cipher(self, **given: Any) -> None:
        super().set_inbound_cipher(**given)
        self._incoming = _sealing(given, given.get("iv_in"))

    def wait_at_most(self, seconds: float) -> None:
        """Set how long reading and writing wait before they look around.

        The kernel counts: Python would wait in a system call of its own before each, and let go of
        the interpreter twice.
        """
        if not isinstance(self._wired, socket.socket):
            self._wired.settimeout(seconds)
            return
        limit = _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1_000_000))
        self._wired.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._wired.setsockopt(socket.SOL_SOCKET, option, limit)

    # Compression is never asked for; if it was, it would be paramiko's.

    def set_outbound_compressor(self, compressor: Any) -> None:
        super().set_outbound_compressor(compressor)
        self._outgoing = None

    def set_inbound_compressor(self, compressor: Any) -> None:
        super().set_inbound_compressor(compressor)
        self._incoming = None

    # Reading: by one thread

    def readline(self, timeout: float) -> str:
        line = str(super().readline(timeout))
        if len(self.greeting) < _GREETING[0]:
            self.greeting.append(line[: _GREETING[1]])
        return line

    def read_message(self) -> tuple[int, Message | Data]:
        incoming = self._incoming
        message = super().read_message() if incoming is None else self._read_sealed(incoming)
        self.heard = time.monotonic()
        return message

    def _read_sealed(self, incoming: Sealing) -> tuple[int, Message | Data]:
        size = length_of(self._need(4, check_rekey=True))
        payload = incoming.open(self._need(size))
        self._start += size
        sequence = self._Packetizer__sequence_number_in
        self._Packetizer__sequence_number_in = (sequence + 1) & 0xFFFF_FFFF
        if incoming.spent_bytes >= self.REKEY_BYTES:
            self._ask_for_keys(incoming.spent_bytes)
        kind = payload[0]
        if kind == MSG_CHANNEL_DATA:
            return kind, Data(payload)
        message = Message(bytes(payload[1:]))
        message.seqno = sequence
        return kind, message

    def _ask_for_keys(self, spent_bytes: int) -> None:
        if not self.need_rekey():
            self._trigger_rekey()
        elif spent_bytes >= self.REKEY_BYTES + self.REKEY_BYTES_OVERFLOW_MAX:
            message = "Remote transport is ignoring rekey requests"
            raise SSHException(message)

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002 - its own
        """Return so many bytes; several packets by one system call, where paramiko makes two each.

        Each of those lets go of the interpreter, and has to wait for it again.
        """
        if rest := self._Packetizer__remainder:  # before anything else was read
            self._Packetizer__remainder = b""
            self._buffer = bytearray(rest)
            self._start, self._end = 0, len(rest)
        wanted = bytes(self._need(n, check_rekey=check_rekey))
        self._start += n
        return wanted

    def _need(self, size: int, *, check_rekey: bool = False) -> memoryview:
        """Return so many bytes, which are not taken yet; good until the next call."""
        while self._end - self._start < size:
            self._make_room(size)
            if self._receive():
                continue
            if check_rekey and self._start == self._end and self.need_rekey():
                raise NeedRekeyException
            self._check_keepalive()
        return memoryview(self._buffer)[self._start : self._start + size]

    def _make_room(self, size: int) -> None:
        """Have room for so many bytes, and for more when more is likely to come."""
        view = memoryview(self._buffer)[self._start : self._end]
        if len(self._buffer) < max(size, self._room):
            self._buffer = bytearray(max(size, self._room))
        if self._start or view.obj is not self._buffer:
            memoryview(self._buffer)[: len(view)] = view
        self._start, self._end = 0, len(view)

    def _read_timeout(self, timeout: float) -> bytes:
        """Return what has come for the banner."""
        end = time.monotonic() + timeout
        while True:
            try:
                piece = bytes(self._wired.recv(128))
            except (TimeoutError, BlockingIOError):
                if self.closed:
                    raise EOFError from None
                if time.monotonic() >= end:
                    raise TimeoutError from None
                continue
            if not piece:
                raise EOFError
            return piece

    def _receive(self) -> int:
        """Take in what has come; 0: nothing for a while."""
        room = memoryview(self._buffer)[self._end :]
        try:
            size = self._read_into(room)
        except (TimeoutError, BlockingIOError):
            if self.closed:
                raise EOFError from None
            return 0
        except OSError:
            if self.closed:
                raise EOFError from None
            raise
        if not size:
            raise EOFError
        self._end += size
        if size == len(room):
            self._room = min(4 * self._room, _ROOM[1])
        return size

    def _read_into(self, room: memoryview) -> int:
        if isinstance(self._wired, socket.socket):
            return self._wired.recv_into(room)
        piece = self._wired.recv(len(room))
        room[: len(piece)] = piece
        return len(piece)

    def _check_keepalive(self) -> None:
        if self._start == self._end and self._room > _ROOM[0]:
            self._room = _ROOM[0]
            self._buffer = bytearray(self._room)
            self._start = self._end = 0
        self.quiet()

    # Writing: by any thread

    def send_message(self, data: Message | Batch) -> None:
        payloads = data.payloads if isinstance(data, Batch) else ((data.asbytes(),),)
        with self._Packetizer__write_lock:
            outgoing = self._outgoing
            if outgoing is None:
                for payload in payloads:
                    super().send_message(Message(b"".join(payload)))
                return
            pieces = [piece for payload in payloads for piece in outgoing.seal(payload)]
            sequence = self._Packetizer__sequence_number_out + len(payloads)
            self._Packetizer__sequence_number_out = sequence & 0xFFFF_FFFF
            self.write_all(b"".join(pieces))
            if outgoing.spent_bytes >= self.REKEY_BYTES and not self.need_rekey():
                self._trigger_rekey()

    def write_all(self, out: bytes) -> None:
        small = len(out) <= _SMALL
        last = time.monotonic()
        left = memoryview(out)
        times = 0
        while left:
            try:
                sent = self._wired.send(left)
            except (TimeoutError, BlockingIOError):
                if self.closed or time.monotonic() - last > self.stall_s:
                    raise EOFError from None
                continue
            except OSError:
                raise EOFError from None
            if not sent:  # a channel that has ended
                raise EOFError
            last = time.monotonic()
            left = left[sent:]
            times += 1
        if not small:
            # Who fills a socket to the brim waits in here, where nothing can stop him.
            at_once = 2 * self.at_once if times == 1 else self.at_once // 2
            self.at_once = max(1, min(at_once, _MOST_AT_ONCE))
        elif isinstance(self._wired, socket.socket):
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


def _sealing(given: dict[str, Any], iv: bytes | None) -> Sealing | None:
    return Sealing(given["block_engine"], iv) if given.get("aead") and iv else None
