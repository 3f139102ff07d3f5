"""Makes connections, through bastions where need be, from a name to a login.

    settings ──► way there: TCP, ProxyCommand, or a channel of a bastion's link (shared)
             ──► its turn (`Ramp`) ──► banner, key exchange, host key ──► login ──► `Link`

Each thread makes its own connections; bastions are made by the first that needs them while others
wait. Every stage has a deadline; whatever goes wrong or is stopped leaves nothing open.
"""

import contextlib
import dataclasses
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from batchrun.errors import UnreachableError
from batchrun.model.host import Host
from batchrun.model.session import Stage
from batchrun.remote.auth import Password, log_in
from batchrun.remote.bastions import Asking, Bastions, host_key
from batchrun.remote.channels import Wire
from batchrun.remote.config import SshSettings
from batchrun.remote.dial import ProxyProgram
from batchrun.remote.handshake import BannerError, Expected, shake_hands
from batchrun.remote.hostkeys import HostKeyFiles
from batchrun.remote.jump import hop_host
from batchrun.remote.keyring import Keyring
from batchrun.remote.patience import Patience
from batchrun.remote.ramp import BY_WAY_OF, Ramp, Turn
from batchrun.remote.resolve import Resolver
from batchrun.remote.ways import BastionWay, DirectWay, ProxyWay, Way

__all__ = ["Limits", "Link", "LinkMaker", "Parts"]

#: How long closing may take in all.
_CLOSE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long the stages may take that the SSH configuration says nothing of."""

    #: Up to the end of the key exchange, after the name was resolved and its turn has come.
    connect_s: float = 10.0
    #: Ask a host that says nothing for so long, and give up after so many times.
    alive: tuple[float, int] = (15.0, 4)
    #: From the end of the key exchange: a server may look names up before it answers.
    login_s: float = 30.0
    #: Opening a channel on a connection that is there.
    channel_s: float = 15.0
    #: Waits after the drops of a server that has too many logins at once; then it is given up.
    backoff_s: tuple[float, ...] = (0.2, 0.4, 0.8, 1.5, 3.0, 5.0, 5.0)


@dataclass(eq=False, slots=True, kw_only=True)
class Link:
    """An open connection to a host, logged in; any thread may close it."""

    wire: Wire
    proxy: ProxyProgram | None = None
    #: It runs over a channel of this one: closing it may have to wait for that.
    bastion: "Link | None" = None
    _closed: Callable[["Link"], None] = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether it is open, as far as is known."""
        return bool(self.wire.is_active())

    def hang_up(self) -> None:
        """End the connection; its threads and processes end soon."""
        self.wire.close()
        if self.proxy is not None:
            self.proxy.hang_up()

    def close(self) -> None:
        """End the connection and what belongs to it."""
        self.hang_up()
        self.wait(_CLOSE_S)

    def wait(self, timeout_s: float) -> None:
        """Wait until its thread and its process have ended."""
        end = time.monotonic() + timeout_s
        if self.wire.is_alive():
            self.wire.join(timeout_s)
        if self.proxy is not None:
            self.proxy.close(max(0.0, end - time.monotonic()))
        self._closed(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What all connections of a fleet share."""

    #: What the configuration says of a host; for many threads.
    settings_for: Callable[[Host], SshSettings]
    host_keys: HostKeyFiles = field(default_factory=HostKeyFiles)
    #: None: there is none, and nobody is asked.
    password: Password | None = None
    limits: Limits = field(default_factory=Limits)
    #: Instead of `limits.connect_s`, whatever hosts and the configuration say; None: as they say.
    connect_s: float | None = None
    keyring: Keyring = field(default_factory=Keyring)
    resolver: Resolver = field(default_factory=Resolver)
    ramp: Ramp = field(default_factory=Ramp)
    random: Callable[[], float] = random.random


class LinkMaker:
    """Makes connections; for any number of threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._open: set[Link] = set()
        self._over = False
        self._bastions = Bastions(self.make)

    def make(self, host: Host, asking: Asking) -> Link:
        """Make a connection.

        Raises:
            UnreachableError: it cannot be made.
            UnitStoppedError: the unit was stopped meanwhile.
        """
        settings = self._parts.settings_for(host)
        self._refuse_circle(host)
        began = time.monotonic()
        for backoff_s in self._parts.limits.backoff_s:
            try:
                return self._attempt(settings, asking)
            except BannerError:
                asking.stage("backing off")
                # Not all at the same time again.
                seconds = backoff_s * (0.5 + self._parts.random())
                Patience.of(seconds, asking.check).pause(seconds)
        try:
            return self._attempt(settings, asking)
        except BannerError as error:
            raise self._throttled(time.monotonic() - began) from error

    def _refuse_circle(self, host: Host) -> None:
        """Refuse bastions that need each other, before any thread waits for another one."""
        seen = {host_key(host)}
        while hops := self._parts.settings_for(host).proxy_jump:
            host = _bastion(hops)
            if host_key(host) in seen:
                message = f"connect: {host.name} is its own jump host; see `ProxyJump`"
                raise UnreachableError(message, retryable=False)
            seen.add(host_key(host))

    def _attempt(self, settings: SshSettings, asking: Asking) -> Link:
        """Make a connection; BannerError: dropped, another attempt may well succeed."""
        way = self._way(settings, asking)
        with contextlib.ExitStack() as stack:
            if way.bastion is not None:
                stack.callback(self._bastions.let_go, way.bastion)
            asking.stage("waiting its turn")
            turn = self._turn(way, asking, stack)
            patience = self._patience(settings, asking)
            asking.stage("connecting")
            try:
                link = self._link(way, patience)
                self._log_in(link, settings, patience, asking.stage)
            except BannerError as error:
                explained = way.explain(error)
                turn.dropped = explained is error
                raise explained from error
        return link

    def _turn(self, way: Way, asking: Asking, stack: contextlib.ExitStack) -> Turn:
        """Wait for a turn to log in to a server, and to do that by way of a bastion."""
        ramp, check = self._parts.ramp, asking.check
        turn = stack.enter_context(ramp.turn(way.server, check))
        if way.bastion is not None:
            stack.enter_context(ramp.turn(way.bastion, check, BY_WAY_OF))
        return turn

    def close_bastions(self, spare: int) -> None:
        """Close bastions that nobody goes through, all but so many."""
        self._bastions.close_unused(spare)

    def _way(self, settings: SshSettings, asking: Asking) -> Way:
        if settings.proxy_jump:
            bastion = _bastion(settings.proxy_jump)
            link = self._bastions.get(bastion, asking)
            return BastionWay(
                name=bastion.name,
                bastion=link,
                hostname=settings.hostname,
                port=settings.port,
            )
        if settings.proxy_command:
            return ProxyWay(command=settings.proxy_command)
        asking.stage("resolving")
        addresses = self._parts.resolver.addresses(
            settings.hostname,
            settings.port,
            self._patience(settings, asking),
            family=settings.address_family,
        )
        return DirectWay(addresses=addresses, bind=settings.bind_address)

    def _patience(self, settings: SshSettings, asking: Asking) -> Patience:
        said = (self._parts.connect_s, asking.connect_s, settings.connect_timeout_s)
        limit_s = next(filter(None, said), self._parts.limits.connect_s)
        return Patience.of(limit_s, asking.check)

    def _link(self, way: Way, patience: Patience) -> Link:
        wire = Wire(way.open(patience))
        link = Link(wire=wire, proxy=way.proxy, bastion=way.bastion, _closed=self._closed)
        if link.bastion is not None:
            self._bastions.hold(link.bastion)
        with self._lock:
            self._open.add(link)
            over = self._over
        if over:
            link.close()
            raise UnreachableError("connect: the run is ending", retryable=False)
        return link

    def _log_in(self, link: Link, settings: SshSettings, patience: Patience, stage: Stage) -> None:
        parts = self._parts
        known_hosts = parts.host_keys.known(
            settings.known_hosts, settings.global_known_hosts, hash_names=settings.hash_known_hosts
        )
        alive = (settings.alive_interval_s, settings.alive_count)
        try:
            expected = Expected(settings=settings, known_hosts=known_hosts)
            shake_hands(link.wire, expected, patience, stage)
            stage("login")
            calm = Patience.of(parts.limits.login_s, patience.check)
            log_in(link.wire, settings, parts.keyring, parts.password, calm)
            link.wire.alive(*(alive if alive[0] else parts.limits.alive))
        except BaseException:
            link.close()
            raise

    def _throttled(self, seconds: float) -> UnreachableError:
        times = len(self._parts.limits.backoff_s) + 1
        return UnreachableError(
            "banner: the server closes new connections before it says anything"
            f" ({times} times in {seconds:.0f} s); too many log in at once for `MaxStartups` in its"
            " sshd_config: raise that, or lower --fanout"
        )

    def _closed(self, link: Link) -> None:
        with self._lock:
            if link not in self._open:
                return  # closed twice
            self._open.discard(link)
        if link.bastion is not None:
            self._bastions.let_go(link.bastion)

    def close(self) -> None:
        """Close all connections, side by side; those being made, too."""
        with self._lock:
            self._over = True
            links = sorted(self._open, key=lambda link: link.bastion is not None)
        # Bastions first: what goes through them ends by itself, without waiting for them.
        for link in links:
            link.hang_up()
        end = time.monotonic() + _CLOSE_S
        for link in links:
            link.wait(max(0.0, end - time.monotonic()))
        self._parts.keyring.close()


def _bastion(hops: tuple[str, ...]) -> Host:
    """Return the last of several jump hosts, reached by way of those before it."""
    return dataclasses.replace(hop_host(hops[-1]), jump=",".join(hops[:-1]))
