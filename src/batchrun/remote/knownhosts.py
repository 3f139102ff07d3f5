"""One file of known host keys: read once, found by name, added to one line at a time.

Reading splits lines and no more: keys are decoded, and hashed names computed, when somebody asks.
A file of 10 000 lines costs milliseconds so. Files are only ever appended to, under a lock of the
kernel on the file itself, so that programs side by side lose nothing; `ssh-keygen -R`, which puts
a new file in place of the old one, is noticed.
"""

import base64
import fcntl
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchrun.remote.patterns import is_plain, list_matches

__all__ = ["Entry", "KnownHostsFile", "fingerprint", "hashed"]

_LOCK_S = 10.0
_RETRY_S = 0.02
_HASHED = "|1|"
#: HMAC by hand (RFC 2104): with thousands of salts for one name, the standard library's takes twice
#: as long, most of it for looking up the algorithm.
_BLOCK = 64
_INNER = bytes(number ^ 0x36 for number in range(256))
_OUTER = bytes(number ^ 0x5C for number in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line that says something about a host."""

    #: The file as the configuration names it.
    file: str
    #: Counted from 1.
    line: int
    #: `@revoked`, `@cert-authority` or empty.
    marker: str
    #: Of the key, such as `ssh-ed25519`.
    kind: str
    #: The key as SSH sends it.
    key: bytes

    @property
    def place(self) -> str:
        """Where it is, as `FILE:LINE`."""
        return f"{self.file}:{self.line}"


def fingerprint(key: bytes) -> str:
    """Return what `ssh-keygen -l` shows of a key.

    >>> fingerprint(b"key")
    'SHA256:LHDhK3oGRvkiefQnx7OOczTY5Tic/xZ6HcMOc/gmtoM'
    """
    return f"SHA256:{base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip('=')}"


def hashed(name: str) -> str:
    """Return a name as HashKnownHosts writes it, with a salt of its own."""
    salt = secrets.token_bytes(hashlib.sha1(usedforsecurity=False).digest_size)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"{_HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


class KnownHostsFile:
    """A file of known host keys; for many threads. A missing one is an empty one.

    Args:
        path: The file, as people are told of it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._content = _Content(path, "")
        self._seen: tuple[int, ...] | None = None

    def entries(self, name: str) -> list[Entry]:
        """Return what is said of a name, in the order of the lines.

        Args:
            name: In lower case; `[name]:port` for a port other than 22.

        Raises:
            OSError: the file is there and cannot be read.
        """
        with self._guard:
            if self._seen is None:
                self._read()
            return self._content.entries(name)

    def refresh(self) -> None:
        """Read the file again if it has changed; cheap if it has not.

        Raises:
            OSError: it is there and cannot be read.
        """
        with self._guard:
            self._read()

    def add(self, line: str, wanted: Callable[[], bool]) -> None:
        """Append one line, unless somebody else has made that needless meanwhile.

        Args:
            line: Without its end.
            wanted: Asked under the lock, with everything read that others have written.

        Raises:
            OSError: it cannot be written; TimeoutError: others hold its lock.
        """
        with _locked(self.path) as file:
            self.refresh()
            if not wanted():
                return
            with self._guard:
                self._append(file, line)

    def _read(self) -> None:
        """Read the file if it is not the one that was read before."""
        try:
            with open(self.path, "rb") as file:
                seen = _state(file.fileno())
                if seen != self._seen:
                    text = file.read().decode("utf-8", "surrogateescape")
                    self._content, self._seen = _Content(self.path, text), seen
        except FileNotFoundError:
            self._content, self._seen = _Content(self.path, ""), ()

    def _append(self, file: int, line: str) -> None:
        """Write a line after the last one, which an editor may have left without its end."""
        data = line.encode("utf-8", "surrogateescape") + b"\n"
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(file, data) != len(data):
            raise OSError(0, "no space left", self.path)
        self._content.add(line)
        self._seen = _state(file)


class _Content:
    """The lines of a file, and where in them names are."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines: list[str] = []
        self._plain: dict[str, list[int]] = {}
        self._patterns: list[tuple[int, str]] = []
        #: Line, salt for the inner and the outer digest of HMAC, digest. Each is the name of one
        #: host only, so that found ones leave.
        self._hashed: list[tuple[int, bytes, bytes, bytes]] = []
        #: Names that were looked for among them: that takes longer than all else.
        self._unhashed: set[str] = set()
        for line in text.removesuffix("\n").split("\n"):
            self.add(line)

    def add(self, line: str) -> None:
        """Take note of the next line."""
        self._lines.append(line)
        words = line.split(None, 2)
        if len(words) < 3 or words[0].startswith("#"):
            return
        names = words[1] if words[0].startswith("@") else words[0]
        number = len(self._lines)
        if names.startswith(_HASHED):
            self._add_hashed(number, names)
        elif is_plain(names):
            for name in names.lower().split(","):
                self._plain.setdefault(name, []).append(number)
        else:
            self._patterns.append((number, names.lower()))

    def _add_hashed(self, number: int, names: str) -> None:
        try:
            salt, digest = map(base64.b64decode, names[len(_HASHED) :].split("|"))
        except ValueError:  # what OpenSSH cannot read either, it passes over
            return
        block = salt.ljust(_BLOCK, b"\0")
        if len(block) == _BLOCK:
            self._hashed.append((number, block.translate(_INNER), block.translate(_OUTER), digest))
            self._unhashed.clear()

    def entries(self, name: str) -> list[Entry]:
        self._unhash(name)
        found = list(self._plain.get(name, ()))
        found += [number for number, names in self._patterns if list_matches(name, names)]
        entries = map(self._entry, sorted(set(found)))
        return [entry for entry in entries if entry is not None]

    def _unhash(self, name: str) -> None:
        """Move hashed lines that are this name's to the plain ones."""
        if name in self._unhashed:
            return
        self._unhashed.add(name)
        data = name.encode("utf-8", "surrogateescape")
        found = [item for item in self._hashed if _sha1(item[2] + _sha1(item[1] + data)) == item[3]]
        if found:
            self._plain.setdefault(name, []).extend(item[0] for item in found)
            gone = {item[0] for item in found}
            self._hashed = [item for item in self._hashed if item[0] not in gone]

    def _entry(self, number: int) -> Entry | None:
        words = self._lines[number - 1].split()
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3:
            return None
        try:
            key = base64.b64decode(words[2], validate=True)
        except ValueError:  # OpenSSH passes over it too
            return None
        return Entry(file=self._path, line=number, marker=marker, kind=words[1], key=key)


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _state(file: int) -> tuple[int, ...]:
    found = os.fstat(file)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _locked(path: str) -> Iterator[int]:
    """Open a file for appending and hold its lock; made, with its directory, if it is missing."""
    end = time.monotonic() + _LOCK_S
    Path(path).parent.mkdir(mode=0o700, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if _take(file, end, path) and _is_still(file, path):
                yield file
                return
        finally:
            os.close(file)


def _take(file: int, end: float, path: str) -> bool:
    """Take the lock; False: it is worth another look at the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if time.monotonic() > end:
            message = "another process holds its lock"
            raise TimeoutError(0, message, path) from None
        time.sleep(_RETRY_S)
        return False
    return True


def _is_still(file: int, path: str) -> bool:
    """Tell whether the path still leads to an open file; `ssh-keygen -R` puts another there."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(file))
