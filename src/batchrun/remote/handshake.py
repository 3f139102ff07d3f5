"""Turns an open socket into an encrypted connection with the right host, against a deadline."""

import threading
from collections.abc import Callable
from typing import Any, Final

import paramiko

from batchrun.errors import UnreachableError
from batchrun.model.session import Stage
from batchrun.remote.channels import Wire
from batchrun.remote.patience import Patience
from batchrun.remote.standin import KnownHosts, SshSettings

__all__ = ["BannerError", "shake_hands"]

#: AES-GCM is several times faster than what paramiko prefers: 460 MB/s instead of 100.
_CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
#: The quickest key exchange first: it is most of what a connection costs.
_KEX: Final = "curve25519-sha256@libssh.org"
#: Names that mean what paramiko knows by another one.
_OTHER_NAMES: Final = {"curve25519-sha256": _KEX}


class BannerError(UnreachableError):
    """The server closed the connection before it said anything, as sshd does past MaxStartups."""


def shake_hands(
    wire: Wire, settings: SshSettings, known_hosts: KnownHosts, patience: Patience, stage: Stage
) -> None:
    """Exchange banners and keys, and check the host's key.

    Raises:
        BannerError: the connection was closed before there was a banner.
        UnreachableError: it did not work out in time, or it is not the right host.
        UnitStoppedError: the unit was stopped meanwhile.
    """
    _prefer(wire, settings, known_hosts)
    stage("banner")
    done = threading.Event()
    _start(wire, done)
    while not done.is_set():
        if wire.remote_version:
            stage("key exchange")
        seconds = patience.slice_s()
        if not seconds:
            raise _too_slow(wire)
        done.wait(seconds)
    if not wire.is_active() or not wire.initial_kex_done:
        raise _broken(wire)
    name = settings.host_key_alias or settings.hostname
    known_hosts.check(name, settings.port, wire.get_remote_server_key(), settings.strict)


def _start(wire: Wire, done: threading.Event) -> None:
    try:
        wire.start_client(event=done)
    except RuntimeError as error:  # no more threads
        wire.active = False  # else closing it waits for a thread that never was
        message = "connect: no more threads can be started here; lower --fanout."
        raise UnreachableError(message) from error


def _prefer(wire: Wire, settings: SshSettings, known_hosts: KnownHosts) -> None:
    """Set the order in which algorithms are asked for."""
    options = wire.get_security_options()
    options.ciphers = _wanted("Ciphers", settings.ciphers or _CIPHERS, options.ciphers)
    options.digests = _wanted("MACs", settings.macs or options.digests, options.digests)
    kex = settings.kex or (_KEX, *(name for name in options.kex if name != _KEX))
    options.kex = _wanted("KexAlgorithms", kex, options.kex)
    name = settings.host_key_alias or settings.hostname
    known = known_hosts.algorithms_for(name, settings.port)
    keys = settings.host_key_algorithms or known or options.key_types
    options.key_types = _wanted("HostKeyAlgorithms", keys, options.key_types)


def _wanted(option: str, wanted: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    names = [_OTHER_NAMES.get(name, name) for name in wanted]
    usable = tuple(dict.fromkeys(name for name in names if name in known))
    if not usable:
        message = f"key exchange: nothing of {option} can be used; there are {', '.join(known)}."
        raise UnreachableError(message, retryable=False)
    return usable


def _too_slow(wire: Wire) -> UnreachableError:
    if wire.remote_version:
        return UnreachableError("key exchange: not done in time; is the host overloaded?")
    if wire.greeting:
        return UnreachableError(_no_ssh(wire))
    message = "banner: the server says nothing; is it an SSH server, is the host overloaded?"
    return UnreachableError(message)


def _broken(wire: Wire) -> UnreachableError:
    error = wire.saved_exception
    if isinstance(error, paramiko.IncompatiblePeer):
        message = f"key exchange: {error}; see what it offers with `ssh -vv`."
        return UnreachableError(message, retryable=False)
    if wire.remote_version.startswith("SSH-"):
        return UnreachableError(f"key exchange: {wire.reason()}.")
    if wire.greeting and not _is_throttle(wire.greeting):
        return UnreachableError(_no_ssh(wire))
    return BannerError("banner: the server closes the connection before it says anything.")


def _is_throttle(greeting: list[str]) -> bool:
    """Whether this is what newer versions of sshd say before they drop a connection."""
    return greeting[0].startswith(("Exceeded MaxStartups", "Not allowed at this time"))


def _no_ssh(wire: Wire) -> str:
    said: Callable[[Any], str] = ascii
    return f"banner: this is no SSH server, it says {said(wire.greeting[0])}; check the port."
