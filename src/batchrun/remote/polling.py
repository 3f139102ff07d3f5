"""Look at something again and again, until it is as wished or time is over."""

import select
import time

from batchrun.errors import UnitStoppedError
from batchrun.model.session import HostContext

__all__ = ["Polling", "unreached"]

_SLICE_S = 0.25


class Polling:
    """The times at which to look.

    Args:
        context: The unit's: its deadline, if it has one, is the limit.
        every_s: Between the end of a look and the next one.
        limit_s: How long without a deadline.
    """

    def __init__(self, context: HostContext, every_s: float, limit_s: float) -> None:
        self._context = context
        self._every_s = every_s
        now = time.monotonic()
        self._end = context.deadline if context.deadline is not None else now + limit_s
        #: The limit that holds.
        self.limit_s = limit_s if context.deadline is None else context.terms.timeout_s or 0.0
        self._first = True

    def goes_on(self) -> bool:
        """Wait until it is time to look; return False when time is over.

        Raises:
            UnitStoppedError: the unit was told to stop.
        """
        wait_s = 0.0 if self._first else self._every_s
        self._first = False
        until = time.monotonic() + wait_s
        while (left_s := until - time.monotonic()) > 0 and not self.is_over():
            self._pause(min(left_s, max(0.0, self._end - time.monotonic()), _SLICE_S))
            self._check()
        self._check()
        return not self.is_over()

    def is_over(self) -> bool:
        """Tell whether time is over: a look that it cut off says nothing."""
        return time.monotonic() >= self._end

    def _check(self) -> None:
        try:
            self._context.check()
        except UnitStoppedError as stopped:
            if not stopped.timed_out:
                raise

    def _pause(self, seconds: float) -> None:
        fd = self._context.control_fd
        poll = select.poll()
        if fd is not None:
            poll.register(fd, select.POLLIN)
        poll.poll(seconds * 1000)


def unreached(error: Exception) -> str:
    """Say in a few words why a host could not be asked."""
    return str(error) or type(error).__name__
