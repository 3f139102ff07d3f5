"""Packets of one connection, as they are read from and written to its socket."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from paramiko.message import Message
from paramiko.packet import NeedRekeyException, Packetizer

__all__ = ["Packets"]

#: A packet of no more bytes is a question: its answer is acknowledged at once. sshd holds back what
#: follows until then, and the first command on a connection would take 45 ms instead of 4.
_SMALL: Final = 1024
#: Asked for beyond the end of a packet: most are small, and several have come by the time that one
#: is read. Not more, because each idle connection waits with a buffer of this size.
_AHEAD: Final = 4096
#: Lines that a server may say before its banner, and characters of each that are kept.
_GREETING: Final = (20, 200)


class Packets(Packetizer):  # type: ignore[misc]  # paramiko has no types
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
