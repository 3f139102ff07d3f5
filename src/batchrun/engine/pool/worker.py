"""The child's side of the pool: read a call, run it, answer, read the next.

The main thread does all work. A second thread sleeps until the link hangs up, which it does
when the pool's process dies by whatever means; it then ends this process, giving a command that
runs the run's grace to end first. A thread, because a function may neither return nor ask.
Commands are noted on the board of `ops/survivor.py`, for the case that both are killed.

Not guaranteed: a function that never lets go of the interpreter's lock outlives the parent
until it does; so do the locks of the run.
"""

import array
import gc
import mmap
import os
import pickle
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from batchrun.engine.context import UnitContext
from batchrun.engine.pool import wire
from batchrun.engine.pool.setup import Setup
from batchrun.engine.unit import (
    Raised,
    defect_text,
    guarded,
    run_unit,
)
from batchrun.model.outcome import Failed, Report
from batchrun.model.unit import Order
from batchrun.ops.board import Board

__all__ = ["LinkControl", "main"]

#: Values of these types are read back without doubt; all others are tried before they are sent.
_PLAIN = frozenset({bool, int, float, str, bytes})
#: Signals that reach the whole process group from a terminal or an operator and are the
#: parent's business.
_NOT_OURS = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(inbox: socket.socket, link: socket.socket, setup: Setup, slot: int) -> None:
    """Work until the inbox ends; the entry point of a worker process."""
    _seal_descriptors()
    # What is imported by now stays; `__main__` may hold the collector since it began.
    gc.freeze()
    gc.enable()
    worker = _Worker((inbox, link), setup, slot)
    _take_signals(worker)
    threading.Thread(target=worker.watch_parent, name="watch-parent", daemon=True).start()
    worker.loop()


def _seal_descriptors() -> None:
    """Keep every descriptor passed to this process from the commands that it starts."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2:
            guarded(os.set_inheritable, (number, False))  # the listing's own is closed by now


def _take_signals(worker: "_Worker") -> None:
    """Install handlers, then unblock everything: the process was started with signals blocked.

    A handler that does nothing instead of SIG_IGN, because commands would inherit SIG_IGN. What
    the user ignores (nohup) stays ignored.
    """
    for number in _NOT_OURS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _do_nothing)
    signal.signal(signal.SIGTERM, worker.terminated)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Let a signal pass."""


class _Worker:
    """What one worker process knows."""

    def __init__(
        self,
        sockets: tuple[socket.socket, socket.socket],
        setup: Setup,
        slot: int,
    ) -> None:
        self._inbox, self._link = sockets
        self._settings = setup.settings
        self._table = setup.table
        self._slot = slot
        shared = setup.handed.descriptors
        self._board = Board(shared[0], slot) if shared else None
        self._control = LinkControl(self._link)
        self._functions: dict[bytes, Callable[..., Any]] = {}
        self._call_id = 0
        self._order: Order | None = None
        self._pid: int | None = None
        #: Set when the main thread has left its unit after the parent's death.
        self._idle = threading.Event()

    def loop(self) -> None:
        """Take calls one at a time; one answer each before the next is read."""
        buffer = bytearray(wire.SPILL_BYTES + wire.CALL_HEAD.size)
        view = memoryview(buffer)
        wait, receive = self._inbox.recv, self._inbox.recvmsg_into
        room = socket.CMSG_SPACE(4)
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        self._send(wire.READY, 0.0, b"")
        # Waiting and taking are two steps: a process that is killed while it waits may still
        # receive inside the kernel, and the pool would count that call as begun.
        while wait(1, socket.MSG_PEEK):
            try:
                size, passed, _, _ = receive([buffer], room, flags)
            except BlockingIOError:  # the pool has taken it back in between
                continue
            if size == 0:
                return
            self._take(_read_spilled(passed) if passed else view[:size])

    def _take(self, message: memoryview) -> None:
        """Run one call and answer it."""
        kind, key_size, self._call_id = wire.CALL_HEAD.unpack_from(message)
        body = message[wire.CALL_HEAD.size :]
        if kind == wire.FUNCTION:
            self._call_function(body, key_size)
        else:
            self._run_order(body)

    def _call_function(self, body: memoryview, key_size: int) -> None:
        """Call a function; its value, or what it raised, goes back."""
        started = time.perf_counter()
        loaded = guarded(self._load_call, (body, key_size))
        answer = loaded if isinstance(loaded, Raised) else guarded(*loaded)
        elapsed = time.perf_counter() - started
        if answer is None:
            self._send(wire.NONE, elapsed, b"")
        elif isinstance(answer, Raised):
            self._send(*_error_frame(answer.error, elapsed))
        else:
            self._send(*_value_frame(answer, elapsed))

    def _load_call(
        self, body: memoryview, key_size: int
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Read function and arguments; plain functions come with a key and are kept."""
        if key_size == 0:
            function, args, kwds = pickle.loads(body)  # noqa: S301  # our own parent wrote it
            return function, args, kwds
        key = bytes(body[:key_size])
        function = self._functions.get(key)
        if function is None:
            function = self._functions[key] = pickle.loads(key)  # noqa: S301  # likewise
        if len(body) == key_size:
            return function, (), {}
        args, kwds = pickle.loads(body[key_size:])  # noqa: S301  # likewise
        return function, args, kwds

    def _run_order(self, body: memoryview) -> None:
        """Run one attempt of a unit."""
        order = wire.order_from_tuple(pickle.loads(body))  # noqa: S301  # our own parent wrote it
        self._pid = None
        self._order = order
        if order.expected_s is None:  # it may be a command
            self._note(order)
        context = UnitContext(order, self._settings, self._control, self, slot=self._slot)
        report = run_unit(order, context, self._table)
        self._order = None
        if self._board is not None:
            self._board.rest()
        if self._control.parent_gone:
            self._idle.set()
            os._exit(1)
        data = guarded(pickle.dumps, (wire.report_to_tuple(report), wire.PICKLE_PROTOCOL))
        if isinstance(data, Raised):
            data = pickle.dumps(wire.report_to_tuple(_unsendable(report, data.error, order)))
        self._send(wire.REPORT, report.duration_s, data)

    def command_started(self, pid: int) -> None:
        """Announce a command, so that others can end it should this process die."""
        self._pid = pid
        if self._order is not None:
            self._note(self._order)
        self._send(wire.COMMAND, 0.0, wire.U64.pack(pid))

    def _note(self, order: Order) -> None:
        """Tell the pool's survivor what runs here, in case that the pool dies as well."""
        if self._board is not None:
            self._board.note(self._cookie(order), self._pid or 0)

    def _cookie(self, order: Order) -> str:
        """Return by what the processes of a unit are known."""
        from batchrun.ops.processes import cookie  # noqa: PLC0415 - for what may be a command only

        return cookie(self._settings.run_id, order.number, order.attempt)

    def live_output(self, stream: str, data: bytes) -> None:
        """Pass on a piece of output."""
        self._send(wire.STDOUT if stream == "stdout" else wire.STDERR, 0.0, data)

    def progress(self, bytes_done: int) -> None:
        """Pass on how far a unit is."""
        self._send(wire.PROGRESS, 0.0, wire.U64.pack(bytes_done))

    def _send(self, kind: int, elapsed: float, body: bytes) -> None:
        """Answer; may wait for the pool to read, which it always does: it never waits for us."""
        try:
            for frame in wire.frames(kind, elapsed, self._call_id, body):
                self._link.send(frame)
        except ConnectionError:
            self._parent_died()

    def _parent_died(self) -> None:
        """End this process: nobody is left to take answers."""
        if self._order is None:
            os._exit(1)
        self._control.parent_gone = True  # the unit's next check ends its command, then itself

    def watch_parent(self) -> None:
        """Sleep until the link hangs up, then make sure that this process ends."""
        poll = select.poll()
        poll.register(self._link, 0)  # no event but the hang-up
        poll.poll()
        if self._order is not None:
            self._idle.wait(self._settings.kill_grace_s + 2.0)
            self._end_command(0.0)
        os._exit(1)

    def terminated(self, number: int, _frame: FrameType | None) -> None:
        """Die of SIGTERM as by default, but not before the command that this process runs."""
        signal.signal(number, signal.SIG_DFL)
        self._end_command(self._settings.kill_grace_s)
        os.kill(os.getpid(), number)

    def _end_command(self, grace_s: float) -> None:
        """End whatever the current unit has started."""
        order = self._order
        if order is None:
            return
        from batchrun.engine.pool.endings import end_unit  # noqa: PLC0415  # rarely needed

        end_unit(self._pid, order, self._settings, grace_s)


class LinkControl:
    """The control messages that come down the link."""

    __slots__ = ("_link", "_poll", "parent_gone")

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        self.parent_gone = False

    def fileno(self) -> int:
        """Return the link's descriptor: nothing but control messages arrives there."""
        return self._link.fileno()

    def next(self) -> tuple[int, int, int] | None:
        """Read one message; None when there is none now."""
        if self.parent_gone or not self._poll.poll(0):
            return None
        try:
            message = self._link.recv(wire.CONTROL.size)
        except ConnectionError:
            message = b""
        if not message:
            self.parent_gone = True
            return None
        kind, number, size = wire.CONTROL.unpack(message)
        return kind, number, size


def _read_spilled(passed: list[tuple[int, int, bytes]]) -> memoryview:
    """Map the file that holds a long message; it has no name, and goes with its last user."""
    descriptors = array.array("i")
    descriptors.frombytes(passed[0][2])
    with open(descriptors[0], "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _value_frame(value: object, elapsed: float) -> tuple[int, float, bytes]:
    """Pickle a value, and see that it can be read again."""
    data = guarded(pickle.dumps, (value, wire.PICKLE_PROTOCOL))
    problem = data
    if not isinstance(data, Raised) and type(value) not in _PLAIN:
        problem = guarded(pickle.loads, (data,))
    if isinstance(problem, Raised):
        what = f"the result, a {type(value).__qualname__}, cannot be pickled"
        return _texts_frame(what, problem.error, elapsed)
    return wire.VALUE, elapsed, data


def _error_frame(error: BaseException, elapsed: float) -> tuple[int, float, bytes]:
    """Pickle an exception with the text of its traceback, or its texts alone.

    SystemExit and its like go as texts: raised in the caller they would end the caller.
    """
    text = defect_text(error)
    if isinstance(error, Exception):
        data = guarded(pickle.dumps, ((error, text), wire.PICKLE_PROTOCOL))
        if not isinstance(data, Raised):
            again = guarded(pickle.loads, (data,))
            if not isinstance(again, Raised) and type(again[0]) is type(error):
                return wire.ERROR, elapsed, data
    described = guarded(str, (error,))
    what = type(error).__qualname__
    message = what if isinstance(described, Raised) else f"{what}: {described}"
    return wire.TASK_ERROR, elapsed, pickle.dumps((message, text))


def _texts_frame(what: str, error: BaseException, elapsed: float) -> tuple[int, float, bytes]:
    """Say in words why a result cannot travel."""
    reason = guarded(str, (error,))
    message = what if isinstance(reason, Raised) else f"{what}: {reason}"
    return wire.TASK_ERROR, elapsed, pickle.dumps((message, defect_text(error)))


def _unsendable(report: Report, error: BaseException, order: Order) -> Report:
    """Stand in for a report in which an operation has put what cannot be pickled."""
    # The error may quote what it stumbled over, and that a secret.
    why = type(error).__name__ if order.secrets else guarded(str, (error,))
    message = f"this is a defect of the operation: its answer cannot be pickled ({why})"
    return Report(
        number=report.number,
        attempt=report.attempt,
        outcome=Failed(message=message, retryable=False),
        started_at=report.started_at,
        duration_s=report.duration_s,
    )
