"""The workers: how they are started, heard, stopped and buried. Owned by the pool's thread."""

import math
import select
import time
from collections.abc import Callable
from functools import partial

from batchrun.engine.context import STOP
from batchrun.engine.pool import wire
from batchrun.engine.pool.calls import Call, UnitCall
from batchrun.engine.pool.desk import Desk
from batchrun.engine.pool.endings import end_command_aside, exit_text
from batchrun.engine.pool.process import WorkerProcess
from batchrun.engine.pool.setup import Handed, Setup
from batchrun.engine.pool.watch import Watch
from batchrun.model.outcome import Cancelled, Outcome, TimedOut
from batchrun.model.unit import RunSettings
from batchrun.ops.survivor import Survivor

__all__ = ["ANSWER_S", "Crew"]

#: After the limit and the grace, in seconds, for a worker to answer before it is killed.
ANSWER_S = 2.0
#: For a killed worker to be gone before it is left behind (blocked in the kernel).
_DIE_S = 2.0
#: For an idle worker to end by itself at the end of the pool.
_LEAVE_S = 5.0
#: Frames read from one worker before the others have their turn.
_TURN_FRAMES = 256
#: Wait after a start that failed, in seconds; doubled each time, five times.
_RESTART_S = 0.05
#: So many starts in a row that end by themselves, or are killed, and the calls are given up.
_FAILED_STARTS = 3
_KILLED_STARTS = 50
_NOT_READY = (
    "{} before it was ready; if the main module of this program makes a pool or starts a run, "
    "it must do so under `if __name__ == '__main__':`"
)


class Crew:
    """All worker processes, and what becomes of the calls that they hold."""

    def __init__(
        self,
        desk: Desk,
        watch: Watch,
        setup: tuple[RunSettings, str],
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._desk = desk
        self._watch = watch
        self._settings, self._table = setup
        self._post = post
        #: Ends the commands of workers that are killed together with us.
        self._survivor = Survivor(self._settings.kill_grace_s, places=desk.processes)
        #: Units without a Report, by number; submitters add, this thread removes.
        self.units: dict[int, UnitCall] = {}
        #: Ids of the units whose worker died and whose command is being ended.
        self.ending: set[int] = set()
        #: Commands of dead workers get no grace any more.
        self.no_grace = False
        self._abandoned: list[WorkerProcess] = []
        self._buffer = bytearray(wire.FRAME_BYTES)
        self._view = memoryview(self._buffer)
        self._started = 0
        #: Places of workers that are gone, by the id of the call whose command is being ended:
        #: a new worker there could run a command beside the old one.
        self._kept_slots: dict[int, int] = {}
        self._bad_starts = 0
        self._start_at = 0.0

    # Their words.

    def _serve(self, worker: WorkerProcess, mask: int) -> None:
        """Read what a worker says, and send what it is owed."""
        if mask & select.EPOLLOUT and worker.tell_owed():
            self._watch.also_writable(worker.link.fileno(), wanted=False)
        if mask & ~select.EPOLLOUT and not self._read(worker):
            # It closed its end: it can never answer. Its process says when it is gone.
            self._watch.drop(worker.link.fileno())
            if not worker.leaving:
                self._kill(worker, time.monotonic())
        self._desk.settled(worker)

    def _read(self, worker: WorkerProcess) -> bool:
        """Take in frames for one turn; False at their end."""
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
        if kind == wire.PART:
            worker.parts += body
            return
        if worker.parts:
            worker.parts += body
            body = memoryview(worker.parts)
            worker.parts = bytearray()
        if kind >= wire.VALUE:
            self._answer(worker, kind, call_id, elapsed_s, body)
        elif kind == wire.READY:
            worker.ready = True
            self._bad_starts = 0
        elif (call := worker.outstanding.get(call_id)) is not None:
            call.note(kind, body)

    def _answer(
        self, worker: WorkerProcess, kind: int, call_id: int, elapsed_s: float, body: memoryview
    ) -> None:
        """Pass an answer on to whom it is owed."""
        call = worker.answered(call_id, time.monotonic())
        if call is None:
            return
        self._desk.handed -= 1
        if isinstance(call, UnitCall):
            self.units.pop(call.order.number, None)
        call.answer(kind, body, elapsed_s, worker.name)

    def tell(self, kind: int, number: int, size: int) -> None:
        """Send a control message to whoever has this unit."""
        call = self.units.get(number)
        worker = None if call is None else self._holder(call)
        if worker is not None:
            self._tell(worker, kind, number, size)

    def _tell(self, worker: WorkerProcess, kind: int, number: int, size: int) -> None:
        if not worker.tell(kind, number, size):
            self._watch.also_writable(worker.link.fileno(), wanted=True)

    def _holder(self, call: Call) -> WorkerProcess | None:
        """Return the worker that a call was handed to."""
        holders = (worker for worker in self._desk.workers if call.id in worker.outstanding)
        return next(holders, None)

    # Their beginning.

    def start(self, now: float) -> None:
        """Start as many as the queue can use; after failures not before a while."""
        if now < self._start_at:
            self._desk.look(self._start_at)
            return
        self._abandoned = [worker for worker in self._abandoned if not worker.reap()]
        while self._desk.wanted() > 0 and (slot := self._free_slot()) is not None:
            self._started += 1
            name = f"worker-{self._started}"
            try:
                worker = WorkerProcess(name, self._setup(), slot)
            except (OSError, RuntimeError) as error:
                self._start_failed(f"no worker process could be started: {error}", _FAILED_STARTS)
                return
            self._desk.workers.append(worker)
            self._watch.add(worker.link.fileno(), partial(self._serve, worker))
            self._watch.add(worker.pidfd, partial(self._died, worker))

    def _setup(self) -> Setup:
        """Put together what a new worker is given.

        Raises:
            OSError: no descriptor or no memory is left.
        """
        if self.units:  # a pool of functions runs no commands
            self._survivor.start()
        handed = Handed(*self._survivor.handed)
        return Setup(settings=self._settings, table=self._table, handed=handed)

    def _free_slot(self) -> int | None:
        """Return the lowest place that nobody has; None while all have somebody's command."""
        taken = {worker.slot for worker in self._desk.workers} | set(self._kept_slots.values())
        places = range(1, self._desk.processes + 1)
        return next((slot for slot in places if slot not in taken), None)

    def _start_failed(self, text: str, most: int) -> None:
        """Wait before the next attempt; give the calls up when it fails again and again."""
        self._bad_starts += 1
        self._start_at = time.monotonic() + _RESTART_S * 2 ** min(self._bad_starts - 1, 5)
        self._desk.look(self._start_at)
        if self._bad_starts >= most and not any(worker.ready for worker in self._desk.workers):
            self._bad_starts = 0
            while (call := self._desk.next_call()) is not None:
                self._drop(call)
                call.lost(text)

    # Their end.

    def look(self, now: float) -> None:
        """Kill those that are overdue, leave behind those that do not die."""
        desk = self._desk
        desk.look_at = math.inf
        for worker in list(desk.workers):
            if worker.killed_at is not None:
                if now >= worker.killed_at + _DIE_S:
                    self._abandon(worker)
                else:
                    desk.look(worker.killed_at + _DIE_S)
                continue
            due, ending = self._due(worker)
            if now >= due:
                worker.ending = ending
                self._kill(worker, now)
            else:
                desk.look(due)

    def _due(self, worker: WorkerProcess) -> tuple[float, Outcome | None]:
        """When a worker is to be killed, and how its call ends then."""
        due, ending = worker.kill_at, worker.ending
        call = worker.head
        limit_s = None if call is None else call.limit_s
        if call is not None and limit_s is not None:
            late = worker.head_at + limit_s + self._ending_s(call)
            if due is None or late < due:
                return late, TimedOut(limit_s=limit_s)
        return math.inf if due is None else due, ending

    def _ending_s(self, call: Call) -> float:
        """How long a worker has to end a call and to say so."""
        return self._settings.kill_grace_s + call.ending_s + ANSWER_S

    def _kill(self, worker: WorkerProcess, now: float) -> None:
        """Kill a worker; it is left behind if it is not gone soon."""
        self._desk.idle.pop(worker, None)
        worker.kill(now)
        self._desk.look(now + _DIE_S)

    def kill_all(self, now: float) -> None:
        """Kill every worker."""
        for worker in self._desk.workers:
            self._kill(worker, now)

    def let_idle_go(self, now: float) -> None:
        """Let those that have nothing to do end by themselves."""
        for worker in self._desk.idle:
            worker.end_inbox()
            worker.leaving = True
            worker.kill_at = now + _LEAVE_S
            self._desk.look(worker.kill_at)
        self._desk.idle.clear()

    def _died(self, worker: WorkerProcess, _mask: int) -> None:
        """Take in what a dead worker has still said, then its death."""
        while (size := worker.receive(self._buffer)) > 0:
            self._frame(worker, size)
        begun = self._bury(worker)
        exitcode = worker.release()
        text = exit_text(worker.name, exitcode)
        if not worker.ready:
            most = _KILLED_STARTS if exitcode is not None and exitcode < 0 else _FAILED_STARTS
            self._start_failed(_NOT_READY.format(text), most)
        for call in begun:
            self._lose(call, f"{text} while it ran this", worker)

    def _abandon(self, worker: WorkerProcess) -> None:
        """Leave a worker behind that even SIGKILL does not end."""
        begun = self._bury(worker)
        worker.abandon()
        self._abandoned.append(worker)
        if isinstance(worker.ending, TimedOut):
            worker.ending = TimedOut(limit_s=worker.ending.limit_s, stuck=True)
        for call in begun:
            self._lose(call, f"{worker.name} is blocked in the kernel and was left behind", worker)

    def dismiss(self, worker: WorkerProcess, text: str) -> None:
        """Get rid of a worker without waiting for its death; its calls are lost."""
        worker.kill(time.monotonic())
        for call in self._bury(worker):
            self._drop(call)
            call.lost(text)
        worker.abandon()

    def _bury(self, worker: WorkerProcess) -> list[Call]:
        """Take a worker off the books; returns what it had begun."""
        self._watch.drop(worker.link.fileno())
        self._watch.drop(worker.pidfd)
        return self._desk.remove(worker)

    def close(self) -> None:
        """Have whatever a worker was not able to end be ended, after the last of them."""
        self._survivor.close()

    def _lose(self, call: Call, text: str, worker: WorkerProcess) -> None:
        """Answer for a worker that never will; a unit's command is ended first."""
        if not isinstance(call, UnitCall):
            call.lost(text)
            return
        self.ending.add(call.id)
        self._kept_slots[call.id] = worker.slot
        then = partial(self._post, partial(self._lost, call, text, worker.ending))
        self._end_command(call, then)

    def _end_command(self, call: UnitCall, then: Callable[[], None]) -> None:
        """End what a unit may have running, without waiting for it."""
        grace_s = 0.0 if self.no_grace or call.stops > 1 else self._settings.kill_grace_s
        end_command_aside(call.pid, call.order, self._settings, grace_s, then)

    def _lost(self, call: UnitCall, text: str, ending: Outcome | None) -> None:
        """Report a unit of a dead worker: nothing of it is left now."""
        self.ending.discard(call.id)
        self._survivor.rest(self._kept_slots.pop(call.id))
        self._drop(call)
        if ending is None:
            call.lost(text)
        else:
            call.end(ending, "")

    def _drop(self, call: Call) -> None:
        if isinstance(call, UnitCall):
            self.units.pop(call.order.number, None)

    # Stops.

    def stop(self, number: int) -> None:
        """End a unit: the first time politely, then at once."""
        call = self.units.get(number)
        if call is None:
            return
        call.stops += 1
        worker = self._holder(call)
        if worker is not None:
            self._stop_handed(call, worker)
        elif call.id not in self.ending:
            self._desk.dropped.add(call.id)
            self._cancel(call)
        elif call.stops > 1:
            self._end_command(call, _nothing)

    def _stop_handed(self, call: UnitCall, worker: WorkerProcess) -> None:
        """End a unit that a worker has read or will read."""
        unread = self._desk.take_back(worker)
        self._desk.put_back(other for other in unread if other is not call)
        if call in unread:
            self._desk.settled(worker)
            self._cancel(call)
            return
        now = time.monotonic()
        worker.ending = Cancelled(was_running=True)
        if call.stops > 1:
            self._kill(worker, now)
            return
        self._tell(worker, STOP, call.order.number, 0)
        worker.kill_at = now + self._ending_s(call)
        self._desk.look(worker.kill_at)

    def _cancel(self, call: UnitCall) -> None:
        """Report a unit as stopped before it began."""
        self._drop(call)
        call.end(Cancelled(was_running=False), "")


def _nothing() -> None:
    """Have nothing to say afterwards: somebody else reports."""
