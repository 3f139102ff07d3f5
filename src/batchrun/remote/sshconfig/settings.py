"""All that is needed to connect to a host, from what its configuration says."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from batchrun.remote.hostkeys import HostKeyPolicy
from batchrun.remote.sshconfig.conditions import Lookup
from batchrun.remote.sshconfig.tokens import (
    Target,
    expand_environment,
    expand_tilde,
    expand_tokens,
)
from batchrun.remote.sshconfig.values import Command, Jump

__all__ = ["SshSettings", "settings_of"]

_DEFAULT_PORT = 22
#: Those of OpenSSH, in its order, without the kinds that cannot be used from files here.
_IDENTITIES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_USER_KNOWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_ALIVE_COUNT = 3
_AGENT = "SSH_AUTH_SOCK"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """All that is needed to connect to a host; paths are absolute, tokens replaced."""

    #: An address, or a name for the resolver; in lower case.
    hostname: str
    port: int
    user: str
    #: Private keys to try, in this order; those that do not exist are passed over.
    identity_files: tuple[str, ...]
    #: Beside those that are called as a private key with `-cert.pub`.
    certificate_files: tuple[str, ...]
    #: Whether only keys of those files are tried, also of those that the agent has.
    identities_only: bool
    #: Socket of the agent; empty: none.
    agent: str
    #: Hosts to go through, the nearest first, as `jump.hop_host` reads them; empty: none.
    proxy_jump: tuple[str, ...]
    #: For a shell, its input and output are the connection; empty: none.
    proxy_command: str
    #: None: it is not said.
    connect_timeout_s: int | None
    #: After so much silence the host is asked for a sign of life; 0: never.
    alive_interval_s: int
    #: After so many without an answer the connection is given up.
    alive_count: int
    #: The user's files of known hosts; new keys go to the first. Empty: none.
    known_hosts: tuple[str, ...]
    #: Those of the machine.
    global_known_hosts: tuple[str, ...]
    strict: HostKeyPolicy
    #: By what name its key is known, in lower case, without a port; empty: by hostname and port.
    host_key_alias: str
    hash_known_hosts: bool
    #: These four as `algorithms.assembled` takes them: perhaps with `+`, `-` or `^` before the
    #: first, perhaps patterns; empty: no wish.
    ciphers: tuple[str, ...]
    kex: tuple[str, ...]
    macs: tuple[str, ...]
    host_key_algorithms: tuple[str, ...]
    address_family: socket.AddressFamily
    #: Empty: any.
    bind_address: str


def settings_of(lookup: Lookup) -> SshSettings:
    """Return what was found for a host, with defaults for what was not.

    Raises:
        ValueError: a value makes no sense for this host.
    """
    return _Found(lookup).settings()


class _Found:
    """Turns what was found for a host into its settings."""

    def __init__(self, lookup: Lookup) -> None:
        self._values = lookup.values
        self._local = lookup.local
        self._jump = lookup.values.get("proxyjump", Jump("", ()))
        found = lookup.values
        self._target = Target(
            original=lookup.original,
            host=lookup.host,
            port=found.get("port", _DEFAULT_PORT),
            user=found.get("user", lookup.local.user),
            key_alias=found.get("hostkeyalias", "").lower(),
            jump=self._jump.text if self._jump.hops else "",
        )
        self._tokens = self._target.tokens(lookup.local)

    def settings(self) -> SshSettings:
        get = self._values.get
        return SshSettings(
            hostname=self._target.host,
            port=self._target.port,
            user=self._target.user,
            identity_files=self._keys("identityfile", _IDENTITIES),
            certificate_files=self._keys("certificatefile", ()),
            identities_only=get("identitiesonly", False),
            agent=self._agent(get("identityagent", _AGENT)),
            proxy_jump=tuple(self._short(hop, "hnpr") for hop in self._jump.hops),
            proxy_command=self._command(get("proxycommand", Command("none")).text),
            connect_timeout_s=get("connecttimeout"),
            alive_interval_s=get("serveraliveinterval", 0),
            alive_count=get("serveralivecountmax", _ALIVE_COUNT),
            known_hosts=tuple(map(self._path, get("userknownhostsfile", _USER_KNOWN))),
            global_known_hosts=get("globalknownhostsfile", _GLOBAL_KNOWN),
            strict=get("stricthostkeychecking", HostKeyPolicy.STRICT),
            host_key_alias=self._target.key_alias,
            hash_known_hosts=get("hashknownhosts", False),
            ciphers=get("ciphers", ()),
            kex=get("kexalgorithms", ()),
            macs=get("macs", ()),
            host_key_algorithms=get("hostkeyalgorithms", ()),
            address_family=get("addressfamily", socket.AF_UNSPEC),
            bind_address=get("bindaddress", ""),
        )

    def _keys(self, keyword: str, default: Sequence[str]) -> tuple[str, ...]:
        """Return files of keys; `none` among them only means that there is no default."""
        paths = self._values.get(keyword, default)
        return tuple(self._path(path) for path in paths if path.lower() != "none")

    def _path(self, path: str) -> str:
        expanded = expand_tokens(expand_tilde(path, self._local), self._tokens)
        return expand_environment(expanded, self._local.environ)

    def _agent(self, said: str) -> str:
        environ = self._local.environ
        if said == "none":
            return ""
        if said == _AGENT:
            return environ.get(_AGENT, "")
        path = self._path(said)
        # The older way to name a variable.
        return environ.get(path[1:], "") if path.startswith("$") else path

    def _command(self, text: str) -> str:
        return "" if text.lower() == "none" else self._short(text, "hknpr")

    def _short(self, text: str, signs: str) -> str:
        """Replace the few tokens that are there for proxies."""
        return expand_tokens(text, {sign: self._tokens[sign] for sign in signs})
