"""Bytes that are written task by task at the end, and come in any order until then."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from typing import IO

__all__ = ["TaskSpool"]

#: So much of a task waits in memory for the file.
_PIECE_BYTES = 16 * 1024


class TaskSpool:
    """Keeps what belongs to each task in one file without a name.

    In memory are the last bytes of each task, and two numbers for every 16 KiB in the file.

    Args:
        directory: Where the file is; None: where temporary files go.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._end = 0
        self._waiting: defaultdict[str, bytearray] = defaultdict(bytearray)
        #: Offset and size of each piece, by task.
        self._pieces: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(self, task_id: str, data: bytes) -> None:
        """Put bytes behind those of the same task.

        Raises:
            OSError: the file cannot be written.
        """
        waiting = self._waiting[task_id]
        waiting += data
        if len(waiting) >= _PIECE_BYTES:
            self._put(task_id, bytes(waiting))
            waiting.clear()

    def read(self, task_id: str) -> Iterator[bytes]:
        """Give back what belongs to a task, in the order in which it came.

        Raises:
            OSError: the file cannot be read.
        """
        for at, size in self._pieces.get(task_id, ()):
            if self._file is not None:
                self._file.seek(at)
                yield self._file.read(size)
        yield bytes(self._waiting.get(task_id, b""))

    def close(self) -> None:
        """Let go of the file.

        Raises:
            OSError: the system says that it could not be written; nobody needs it any more.
        """
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _put(self, task_id: str, data: bytes) -> None:
        """Write a piece to the end of the file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 (lives as long as the run)
                prefix="batchrun-", dir=self._directory, buffering=0
            )
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._pieces[task_id].append((self._end, len(data)))
        self._end += len(data)
