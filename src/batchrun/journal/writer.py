"""Writes the record of one run, in a thread of its own.

    the run's loop ──put──► waiting (bounded) ──batch, at most 100 ms old──► SQLite, one transaction

The loop never waits for the disk, unless the bound is reached: a slow disk must not idle workers,
and a dead one must not eat all memory. Rows are written many to a statement, because each
statement lets go of the interpreter and has to win it back from a busy loop.

An error is kept, and raised by the next `put` or `flush`; nothing is written after it.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from batchrun.journal.database import transaction

__all__ = ["Batch", "Writer", "insert"]

#: How old the oldest waiting event may become, in seconds.
_BATCH_S = 0.05
#: So many are written without waiting for more.
_BATCH_EVENTS = 1000
#: Waiting events, and bytes of output in them, above which `put` blocks.
_MOST_EVENTS = 20_000
_MOST_BYTES = 64 * 1024 * 1024
#: Rows of one statement; what is left over is written by smaller ones.
_ROWS = (128, 16, 1)


class Batch(Protocol):
    """Turns waiting events into rows, inside a transaction, in the writer's thread."""

    def __call__(self, connection: sqlite3.Connection, events: Sequence[Any]) -> None:
        """Write these events, in order."""


class Writer:
    """A thread with a connection.

    Args:
        connection: Used by the thread alone until `close` has returned.
        write: Turns a batch into rows.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        write: Batch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._write = write
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Any] = deque()
        self._waiting_bytes = 0
        self._urgent = False
        self._closed = False
        self._put = 0
        #: How many events are on disk.
        self.written = 0
        self._error: sqlite3.Error | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def put(self, event: Any, size_bytes: int = 0) -> int:
        """Hand over an event; returns how many there are now, to compare with `written`.

        Raises:
            sqlite3.Error: an earlier one could not be written.
        """
        with self._changed:
            while self._is_full() and self._error is None:
                self._urgent = True
                self._changed.notify_all()
                self._changed.wait()
            self._raise()
            if not self._waiting or len(self._waiting) == _BATCH_EVENTS:
                self._changed.notify_all()
            self._waiting.append(event)
            self._waiting_bytes += size_bytes
            self._put += 1
            return self._put

    def flush(self) -> None:
        """Wait until everything that was put so far is on disk.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        with self._changed:
            last = self._put
            self._urgent = self.written < last
            self._changed.notify_all()
            while self.written < last and self._error is None:
                self._changed.wait()
            self._raise()

    def close(self) -> None:
        """Write what is left, as far as that is possible, and let the thread end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _is_full(self) -> bool:
        return len(self._waiting) >= _MOST_EVENTS or self._waiting_bytes >= _MOST_BYTES

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # ---- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        error: sqlite3.Error | None = sqlite3.InternalError("the writer of the record has a defect")
        try:
            while (events := self._next_batch()) is not None:
                self._transact(events)
                with self._changed:
                    self.written += len(events)
                    self._changed.notify_all()
            error = None
        except sqlite3.Error as found:
            error = found
        finally:  # whatever it was: nobody may wait for this thread for ever
            if error is not None:
                self._fail(error)

    def _next_batch(self) -> list[Any] | None:
        """Wait for something to write; None: nothing will come any more."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            until = self._clock() + _BATCH_S
            while (left_s := until - self._clock()) > 0 and not (
                self._urgent or self._closed or len(self._waiting) > _BATCH_EVENTS
            ):
                self._changed.wait(left_s)
            events = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            # What was urgent is in this batch; the next ones are worth waiting for again.
            self._urgent = False
            self._changed.notify_all()
        return events

    def _transact(self, events: Sequence[Any]) -> None:
        with transaction(self._connection):
            self._write(self._connection, events)

    def _fail(self, error: sqlite3.Error) -> None:
        with self._changed:
            self._error = error
            self._waiting.clear()
            self._changed.notify_all()


def insert(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Insert rows, many to a statement."""
    names = ",".join(columns)
    one = f"({','.join('?' * len(columns))})"
    at = 0
    for size in _ROWS:
        statement = f"INSERT INTO {table}({names}) VALUES {','.join([one] * size)}"
        while len(rows) - at >= size:
            values = [value for row in rows[at : at + size] for value in row]
            connection.execute(statement, values)
            at += size
