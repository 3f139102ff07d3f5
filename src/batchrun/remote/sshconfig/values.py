"""The options of an SSH configuration that are honoured, and what their values mean."""

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from batchrun.remote.hostkeys import HostKeyPolicy
from batchrun.remote.jump import parse_jump
from batchrun.remote.sshconfig.text import split_words

__all__ = ["HONOURED", "Command", "Jump"]

_TIME = re.compile(r"(\d+)([smhdw]?)", re.IGNORECASE)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FLAGS = {"yes": True, "true": True, "no": False, "false": False}
_FAMILIES = {
    "any": socket.AF_UNSPEC,
    "inet": socket.AF_INET,
    "inet6": socket.AF_INET6,
}
_POLICIES = {
    "yes": HostKeyPolicy.STRICT,
    "true": HostKeyPolicy.STRICT,
    # Nobody is there to be asked.
    "ask": HostKeyPolicy.STRICT,
    "accept-new": HostKeyPolicy.ACCEPT_NEW,
    "no": HostKeyPolicy.OFF,
    "false": HostKeyPolicy.OFF,
    "off": HostKeyPolicy.OFF,
}


@dataclass(frozen=True, slots=True)
class Command:
    """What ProxyCommand says, as it is written."""

    #: `none`: no command.
    text: str


@dataclass(frozen=True, slots=True)
class Jump:
    """What ProxyJump says."""

    #: As it is written; for `%j`.
    text: str
    #: Empty: none, also of what comes later.
    hops: tuple[str, ...]


def _one(text: str) -> str:
    words = split_words(text)
    if not words or not words[0]:
        message = "its value is missing"
        raise ValueError(message)
    if len(words) > 1:
        message = f"there is more than one value: {text}"
        raise ValueError(message)
    return words[0]


def _chosen(text: str, choices: Mapping[str, Any]) -> Any:
    word = _one(text)
    if word.lower() not in choices:
        message = f"{word!r} is none of {', '.join(choices)}"
        raise ValueError(message)
    return choices[word.lower()]


def _flag(text: str) -> bool:
    return bool(_chosen(text, _FLAGS))


def _family(text: str) -> socket.AddressFamily:
    return socket.AddressFamily(_chosen(text, _FAMILIES))


def _policy(text: str) -> HostKeyPolicy:
    return HostKeyPolicy(_chosen(text, _POLICIES))


def _number(text: str) -> int:
    word = _one(text)
    if not re.fullmatch(r"-?[0-9]{1,10}", word):
        message = f"{word!r} is no number"
        raise ValueError(message)
    return int(word)


def _port(text: str) -> int:
    word = _one(text)
    if word.isascii() and word.isdigit():
        number = int(word)
    else:
        try:
            number = socket.getservbyname(word, "tcp")
        except OSError:
            number = 0
    if not 0 < number < 65536:
        message = f"{word!r} is no port"
        raise ValueError(message)
    return number


def _seconds(text: str) -> int | None:
    """Read a time such as `1m30s`; None: `none`, which leaves the choice to what comes later."""
    word = _one(text)
    if word == "none":
        return None
    parts = _TIME.findall(word)
    if "".join(number + unit for number, unit in parts) != word:
        message = f"{word!r} is no time; write 10 or 1m30s"
        raise ValueError(message)
    return sum(int(number) * _SECONDS[unit.lower()] for number, unit in parts)


def _files(text: str) -> tuple[str, ...]:
    words = split_words(text)
    if not words or not all(words):
        message = "a name of a file is missing"
        raise ValueError(message)
    if "none" not in [word.lower() for word in words]:
        return tuple(words)
    if len(words) > 1:
        message = "`none` must stand alone"
        raise ValueError(message)
    return ()


def _algorithms(text: str) -> tuple[str, ...]:
    return tuple(_one(text).split(","))


def _command(text: str) -> Command:
    split_words(text)  # as OpenSSH does: an open quote is a mistake here too
    return Command(text.lstrip(" \t="))


def _jump(text: str) -> Jump:
    plain = text.lstrip(" \t=")
    return Jump(plain.partition("#")[0].strip(), parse_jump(plain))


#: By the keyword in lower case, what reads the rest of the line; raises ValueError.
HONOURED: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "addressfamily": _family,
        "bindaddress": _one,
        "certificatefile": _one,
        "ciphers": _algorithms,
        "connecttimeout": _seconds,
        "globalknownhostsfile": _files,
        "hashknownhosts": _flag,
        "hostkeyalgorithms": _algorithms,
        "hostkeyalias": _one,
        "hostname": _one,
        "identitiesonly": _flag,
        "identityagent": _one,
        "identityfile": _one,
        "identityfile2": _one,
        "ignoreunknown": _one,
        "kexalgorithms": _algorithms,
        "macs": _algorithms,
        "port": _port,
        "proxycommand": _command,
        "proxyjump": _jump,
        "serveralivecountmax": _number,
        "serveraliveinterval": _seconds,
        "stricthostkeychecking": _policy,
        "tag": _one,
        "user": _one,
        "userknownhostsfile": _files,
    }
)
