"""Items that come when they come: read in a thread, handed over through a bounded buffer.

    thread: files, pipes, globs, walks ──batches──► deque (at most 16) ──► next(), never blocks
                                                      │
                     the waker is called when something comes after `next` had to say PENDING

The thread owns the descriptor and closes it. `close` makes it end at its next poll; what is
blocked in the kernel (a glob on a dead mount) is left to end with the process: it is a daemon.
"""

import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias

from batchrun.errors import SourceError
from batchrun.model.ports import Drawn, Waker

__all__ = ["BatchReader", "Batches", "Feeder", "LineSplitter", "in_batches"]

_MOST_BATCHES = 16
_BLOCK_BYTES = 64 * 1024
#: No item that anybody means is longer; a file without line ends is not a list.
_LONGEST_LINE_BYTES = 1024 * 1024
_BATCH = 1024

Batches: TypeAlias = Generator[list[Any], None, None]
#: Makes items of the blocks of a file; yields what it has before it waits for the next block.
BatchReader: TypeAlias = Callable[[Iterator[bytes]], Batches]


def in_batches(items: Iterator[Any]) -> Batches:
    """Put items together; what came before a failure is handed over first."""
    batch: list[Any] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) >= _BATCH:
                yield batch
                batch = []
    except SourceError:
        yield batch
        raise
    yield batch


class LineSplitter:
    """Cuts blocks of bytes into lines; empty ones are left out, names may be of any bytes."""

    def __init__(self, separator: bytes, name: str) -> None:
        self._separator = separator
        self._character = separator.decode()
        self.name = name
        self._rest = b""
        self._encoding = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())

    def feed(self, block: bytes) -> list[str]:
        """Return the lines that a block completes; an empty block is the end.

        Raises:
            SourceError: a line is so long that this is no list.
        """
        if not block:
            whole, self._rest = self._rest, b""
        else:
            whole, _, self._rest = (self._rest + block).rpartition(self._separator)
        if len(self._rest) > _LONGEST_LINE_BYTES:
            message = f"{self.name} has a line of more than 1 MiB; it is not a list of items"
            raise SourceError(message)
        text = whole.decode(*self._encoding)
        return [line for line in text.split(self._character) if line]

    def batches(self, blocks: Iterator[bytes]) -> Batches:
        """Yield the lines of blocks as they come.

        Raises:
            SourceError: a line is so long that this is no list.
        """
        for block in blocks:
            yield self.feed(block)
        yield self.feed(b"")


class Feeder:
    """Runs an iterator of batches in a daemon thread.

    Args:
        batches: Yields lists of items; may block; raises SourceError.
        waker: Called, from the thread, when there is something again.
    """

    def __init__(
        self, batches: Batches, waker: Waker, stop_fds: tuple[int, int] | None = None
    ) -> None:
        self._batches = batches
        self._waker = waker
        self._buffer: deque[list[Any]] = deque()
        self._current: Iterator[Any] = iter(())
        self._changed = threading.Condition()
        self._asleep = False
        self._closed = False
        self._ended = False
        self._error: SourceError | None = None
        self._stop_fds = stop_fds
        threading.Thread(target=self._run, name="foreach", daemon=True).start()

    @classmethod
    def of_file(
        cls, fd: int, name: str, read: BatchReader, waker: Waker, *, owned: bool = True
    ) -> "Feeder":
        """Make a feeder of what comes out of a descriptor.

        Args:
            fd: To be read from.
            name: Of the file, for messages.
            read: Makes items of its blocks.
            waker: Called, from the thread, when there is something again.
            owned: The descriptor is closed at the end.
        """
        stop_fds = os.pipe()
        return cls(_batches_of(fd, stop_fds[0], name, read, owned=owned), waker, stop_fds)

    def next(self) -> Any:
        """Return the next item, `Drawn.PENDING` or `Drawn.EXHAUSTED`; never blocks.

        Raises:
            SourceError: the source failed, after everything that came before was drawn.
        """
        while (item := next(self._current, Drawn.EXHAUSTED)) is Drawn.EXHAUSTED:
            with self._changed:
                if self._buffer:
                    self._current = iter(self._buffer.popleft())
                    self._changed.notify()
                elif not self._ended:
                    self._asleep = True
                    return Drawn.PENDING
                elif self._error is not None:
                    raise self._error
                else:
                    return Drawn.EXHAUSTED
        return item

    def close(self) -> None:
        """Tell the thread to end; does not wait for it."""
        with self._changed:
            self._closed = True
            self._buffer.clear()
            self._changed.notify()
            self._let_go()

    def _let_go(self) -> None:
        """Close our end of the pipe: the thread's end polls readable."""
        if self._stop_fds is not None:
            os.close(self._stop_fds[1])
            self._stop_fds = None

    def _run(self) -> None:
        try:
            for batch in self._batches:
                if not self._put(batch):
                    break
        except SourceError as error:
            self._error = error
        finally:
            self._batches.close()
            self._end()

    def _put(self, batch: list[Any]) -> bool:
        with self._changed:
            while len(self._buffer) >= _MOST_BATCHES and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            if not batch:
                return True
            self._buffer.append(batch)
            wake, self._asleep = self._asleep, False
        if wake:
            self._waker()
        return True

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            wake = self._asleep and not self._closed
            self._let_go()
        if wake:
            self._waker()


def _batches_of(fd: int, stop_fd: int, name: str, read: BatchReader, *, owned: bool) -> Batches:
    try:
        yield from read(_blocks(fd, stop_fd, name))
    finally:
        os.close(stop_fd)
        if owned:
            os.close(fd)


def _blocks(fd: int, stop_fd: int, name: str) -> Iterator[bytes]:
    """Yield what comes out of a descriptor, until its end or until told to stop."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(stop_fd, select.POLLIN)
    while True:
        ready = {one for one, _ in poll.poll()}
        if stop_fd in ready:
            return
        block = _read(fd, name)
        if block == b"":
            return
        if block is not None:
            yield block


def _read(fd: int, name: str) -> bytes | None:
    """Read what is there; None: another reader of the same descriptor was faster."""
    try:
        return os.read(fd, _BLOCK_BYTES)
    except BlockingIOError:
        return None
    except OSError as error:
        message = f"{name} cannot be read to its end: {error.strerror}"
        raise SourceError(message) from None
