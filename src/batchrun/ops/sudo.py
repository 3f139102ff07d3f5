"""Run a command as another user, with sudo(8): what sudo is started with, and what it refuses.

sudo drops the environment, closes every descriptor above 2, and shows its arguments to everybody.
So the environment goes ahead of the command's own standard input: a line of sh(1) behind sudo
reads it from there, enters the directory, and becomes the command. Without a password both lie in
one file in memory, and how far that was read tells afterwards whether sudo let the command begin.
With one, standard input is a pipe, and a `Dialogue` decides what is written into it.

`-k` goes with the password: a ticket that sudo has from before is neither used nor renewed. A
wrong password fails whatever was typed a minute ago, and a right one opens nothing for others.

What is *not* guaranteed: a rule in sudoers that allows one program only does not allow this;
where sudo records standard input, it records the environment too, and without a password a refusal
looks like a command that ends with status 1.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from batchrun.errors import OperationError
from batchrun.ops.dialogue import Words
from batchrun.ops.spawn import encode

__all__ = ["NO_SUDO", "Sudo", "SudoValue", "prelude", "refusal", "sudo_argv", "sudo_by", "sudo_of"]

#: What a job file says: whether, as whom, or with the password of which secret.
SudoValue: TypeAlias = bool | str | Mapping[str, str]
NO_SUDO: SudoValue = False

#: What is read ends with becoming the command: half of it would do nothing.
_READ = b'eval "$(head -c "$2")"; exit 126'
_READ_WHEN_TOLD = b'echo "$4$5" >&2; ' + _READ
_BECOME = b' && cd -- "$3" && shift 3 && exec "$@"'
_BECOME_AND_TELL = b' && cd -- "$3" && echo "$4$5" >&2 && shift 5 && exec "$@"'
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_SUDO = b"sudo"
_MOST_LINES = 3
_MOST_CHARACTERS = 200
#: What it says when it does nothing, among warnings that it may have written before.
_SAID = re.compile(rb"^sudo: (.*)$", re.MULTILINE)
#: It quotes the whole command line, which is mostly ours.
_QUOTED = re.compile(r"execute '.*' as")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sudo:
    """As whom a command runs."""

    #: A name, or `#` and a number.
    user: bytes
    #: What sudo asks for; None: it must not ask.
    password: bytes | None = field(default=None, repr=False)
    #: The path of sudo.
    program: bytes

    def options(self, words: Words | None) -> list[bytes]:
        """Return sudo and its options, up to where the command begins.

        Args:
            words: How it asks for the password, if there is one.
        """
        asking = [b"-n"]
        if words is not None and self.password is not None:
            asking = [b"-k", b"-S", b"-p", words.prompt]
        return [self.program, *asking, b"-u", self.user, b"--"]


def sudo_of(value: SudoValue, environment: Mapping[bytes, bytes]) -> Sudo:
    """Read the parameter of a command.

    Args:
        value: The parameter; not false.
        environment: In whose PATH sudo is looked for.

    Raises:
        OperationError: sudo is not there, or the password is none that it can read.
    """
    return sudo_by(value, _find_sudo(environment))


def sudo_by(value: SudoValue, program: bytes) -> Sudo:
    """Read the parameter of a command, for a sudo that was found already, or is somewhere else.

    Raises:
        OperationError: the password is none that sudo can read.
    """
    name = value if isinstance(value, str) else "root"
    password = None
    if isinstance(value, Mapping):
        name = value.get("user", name)
        password = _line(value["password"]) if "password" in value else None
    user = encode(name, "The user in `sudo`")
    return Sudo(user=user, password=password, program=program)


def _line(password: str) -> bytes:
    """Encode a password, of which no message may show anything."""
    try:
        data = os.fsencode(password)
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data or b"\n" in data or b"\r" in data:
        message = (
            "The password in `sudo` holds a line break, a NUL, or a character that no encoding "
            "has, and sudo reads one line; correct the secret."
        )
        raise OperationError(message, retryable=False)
    return data


def _find_sudo(environment: Mapping[bytes, bytes]) -> bytes:
    """Return the path of sudo.

    Raises:
        OperationError: it is not on PATH.
    """
    for folder in environment.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        program = os.path.join(folder or b".", _SUDO)
        if os.access(program, os.X_OK) and not os.path.isdir(program):
            return os.path.abspath(program)
    message = (
        "The program sudo was not found on PATH, and `sudo` needs it; install it, or run batchrun "
        "as that user."
    )
    raise OperationError(message, retryable=False)


def sudo_argv(
    sudo: Sudo, cookie: bytes, cwd: bytes, text: bytes, words: Words | None
) -> list[bytes]:
    """Return what stands before the command: sudo, and the shell that becomes the command.

    Args:
        sudo: As whom.
        cookie: By which the processes are known; everybody may see it here, which is of use
            where only root may look at the environment of sudo.
        cwd: Entered as that user, absolute.
        text: The prelude that it will read from standard input.
        words: What is said to a `Dialogue`; None: there is none.
    """
    told = () if words is None else words.ready
    script = _READ if words is None else _READ_WHEN_TOLD
    shell = [b"/bin/sh", b"-c", script, b"sh", cookie, b"%d" % len(text), cwd, *told]
    return [*sudo.options(words), *shell]


def prelude(environment: dict[bytes, bytes], words: Words | None) -> bytes:
    """Write an environment, and what follows it, as a text for the shell behind sudo.

    Raises:
        OperationError: a name is none that a shell can take.
    """
    entries = []
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            message = (
                f"{os.fsdecode(name)!r} is a name that no variable can have with `sudo`; use "
                "letters, digits and `_` in `env`."
            )
            raise OperationError(message, retryable=False)
        entries.append(b"%b='%b'" % (name, value.replace(b"'", b"'\\''")))
    become = _BECOME if words is None else _BECOME_AND_TELL
    return b"export " + b" ".join(entries) + become


def refusal(sudo: Sudo, stderr: bytes, trouble: str = "") -> str:
    """Say why sudo has not begun the command.

    Args:
        sudo: As whom it was to run.
        stderr: What it wrote there.
        trouble: What is known better than by what it wrote; empty: nothing.
    """
    user = os.fsdecode(sudo.user)
    advice = "allow it for this user in sudoers"
    if sudo.password is None:
        advice += ", with NOPASSWD, or correct `sudo`, which can have a `password`"
    elif trouble:
        advice = "correct the secret in `sudo`, or what sudo asks for on this machine"
    else:
        advice += ", or correct `sudo`"
    return f"sudo would not run it as {user}: {trouble or _reason(stderr)}; {advice}."


def _reason(stderr: bytes) -> str:
    """Return what sudo said of it, on one line."""
    lines = _SAID.findall(stderr) or [line for line in stderr.splitlines() if line.strip()]
    said = (_QUOTED.sub("execute it as", os.fsdecode(line)) for line in lines[-_MOST_LINES:])
    text = "; ".join(line.strip().rstrip(".")[:_MOST_CHARACTERS] for line in said)
    return text or "it gave no reason"
