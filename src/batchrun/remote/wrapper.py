"""What a command on a host is wrapped in, so that any login shell begins it, and we know of it.

    login shell  exec /bin/sh -c 'echo WORD $$; ...; read -r p && eval "$p"'
        │        quoted so that sh, bash, dash, csh, tcsh, zsh and fish read the same
        ▼
    /bin/sh ─────► WORD and its process id on standard output, WORD on standard error: whatever
        │          stands before these comes from files that the login shell has read
        ◄───────── one line: the environment, the directory, and what to become
        │          (with sudo: what to become is sudo, and a second sh, which reads a second line)
        ├────────► READY on standard error: all that was done; what follows is the command's
        ◄───────── its standard input, and not before
        ▼
    the command, in the same process

Nothing but the word is on the command line of the wrapper, so that no environment shows in a
process list. Lines are read by `read`, which takes no byte more than the line, and a line that was
cut off is not carried out. Until the word has come nothing is sent: when the connection ends
before that, nothing was begun.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchrun.errors import OperationError
from batchrun.ops.dialogue import Words
from batchrun.ops.sudo import Sudo
from batchrun.remote.words import quote, words

__all__ = ["Inner", "Marks", "login_text", "preamble"]

_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
#: No quote, backslash, `!` or line end may be in it: shells do not agree on these.
_LOGIN = "exec /bin/sh -c 'echo {word} $$;echo {word} >&2;IFS= read -r p&&eval \"$p\";exit 126'"
#: Behind sudo, where nothing was asked; and where a dialogue waits for its word.
_SECOND = b'IFS= read -r p&&eval "$p";exit 126'
_SECOND_WHEN_TOLD = b'echo "$1$2" >&2;' + _SECOND
#: A line end inside a line: put together by the shell, because nothing else can stand for it.
_LINE_END = b"br_=$(printf '\\012.');br_=${br_%.};"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Words made of chance by which we know our own."""

    #: The wrapper has been begun.
    started: bytes
    #: What the dialogue with sudo listens for; the two halves of `ready` as one word: the command
    #: is begun.
    words: Words

    @classmethod
    def fresh(cls) -> "Marks":
        """Make words that nothing else will say."""
        return cls(started=b"br" + os.urandom(8).hex().encode(), words=Words.fresh())

    @property
    def ready(self) -> bytes:
        """The word after which everything is the command's."""
        return b"".join(self.words.ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """What the wrapper is to become."""

    #: A shell command that ends in becoming the program, without `exec`; already quoted.
    command: bytes
    env: Mapping[bytes, bytes]
    #: A quoted path; empty: the login directory.
    cwd: bytes = b""
    #: It gets what is sent after the ready word; False: an empty standard input.
    has_input: bool = False
    #: Commands of the shell that come before the environment, each as one that may fail.
    first: Sequence[bytes] = ()


def login_text(marks: Marks) -> str:
    """Return what the login shell is given."""
    return _LOGIN.format(word=marks.started.decode())


def preamble(inner: Inner, sudo: Sudo | None, marks: Marks) -> tuple[bytes, bytes]:
    """Return the line that the wrapper reads, and the line that the shell behind sudo reads.

    Raises:
        OperationError: a variable has a name that a shell cannot give to a command.
    """
    last = _line(_become(inner, marks))
    if sudo is None:
        return last, b""
    shell = [b"/bin/sh", b"-c", _SECOND]
    if sudo.password is not None:
        shell = [b"/bin/sh", b"-c", _SECOND_WHEN_TOLD, b"sh", *marks.words.ready]
    options = sudo.options(marks.words)
    return _line(b"exec " + words(*options, *shell)), last


def _become(inner: Inner, marks: Marks) -> bytes:
    steps = list(inner.first)
    if inner.env:
        steps.append(b"export " + b" ".join(map(_entry, inner.env.items())))
    if inner.cwd:
        steps.append(b"CDPATH= cd -- " + inner.cwd)
    steps.append(b"echo " + marks.ready + b" >&2")
    become = b"exec " + inner.command
    steps.append(become if inner.has_input else become + b" </dev/null")
    return b"&&".join(steps)


def _entry(item: tuple[bytes, bytes]) -> bytes:
    name, value = item
    if not _NAME.fullmatch(name):
        message = (
            f"{os.fsdecode(name)!r} is a name that no variable can have on a host; use letters, "
            "digits and `_` in `env`."
        )
        raise OperationError(message, retryable=False)
    return name + b"=" + quote(value)


def _line(text: bytes) -> bytes:
    """Write quoted text as one line: outside of quotes there is no line end in it."""
    if b"\n" in text:
        text = _LINE_END + text.replace(b"\n", b"'\"$br_\"'")
    return text + b"\n"
