"""Write what a shell on a host reads: quoted words, and paths as job files mean them there."""

import re

from batchrun.errors import OperationError
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown
from batchrun.ops.spawn import encode

__all__ = ["path_word", "quote", "rooted", "words"]

#: `~` or `~user` at the beginning of a path, which the shell of the host expands.
_HOME = re.compile(rb"~([A-Za-z0-9_][A-Za-z0-9_.-]*)?(?=/|\Z)")
_PLAIN = re.compile(rb"[A-Za-z0-9_@%+=:,./-]+")


def quote(data: bytes) -> bytes:
    """Quote one word for sh(1); only bytes that mean something to a shell make a difference."""
    if _PLAIN.fullmatch(data):
        return data
    return b"'" + data.replace(b"'", b"'\\''") + b"'"


def words(*parts: bytes) -> bytes:
    """Quote several words and join them."""
    return b" ".join(map(quote, parts))


def path_word(path: str, *, keep_slash: bool = False) -> bytes:
    """Write a path on a host as one word for its shell.

    A relative path means the login directory, and so does `~`; `~name` is the home of a user. A
    file whose name really begins with a tilde is written as `./~name`. No word begins with a dash.

    Args:
        path: As the job file has it.
        keep_slash: Slashes at the end stay.

    Raises:
        OperationError: it is empty, or holds what no path can.
    """
    data = encode(path, "A path")
    if not data:
        raise refusal("a path is empty; an empty value was probably inserted into it")
    if not keep_slash:
        data = data.rstrip(b"/") or b"/"
    home = _HOME.match(data)
    if home is not None and home[1] is None:
        rest = data[1:].lstrip(b"/")
        return quote(b"./" + rest) if rest or keep_slash else b"."
    if home is not None:
        return home[0] + quote(data[home.end() :]) if home.end() < len(data) else home[0]
    if data.startswith(b"~"):
        message = (
            f"{shown(path)} begins with `~` and names no user; write ./~ for a file of that name"
        )
        raise OperationError(message, retryable=False)
    return quote(data) if data.startswith((b"/", b"./", b"../")) else quote(b"./" + data)


def rooted(path: str) -> tuple[str, str]:
    """Split a path on a host into a directory that `cd` enters, and a name below it.

    >>> rooted("/var/log/x"), rooted("~/a/b"), rooted("./a"), rooted("~bob/a")
    (('/', 'var/log/x'), ('.', 'a/b'), ('.', 'a'), ('~bob', 'a'))
    """
    if path.startswith("/"):
        return "/", path.lstrip("/")
    if path.startswith("~"):
        home, _, rest = path.partition("/")
        return ("." if home == "~" else home), rest.lstrip("/")
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return ".", path
