"""A client of the SSH agent: one connection for all hosts, used by one thread at a time.

paramiko's own asks the environment where the agent is, and is not meant for threads: with many
connections the agent refuses more, or answers get mixed up.
"""

import socket
import struct
import threading
from typing import Final

import paramiko

__all__ = ["Agent", "AgentError", "AgentKey"]

_LIST: Final = b"\x0b"  # SSH_AGENTC_REQUEST_IDENTITIES
_LISTED: Final = b"\x0c"
_SIGN: Final = b"\x0d"  # SSH_AGENTC_SIGN_REQUEST
_SIGNED: Final = b"\x0e"
#: What to make of an RSA key; SHA-1 otherwise.
_RSA_FLAGS: Final = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
#: A key may have to be confirmed by its owner.
_ANSWER_S: Final = 30.0
_BIGGEST: Final = 1 << 20


class AgentError(Exception):
    """The agent cannot be asked, or refuses; never leaves `remote`."""


class AgentKey(paramiko.PKey):  # type: ignore[misc]  # paramiko has no types
    """A key whose private part only the agent has."""

    public_blob = None

    def __init__(self, agent: "Agent", blob: bytes, comment: str) -> None:
        self._agent = agent
        self.blob = blob
        self.comment = comment
        self._kind = _strings(blob)[0].decode(errors="replace")

    def get_name(self) -> str:
        """Return its kind, such as `ssh-ed25519`."""
        return self._kind

    def asbytes(self) -> bytes:
        """Return the public key."""
        return self.blob

    def can_sign(self) -> bool:
        """Say that it is a private key."""
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> bytes:
        """Let the agent sign.

        Raises:
            AgentError: it refuses, or is gone.
        """
        return self._agent.sign(self.blob, data, algorithm or "")


class Agent:
    """An agent at a socket; for any number of threads.

    Args:
        path: Its socket, as in `SSH_AUTH_SOCK`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None

    def keys(self) -> list[AgentKey]:
        """Return the keys that it has now.

        Raises:
            AgentError: it cannot be asked.
        """
        answer = self._ask(_LIST)
        if answer[:1] != _LISTED:
            raise AgentError("it does not say which keys it has")
        fields = _strings(answer[5:])
        pairs = zip(fields[::2], fields[1::2], strict=True)
        return [AgentKey(self, blob, comment.decode(errors="replace")) for blob, comment in pairs]

    def sign(self, blob: bytes, data: bytes, algorithm: str) -> bytes:
        """Return the signature over data.

        Raises:
            AgentError: it refuses, or is gone.
        """
        flags = _RSA_FLAGS.get(algorithm.removesuffix("-cert-v01@openssh.com"), 0)
        answer = self._ask(_SIGN + _string(blob) + _string(data) + struct.pack(">I", flags))
        if answer[:1] != _SIGNED:
            raise AgentError("it refuses to sign with this key")
        return _strings(answer[1:])[0]

    def close(self) -> None:
        """Let go of the agent; it is connected anew when it is needed again."""
        with self._lock:
            self._drop()

    def _ask(self, request: bytes) -> bytes:
        # Not for as long as all who came before may take, one after the other.
        if not self._lock.acquire(timeout=_ANSWER_S):
            raise AgentError("it is busy with others")
        try:
            return self._ask_twice(request)
        except OSError as error:
            self._drop()
            raise AgentError(error.strerror or str(error)) from error
        finally:
            self._lock.release()

    def _ask_twice(self, request: bytes) -> bytes:
        """Ask; an agent that was started anew has a new connection for us."""
        try:
            return self._ask_once(request)
        except ConnectionError:
            self._drop()
            return self._ask_once(request)

    def _ask_once(self, request: bytes) -> bytes:
        if self._sock is None:
            self._sock = socket.socket(socket.AF_UNIX)
            self._sock.settimeout(_ANSWER_S)
            self._sock.connect(self._path)
        self._sock.sendall(_string(request))
        (length,) = struct.unpack(">I", self._read(self._sock, 4))
        if length > _BIGGEST:
            raise ConnectionError("it answers nonsense")
        return self._read(self._sock, length)

    @staticmethod
    def _read(sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = sock.recv(size - len(data))
            if not piece:
                raise ConnectionError("it has closed the connection")
            data += piece
        return data

    def _drop(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _strings(data: bytes) -> list[bytes]:
    """Split a sequence of SSH strings; what is cut off at the end is left out."""
    found = []
    while len(data) >= 4:
        (length,) = struct.unpack(">I", data[:4])
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found
