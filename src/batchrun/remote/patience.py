"""How long somebody may wait for a stage of a connection, and who may call him off meanwhile."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["SLICE_S", "Patience"]

#: A waiting thread looks this often whether its unit was stopped.
SLICE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Waits until a deadline, and raises what `check` raises."""

    #: By the monotonic clock.
    deadline: float
    #: `Context.check` of the unit that waits.
    check: Callable[[], None]

    @classmethod
    def of(cls, seconds: float, check: Callable[[], None]) -> "Patience":
        """Begin to wait now."""
        return cls(deadline=time.monotonic() + seconds, check=check)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; 0: it has passed."""
        return max(0.0, self.deadline - time.monotonic())

    def slice_s(self) -> float:
        """Check, and return how long to wait until the next check; 0: the deadline has passed."""
        self.check()
        return min(self.left_s, SLICE_S)

    def wait(self, event: threading.Event, while_: Callable[[], bool] = lambda: True) -> bool:
        """Wait for an event; False: the deadline has passed before, or `while_` is not true."""
        while not event.is_set() and while_():
            seconds = self.slice_s()
            if not seconds:
                break
            event.wait(seconds)
        return event.is_set()

    def pause(self, seconds: float) -> None:
        """Wait for a while, but not beyond the deadline."""
        end = time.monotonic() + seconds
        never = threading.Event()
        while time.monotonic() < end and (slice_s := self.slice_s()):
            never.wait(min(slice_s, max(0.0, end - time.monotonic())))
