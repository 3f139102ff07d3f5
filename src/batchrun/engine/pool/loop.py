"""The pool's own thread: one persistent selector, all state, every decision.

Other threads only append to `Desk.queue` or to the list of requests, and wake the thread up when
it may be asleep. It never blocks: not on a worker, not on a command that takes its grace to die
(a small thread per death waits for that), only in its selector.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from batchrun.engine.pool import wire
from batchrun.engine.pool.calls import Call, UnitCall
from batchrun.engine.pool.desk import Desk
from batchrun.engine.pool.endings import exit_text, start_commands_end
from batchrun.engine.pool.process import WorkerProcess, block_signals
from batchrun.engine.unit import ACKNOWLEDGE, STOP
from batchrun.model.outcome import Cancelled, Outcome, TimedOut
from batchrun.model.unit import RunSettings

__all__ = ["PoolLoop"]

#: After the limit and the grace, in seconds, for a worker to answer before it is killed.
_ANSWER_S = 2.0
#: For a killed worker to be gone before it is left behind (blocked in the kernel).
_DIE_S = 2.0
#: For an idle worker to end by itself at the end of the pool.
_LEAVE_S = 5.0
#: For commands of killed workers to be gone at `kill`.
_KILL_S = 10.0
#: Frames read from one worker before the others have their turn.
_TURN_FRAMES = 256
#: Waits between attempts to start a worker, in seconds, doubled each time.
_RESTART_S = 0.05
#: So many attempts in a row that fail by themselves, or are killed, and the calls are given up.
_FAILED_STARTS = 3
_KILLED_STARTS = 50


class PoolLoop:
    """The state of a pool and the thread that owns it."""

    def __init__(self, processes: int, settings: RunSettings, table: str) -> None:
        self._settings = settings
        self._table = table
        self.desk = Desk(processes, settings.kill_grace_s + _ANSWER_S)
        #: Units that have no Report yet, by number; submitters add, this thread removes.
        self.units: dict[int, UnitCall] = {}
        self._requests: deque[Callable[[], None]] = deque()
        self._asleep = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._by_fd: dict[int, Callable[[int], None]] = {self._wake_fd: self._woken}
        self._buffer = bytearray(wire.FRAME_BYTES)
        self._view = memoryview(self._buffer)
        self._started = 0
        self._bad_starts = 0
        self._start_at = 0.0
        self._closing = False
        self._killed_by: float | None = None
        self._enders = 0
        self._abandoned: list[WorkerProcess] = []
        self._closing_seen = threading.Event()
        self.thread = threading.Thread(target=self._run, name="batchrun-pool", daemon=True)
        self.thread.start()

    # What other threads call.

    def submit(self, call: Call) -> None:
        """Queue a call."""
        self.desk.queue.append(call)
        self._news = True
        if self._hungry:
            self._wake()

    def request(self, function: Callable[[], None]) -> None:
        """Have the pool's thread call a function."""
        self._requests.append(function)
        if self._asleep:
            self._wake()

    def close(self) -> None:
        """End when all calls are answered; wait for that when there are none."""
        self.request(self._close)
        if threading.current_thread() is not self.thread:
            while self.thread.is_alive() and not self._close_may_return.wait(_ANSWER_S):
                continue

    def kill(self) -> None:
        """End everything now; wait until that is so."""
        self.request(self._kill)
        if threading.current_thread() is not self.thread:
            self.thread.join(_KILL_S + _DIE_S)

    def stop(self, number: int) -> None:
        """End a unit; the second time at once."""
        self.request(partial(self._stop, number))

    def withdraw(self, before_id: int) -> None:
        """Give back the units submitted before this id that no worker has begun."""
        self.request(partial(self._withdraw, before_id))

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Let a unit send more output."""
        self.request(partial(self._tell_unit, ACKNOWLEDGE, number, size_bytes))

    def _wake(self) -> None:
        """Get the thread out of its selector."""
        self._hungry = self._asleep = False
        os.eventfd_write(self._wake_fd, 1)

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
        if self._kill_until is not None and time.monotonic() > self._kill_until:
            return False
        desk = self.desk
        return not self._closing or bool(
            desk.queue or desk.workers or self._enders or self._requests
        )

    def _turn(self) -> None:
        """Wait for something, take it in, hand out what can be handed out."""
        for fd, mask in self._epoll.poll(self._wait_s()):
            serve = self._by_fd.get(fd)
            if serve is not None:  # one served before in this turn may have closed this one
                serve(mask)
        self._hungry = self._asleep = False
        while self._requests:
            self._requests.popleft()()
        self._news = False
        now = time.monotonic()
        desk = self.desk
        if now >= desk.look_at:
            self._look(now)
        if desk.queue or (desk.idle and desk.handed):
            desk.assign(now)
        if desk.queue and desk.wanted() > 0:
            self._start_workers(now)
        if self._closing and not desk.queue:
            self._let_idle_go(now)

    def _wait_s(self) -> float:
        """Fall asleep: say so first, then see whether anybody came in between."""
        desk = self.desk
        # With all workers busy and calls queued, one more call changes nothing.
        self._hungry = not desk.queue or len(desk.workers) < desk.processes
        self._asleep = True
        if self._requests or not self._unfinished() or (self._hungry and self._news):
            return 0.0
        until = desk.look_at if self._kill_until is None else min(desk.look_at, self._kill_until)
        return -1.0 if until == math.inf else max(0.0, until - time.monotonic())

    def _woken(self, _mask: int) -> None:
        """Take in a wake-up."""
        os.eventfd_read(self._wake_fd)

    # Workers: their words.

    def _link_ready(self, worker: WorkerProcess, mask: int) -> None:
        """Read what a worker says, and send what it is owed."""
        if mask & select.EPOLLOUT and worker.tell_owed():
            self._epoll.modify(worker.link.fileno(), select.EPOLLIN)
        if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not self._read(worker):
            # It closed its end, and so can never answer; its process says when it is gone.
            self._forget_fd(worker.link.fileno())
            self._kill_worker(worker, time.monotonic())
        self.desk.settled(worker)

    def _read(self, worker: WorkerProcess) -> bool:
        """Take in frames until there are none, or others should have their turn."""
        for _ in range(_TURN_FRAMES):
            size = worker.receive(self._buffer)
            if size <= 0:
                return size == 0
            self._frame(worker, size)
            if not worker.outstanding:
                break
        return True

    def _frame(self, worker: WorkerProcess, size: int) -> None:
        """Take in one frame."""
        kind, elapsed_s, call_id = wire.ANSWER_HEAD.unpack_from(self._buffer)
        body = self._view[wire.ANSWER_HEAD.size : size]
        if kind >= wire.VALUE:
            self._answer(worker, kind, call_id, elapsed_s, body)
        elif kind == wire.PART:
            worker.parts += body
        elif kind == wire.READY:
            worker.ready = True
            self._bad_starts = 0
        else:
            if worker.parts:
                body = memoryview(worker.parts + body)
                worker.parts = bytearray()
            call = worker.outstanding.get(call_id)
            if call is not None:
                call.note(kind, body)

    def _answer(
        self, worker: WorkerProcess, kind: int, call_id: int, elapsed_s: float, body: memoryview
    ) -> None:
        """Pass an answer on to whom it is owed."""
        call = worker.answered(call_id, time.monotonic())
        if worker.parts:
            body = memoryview(worker.parts + body)
            worker.parts = bytearray()
        if call is None:
            return
        self.desk.handed -= 1
        if isinstance(call, UnitCall):
            self.units.pop(call.order.number, None)
        call.answer(kind, body, elapsed_s, worker.name)

    # Workers: their lives.

    def _start_workers(self, now: float) -> None:
        """Start as many as the queue can use; after failures not before a while."""
        if now < self._start_at:
            self.desk.look(self._start_at)
            return
        self._abandoned = [worker for worker in self._abandoned if not worker.reap()]
        while self.desk.wanted() > 0:
            self._started += 1
            try:
                worker = WorkerProcess(f"worker-{self._started}", self._settings, self._table)
            except (OSError, RuntimeError) as error:
                self._start_failed(f"no worker process could be started: {error}", _FAILED_STARTS)
                return
            self.desk.workers.append(worker)
            self._register(worker.link.fileno(), partial(self._link_ready, worker))
            self._register(worker.pidfd, partial(self._died, worker))

    def _start_failed(self, text: str, most: int) -> None:
        """Wait before the next attempt; give the calls up when it fails again and again."""
        self._bad_starts += 1
        wait = _RESTART_S * 2 ** min(self._bad_starts, 5)
        self._start_at = time.monotonic() + wait
        self.desk.look(self._start_at)
        if self._bad_starts >= most and not any(worker.ready for worker in self.desk.workers):
            self._bad_starts = 0
            while (call := self.desk.next_call()) is not None:
                self._give_up(call, text)

    def _register(self, fd: int, serve: Callable[[int], None]) -> None:
        """Have a function called when this descriptor is readable."""
        self._by_fd[fd] = serve
        self._epoll.register(fd, select.EPOLLIN)

    def _forget_fd(self, fd: int) -> None:
        """Undo `_register`, once."""
        if fd >= 0 and self._by_fd.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _kill_worker(self, worker: WorkerProcess, now: float) -> None:
        """Kill a worker; it is left behind if it is not gone soon."""
        self.desk.idle.pop(worker, None)
        worker.kill(now)
        self.desk.look(now + _DIE_S)

    def _died(self, worker: WorkerProcess, _mask: int) -> None:
        """Take in what a dead worker has still said, then its death."""
        while worker.receive(self._buffer) > 0:
            raise NotImplementedError

    def _end_all(self) -> None:
        """Let go of everything."""
