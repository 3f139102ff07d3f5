"""How to reach a host: what `ssh -G HOST` would say, and what the inventory and the options say.

The command line wins over the inventory, the inventory over the files of the SSH configuration.
Files are read once, then asked for each host in well under a millisecond.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

from batchrun.errors import UnreachableError, UsageError
from batchrun.model.host import Host
from batchrun.remote.hostkeys import HostKeyPolicy
from batchrun.remote.jump import parse_jump
from batchrun.remote.sshconfig.conditions import Commands, Lookup
from batchrun.remote.sshconfig.files import MACHINE_FILE, ConfigFiles, Setting, read_option
from batchrun.remote.sshconfig.ignored import reason_to_say
from batchrun.remote.sshconfig.settings import SshSettings, settings_of
from batchrun.remote.sshconfig.tokens import Local, normal_name
from batchrun.remote.sshconfig.values import Jump

__all__ = ["SshConfig", "SshSettings"]

#: Every value of these counts, not only the first.
_LISTS = ("identityfile", "certificatefile")
_NO_JUMP = Jump("", ())


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
        lookup.host = normal_name(lookup.target().host)
        if self._files.wants_final:
            lookup.final = True
            self._read(lookup)
        return settings_of(lookup)

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
