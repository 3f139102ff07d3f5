"""What is owed: one object per call, which knows how to pass its answer on.

A call is queued, handed to a worker (its packet lies in that worker's inbox), begun (the worker
has read it), and answered exactly once: by the worker, or by the pool when the worker died.
"""

import pickle
import sys
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from types import BuiltinFunctionType, FunctionType
from typing import Any

from batchrun.engine.pool import wire
from batchrun.engine.pool.result import AsyncResult, RemoteTraceback
from batchrun.engine.unit import Raised, guarded
from batchrun.errors import WorkerLostError, WorkerTaskError
from batchrun.model.event import UnitOutput, UnitProgress
from batchrun.model.outcome import Failed, Lost, Outcome, Report
from batchrun.model.ports import Returned, RunnerEvent, Started
from batchrun.model.unit import Order

__all__ = ["Call", "FunctionCall", "Functions", "Timing", "UnitCall"]

#: Weight of the newest measurement in a function's mean time.
_NEWEST = 0.2
#: For sudo to be asked three times: for TERM, for KILL, and for what has left the group.
_SUDO_S = 10.0


class Timing:
    """How long calls of one function have been taking."""

    __slots__ = ("key", "mean_s")

    def __init__(self, key: bytes) -> None:
        #: The function, pickled by reference; empty: it travels with each call's arguments.
        self.key = key
        #: None: not known, so a call of it is never queued behind another.
        self.mean_s: float | None = None

    def add(self, elapsed_s: float) -> None:
        """Take in one more call."""
        mean = self.mean_s
        self.mean_s = elapsed_s if mean is None else mean + _NEWEST * (elapsed_s - mean)


class Functions:
    """Pickled forms of the plain functions seen so far.

    A function of a module is pickled by its name, always the same, so once is enough. Anything
    else (methods, partials, objects) may differ each time and is pickled with its arguments.
    """

    def __init__(self) -> None:
        self._known: dict[Callable[..., Any], Timing] = {}

    def timing(self, function: Callable[..., Any]) -> Timing:
        """Return what is known of a function; a new one is pickled, which may raise anything."""
        if type(function) is not FunctionType and (
            type(function) is not BuiltinFunctionType or function.__self__.__class__ is not _MODULE
        ):
            return Timing(b"")
        timing = self._known.get(function)
        if timing is None:
            timing = Timing(pickle.dumps(function, wire.PICKLE_PROTOCOL))
            self._known[function] = timing
        return timing


_MODULE = type(sys)


class Call:
    """One call, whatever it is for."""

    __slots__ = ("charge_s", "id", "message")

    def __init__(self, call_id: int, message: bytes) -> None:
        #: Rises in the order of submission.
        self.id = call_id
        self.message = message
        #: By how much it fills its worker's queue, in seconds of expected work.
        self.charge_s = 0.0

    @property
    def limit_s(self) -> float | None:
        """How long it may take; None: as long as it likes."""
        return None

    @property
    def ending_s(self) -> float:
        """How long ending it may take, beside the grace of its command and the answer."""
        return 0.0

    def expected_s(self) -> float | None:
        """How long it will take; None: not known, so it must not wait behind another."""
        raise NotImplementedError

    def handed(self, worker: str) -> None:
        """A worker has it now."""

    def note(self, kind: int, body: memoryview) -> None:
        """The worker says something about it while it runs it."""

    def answer(self, kind: int, body: memoryview, elapsed_s: float, worker: str) -> None:
        """The worker has answered."""
        raise NotImplementedError

    def lost(self, message: str) -> None:
        """No worker will answer, for the reason said."""
        raise NotImplementedError


class FunctionCall(Call):
    """A call of `apply_async`."""

    __slots__ = ("_callback", "_error_callback", "_result", "_timing")

    def __init__(
        self,
        call_id: int,
        result: AsyncResult,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        super().__init__(call_id, b"")
        self._result = result
        self._callback = callback
        self._error_callback = error_callback
        self._timing: Timing | None = None

    def pack(
        self,
        functions: Functions,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: Mapping[str, Any],
    ) -> None:
        """Make the message; raises whatever pickling raises."""
        timing = functions.timing(function)
        self._timing = timing
        key = timing.key
        head = wire.CALL_HEAD.pack(wire.FUNCTION, len(key), self.id)
        if not key:
            self.message = head + pickle.dumps((function, args, kwds), wire.PICKLE_PROTOCOL)
        elif args or kwds:
            self.message = head + key + pickle.dumps((args, kwds), wire.PICKLE_PROTOCOL)
        else:
            self.message = head + key

    def expected_s(self) -> float | None:
        """Return how long calls of its function have been taking."""
        return None if self._timing is None else self._timing.mean_s

    def answer(self, kind: int, body: memoryview, elapsed_s: float, worker: str) -> None:  # noqa: ARG002  # the contract of Call
        """Unpickle what the worker said and pass it on."""
        if self._timing is not None:
            self._timing.add(elapsed_s)
        if kind == wire.NONE:
            self._settle(None, success=True)
            return
        value = guarded(pickle.loads, (body,))
        if isinstance(value, Raised):
            message = f"the answer cannot be unpickled here: {value.error!r}"
            self.fail(WorkerTaskError(message))
        elif kind == wire.VALUE:
            self._settle(value, success=True)
        elif kind == wire.ERROR:
            error, text = value
            error.__cause__ = RemoteTraceback(text)
            self.fail(error)
        else:
            self.fail(WorkerTaskError(*value))

    def lost(self, message: str) -> None:
        """Say that the worker died, to this call only."""
        self.fail(WorkerLostError(message))

    def fail(self, error: BaseException) -> None:
        """End with an exception."""
        self._settle(error, success=False)

    def _settle(self, value: Any, *, success: bool) -> None:
        """Call back first, then let waiters go, as multiprocessing does."""
        callback = self._callback if success else self._error_callback
        if callback is not None:
            raised = guarded(callback, (value,))
            if isinstance(raised, Raised):
                _report_in_thread(raised.error)
        self._result.settle(value, success=success)


def _report_in_thread(error: BaseException) -> None:
    """Show what a callback raised, as if it had ended a thread, which it must not."""
    details = (type(error), error, error.__traceback__, threading.current_thread())
    guarded(threading.excepthook, (threading.ExceptHookArgs(details),))


class UnitCall(Call):
    """One attempt of a unit of the engine."""

    __slots__ = ("_started", "events", "handed_at", "order", "pid", "stops")

    def __init__(self, call_id: int, order: Order, events: SimpleQueue[RunnerEvent]) -> None:
        super().__init__(call_id, b"")
        self.events = events
        self._started = False
        self.order = order
        #: Leader of the command's process group, once announced.
        self.pid: int | None = None
        #: How often it was asked to stop.
        self.stops = 0
        #: Seconds since the epoch; 0.0 before it was handed to a worker.
        self.handed_at = 0.0

    def pack(self) -> None:
        """Make the message; raises whatever pickling raises."""
        body = pickle.dumps(wire.order_to_tuple(self.order), wire.PICKLE_PROTOCOL)
        self.message = wire.CALL_HEAD.pack(wire.UNIT, 0, self.id) + body

    @property
    def limit_s(self) -> float | None:
        """How long the attempt may take."""
        return self.order.unit.timeout_s

    @property
    def ending_s(self) -> float:
        """How long sudo may take to end what has been started by it."""
        return _SUDO_S if self.order.unit.params.get("sudo") else 0.0

    def expected_s(self) -> float | None:
        """Return what the engine expects."""
        return self.order.expected_s

    def handed(self, worker: str) -> None:
        """Tell the engine, unless the unit is so short that only its end is worth telling."""
        order = self.order
        if order.expected_s is not None:
            return
        self.handed_at = time.time()
        if not self._started:
            self._started = True
            self.events.put(
                Started(
                    number=order.number, attempt=order.attempt, at=self.handed_at, worker=worker
                )
            )

    def note(self, kind: int, body: memoryview) -> None:
        """Keep a command's pid; pass on output and progress."""
        order = self.order
        if kind == wire.COMMAND:
            (self.pid,) = wire.U64.unpack(body)
        elif kind == wire.PROGRESS:
            (bytes_done,) = wire.U64.unpack(body)
            self.events.put(UnitProgress(number=order.number, bytes_done=bytes_done))
        else:
            stream = "stdout" if kind == wire.STDOUT else "stderr"
            self.events.put(
                UnitOutput(number=order.number, unit=order.unit, stream=stream, data=bytes(body))
            )

    def answer(self, kind: int, body: memoryview, elapsed_s: float, worker: str) -> None:  # noqa: ARG002  # the contract of Call
        """Pass the worker's report on."""
        values = guarded(pickle.loads, (body,))
        if isinstance(values, Raised):
            message = (
                f"this is a defect of the operation: its answer cannot be read: {values.error!r}"
            )
            self.end(Failed(message=message, retryable=False), worker)
        else:
            self.events.put(wire.report_from_tuple(values, worker))

    def lost(self, message: str) -> None:
        """Report the attempt as lost."""
        self.end(Lost(message=message), "")

    def end(self, outcome: Outcome, worker: str) -> None:
        """Report an ending that no worker has told."""
        began = self.handed_at
        self.events.put(
            Report(
                number=self.order.number,
                attempt=self.order.attempt,
                outcome=outcome,
                started_at=began,
                duration_s=max(0.0, time.time() - began) if began else 0.0,
                worker=worker,
            )
        )

    def give_back(self) -> None:
        """Return the order to the engine, not begun."""
        self.events.put(Returned(number=self.order.number, attempt=self.order.attempt))
