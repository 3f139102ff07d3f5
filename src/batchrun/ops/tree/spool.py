"""Lines that many workers write and one of them sorts: a file beside the one that comes of it."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from batchrun.model.operation import Context
from batchrun.ops.tree.data import write_all
from batchrun.ops.tree.temporary import remove_past

__all__ = ["Spool", "spool_path"]

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def spool_path(beside: str, context: Context) -> str:
    """Return where the lines for a file are kept until it is complete.

    What runs have left there that this one goes on with is removed.
    """
    directory = os.path.dirname(os.path.abspath(beside))
    if not context.settings.dry_run:
        remove_past(directory, context.settings.past_runs)
    name = f".br-{context.settings.run_id}-{context.number}-0-spool"
    return os.path.join(directory, name)


class Spool:
    """A file of lines; every worker adds its own at the end of its chunk, in one go.

    A worker that dies between that and its answer has its chunk done again: so a line may be there
    twice, and only the last one with the same key counts.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def add(self, lines: Iterable[bytes]) -> None:
        """Add lines, each with its end.

        Raises:
            OSError: they could not be written.
        """
        data = b"".join(lines)
        if not data:
            return
        fd = os.open(self._path, _APPEND, 0o600)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)

    def sorted(self, key: Callable[[bytes], bytes]) -> list[bytes]:
        """Return all lines by their keys, one for each; held whole, by one worker.

        Raises:
            OSError: they cannot be read.
        """
        try:
            with open(self._path, "rb") as file:
                lines = {key(line): line for line in file}
        except FileNotFoundError:
            return []
        return [lines[name] for name in sorted(lines)]

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            os.unlink(self._path)
