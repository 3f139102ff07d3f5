"""Run a command as another user, with sudo(8), and end what then belongs to that user.

sudo drops the environment, closes every descriptor above 2, and shows its arguments to everybody.
So the environment goes ahead of the command's own standard input, in the same file in memory: a
line of sh(1) behind sudo reads it from there, enters the directory, and becomes the command. How
far that file was read tells afterwards whether sudo let the command begin.

What is *not* guaranteed: a rule in sudoers that allows one program only does not allow this; and
where sudo records standard input, a refusal looks like a command that ends with status 1.
"""

import os
import re

from batchrun.errors import OperationError

__all__ = ["find_sudo", "prelude", "refusal", "sudo_argv"]

_READ_AND_BECOME = b'eval "$(head -c "$1")" && cd -- "$2" && shift 2 && exec "$@"; exit 126'
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_SUDO = b"sudo"
_MOST_LINES = 3
#: What it says when it does nothing, among warnings that it may have written before.
_SAID = re.compile(rb"^sudo: (.*)$", re.MULTILINE)


def find_sudo(environment: dict[bytes, bytes]) -> bytes:
    """Return the path of sudo.

    Raises:
        OperationError: it is not on PATH.
    """
    for folder in environment.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        path = os.path.join(folder or b".", _SUDO)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return os.path.abspath(path)
    message = (
        "The program sudo was not found on PATH, and `sudo` needs it; install it, or run batchrun "
        "as that user."
    )
    raise OperationError(message, retryable=False)


def sudo_argv(sudo: bytes, user: bytes, cwd: bytes, text: bytes) -> list[bytes]:
    """Return what stands before the command: sudo, and the shell that becomes the command.

    Args:
        sudo: Its path.
        user: A name, or `#` and a number.
        cwd: Entered as that user, absolute.
        text: The prelude that it will read from standard input.
    """
    become = [b"/bin/sh", b"-c", _READ_AND_BECOME, b"sh", b"%d" % len(text), cwd]
    return [sudo, b"-n", b"-u", user, b"--", *become]


def prelude(environment: dict[bytes, bytes]) -> bytes:
    """Write an environment as a text for the shell behind sudo.

    Raises:
        OperationError: a name is none that a shell can take.
    """
    words = []
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            message = (
                f"{os.fsdecode(name)!r} is a name that no variable can have with `sudo`; use "
                "letters, digits and `_` in `env`."
            )
            raise OperationError(message, retryable=False)
        words.append(b"%b='%b'" % (name, value.replace(b"'", b"'\\''")))
    return b"export " + b" ".join(words)


def refusal(stdin_fd: int, status: int | None, stderr: bytes, user: str) -> str:
    """Say why sudo has not begun the command; empty when it has.

    Args:
        stdin_fd: What it was given as standard input; closed by the caller.
        status: With which it ended.
        stderr: What it wrote there.
        user: Who was to run the command.
    """
    said = _SAID.findall(stderr)
    if status != 1 or not said or os.lseek(stdin_fd, 0, os.SEEK_CUR):
        return ""
    why = "; ".join(map(os.fsdecode, said[:_MOST_LINES]))
    return (
        f"sudo would not run it as {user}: {why}; allow it for this user in sudoers, with "
        "NOPASSWD, or correct `sudo`."
    )
