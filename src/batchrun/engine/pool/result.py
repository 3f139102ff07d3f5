"""What `apply_async` returns: the value to come, with the contract of multiprocessing."""

import multiprocessing
import threading
from typing import Any

__all__ = ["AsyncResult", "RemoteTraceback"]

#: Held for the instant in which a first waiter makes its event: most results are never waited
#: for one by one, and an Event each would be half of the cost of a call.
_FIRST_WAITER = threading.Lock()


#: One wait, in seconds. CPython looks for signals before it waits for a lock, and those that come
#: in the wait end it; of one that comes in the instant between, nothing would be seen until the
#: answer is there (3 of 17 programs that were interrupted then, on a busy machine).
_WAIT_S = 0.5


class RemoteTraceback(Exception):  # noqa: N818  # it is a text to show, nobody catches it
    """The traceback of an exception in its worker; becomes that exception's `__cause__`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Set the text apart from the traceback of the caller."""
        return f'\n"""\n{self.text}"""'


class AsyncResult:
    """The result of one call."""

    __slots__ = ("__weakref__", "_event", "_pool", "_ready", "_success", "_value")

    def __init__(self, pool: object) -> None:
        # Keeps a pool that its user has dropped alive until this call is answered.
        self._pool: object = pool
        self._ready = False
        self._success = False
        self._value: Any = None
        self._event: threading.Event | None = None

    def ready(self) -> bool:
        """Tell whether the call is answered."""
        return self._ready

    def successful(self) -> bool:
        """Tell whether the call has returned a value.

        Raises:
            ValueError: it is not answered yet.
        """
        if not self._ready:
            message = f"{self!r} not ready"
            raise ValueError(message)
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call is answered, at most `timeout` seconds."""
        if self._ready:
            return
        with _FIRST_WAITER:
            if self._event is None:
                self._event = threading.Event()
        # Answered in between: `settle` may not have seen the event.
        if not self._ready:
            _wait(self._event, timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the value and return it, or raise what the function raised.

        Raises:
            multiprocessing.TimeoutError: it is not answered after `timeout` seconds.
            WorkerLostError: the worker died while it ran this call.
            WorkerTaskError: the error or the value of the function cannot be pickled.
        """
        self.wait(timeout)
        if not self._ready:
            raise multiprocessing.TimeoutError
        if self._success:
            return self._value
        raise self._value

    def settle(self, value: Any, *, success: bool) -> None:
        """Give the answer; called once, by the pool's thread."""
        self._value = value
        self._success = success
        self._pool = None
        self._ready = True
        if self._event is not None:
            self._event.set()


def _wait(event: threading.Event, timeout: float | None) -> None:
    if timeout is not None:
        event.wait(timeout)
        return
    while not event.wait(_WAIT_S):
        continue
