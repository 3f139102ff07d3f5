"""Whether a host is the one it says it is: its key against the files of known host keys."""

import base64
import shlex
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from batchrun.errors import UnreachableError
from batchrun.remote.knownhosts import Entry, KnownHostsFile, fingerprint, hashed

__all__ = ["HostKey", "HostKeyFiles", "HostKeyPolicy", "KnownHosts"]

_DEFAULT_PORT = 22
_REVOKED = "@revoked"
_AUTHORITY = "@cert-authority"
#: Names of algorithms that sign with a kind of key, best first, where they are not the kind's own.
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


class HostKeyPolicy(StrEnum):
    """What to do with a host whose key is not known."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"
    OFF = "off"


class HostKey(Protocol):
    """A public key as a host shows it; paramiko's keys are."""

    def get_name(self) -> str:
        """Return its kind, such as `ssh-ed25519`."""

    def asbytes(self) -> bytes:
        """Return it as SSH sends it."""


class HostKeyFiles:
    """All files of known host keys that are in use, each of them read once; for many threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._files: dict[str, KnownHostsFile] = {}

    def known(
        self, user: Sequence[str], everybody: Sequence[str], *, hash_names: bool = False
    ) -> "KnownHosts":
        """Return what some files know; cheap, to be asked for each host.

        Args:
            user: The user's files (UserKnownHostsFile); new keys go to the first.
            everybody: Those of the whole machine (GlobalKnownHostsFile).
            hash_names: Whether names are written so that they cannot be read (HashKnownHosts).
        """
        with self._guard:
            files = [
                self._files.setdefault(path, KnownHostsFile(path)) for path in (*user, *everybody)
            ]
        return KnownHosts(files, new=files[0] if user else None, hash_names=hash_names)


class KnownHosts:
    """What some files know of hosts; for many threads.

    Args:
        files: In the order in which they are asked.
        new: Where new keys are kept; None: nowhere.
        hash_names: Whether names are written so that they cannot be read.
    """

    def __init__(
        self, files: Sequence[KnownHostsFile], *, new: KnownHostsFile | None, hash_names: bool
    ) -> None:
        self._files = files
        self._new = new
        self._hash_names = hash_names

    def algorithms_for(self, name: str, port: int) -> tuple[str, ...]:
        """Return the algorithms whose keys of a host are known, to be preferred; empty: none.

        A host shows one key only. Asked for another kind than the known one, it would seem new.

        Args:
            name: As for `check`.
            port: As for `check`.

        Raises:
            UnreachableError: a file cannot be read.
        """
        strict, loose = self._entries(name, port)
        kinds = dict.fromkeys(entry.kind for entry in strict + loose if not entry.marker)
        return tuple(algorithm for kind in kinds for algorithm in _SIGNATURES.get(kind, (kind,)))

    def check(
        self, name: str, port: int, key: HostKey, policy: HostKeyPolicy, *, direct: bool = True
    ) -> None:
        """Return when a host may be talked to; a new key may have been added to the first file.

        Args:
            name: Its hostname, as its settings have it; or its HostKeyAlias, with port 22 then.
            port: Where it listens.
            key: What it has shown.
            policy: What to do when its key is not known.
            direct: Whether `ssh-keyscan NAME` would get to it: no jump host, no alias.

        Raises:
            UnreachableError: it must not be talked to; the message has the remedy. Never retryable.
        """
        if policy is HostKeyPolicy.OFF:
            return
        asked = _Asked(name, port, key, direct=direct)
        if self._is_trusted(asked):
            return
        self._refresh()  # somebody may have followed our advice meanwhile
        if self._is_known(asked):
            return
        if policy is HostKeyPolicy.ACCEPT_NEW and self._new is not None:
            self._accept(asked, self._new)
            return
        raise self._unknown(asked, policy)

    def _is_trusted(self, asked: "_Asked") -> bool:
        """Tell whether just this key is known, and not revoked."""
        strict, loose = self._entries(asked.name, asked.port)
        markers = [entry.marker for entry in strict + loose if entry.key == asked.bytes]
        return "" in markers and _REVOKED not in markers

    def _is_known(self, asked: "_Asked") -> bool:
        """Look a key up.

        Raises:
            UnreachableError: it is revoked, or another one is known.
        """
        if self._is_trusted(asked):
            return True
        strict, loose = self._entries(asked.name, asked.port)
        for entry in strict + loose:
            if entry.key == asked.bytes and entry.marker == _REVOKED:
                raise _refusal(f"{asked.shown} is revoked in {entry.place}")
        if others := [entry for entry in strict if not entry.marker]:
            raise _refusal(_changed(asked, others))
        return False

    def _accept(self, asked: "_Asked", file: KnownHostsFile) -> None:
        """Add a new key, unless another process has just done so."""
        name = hashed(asked.entry_name) if self._hash_names else asked.entry_name
        try:
            file.add(asked.line(name), lambda: not self._is_known(asked))
        except OSError as error:
            message = (
                f"{asked.shown} is new, but cannot be added to {file.path}: {error.strerror}; "
                "see to that, or give --host-key off"
            )
            raise _refusal(message) from error

    def _unknown(self, asked: "_Asked", policy: HostKeyPolicy) -> UnreachableError:
        """Say that a key is not known, and what to do."""
        strict, loose = self._entries(asked.name, asked.port)
        authorities = [entry for entry in strict + loose if entry.marker == _AUTHORITY]
        authority = "".join(
            f"; {entry.place} has an authority for it, and certificates of hosts are not supported"
            for entry in authorities[:1]
        )
        if self._new is None:
            return _refusal(
                f"{asked.shown} is not known{authority}; there is no file of known hosts to add "
                "it to: name one with -o UserKnownHostsFile=FILE, or give --host-key off"
            )
        line = asked.remedy(self._new.path, hash_names=self._hash_names)
        accept = "" if policy is HostKeyPolicy.ACCEPT_NEW else ", or give --host-key accept-new"
        return _refusal(
            f"{asked.shown} is not known{authority}; if that is its fingerprint, "
            f"run `{line}`{accept}"
        )

    def _entries(self, name: str, port: int) -> tuple[list[Entry], list[Entry]]:
        """Return what is said of a host at its port, and what is said of it without a port.

        The second counts where the first has no key, as OpenSSH has it: it can only help, as
        another program at another port may well have another key.
        """
        strict = self._named(_entry_name(name, port))
        if port == _DEFAULT_PORT or any(not entry.marker for entry in strict):
            return strict, []
        return strict, self._named(name.lower())

    def _named(self, name: str) -> list[Entry]:
        found: list[Entry] = []
        for file in self._files:
            with _readable(file):
                found += file.entries(name)
        return found

    def _refresh(self) -> None:
        for file in self._files:
            with _readable(file):
                file.refresh()


@contextmanager
def _readable(file: KnownHostsFile) -> Iterator[None]:
    """Say that a file cannot be read.

    Raises:
        UnreachableError: it cannot.
    """
    try:
        yield
    except OSError as error:
        message = f"known host keys cannot be read: {file.path}: {error.strerror}"
        raise _refusal(message) from error


class _Asked:
    """A host and the key that it has shown."""

    def __init__(self, name: str, port: int, key: HostKey, *, direct: bool) -> None:
        self.name = name
        self.port = port
        self.kind = key.get_name()
        self.bytes = key.asbytes()
        self.direct = direct
        self.entry_name = _entry_name(name, port)

    @property
    def shown(self) -> str:
        """The beginning of every sentence about it."""
        return f"host key {self.kind} {fingerprint(self.bytes)} of {self.entry_name}"

    def line(self, name: str) -> str:
        """Return what a file has to say for this key to be known."""
        return f"{name} {self.kind} {base64.b64encode(self.bytes).decode()}"

    def remedy(self, path: str, *, hash_names: bool) -> str:
        """Return the command that makes it known."""
        if not self.direct:
            return f"echo {shlex.quote(self.line(self.entry_name))} >> {shlex.quote(path)}"
        port = "" if self.port == _DEFAULT_PORT else f"-p {self.port} "
        hidden = "-H " if hash_names else ""
        return f"ssh-keyscan {hidden}{port}{shlex.quote(self.name)} >> {shlex.quote(path)}"


def _changed(asked: _Asked, others: Iterable[Entry]) -> str:
    """Say that a host has shown another key than before, and what to do about it."""
    known = list(others)
    listed = ", ".join(
        f"{entry.place} has {entry.kind} {fingerprint(entry.key)}" for entry in known
    )
    remove = "` and `".join(
        f"ssh-keygen -R {shlex.quote(asked.entry_name)} -f {shlex.quote(file)}"
        for file in dict.fromkeys(entry.file for entry in known)
    )
    return (
        f"{asked.shown} is not the one that is known: {listed}; somebody may stand between, or the "
        f"host was set up anew: only when that is certain, run `{remove}`"
    )


def _entry_name(name: str, port: int) -> str:
    """Return how a host is called in the files."""
    lower = name.lower()
    return lower if port == _DEFAULT_PORT else f"[{lower}]:{port}"


def _refusal(message: str) -> UnreachableError:
    return UnreachableError(message, retryable=False)
