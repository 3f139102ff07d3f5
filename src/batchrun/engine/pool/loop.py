"""The pool's own thread: one persistent selector, all state, every decision.

    any thread ── append to Desk.queue, or post a request ──► eventfd ──┐
    workers    ── answers on their links, death on their pidfds ────────┤
                                                                        ▼
                                              PoolLoop: Watch ─► Crew ─► Desk ─► inboxes
                                                                  └─► results, the Queue

It never blocks: not on a worker, not on a command that takes its grace to die (a small thread
per death waits for that), only in its selector.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from batchrun.engine.context import ACKNOWLEDGE
from batchrun.engine.pool.calls import Call, UnitCall
from batchrun.engine.pool.crew import ANSWER_S, Crew
from batchrun.engine.pool.desk import Desk
from batchrun.engine.pool.process import block_signals
from batchrun.engine.pool.watch import Watch
from batchrun.model.unit import RunSettings

__all__ = ["PoolLoop"]

#: For workers and their commands to be gone at `kill`, in seconds.
_KILL_S = 10.0
_ENDED = "the pool was terminated before this ended"


class PoolLoop:
    """The state of a pool and the thread that owns it."""

    def __init__(self, processes: int, settings: RunSettings, table: str) -> None:
        self._desk = Desk(processes, settings.kill_grace_s + ANSWER_S)
        self._watch = Watch()
        self._crew = Crew(self._desk, self._watch, (settings, table), self.post)
        self._requests: deque[Callable[[], None]] = deque()
        #: A request has to wake the thread up; a submission has to; one has come.
        self._asleep = False
        self._hungry = False
        self._news = False
        self._closing = False
        self._close_may_return = threading.Event()
        self._kill_until: float | None = None
        self.thread = threading.Thread(target=self._run, name="batchrun-pool", daemon=True)
        self.thread.start()

    # Called by other threads.

    def submit(self, call: Call) -> None:
        """Queue a call."""
        if isinstance(call, UnitCall):
            self._crew.units[call.order.number] = call
        self._desk.queue.append(call)
        self._news = True
        if self._hungry:
            self._wake()

    def post(self, request: Callable[[], None]) -> None:
        """Have the pool's thread call a function."""
        self._requests.append(request)
        if self._asleep:
            self._wake()

    def stop(self, number: int) -> None:
        """End a unit; the second time at once."""
        self.post(partial(self._crew.stop, number))

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Let a unit send more output."""
        self.post(partial(self._crew.tell, ACKNOWLEDGE, number, size_bytes))

    def withdraw(self, before_id: int) -> None:
        """Give back the units submitted before this id that no worker has begun."""
        self.post(partial(self._withdraw, before_id))

    def close(self) -> None:
        """End when all calls are answered; wait for that when there are none."""
        self.post(self._close)
        if threading.current_thread() is not self.thread:
            while self.thread.is_alive() and not self._close_may_return.wait(0.1):
                continue

    def kill(self) -> None:
        """End everything now, and wait until that is so."""
        self.post(self._kill)
        if threading.current_thread() is not self.thread:
            self.thread.join(2 * _KILL_S)

    def _wake(self) -> None:
        """Get the thread out of its selector."""
        self._hungry = self._asleep = False
        self._watch.wake()

    # The thread.

    def _run(self) -> None:
        """Serve until the pool has ended; whatever happens, nobody waits for ever."""
        block_signals()
        try:
            while self._unfinished():
                self._turn()
        finally:
            self._end_all()

    def _unfinished(self) -> bool:
        """Whether there is anything left to do or to wait for."""
        if not self._closing:
            return True
        if self._kill_until is not None and time.monotonic() > self._kill_until:
            return False
        desk = self._desk
        return bool(desk.queue or desk.workers or self._crew.ending or self._requests)

    def _turn(self) -> None:
        """Wait for something, take it in, hand out what can be handed out."""
        desk = self._desk
        self._watch.wait(self._wait_s())
        self._hungry = self._asleep = False
        while self._requests:
            self._requests.popleft()()
        self._news = False
        now = time.monotonic()
        if now >= desk.look_at:
            self._crew.look(now)
        if desk.queue or (desk.idle and desk.handed):
            desk.assign(now)
        if desk.queue and desk.wanted() > 0:
            self._crew.start(now)
        if self._closing and not desk.queue and desk.idle:
            self._crew.let_idle_go(now)

    def _wait_s(self) -> float | None:
        """Fall asleep: say so first, then see whether anybody came in between."""
        desk = self._desk
        # With all workers busy and calls queued already, one call more changes nothing. An idle
        # one beside a queue means that a call came after the last look.
        self._hungry = not desk.queue or bool(desk.idle) or len(desk.workers) < desk.processes
        self._asleep = True
        if self._requests or (self._hungry and self._news):
            return 0.0
        until = min(desk.look_at, self._kill_until or desk.look_at)
        return max(0.0, until - time.monotonic()) if until < float("inf") else None

    def _withdraw(self, before_id: int) -> None:
        """Give back queued units, and short ones that lie unread behind others."""
        desk = self._desk
        calls = [call for _ in range(len(desk.queue)) if (call := desk.next_call()) is not None]
        for worker in desk.workers:
            if all(call.expected_s() is not None for call in worker.outstanding.values()):
                calls += desk.take_back(worker)
                desk.settled(worker)
        kept = []
        for call in sorted(calls, key=lambda call: call.id):
            if isinstance(call, UnitCall) and call.id < before_id:
                del self._crew.units[call.order.number]
                call.give_back()
            else:
                kept.append(call)
        desk.put_back(kept)

    def _close(self) -> None:
        """Take no more; let the caller wait for the end only if there is nothing left to do."""
        self._closing = True
        desk = self._desk
        if desk.queue or desk.handed or self._crew.ending:
            self._close_may_return.set()

    def _kill(self) -> None:
        """Answer what is not begun, kill the workers; the rest follows from their deaths."""
        if self._kill_until is not None:
            return
        now = time.monotonic()
        self._closing = True
        self._kill_until = now + _KILL_S
        self._crew.no_grace = True
        for unit in self._crew.units.values():
            unit.events = SimpleQueue()  # nobody reads any more
        for worker in self._desk.workers:
            self._desk.put_back(self._desk.take_back(worker))
        while (call := self._desk.next_call()) is not None:
            call.lost(_ENDED)
        self._crew.kill_all(now)

    def _end_all(self) -> None:
        """Let go of everything, also when a defect has ended the thread."""
        self._closing = True
        for worker in list(self._desk.workers):
            self._crew.dismiss(worker, _ENDED)
        while (call := self._desk.next_call()) is not None:
            call.lost(_ENDED)
        self._crew.close()
        self._watch.close()
        self._close_may_return.set()
