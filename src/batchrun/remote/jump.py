"""The hosts to go through: `ssh -J`, ProxyJump and `jump` of an inventory."""

import re
from urllib.parse import unquote

from batchrun.model.host import Host

__all__ = ["hop_host", "parse_jump"]

_URI = re.compile(r"ssh://", re.IGNORECASE)
_PORTS = range(1, 65536)


def parse_jump(text: str) -> tuple[str, ...]:
    """Return the hops in the order in which they are gone through; `none`: none.

    >>> parse_jump("ann@b1:2222,b2"), parse_jump("None")
    (('ann@b1:2222', 'b2'), ())

    Raises:
        ValueError: a hop cannot be read.
    """
    plain = text.partition("#")[0].strip()
    if plain.lower() == "none":
        return ()
    hops = tuple(hop.strip() for hop in plain.split(","))
    for hop in hops:
        hop_host(hop)
    return hops


def hop_host(hop: str) -> Host:
    """Return the host that a hop names, for its own settings to be looked up.

    >>> hop_host("ann@[::1]:2222").name, hop_host("ssh://ann@b1:2222/").port
    ('::1', 2222)

    Raises:
        ValueError: it cannot be read.
    """
    text, uri = hop, _URI.match(hop)
    if uri:
        text = text[uri.end() :].removesuffix("/")
    user, _, where = text.rpartition("@")
    found = re.fullmatch(r"\[([^]]+)\](?::(.*))?|([^:\[\]/\s]+)(?::(.*))?", where)
    if not found or (not user and "@" in text):
        message = f"{hop!r} is no host to go through; write [USER@]HOST[:PORT]"
        raise ValueError(message)
    port = found[2] or found[4]
    return Host(
        name=found[1] or found[3],
        user=unquote(user) if uri else user,
        port=_port(port, hop) if port is not None else None,
    )


def _port(text: str, hop: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) in _PORTS):
        message = f"{text!r} in {hop!r} is no port"
        raise ValueError(message)
    return int(text)
