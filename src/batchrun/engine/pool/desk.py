"""Who gets what: the queue of calls, the idle workers, and the exchange between them.

A call goes to an idle worker; short ones are queued ahead in the inboxes of busy workers that
hold only short ones. When a worker has nothing to do and the queue is empty, it is given what
others have not read yet. All methods but `Desk.queue.append` belong to the pool's thread.
"""

import math
from collections import deque
from collections.abc import Iterable

from batchrun.engine.pool.calls import Call
from batchrun.engine.pool.process import AHEAD_CALLS, AHEAD_S, WorkerProcess

__all__ = ["Desk"]

#: For how long a call may lie unread behind another, or in front of a worker that does not
#: read it (stopped, starved), before an idle worker looks whether it can have it.
_BEHIND_S = 0.001
_UNREAD_S = 0.02
#: Less expected work than this in an inbox is not worth moving.
_WORTH_MOVING_S = 0.0005
#: What a call costs beside its function, in seconds, roughly: keeps the sum from being 0.
_OVERHEAD_S = 0.00001


class Desk:
    """The queue and the workers."""

    def __init__(self, processes: int, margin_s: float) -> None:
        self.processes = processes
        #: From a call's limit to the time when its worker is killed for it.
        self._margin_s = margin_s
        #: Submitters append; a call taken back goes to the front.
        self.queue: deque[Call] = deque()
        #: All that live and are not abandoned, in the order of their start.
        self.workers: list[WorkerProcess] = []
        #: Those that are ready and hold nothing; the last one in is the first to work.
        self.idle: dict[WorkerProcess, None] = {}
        #: Cancelled while they were queued: they are passed over.
        self.dropped: set[int] = set()
        #: Calls handed and not answered.
        self.handed = 0
        #: When all workers are to be looked at, by the monotonic clock.
        self.look_at = math.inf

    def next_call(self) -> Call | None:
        """Take the next call off the queue."""
        while self.queue:
            call = self.queue.popleft()
            if call.id not in self.dropped:
                return call
            self.dropped.discard(call.id)
        return None

    def assign(self, now: float) -> None:
        """Hand out what can be handed out."""
        self._hand_out(now)
        if self.queue:
            self._queue_ahead(now)
        elif self.idle and self.handed and self._steal(now):
            self._hand_out(now)
            self._queue_ahead(now)

    def look(self, at: float) -> None:
        """Ask for a look at all workers at this time, or earlier."""
        self.look_at = min(self.look_at, at)

    def wanted(self) -> int:
        """How many more workers the queue could use now."""
        starting = sum(not worker.ready for worker in self.workers)
        return min(self.processes - len(self.workers), len(self.queue) - starting)

    def settled(self, worker: WorkerProcess) -> None:
        """Note that a worker may have become idle."""
        if worker.ready and not worker.outstanding and not worker.leaving:
            self.idle[worker] = None

    def take_back(self, worker: WorkerProcess, most: int = AHEAD_CALLS) -> list[Call]:
        """Take unread calls back, oldest first; they belong to nobody then."""
        calls = worker.take_back(most)
        self.handed -= len(calls)
        return calls

    def put_back(self, calls: Iterable[Call]) -> None:
        """Put calls at the front of the queue, in their order."""
        self.queue.extendleft(reversed(list(calls)))

    def remove(self, worker: WorkerProcess) -> list[Call]:
        """Forget a worker that is gone; what it had not read is queued again.

        Returns:
            What it had begun and not answered: one call at most.
        """
        self.workers.remove(worker)
        self.idle.pop(worker, None)
        self.put_back(self.take_back(worker))
        self.handed -= len(worker.outstanding)
        return list(worker.outstanding.values())

    def _hand_out(self, now: float) -> None:
        """Give each idle worker a call."""
        while self.idle and (call := self.next_call()) is not None:
            worker, _ = self.idle.popitem()
            self._hand(worker, call, now)
            self.settled(worker)

    def _hand(self, worker: WorkerProcess, call: Call, now: float) -> bool:
        """Hand one call to a worker; False when its inbox is full."""
        expected = call.expected_s()
        call.charge_s = math.inf if expected is None else expected + _OVERHEAD_S
        try:
            taken = worker.hand(call, now)
        except OSError as error:
            call.lost(f"it could not be handed to a worker: {error}")
            return True
        if not taken:
            self.queue.appendleft(call)
            return False
        self.handed += 1
        call.handed(worker.name)
        if call.limit_s is not None:
            self.look(now + call.limit_s + self._margin_s)
        return True

    def _queue_ahead(self, now: float) -> None:
        """Queue short calls behind short ones, evenly."""
        if not self.workers:
            return
        most = min(AHEAD_CALLS, len(self.queue) // len(self.workers) + 2)
        for worker in self.workers:
            while worker.outstanding and not worker.leaving:
                call = self.next_call()
                if call is None:
                    return
                expected = call.expected_s()
                if expected is None or expected > AHEAD_S:
                    self.queue.appendleft(call)
                    return
                if not worker.has_room(expected, most):
                    self.queue.appendleft(call)
                    break
                if not self._hand(worker, call, now):
                    break

    def _steal(self, now: float) -> bool:
        """Queue again what a worker has not read, for one that is idle to have it."""
        for victim in self.workers:
            held = len(victim.outstanding)
            if held == 0 or victim.drained:
                continue
            due = victim.head_at + (_BEHIND_S if held > 1 else _UNREAD_S)
            if now < due and (held == 1 or victim.ahead_s < _WORTH_MOVING_S):
                self.look(due)
                continue
            calls = self.take_back(victim, max(1, held // 2))
            if not calls:
                continue
            self.put_back(calls)
            if not victim.outstanding and not victim.leaving:
                # It has not read for a while, so it comes last when work is handed out.
                self.idle = {victim: None, **self.idle}
            self.look(now + _BEHIND_S)
            return True
        return False
