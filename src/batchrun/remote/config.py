"""How to reach a host: what `ssh -G HOST` would say, and what the inventory and the options say.

The command line wins over the inventory, the inventory over the files of the SSH configuration.
Files are read once, then asked for each host in well under a millisecond.
"""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from batchrun.errors import UnreachableError, UsageError
from batchrun.model.host import Host
from batchrun.remote.configfile import MACHINE_FILE, ConfigFiles, Setting, read_option
from batchrun.remote.configmatch import Commands, Lookup
from batchrun.remote.configtokens import (
    Local,
    Target,
    expand_environment,
    expand_tilde,
    expand_tokens,
)
from batchrun.remote.configvalues import Command, Jump
from batchrun.remote.hostkeys import HostKeyPolicy
from batchrun.remote.ignoredoptions import reason_to_say
from batchrun.remote.jump import parse_jump

__all__ = ["SshConfig", "SshSettings"]

_DEFAULT_PORT = 22
#: Those of OpenSSH, in its order, without the kinds that cannot be used from files here.
_IDENTITIES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_USER_KNOWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_ALIVE_COUNT = 3
#: Every value of these counts, not only the first.
_LISTS = ("identityfile", "certificatefile")
_AGENT = "SSH_AUTH_SOCK"
_NO_JUMP = Jump("", ())


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


class SshConfig:
    """What files and options say of hosts; for many threads.

    Args:
        files: Read already.
        options: Of the command line, in their order; they win over everything else.
        local: Who connects.
    """

    def __init__(self, files: ConfigFiles, options: Sequence[Setting], local: Local) -> None:
        self._files = files
        self._options = tuple(options)
        self._local = local
        self._commands = Commands()
        self._known: dict[tuple[object, ...], SshSettings] = {}
        self._guard = threading.Lock()
        #: Options that were said to be ignored, and sentences that were not fetched yet.
        self._said: set[str] = set()
        self._unsaid = list(files.complaints)
        for setting in self._options:
            self._note(setting)

    @classmethod
    def load(
        cls,
        *,
        file: str = "",
        options: Sequence[str] = (),
        user: str = "",
        host_key: HostKeyPolicy | None = None,
        local: Local | None = None,
    ) -> Self:
        """Read the configuration.

        Args:
            file: As `ssh -F`: instead of the user's and the machine's; `none`: no file.
            options: As `ssh -o`.
            user: As `ssh -l`; empty: as the rest says.
            host_key: As --host-key; None: as the rest says.
            local: Who connects; None: who runs this process.

        Raises:
            UsageError: a file or an option is wrong.
        """
        local = local or Local.of_this_process()
        given = [_given("user", user)] if user else []
        given += [_given("stricthostkeychecking", host_key)] if host_key else []
        given += map(read_option, options)
        return cls(_read_files(file, local), given, local)

    def settings_for(self, host: Host) -> SshSettings:
        """Return how to reach a host.

        Raises:
            UnreachableError: what is said of it makes no sense, or a command of `Match exec` does
                not end.
        """
        key = (host.name, host.address, host.port, host.user, host.identity, host.jump)
        if (known := self._known.get(key)) is None:
            try:
                known = self._known[key] = self._settings(host)
            except ValueError as error:
                message = f"the SSH configuration of {host.name} makes no sense: {error}"
                raise UnreachableError(message, retryable=False) from error
        return known

    def ignored_options(self) -> list[str]:
        """Return sentences about options that are not honoured; each only once in a run.

        More may come with every host that is asked for.
        """
        with self._guard:
            unsaid, self._unsaid = self._unsaid, []
            return unsaid

    def _settings(self, host: Host) -> SshSettings:
        lookup = Lookup(
            original=host.name, host=host.name, local=self._local, commands=self._commands
        )
        for setting in (*self._options, *_of_inventory(host)):
            self._take(setting, lookup)
        if host.identity:
            lookup.sealed = frozenset(("identityfile",))
        self._read(lookup)
        lookup.host = _normal(lookup.target().host)
        if self._files.wants_final:
            lookup.final = True
            self._read(lookup)
        return _Result(lookup, host).settings()

    def _read(self, lookup: Lookup) -> None:
        """Go through all sections once."""
        held: dict[int, bool] = {}
        for section in self._files.sections(lookup.host):
            for condition in section.conditions:
                # The first answer counts: what is below may change what it was about.
                if id(condition) not in held:
                    held[id(condition)] = condition.holds(lookup)
                if not held[id(condition)]:
                    break
            else:
                for setting in section.settings:
                    self._take(setting, lookup)

    def _take(self, setting: Setting, lookup: Lookup) -> None:
        if not setting.honoured:
            self._note(setting)
            return
        values, keyword, value = lookup.values, setting.keyword, setting.value
        if keyword in lookup.sealed:
            return
        if keyword in _LISTS:
            known = values.setdefault(keyword, [])
            if value not in known:
                known.append(value)
        elif keyword == "proxyjump":
            # The first of the two counts.
            if "proxycommand" not in values:
                values.setdefault(keyword, value)
        elif keyword == "proxycommand":
            # A jump host of `none` is none: a command is still wanted.
            if not values.get("proxyjump", _NO_JUMP).hops:
                values.setdefault(keyword, value)
        elif value is not None:
            values.setdefault(keyword, value)

    def _note(self, setting: Setting) -> None:
        """Remember to say that an option is ignored."""
        if setting.honoured or setting.keyword in self._said:
            return
        reason = reason_to_say(setting.keyword, setting.text, of_machine=setting.of_machine)
        if not reason:
            return
        with self._guard:
            if setting.keyword not in self._said:
                self._said.add(setting.keyword)
                self._unsaid.append(f"{setting.place}: {setting.written} is ignored: {reason}")


class _Result:
    """Turns what was found for a host into its settings."""

    def __init__(self, lookup: Lookup, host: Host) -> None:
        self._values = lookup.values
        self._local = lookup.local
        self._jump = lookup.values.get("proxyjump", _NO_JUMP)
        found = lookup.values
        self._target = Target(
            original=host.name,
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


def _of_inventory(host: Host) -> list[Setting]:
    """Return what the inventory says of a host, as options.

    Raises:
        ValueError: its jump hosts cannot be read.
    """
    said: list[Setting] = []
    if host.address:
        said.append(_given("hostname", host.address.replace("%", "%%")))
    if host.port is not None:
        said.append(_given("port", host.port))
    if host.user:
        said.append(_given("user", host.user))
    said += [_given("identityfile", path) for path in host.identity]
    if host.jump:
        said.append(_given("proxyjump", Jump(host.jump, parse_jump(host.jump))))
    return said


def _given(keyword: str, value: Any) -> Setting:
    return Setting(
        keyword=keyword,
        value=value,
        text="",
        place="",
        written=keyword,
        honoured=True,
        of_machine=False,
    )


def _read_files(file: str, local: Local) -> ConfigFiles:
    """Read the file that was asked for, else the user's and the machine's.

    Raises:
        UsageError: one is wrong or cannot be read.
    """
    files = ConfigFiles(local)
    if file.lower() == "none":
        return files
    if file:
        _read(file, lambda: files.read(file), must_exist=True)
        return files
    own = os.path.join(local.home, ".ssh/config")
    _read(own, lambda: files.read(own, private=True), must_exist=False)
    _read(MACHINE_FILE, lambda: files.read(MACHINE_FILE, of_machine=True), must_exist=False)
    return files


def _read(path: str, read: Callable[[], None], *, must_exist: bool) -> None:
    try:
        read()
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            message = f"-F {path}: there is no such file"
            raise UsageError(message) from None
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UsageError(message) from error


def _normal(host: str) -> str:
    """Return a name in lower case, an address as the system writes it."""
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return host.lower()
    return str(found[0][4][0])
