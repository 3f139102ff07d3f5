"""The keys that can be shown to servers: from files and from the agent, each loaded once."""

import base64
import binascii
import copy
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import PublicBlob

from batchrun.remote.agent import Agent, AgentError, AgentKey
from batchrun.remote.config import SshSettings

__all__ = ["Candidate", "Choice", "Keyring"]

#: How long a list of the agent's keys holds.
_LIST_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A key to show."""

    key: paramiko.PKey
    #: As people know it: a file, or the agent's comment.
    name: str

    @property
    def from_agent(self) -> bool:
        """Whether the agent has its private part."""
        return isinstance(self.key, AgentKey)

    @property
    def blob(self) -> bytes:
        """The public key."""
        return bytes(self.key.asbytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which keys to show to one server."""

    #: In this order.
    candidates: tuple[Candidate, ...]
    #: What could not be used and why, as sentence fragments.
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """What is in an identity file."""

    path: str
    #: None: there is no private key that we can use.
    key: paramiko.PKey | None = None
    #: Its public key; empty: not known.
    blob: bytes = b""
    #: Why it cannot be used, as a sentence fragment; empty: it can, or does not exist.
    remark: str = ""


class Keyring:
    """Finds keys; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self._agents: dict[str, Agent] = {}
        self._listed: dict[str, tuple[float, list[AgentKey]]] = {}

    def choose(self, settings: SshSettings) -> Choice:
        """Return the keys for a server, in the order in which `ssh` shows them.

        Certificates come first, then those in the agent that files name, the agent's others unless
        `IdentitiesOnly` is set, and what is only in files.
        """
        files = [self._file(path) for path in settings.identity_files]
        remarks = [file.remark for file in files if file.remark]
        held = self._agent_keys(settings.agent, remarks)
        named = {file.blob for file in files}
        first = [key for key in held if key.blob in named]
        others = [] if settings.identities_only else [key for key in held if key.blob not in named]
        blobs = {key.blob for key in held}
        only_files = [_from_file(file) for file in files if file.key and file.blob not in blobs]
        # A key in the agent is shown by the agent: no matter that its file is encrypted.
        remarks = [
            text
            for text in remarks
            if not any(text.startswith(f.path) and f.blob in blobs for f in files)
        ]
        plain = [*first, *others, *only_files]
        certified = _certified(settings, plain)
        return Choice(candidates=(*certified, *plain), remarks=tuple(remarks))

    def close(self) -> None:
        """Let go of the agents."""
        with self._lock:
            agents, self._agents = self._agents, {}
            self._listed.clear()
        for agent in agents.values():
            agent.close()

    def _file(self, path: str) -> _File:
        with self._lock:
            found = self._files.get(path)
            if found is None:
                found = _read_file(path)
                if found.key is not None:
                    self._files[path] = found
            return found

    def _agent_keys(self, path: str, remarks: list[str]) -> list[Candidate]:
        if not path:
            return []
        with self._lock:
            agent = self._agents.setdefault(path, Agent(path))
            when, keys = self._listed.get(path, (0.0, []))
        if time.monotonic() - when > _LIST_S:
            try:
                keys = agent.keys()
            except AgentError as error:
                remarks.append(f"the agent at {path} cannot be used: {error}")
                return []
            with self._lock:
                self._listed[path] = (time.monotonic(), keys)
        return [Candidate(key=key, name=key.comment or "a key of the agent") for key in keys]


def _from_file(file: _File) -> Candidate:
    return Candidate(key=file.key, name=file.path)


def _read_file(path: str) -> _File:
    blob = _public_blob(f"{path}.pub") or _public_blob(path)
    try:
        key = paramiko.PKey.from_path(path)
    except FileNotFoundError:
        return _File(path=path, blob=blob)
    except OSError as error:
        return _File(path=path, blob=blob, remark=f"{path} cannot be read: {error.strerror}")
    except (TypeError, paramiko.PasswordRequiredException):
        return _File(path=path, blob=blob, remark=f"{path} has a passphrase: use `ssh-add`")
    except (ValueError, paramiko.SSHException, paramiko.UnknownKeyType, UnsupportedAlgorithm):
        # A public key: the private one is in the agent.
        remark = "" if blob else f"{path} is no private key of a kind that can be used"
        return _File(path=path, blob=blob, remark=remark)
    # A certificate beside it is shown as one more key.
    key.public_blob = None
    mode = _seen_by_others(path)
    if mode:
        remark = (
            f"{path} is passed over, because others can read it (mode {mode:04o}): chmod go= it"
        )
        return _File(path=path, blob=bytes(key.asbytes()), remark=remark)
    return _File(path=path, key=key, blob=bytes(key.asbytes()))


def _seen_by_others(path: str) -> int:
    """Return the mode of a private key that others can read or write; 0: they cannot.

    Source: sshkey_perm_ok() of OpenSSH, which asks only of files of the caller's own.
    """
    found = os.stat(path)
    mode = stat.S_IMODE(found.st_mode)
    return mode if found.st_uid == os.geteuid() and mode & 0o077 else 0


def _public_blob(path: str) -> bytes:
    """Return the key in a public key file; empty: there is none."""
    try:
        words = Path(path).read_text(encoding="utf-8").split(None, 2)
        return base64.b64decode(words[1], validate=True)
    except (OSError, UnicodeError, IndexError, binascii.Error):
        return b""


def _certified(settings: SshSettings, plain: Iterable[Candidate]) -> Iterator[Candidate]:
    """Return the keys that there are certificates for, with these."""
    beside = (f"{path}-cert.pub" for path in settings.identity_files)
    for path in dict.fromkeys((*settings.certificate_files, *beside)):
        blob = _public_blob(path)
        for candidate in plain:
            if blob and _certifies(blob, candidate.blob):
                key = copy.copy(candidate.key)
                key.public_blob = PublicBlob.from_file(path)
                yield Candidate(key=key, name=path)


def _certifies(certificate: bytes, key: bytes) -> bool:
    """Whether a certificate is for a key: after its kind and a nonce, it says the same."""
    kind, rest = _field(key)
    cert_kind, cert_rest = _field(certificate)
    _nonce, cert_rest = _field(cert_rest)
    return cert_kind == kind + b"-cert-v01@openssh.com" and cert_rest.startswith(rest)


def _field(data: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]
