"""What runners in this process share: messages to a unit in another thread, and its last word."""

import os
import threading
from collections import deque

from batchrun.model.outcome import Cancelled, Report
from batchrun.model.unit import Order

__all__ = ["LocalControl", "never_begun"]


def never_begun(order: Order) -> Report:
    """Report an order that was stopped while it was queued."""
    return Report(
        number=order.number,
        attempt=order.attempt,
        outcome=Cancelled(was_running=False),
        started_at=0.0,
        duration_s=0.0,
    )


class LocalControl:
    """Control messages from another thread of this process."""

    __slots__ = ("_fd", "_lock", "_messages", "parent_gone")

    def __init__(self) -> None:
        self._messages: deque[tuple[int, int, int]] = deque()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        #: Never: the other end is this process itself.
        self.parent_gone = False

    def tell(self, kind: int, number: int, size: int) -> None:
        """Leave a message; after `close` for nobody."""
        with self._lock:
            if self._fd >= 0:
                self._messages.append((kind, number, size))
                os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        """Return the descriptor that polls readable while there are messages."""
        return self._fd

    def next(self) -> tuple[int, int, int] | None:
        """Read one message; None when there is none now."""
        if not self._messages:
            return None
        with self._lock:
            message = self._messages.popleft()
            if not self._messages:
                os.eventfd_read(self._fd)
            return message

    def close(self) -> None:
        """Let go of the descriptor."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1
