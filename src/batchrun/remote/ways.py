"""The ways to a host: directly, by a program (ProxyCommand), through a bastion (ProxyJump)."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from batchrun.errors import UnreachableError
from batchrun.remote.dial import ProxyProgram, dial, run_proxy
from batchrun.remote.handshake import BannerError
from batchrun.remote.patience import Patience
from batchrun.remote.resolve import Address

if TYPE_CHECKING:
    from batchrun.remote.links import Link

__all__ = ["BastionWay", "DirectWay", "ProxyWay", "Way"]

#: Codes of a refused channel (RFC 4254, 5.1).
_FORBIDDEN: Final = 1
_FAILED: Final = 2


class Way(Protocol):
    """A way to one server; for one attempt to log in there."""

    @property
    def server(self) -> Hashable:
        """Tells servers apart that may drop connections when there are too many."""

    @property
    def bastion(self) -> "Link | None":
        """The connection that it goes through."""

    @property
    def proxy(self) -> ProxyProgram | None:
        """The program that stands for the connection."""

    def open(self, patience: Patience) -> Any:
        """Return what a `Wire` can run over.

        Raises:
            UnreachableError: there is no way.
        """

    def explain(self, error: UnreachableError) -> UnreachableError:
        """Say more about an error that came later, when the way knows more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectWay:
    """A TCP connection to one of these addresses."""

    addresses: list[Address]
    #: The address here to connect from; empty: any.
    bind: str = ""
    bastion: None = None
    proxy: None = None

    @property
    def server(self) -> Hashable:
        """The address that is tried first."""
        return self.addresses[0].where[:2]

    def open(self, patience: Patience) -> Any:
        """Connect to one of the addresses."""
        return dial(self.addresses, patience, bind=self.bind)

    def explain(self, error: UnreachableError) -> UnreachableError:
        """Nothing more is known."""
        return error


@dataclass(slots=True, kw_only=True)
class ProxyWay:
    """A program's standard input and output."""

    command: str
    bastion: None = None
    proxy: ProxyProgram | None = None

    @property
    def server(self) -> Hashable:
        """Each program goes its own way."""
        return self.command

    def open(self, patience: Patience) -> Any:
        """Start the program."""
        del patience
        self.proxy = run_proxy(self.command)
        return self.proxy.sock

    def explain(self, error: UnreachableError) -> UnreachableError:
        """Say what the program said, if it has ended."""
        words = self.proxy.last_words() if self.proxy is not None else ""
        if not isinstance(error, BannerError):
            return error
        said = f", it says {words!a}" if words else ""
        return UnreachableError(f"connect: the ProxyCommand has ended without a connection{said}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BastionWay:
    """A channel of the connection to a bastion, which connects to the host."""

    #: Of the bastion.
    name: str
    bastion: "Link"
    hostname: str
    port: int
    proxy: None = None

    @property
    def server(self) -> Hashable:
        """Where the bastion connects to."""
        return (self.name, self.hostname, self.port)

    def open(self, patience: Patience) -> Any:
        """Let the bastion connect."""
        channel = self.bastion.wire.begin("direct-tcpip", self.hostname, self.port, "127.0.0.1", 0)
        try:
            answered = patience.wait(channel.answered, self.bastion.wire.is_active)
        except BaseException:
            self.bastion.wire.abandon(channel)
            raise
        if not self.bastion.wire.is_active():
            raise UnreachableError(f"connect: {self.name} is gone: {self.bastion.wire.reason()}.")
        if not answered:
            self.bastion.wire.abandon(channel)
            message = f"connect: no answer in time by way of {self.name}; is the host up?"
            raise UnreachableError(message)
        if channel.refusal is not None:
            raise self._refused(*channel.refusal)
        return channel

    def _refused(self, code: int, text: str) -> UnreachableError:
        if code == _FORBIDDEN:
            message = (
                f"connect: {self.name} forbids it ({text}); see `AllowTcpForwarding` and"
                " `PermitOpen` in its sshd_config"
            )
            return UnreachableError(message, retryable=False)
        reason = text or ("it could not connect" if code == _FAILED else f"refused with {code}")
        return UnreachableError(f"connect: by way of {self.name}: {reason}")

    def explain(self, error: UnreachableError) -> UnreachableError:
        """Nothing more is known."""
        return error
