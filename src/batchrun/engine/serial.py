"""Runners without processes: one unit at a time, in one helper thread.

The thread lets the engine's own thread go on answering signals while an operation runs. What
`WorkerPool` guarantees by killing a worker is not guaranteed here: an operation that never calls
`check()` runs to its end, past its deadline, and its thread is left behind at `kill`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue

from batchrun.engine.context import ACKNOWLEDGE, STOP, UnitContext
from batchrun.engine.inprocess import LocalControl, never_begun
from batchrun.engine.pool.endings import end_command_aside
from batchrun.engine.unit import run_unit
from batchrun.model.event import UnitOutput, UnitProgress
from batchrun.model.operation import OperationTable
from batchrun.model.outcome import Cancelled, Failed, Outcome, Report
from batchrun.model.ports import Returned, RunnerEvent, Started
from batchrun.model.unit import Order, RunSettings
from batchrun.ops.processes import cookie
from batchrun.ops.survivor import Survivor

__all__ = ["DryRunner", "SerialRunner"]

_NAME = "serial"
#: For the thread to end at `close` and `kill`, beyond the grace of a command, in seconds.
_JOIN_S = 5.0


class SerialRunner:
    """Runs units in process, in the order of their submission.

    Args:
        settings: What is the same for all units.
        events: Where Started, Report and the other events go.
        table: The operations, or `module:ATTRIBUTE` where they are.
    """

    def __init__(
        self,
        settings: RunSettings,
        events: SimpleQueue[RunnerEvent],
        table: OperationTable | str = "batchrun.ops:OPERATIONS",
    ) -> None:
        self._settings = settings
        self._events = events
        self._table = table
        #: Guards everything below.
        self._changed = threading.Condition()
        self._orders: deque[Order] = deque()
        self._current: _Attempt | None = None
        self._closing = False
        self._killed = False
        #: Ends the command that runs when this process is killed.
        self._survivor = Survivor(settings.kill_grace_s)
        self._thread: threading.Thread | None = None

    @property
    def slots(self) -> int:
        """How many units it can run at the same time: one."""
        return 1

    def submit(self, order: Order) -> None:
        """Take an order; its thread starts with the first one.

        Raises:
            ValueError: the runner was closed.
        """
        with self._changed:
            if self._closing:
                message = "this runner was closed: it takes no more orders"
                raise ValueError(message)
            self._orders.append(order)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name=f"batchrun-{_NAME}", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def stop(self, number: int) -> None:
        """End a unit; asked a second time, its command gets no grace any more."""
        with self._changed:
            current = self._current
            if current is not None and current.order.number == number:
                current.stop()
                return
            for order in self._orders:
                if order.number == number:
                    self._orders.remove(order)
                    self._put(never_begun(order))
                    return

    def withdraw(self) -> None:
        """Give back, as Returned, every order that was not begun."""
        with self._changed:
            while self._orders:
                order = self._orders.popleft()
                self._put(Returned(number=order.number, attempt=order.attempt))

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Say that this much live output of a unit has been shown."""
        with self._changed:
            if self._current is not None:
                self._current.control.tell(ACKNOWLEDGE, number, size_bytes)

    def close(self) -> None:
        """Let the thread end after what was submitted, and wait for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._join(_JOIN_S)

    def kill(self) -> None:
        """End the running unit at once, drop the others; no more events come."""
        with self._changed:
            self._closing = self._killed = True
            self._orders.clear()
            self._changed.notify()
            if self._current is not None:
                self._current.stop()
                self._current.stop()
        self._join(_JOIN_S)

    def _join(self, timeout_s: float) -> None:
        """Wait for the thread, but not for an operation that never looks up."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _serve(self) -> None:
        """Run orders until told to end."""
        try:
            self._run_all()
        finally:
            self._survivor.close()

    def _run_all(self) -> None:
        while (attempt := self._next()) is not None:
            order = attempt.order
            if order.expected_s is None:
                self._put(
                    Started(
                        number=order.number, attempt=order.attempt, at=time.time(), worker=_NAME
                    )
                )
                # Before its command begins: who is killed then cannot tell its process any more.
                with suppress(OSError):
                    self._survivor.watch(attempt.cookie)
            context = UnitContext(order, self._settings, attempt.control, attempt)
            report = run_unit(order, context, self._table)
            self._survivor.rest()
            with self._changed:
                self._current = None
            attempt.control.close()
            self._put(replace(report, outcome=attempt.ending(report), worker=_NAME))

    def _next(self) -> "_Attempt | None":
        """Wait for an order; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._orders or self._closing)
            if not self._orders:
                return None
            order = self._orders.popleft()
            self._current = _Attempt(order, self._settings, self._put, self._survivor)
            return self._current

    def _put(self, event: RunnerEvent) -> None:
        """Tell the engine, unless it has asked for silence."""
        if not self._killed:
            self._events.put(event)


class DryRunner(SerialRunner):
    """Runs units as a dry run: operations look, change nothing, and say what they would do."""

    def __init__(
        self,
        settings: RunSettings,
        events: SimpleQueue[RunnerEvent],
        table: OperationTable | str = "batchrun.ops:OPERATIONS",
    ) -> None:
        super().__init__(replace(settings, dry_run=True), events, table)


class _Attempt:
    """The unit that is running, with what stops it and where its words go."""

    def __init__(
        self,
        order: Order,
        settings: RunSettings,
        put: Callable[[RunnerEvent], None],
        survivor: Survivor,
    ) -> None:
        self.order = order
        self._survivor = survivor
        self.control = LocalControl()
        self._settings = settings
        self._put = put
        self._pid: int | None = None
        self._stops = 0

    def stop(self) -> None:
        """Ask for the end; the second time end the command without grace."""
        self._stops += 1
        order = self.order
        if self._stops == 1:
            self.control.tell(STOP, order.number, 0)
            return
        end_command_aside(self._pid, order, self._settings, 0.0, _nothing)

    def ending(self, report: Report) -> Outcome:
        """Return how it ended: a command that we have killed may look as if it had failed."""
        if self._stops > 1 and isinstance(report.outcome, Failed):
            return Cancelled(was_running=True)
        return report.outcome

    @property
    def cookie(self) -> str:
        """By which its processes are known."""
        return cookie(self._settings.run_id, self.order.number, self.order.attempt)

    def command_started(self, pid: int) -> None:
        """Remember who leads the command, and have it ended should this process die."""
        self._pid = pid
        self._survivor.watch(self.cookie, pid)

    def live_output(self, stream: str, data: bytes) -> None:
        """Pass on a piece of output."""
        order = self.order
        self._put(UnitOutput(number=order.number, unit=order.unit, stream=stream, data=data))

    def progress(self, bytes_done: int) -> None:
        """Pass on how far the unit is."""
        self._put(UnitProgress(number=self.order.number, bytes_done=bytes_done))


def _nothing() -> None:
    """Have nothing to say afterwards: the running unit reports."""
