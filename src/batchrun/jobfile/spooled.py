"""Items that can be read only once, kept beside the record so that a run can be resumed.

    source (standard input, a command) ──as they come──► file, one JSON line for each ──► next()

Every item goes through the file, and is read ahead of its turn: what a dead run has not read of a
pipe is lost for good. The last line says that these are all.
"""

import json
import os
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from batchrun.errors import SourceError
from batchrun.jobfile.chunked import ChunkedSource
from batchrun.jobfile.commandsource import CommandSource
from batchrun.jobfile.sources import Items, Source
from batchrun.model.ports import Drawn

__all__ = ["is_read_once", "kept_items", "spool_path", "spooled"]

#: Items taken from the source before the next one is handed out.
_AHEAD = 1024
_BLOCK_BYTES = 64 * 1024
_END = b'"end"\n'
_dump = json.JSONEncoder(separators=(",", ":")).encode


def is_read_once(source: Source) -> bool:
    """Say whether the items of a source cannot be had a second time."""
    if isinstance(source, ChunkedSource):
        return is_read_once(source.source)
    # A command may say something else the next time.
    return source.standard_input or isinstance(source, CommandSource)


def spool_path(directory: str, task_id: str) -> Path:
    """Return the file of the items of a task."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", task_id)[:60]
    digest = sha256(task_id.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return Path(directory, f"{clean}-{digest}.jsonl")


def spooled(items: Items, path: Path) -> Items:
    """Keep the items of an open source in a file, and hand them out from there.

    Raises:
        SourceError: the file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A run that goes on with others keeps what it reads itself, from the beginning.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    spool = _Spool(items, path, fd)
    return Items(next=spool.next, total=items.total, close=spool.close)


class _Spool:
    """The items of one source, on their way through a file."""

    def __init__(self, items: Items, path: Path, fd: int) -> None:
        self._items = items
        self._path = path
        self._fd: int | None = fd
        self._read_at = 0
        self._rest = b""
        self._ready: Iterator[bytes] = iter(())
        self._has_all = False
        self._error: SourceError | None = None

    def next(self) -> Any:
        """Return the next item, or what the source says once there is none left in the file."""
        state = self._take()
        line = self._line()
        if line is not None:
            return json.loads(line)[0]
        if self._error is not None:
            raise self._error
        return state

    def _take(self) -> Drawn | None:
        """Take what the source has now, up to a bound; returns what it says at last."""
        if self._has_all or self._error is not None:
            return Drawn.EXHAUSTED
        lines: list[str] = []
        state: Drawn | None = None
        try:
            for _ in range(_AHEAD):
                item = self._items.next()
                if isinstance(item, Drawn):
                    state = item
                    break
                lines.append(f"[{_dump(item)}]\n")
        except SourceError as error:
            self._error = error
        self._write("".join(lines).encode())
        if state is Drawn.EXHAUSTED:
            self._has_all = True
            self._write(_END)
        return state

    def _write(self, data: bytes) -> None:
        """Append to the file.

        Raises:
            SourceError: it cannot be written.
        """
        if not data or self._fd is None:
            return
        try:
            os.lseek(self._fd, 0, os.SEEK_END)
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def _line(self) -> bytes | None:
        """Return the next line of the file that holds an item; None: there is none now."""
        line = next(self._ready, None)
        while line is None and self._fd is not None:
            block = os.pread(self._fd, _BLOCK_BYTES, self._read_at)
            if not block:
                return None
            self._read_at += len(block)
            whole, _, self._rest = (self._rest + block).rpartition(b"\n")
            self._ready = iter(whole.split(b"\n")) if whole else iter(())
            line = next(self._ready, None)
        return None if line is None or line + b"\n" == _END else line

    def close(self) -> None:
        """Let go of the file and of the source."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        self._items.close()


def kept_items(path: Path, *, must_be_all: bool) -> Items | None:
    """Open the items that an earlier run has kept; None: there are none, or not all of them.

    Args:
        path: The file.
        must_be_all: Take nothing instead of a part.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the items
    except OSError:
        return None
    if must_be_all and not _is_whole(path):
        file.close()
        return None
    lines = (json.loads(line)[0] for line in file if line.endswith(b"]\n"))
    return Items(next=lambda: next(lines, Drawn.EXHAUSTED), close=file.close)


def _is_whole(path: Path) -> bool:
    """Say whether the source was read to its end."""
    with path.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - len(_END), 0))
        return file.read() == _END


def _unwritable(path: Path, error: OSError) -> SourceError:
    message = f"the items cannot be kept for a resume in {path}: {error.strerror}"
    return SourceError(message)
