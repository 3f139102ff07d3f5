"""Finds the addresses of a name, in threads that can be given up.

A resolver cannot be interrupted: `getaddrinfo` comes back when it likes, after 30 s or more. So it
is called in a daemon thread, and whoever asked stops waiting at his deadline. A name that is being
looked up is not looked up a second time meanwhile, so there is at most one such thread for a name.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batchrun.errors import UnreachableError
from batchrun.remote.patience import Patience

__all__ = ["Address", "Resolver", "no_address"]

#: Like `socket.getaddrinfo`.
Lookup: TypeAlias = Callable[..., list[tuple[Any, ...]]]
#: Name, port, and what kind of address is wanted.
_What: TypeAlias = tuple[str, int, socket.AddressFamily]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a connection can be made to."""

    family: int
    #: For `socket.connect`; its first two are address and port.
    where: tuple[Any, ...]


@dataclass(slots=True, kw_only=True)
class _Search:
    """One look-up; any number of threads may wait for it."""

    done: threading.Event = field(default_factory=threading.Event)
    found: list[Address] = field(default_factory=list)
    error: OSError | UnicodeError | None = None


class Resolver:
    """Looks names up; for any number of threads.

    Args:
        lookup: Asks the system; may block as long as it likes.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._searches: dict[_What, _Search] = {}

    def addresses(
        self,
        name: str,
        port: int,
        patience: Patience,
        *,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[Address]:
        """Return at least one address, in the order of preference.

        Raises:
            UnreachableError: there is none, or no answer in time.
            UnitStoppedError: the unit was stopped meanwhile.
        """
        numeric = self._numeric(name, port)
        if numeric:
            return numeric
        search = self._search((name, port, family))
        if not patience.wait(search.done):
            message = "resolve: the name server does not answer in time; is it up?"
            raise UnreachableError(message)
        if search.error is not None:
            raise no_address(search.error)
        return search.found

    def _numeric(self, name: str, port: int) -> list[Address]:
        """Return the address that a name already is; it takes no thread."""
        try:
            return _addresses(socket.getaddrinfo(name, port, flags=socket.AI_NUMERICHOST, **_TCP))
        except (OSError, UnicodeError):
            return []

    def _search(self, what: _What) -> _Search:
        with self._lock:
            search = self._searches.get(what)
            if search is None:
                search = _Search()
                name = f"resolve {what[0]}"
                arguments = (search, what)
                threading.Thread(target=self._run, args=arguments, daemon=True, name=name).start()
                self._searches[what] = search
        return search

    def _run(self, search: _Search, what: _What) -> None:
        name, port, family = what
        try:
            search.found = _addresses(self._lookup(name, port, family=family, **_TCP))
        except (OSError, UnicodeError) as error:
            search.error = error
        finally:
            # Later callers ask anew: a name may get an address while a run goes on.
            with self._lock:
                self._searches.pop(what, None)
            search.done.set()


_TCP: dict[str, Any] = {"type": socket.SOCK_STREAM}


def _addresses(found: list[tuple[Any, ...]]) -> list[Address]:
    return [Address(family=family, where=where) for family, _, _, _, where in found]


def no_address(error: OSError | UnicodeError) -> UnreachableError:
    """Say why a name has no address, and what to do."""
    if isinstance(error, UnicodeError):
        message = "resolve: this cannot be the name of a host; check its spelling"
        return UnreachableError(message, retryable=False)
    if error.errno == socket.EAI_AGAIN:
        message = "resolve: the name server cannot be asked now; check /etc/resolv.conf"
        return UnreachableError(message)
    reason = error.strerror or "not found"
    message = f"resolve: no host has this name ({reason}); check it, or say its `address`"
    return UnreachableError(message)
