"""The selector of the pool's thread: what is readable is served, and others can wake it up."""

import os
import select
from collections.abc import Callable

__all__ = ["Watch"]


class Watch:
    """One persistent epoll and an eventfd.

    Kept for the life of the pool, because building a selector for each wait costs 100 µs at 64
    workers and this 1 µs.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._serve: dict[int, Callable[[int], None]] = {}
        self.add(self._wake_fd, self._woken)

    def add(self, fd: int, serve: Callable[[int], None]) -> None:
        """Have a function called with the event mask when a descriptor is readable."""
        self._serve[fd] = serve
        self._epoll.register(fd, select.EPOLLIN)

    def also_writable(self, fd: int, *, wanted: bool) -> None:
        """Say whether room for writing counts too."""
        if fd in self._serve:
            self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def drop(self, fd: int) -> None:
        """Undo `add`; before the descriptor is closed, and more than once if need be."""
        if self._serve.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wait(self, timeout_s: float | None) -> None:
        """Serve what is ready; wait for it at most so long (None: for ever)."""
        for fd, mask in self._epoll.poll(timeout_s):
            serve = self._serve.get(fd)
            if serve is not None:  # one served before in this round may have dropped this one
                serve(mask)

    def wake(self) -> None:
        """End a wait, or the next one; from any thread, at any time."""
        os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Stop watching; `wake` does nothing from now on."""
        self._serve.clear()
        self._epoll.close()

    def __del__(self) -> None:
        # Not in `close`: another thread may be about to write, and the number would be reused.
        os.close(self._wake_fd)

    def _woken(self, _mask: int) -> None:
        os.eventfd_read(self._wake_fd)
