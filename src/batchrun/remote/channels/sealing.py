"""Packets under AES-GCM, which is what nearly every server takes: sealed and opened without copies.

paramiko copies each packet several times and counts in Python what is counted here, too; 200 MB are
6 250 packets.
"""

import os
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from paramiko.ssh_exception import SSHException

__all__ = ["TAG_BYTES", "Sealing", "length_of"]

TAG_BYTES: Final = 16
_BLOCK: Final = 16
_LENGTH: Final = Struct(">I")
_COUNTER: Final = 2**64
#: Got at once for the padding of several packets: each time, the interpreter is let go.
_CHANCE_BYTES: Final = 512
#: No packet of a server is longer; OpenSSH itself goes to 256 kB.
_LONGEST: Final = 2**19


def length_of(packet: memoryview) -> int:
    """Return how long a packet is, everything counted, by its first four bytes.

    Raises:
        SSHException: longer than any.
    """
    (length,) = _LENGTH.unpack_from(packet)
    if length > _LONGEST:
        message = "Packet too long"
        raise SSHException(message)
    return _LENGTH.size + int(length) + TAG_BYTES


class Sealing:
    """One direction of a connection; for one thread at a time.

    Args:
        engine: An `AESGCM` with the key.
        iv: Where its counter begins.

    Source: RFC 5647, section 7.
    """

    __slots__ = ("_chance", "_counter", "_engine", "_fixed", "spent_bytes")

    def __init__(self, engine: Any, iv: bytes) -> None:
        self._engine = engine
        self._fixed = iv[:4]
        self._counter = int.from_bytes(iv[4:], "big")
        self._chance = b""
        #: How much its key was used for.
        self.spent_bytes = 0

    def _nonce(self) -> bytes:
        counter, self._counter = self._counter, (self._counter + 1) % _COUNTER
        return self._fixed + counter.to_bytes(8, "big")

    def seal(self, payload: Sequence[bytes | memoryview]) -> tuple[bytes, bytes]:
        """Return the packet of a payload, which may come in parts: its length, and the rest."""
        size = sum(map(len, payload))
        # RFC 4253, section 6: at least four bytes.
        padding = _BLOCK - (size + 1) % _BLOCK
        padding += _BLOCK if padding < 4 else 0
        length = _LENGTH.pack(1 + size + padding)
        self.spent_bytes += size
        if len(self._chance) < padding:
            self._chance = os.urandom(_CHANCE_BYTES)
        filler, self._chance = self._chance[:padding], self._chance[padding:]
        plain = b"".join((padding.to_bytes(1, "big"), *payload, filler))
        return length, self._engine.encrypt(self._nonce(), plain, length)

    def open(self, packet: memoryview) -> memoryview:
        """Return the payload of a packet.

        Raises:
            SSHException: it is not what was sent.
        """
        try:
            plain = self._engine.decrypt(self._nonce(), packet[4:], packet[:4])
        except InvalidTag:
            message = "Mismatched MAC"
            raise SSHException(message) from None
        self.spent_bytes += len(plain)
        end = len(plain) - plain[0] if plain else 0
        if end <= 1:
            message = "Empty packet"
            raise SSHException(message)
        return memoryview(plain)[1:end]
