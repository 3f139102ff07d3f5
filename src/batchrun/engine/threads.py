"""A runner in threads of its own, for units on hosts: they wait for the network, not for a CPU.

    submit ──► orders ──► one of at most `fanout` threads ──connect, run──► Queue
                                   ▲ stop, acknowledge
    watch: gives up threads that do not come back, names hosts that say nothing

Threads start as work arrives, and each runs one unit at a time. All state is guarded by one
condition, and nothing is done under it that may block. A thread holds at most one connection, and
none between two units; so whoever has to wait for a connection waits for somebody who waits for
none, and no two threads can wait for each other, whatever the connector does with two units for
the same host (`delegate_to`).

An operation must end soon after it was stopped or its time was over. A thread that does not come
back in time is given up: its unit is reported, another thread takes its place, and what it still
says is not passed on. Not guaranteed: that such a thread ever ends; it is a daemon, and holds its
connection until then.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from queue import SimpleQueue

from batchrun.engine.context import ACKNOWLEDGE
from batchrun.engine.hostattempt import HostAttempt, Patience
from batchrun.engine.hostcontext import HostUnitContext
from batchrun.engine.inprocess import never_begun
from batchrun.engine.steps import CONNECT
from batchrun.engine.unit import Raised, find_table, guarded, run_unit
from batchrun.model.host import Host
from batchrun.model.operation import Done, Operation, OperationTable
from batchrun.model.outcome import Failed, Report
from batchrun.model.ports import Returned, RunnerEvent, Silent
from batchrun.model.session import Connector, HostContext
from batchrun.model.unit import Order, RunSettings

__all__ = ["SshThreads"]

#: What asks the guards of units on hosts.
_WITHIN = "batchrun.remote.around:within"
#: What looks up the items that hosts have, for orders with numbers below zero.
_LOOKING = "batchrun.remote.items:OPERATIONS"
#: For idle threads to end at `close`, in seconds.
_JOIN_S = 5.0
#: Between two looks of the watch, in seconds.
_LOOK_S = 1.0


class SshThreads:
    """Runs units on hosts, at most `fanout` at a time.

    Args:
        settings: What is the same for all units.
        events: Where Started, Report and the other events go.
        table: The operations on hosts, or `module:ATTRIBUTE` where they are.
        connector: Makes connections; it is closed with the runner.
        fanout: Most threads.
    """

    def __init__(
        self,
        settings: RunSettings,
        events: SimpleQueue[RunnerEvent],
        table: OperationTable | str,
        connector: Connector,
        fanout: int,
    ) -> None:
        self._settings = settings
        self._events = events
        self._table = table
        self._connector = connector
        self._fanout = fanout
        #: How long threads and hosts are waited for; to be changed before the first order only.
        self.patience = Patience()
        lock = threading.RLock()
        #: There are orders, or will be none; its lock guards everything below.
        self._changed = threading.Condition(lock)
        #: The watch has something to look at.
        self._watched = threading.Condition(lock)
        self._orders: deque[Order] = deque()
        self._attempts: dict[int, HostAttempt] = {}
        # Those that have not been given up.
        self._threads: set[threading.Thread] = set()
        self._serial = 0
        self._watcher: threading.Thread | None = None
        #: It waits until it is woken. Else it looks by itself: to be woken for each unit was 7 % of
        #: the cost of short commands.
        self._is_asleep = False
        self._closing = False
        self._killed = False
        self._is_connector_closed = False

    @property
    def slots(self) -> int:
        """How many units it can run at the same time."""
        return self._fanout

    def submit(self, order: Order) -> None:
        """Take an order; a thread is started for it when none is idle.

        Raises:
            ValueError: the runner was closed.
        """
        with self._changed:
            if self._closing:
                message = "this runner was closed: it takes no more orders"
                raise ValueError(message)
            self._orders.append(order)
            if len(self._threads) < min(self._fanout, len(self._orders) + len(self._attempts)):
                self._start_thread()
            self._changed.notify()

    def stop(self, number: int) -> None:
        """End a unit; asked a second time, it gets no grace any more."""
        with self._changed:
            attempt = self._attempts.get(number)
            if attempt is not None:
                attempt.stop(self._settings.kill_grace_s, self.patience)
                return
            for order in self._orders:
                if order.number == number:
                    self._orders.remove(order)
                    self._events.put(never_begun(order))
                    return

    def withdraw(self) -> None:
        """Give back, as Returned, every order that was not begun."""
        with self._changed:
            while self._orders:
                order = self._orders.popleft()
                self._events.put(Returned(number=order.number, attempt=order.attempt))

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Say that this much live output of a unit has been shown."""
        with self._changed:
            attempt = self._attempts.get(number)
            if attempt is not None:
                attempt.control.tell(ACKNOWLEDGE, number, size_bytes)

    def forget(self, host: Host) -> None:
        """Let the connection to a host go: there is nothing more to do for it."""
        self._connector.forget(host)

    def close(self) -> None:
        """Let the threads end after what was submitted, and wait for them."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._join(_JOIN_S)
        self._disconnect()

    def kill(self) -> None:
        """End the running units, drop the others; threads that do not come back are left behind."""
        with self._changed:
            self._closing = self._killed = True
            self._orders.clear()
            for attempt in self._attempts.values():
                attempt.stop(0.0, self.patience)
                attempt.stop(0.0, self.patience)
            self._changed.notify_all()
        self._join(self.patience.insisted_s)
        self._disconnect()

    # ---- threads --------------------------------------------------------------------------

    def _start_thread(self) -> None:
        self._serial += 1
        thread = threading.Thread(
            target=self._serve, name=f"batchrun-ssh-{self._serial}", daemon=True
        )
        self._threads.add(thread)
        thread.start()
        if self._watcher is None:
            self._watcher = threading.Thread(
                target=self._watch, name="batchrun-ssh-watch", daemon=True
            )
            self._watcher.start()

    def _join(self, timeout_s: float) -> None:
        """Wait for all threads, but not for one that does not come back."""
        end = time.monotonic() + timeout_s
        with self._changed:
            everybody = [*self._threads, *([self._watcher] if self._watcher else [])]
        for thread in everybody:
            if thread is not threading.current_thread():
                thread.join(max(end - time.monotonic(), 0.0))

    def _disconnect(self) -> None:
        """Close all connections, once."""
        with self._changed:
            closed, self._is_connector_closed = self._is_connector_closed, True
        if not closed:
            self._connector.close()

    def _serve(self) -> None:
        """Run orders until told to end, or given up."""
        me = threading.current_thread()
        while (attempt := self._next(me)) is not None:
            report = self._run(attempt)
            with self._changed:
                if me not in self._threads:
                    return
                del self._attempts[attempt.order.number]
                self._put(report)
        with self._changed:
            self._threads.discard(me)
            self._watched.notify()

    def _next(self, me: threading.Thread) -> HostAttempt | None:
        """Wait for an order; None at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._orders or self._closing)
                if not self._orders:
                    return None
                order = self._orders.popleft()
                try:
                    attempt = HostAttempt(order, me, self._say)
                except OSError as error:  # no descriptor is left
                    self._put(_not_begun(order, error))
                    continue
                self._attempts[order.number] = attempt
                if self._is_asleep:
                    self._watched.notify()
                if order.expected_s is None:
                    self._put(attempt.started())
                return attempt

    def _run(self, attempt: HostAttempt) -> Report:
        order = attempt.order
        context = HostUnitContext(order, self._settings, attempt.control, attempt, self._connector)
        attempt.context = context
        table = self._table_for(order)
        report = run_unit(order, context, table, _WITHIN)
        given_back = guarded(context.disconnect)
        attempt.control.close()
        if isinstance(given_back, Raised):
            # By a defect of the connector; no unit may be lost by that, nor its thread.
            sentence = f"its connection cannot be given back: {given_back.error!r}"
            report = replace(report, warnings=(*report.warnings, sentence))
        return replace(report, worker=attempt.worker)

    def _table_for(self, order: Order) -> OperationTable:
        """Return where the operation of an order is; `find_table` finds each table once."""
        if order.number < 0:
            return find_table(_LOOKING)
        if order.unit.operation == CONNECT:
            return _CONNECTING
        return find_table(self._table) if isinstance(self._table, str) else self._table

    def _put(self, event: RunnerEvent) -> None:
        """Tell the engine, unless it has asked for silence."""
        if not self._killed:
            self._events.put(event)

    def _say(self, attempt: HostAttempt, event: RunnerEvent) -> None:
        """Pass on a word of a unit, unless it was given up."""
        with self._changed:
            if self._attempts.get(attempt.order.number) is attempt:
                self._put(event)

    # ---- watch ----------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look after the threads as long as there are any."""
        with self._changed:
            while self._threads:
                self._is_asleep = not self._attempts
                self._watched.wait(None if self._is_asleep else _LOOK_S)
                self._look(time.monotonic())
            self._watcher = None

    def _look(self, now: float) -> None:
        """Give up who should have come back by now, and name who says nothing."""
        for number, attempt in tuple(self._attempts.items()):
            outcome = attempt.overdue(now, self._settings.kill_grace_s, self.patience)
            if outcome is not None:
                del self._attempts[number]
                self._threads.discard(attempt.thread)
                self._put(attempt.given_up(outcome))
                if self._orders and not self._killed:
                    self._start_thread()
            elif attempt.is_silent(now, self.patience.silent_s):
                silent_s = now - attempt.heard_at
                self._put(Silent(number=number, stage=attempt.at_stage, silent_s=silent_s))


def _not_begun(order: Order, error: OSError) -> Report:
    """Report an order for which this machine has no room."""
    message = f"nothing was done: {error.strerror}; a smaller `fanout` needs fewer open files"
    return replace(never_begun(order), outcome=Failed(message=message, errno=error.errno))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nothing:
    """No parameters."""


def _connect(_params: _Nothing, context: HostContext) -> Done:
    """Be connected: what comes next uses the same connection."""
    _ = context.session
    return Done.unchanged()


#: What a unit with steps begins with; no job can ask for it.
_CONNECTING: Mapping[str, Operation] = {
    CONNECT: Operation(
        name=CONNECT,
        summary="Be connected.",
        params=_Nothing,
        function=_connect,
        main="",
    )
}
