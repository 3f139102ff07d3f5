"""An SFTP client with our paths and our errors, for hosts that give no shell."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import paramiko

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.model.values import Glob
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown
from batchrun.ops.patterns import ANY_DEPTH, compiled, split_braces
from batchrun.ops.targets import trimmed
from batchrun.ops.tree.temporary import is_temporary
from batchrun.remote.globs import fixed_part
from batchrun.remote.talk import BrokenError

__all__ = ["PIECE_BYTES", "Files", "open_files", "refuse", "unable", "wire_name"]

PIECE_BYTES = 32 * 1024


class Files:
    """An SFTP client, with our paths and our errors."""

    def __init__(self, client: Any, context: HostContext) -> None:
        self.client = client
        self.context = context

    def lstat(self, path: str) -> Any:
        """Look at a path without following it; None: nothing is there."""
        try:
            return self.client.lstat(wire_name(path))
        except FileNotFoundError:
            return None

    def permissions(self, path: str) -> int:
        """Return the permission bits of what a path leads to."""
        return stat.S_IMODE(self.client.stat(wire_name(path)).st_mode)

    def make_folders(self, path: str, mode: int | None = None) -> bool:
        """Make a directory and those above it; return whether there was one to make."""
        found = self._follow(path)
        if found is not None:
            if not stat.S_ISDIR(found.st_mode):
                raise refusal(f"{shown(path)} exists on the host and is not a directory")
            return False
        parent = os.path.dirname(path)
        if parent and parent != path:
            self.make_folders(parent)
        if not self.context.settings.dry_run:
            self.client.mkdir(wire_name(path))
            if mode is not None:
                self.client.chmod(wire_name(path), mode)
        return True

    def _follow(self, path: str) -> Any:
        try:
            return self.client.stat(wire_name(path))
        except FileNotFoundError:
            return None

    def put(self, path: str, pieces: Iterator[bytes], mode: int | None, mtime: int | None) -> None:
        """Write a file under a temporary name, and rename it when it is whole."""
        temp = os.path.join(os.path.dirname(path), self.context.temp_name())
        try:
            with self.client.open(wire_name(temp), "wx") as file:
                file.set_pipelined(True)
                for piece in pieces:
                    self.context.check()
                    file.write(piece)
                    self.context.heard()
            if mode is not None:
                self.client.chmod(wire_name(temp), mode)
            if mtime is not None:
                self.client.utime(wire_name(temp), (mtime, mtime))
            self.rename(temp, path)
        except BaseException:
            with suppress(OSError, EOFError, paramiko.SSHException):
                self.client.remove(wire_name(temp))
            raise

    def rename(self, temp: str, path: str) -> None:
        """Give something its name, in the place of what has it."""
        self.client.posix_rename(wire_name(temp), wire_name(path))

    def entries(self, path: str) -> list[Any]:
        """Return what a directory holds, bytewise, without what is being written."""
        try:
            entries = self.client.listdir_attr(wire_name(path) or b".")
        except UnicodeDecodeError as error:
            message = (
                f"{shown(path)} on the host holds a name that is not UTF-8; SFTP cannot read it"
            )
            raise OperationError(message, retryable=False) from error
        entries = [entry for entry in entries if not is_temporary(entry.filename)]
        return sorted(entries, key=lambda entry: os.fsencode(entry.filename))

    def below(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield everything below a directory by relative path, directories first."""
        for entry in self.entries(path):
            self.context.check()
            yield entry.filename, entry
            if stat.S_ISDIR(entry.st_mode):
                inner = os.path.join(path, entry.filename)
                yield from ((f"{entry.filename}/{name}", one) for name, one in self.below(inner))

    def remove(self, path: str, facts: Any) -> None:
        """Remove a file, or a directory with everything in it."""
        if not stat.S_ISDIR(facts.st_mode):
            self.client.remove(wire_name(path))
            return
        for entry in self.entries(path):
            self.context.check()
            self.remove(os.path.join(path, entry.filename), entry)
        self.client.rmdir(wire_name(path))

    def find(self, source: str | Glob) -> list[str]:
        """Return what a source stands for."""
        if not isinstance(source, Glob):
            return [trimmed(source)]
        found = {path for one in split_braces(source.pattern) for path in self._matches(one)}
        return sorted(found, key=os.fsencode)

    def _matches(self, text: str) -> list[str]:
        fixed = fixed_part(text)
        found = [fixed]
        for part in (compiled(one, False) for one in text[len(fixed) :].split("/") if one):  # noqa: FBT003 - a cache keys on positions
            if part is ANY_DEPTH:
                raise unable("a pattern with `**`")
            found = [
                os.path.join(folder, entry.filename)
                for folder in found
                if self._is_folder(folder)
                for entry in self.entries(folder)
                if (part == entry.filename if isinstance(part, str) else part.match(entry.filename))
            ]
        return found

    def _is_folder(self, path: str) -> bool:
        found = self._follow(path or ".")
        return found is not None and stat.S_ISDIR(found.st_mode)


def wire_name(path: str) -> bytes:
    """Write a path as SFTP has it: relative ones mean the login directory."""
    if path.startswith("~"):
        home, _, rest = path.partition("/")
        if home != "~":
            raise unable(f"the home directory {shown(home)}")
        path = rest or "."
    return os.fsencode(path) or b"."


def unable(what: str) -> OperationError:
    """Make the error for what SFTP alone cannot do."""
    return refusal(f"the host gives no shell, only SFTP, and {what} needs one")


def refuse(params: object, names: Sequence[str]) -> None:
    """Refuse what cannot be done without a shell."""
    for name in names:
        if getattr(params, name, None):
            raise unable(f"`{name}`")


@contextmanager
def open_files(context: HostContext) -> Iterator[Files]:
    """Open a client, and say in our words what goes wrong with it."""
    if context.terms.nice is not None or context.terms.ionice is not None:
        raise refusal("the host gives no shell, so nothing there can have `nice` or `ionice`")
    client: Any = context.session.open_files(context)
    try:
        yield Files(client, context)
    except (EOFError, paramiko.SSHException, TimeoutError) as error:
        message = f"the connection broke: {error or 'SFTP ended'}"
        raise BrokenError(message) from error
    except OSError as error:
        message = f"{context.host.name} refuses it over SFTP: {error.strerror or error}"
        raise OperationError(message, errno=error.errno) from error
    finally:
        client.close()
