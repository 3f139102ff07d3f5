"""What stands for something else in the values of an SSH configuration: `%h`, `~`, `${NAME}`."""

import hashlib
import os
import pwd
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from batchrun.model.statedir import home_dir

__all__ = [
    "Local",
    "Target",
    "expand_environment",
    "expand_tilde",
    "expand_tokens",
    "normal_name",
]

_TOKEN = re.compile(r"%(.?)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Who connects, and from where."""

    user: str
    uid: int
    #: As the system's table of users has it: OpenSSH does not look at HOME.
    home: str
    #: Of this machine, as the machine itself calls it.
    hostname: str
    environ: Mapping[str, str]

    @classmethod
    def of_this_process(cls) -> Self:
        """Return who runs this process."""
        uid = os.getuid()
        try:
            found = pwd.getpwuid(uid)
            user, home = found.pw_name, found.pw_dir
        except KeyError:  # a number without a name, as in containers
            user, home = str(uid), str(home_dir(os.environ))
        return cls(user=user, uid=uid, home=home, hostname=socket.gethostname(), environ=os.environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A host as far as its configuration has been read."""

    #: As it was asked for.
    original: str
    #: Its address, or the name of it.
    host: str
    port: int
    user: str
    #: HostKeyAlias; empty: none.
    key_alias: str = ""
    #: ProxyJump; empty: none.
    jump: str = ""

    def tokens(self, local: Local) -> dict[str, str]:
        """Return what the signs behind `%` stand for.

        Source: ssh_config(5), TOKENS.
        """
        port = str(self.port)
        connection = f"{local.hostname}{self.host}{port}{self.user}{self.jump}"
        return {
            "C": hashlib.sha1(_bytes(connection), usedforsecurity=False).hexdigest(),
            "L": local.hostname.partition(".")[0],
            "d": local.home,
            "h": self.host,
            "i": str(local.uid),
            "j": self.jump,
            "k": self.key_alias or self.original,
            "l": local.hostname,
            "n": self.original,
            "p": port,
            "r": self.user,
            "u": local.user,
        }


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def expand_tokens(text: str, tokens: Mapping[str, str]) -> str:
    """Replace `%` and a sign.

    >>> expand_tokens("%h.example%%", {"h": "web1"})
    'web1.example%'

    Raises:
        ValueError: nothing stands for that sign here.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] == "%":
            return "%"
        if found[1] not in tokens:
            message = f"%{found[1]} means nothing here"
            raise ValueError(message)
        return tokens[found[1]]

    return _TOKEN.sub(value, text)


def expand_environment(text: str, environ: Mapping[str, str]) -> str:
    """Replace `${NAME}`.

    >>> expand_environment("${HOME}/$x", {"HOME": "/home/ann"})
    '/home/ann/$x'

    Raises:
        ValueError: there is no such variable.
    """

    def value(found: re.Match[str]) -> str:
        if not found[2] or found[1] not in environ:
            message = f"there is no environment variable {found[1]}"
            raise ValueError(message)
        return environ[found[1]]

    return _VARIABLE.sub(value, text)


def expand_tilde(text: str, local: Local) -> str:
    """Replace `~` or `~USER` at the beginning of a path.

    Raises:
        ValueError: there is no such user.
    """
    if not text.startswith("~"):
        return text
    name, slash, rest = text[1:].partition("/")
    if not name:
        return f"{local.home}{slash}{rest}"
    try:
        return f"{pwd.getpwnam(name).pw_dir}{slash}{rest}"
    except KeyError:
        message = f"there is no user {name}"
        raise ValueError(message) from None


def normal_name(host: str) -> str:
    """Return a name in lower case, an address as the system writes it.

    >>> normal_name("Web1.Example"), normal_name("127.1"), normal_name("0:0::1")
    ('web1.example', '127.0.0.1', '::1')
    """
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # no address; names with empty labels are the second
        return host.lower()
    return str(found[0][4][0])
