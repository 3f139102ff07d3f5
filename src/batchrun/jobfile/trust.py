"""Who else could change what root is about to do: files that others can write are refused.

The rule is that of sshd's StrictModes and of sudo: root reads only what no one but root can
change. The file is looked at through the descriptor that it is read by, so that it cannot be
exchanged between the look and the reading.
"""

import os
import pwd
import stat
from dataclasses import dataclass

from batchrun.errors import JobFileError, Problem

__all__ = ["Trust", "UntrustedError"]

_ADVICE = "chown root and chmod go-w it, or give --insecure-permissions"


class UntrustedError(Exception):
    """Somebody else could change a file that root would obey; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Reads and looks at files that say what is to be done."""

    #: Whether it matters at all: for root, unless the user says otherwise.
    strict: bool
    #: Whose files are obeyed, and the group that may write them: root's.
    user: int = 0
    group: int = 0

    @classmethod
    def of_this_process(cls, *, insecure: bool) -> "Trust":
        """Make the rule for who we are."""
        return cls(strict=os.geteuid() == 0 and not insecure)

    def read(self, path: str) -> bytes:
        """Read a file whole.

        Raises:
            OSError: it cannot be read.
            UntrustedError: somebody else could change it.
        """
        with open(path, "rb") as file:
            self._check(path, os.fstat(file.fileno()))
            return file.read()

    def read_for_user(self, path: str) -> bytes:
        """Read a file that the user has named.

        Raises:
            JobFileError: it cannot be read, or somebody else could change it.
        """
        try:
            return self.read(path)
        except UntrustedError as error:
            message = str(error)
        except (OSError, ValueError) as error:
            message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise JobFileError([Problem(file=path, line=None, path="", message=message)])

    def look(self, path: str) -> None:
        """Look at a file that something else will read; one that is not there is left to that.

        Raises:
            UntrustedError: somebody else could change it.
        """
        if not self.strict:
            return
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return
        self._check(path, found)

    def _check(self, path: str, found: os.stat_result) -> None:
        if not self.strict or not stat.S_ISREG(found.st_mode):
            return  # a pipe or a terminal has been handed over by who started us
        reason = self._reason(found, sticky_is_safe=False)
        if reason:
            message = f"{reason}, so root will not obey it; {_ADVICE}"
            raise UntrustedError(message)
        directory = os.path.dirname(os.path.realpath(path))
        reason = self._reason(os.stat(directory), sticky_is_safe=True)
        if reason:
            message = f"its directory {directory} {reason}, so root will not obey it; {_ADVICE}"
            raise UntrustedError(message)

    def _reason(self, found: os.stat_result, *, sticky_is_safe: bool) -> str:
        """Say how others could change a file or the names in a directory; empty: they cannot."""
        if found.st_uid != self.user:
            return f"belongs to {_user(found.st_uid)}"
        if sticky_is_safe and found.st_mode & stat.S_ISVTX:
            return ""
        mode = f"(mode {stat.S_IMODE(found.st_mode):04o})"
        if found.st_mode & stat.S_IWOTH:
            return f"can be written by everybody {mode}"
        if found.st_mode & stat.S_IWGRP and found.st_gid != self.group:
            return f"can be written by its group {mode}"
        return ""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
