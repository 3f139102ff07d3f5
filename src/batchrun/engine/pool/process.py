"""One worker process as the pool sees it: its sockets, what it holds, how it ends.

The pool keeps a duplicate of the worker's end of the inbox: what the worker has not read can be
taken back, from a live worker and from a dead one. All methods belong to the pool's thread, and
none of them blocks.
"""

import multiprocessing
import os
import signal
import socket
import time
from multiprocessing import process as multiprocessing_process
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

from batchrun.engine.pool import wire
from batchrun.engine.pool.calls import Call
from batchrun.engine.pool.setup import Setup
from batchrun.engine.pool.worker import main
from batchrun.model.outcome import Outcome

__all__ = ["AHEAD_CALLS", "AHEAD_S", "WorkerProcess", "block_signals"]

#: Short calls queued in one worker's inbox at most, and how much expected work they may be.
AHEAD_CALLS = 64
AHEAD_S = 0.005

#: How often, and how many seconds apart, an exit status is asked for that another thread took.
_REAP_TRIES = 50
_REAP_TRY_S = 0.001

_SPAWN = multiprocessing.get_context("spawn")
#: Faults of the thread itself cannot be put off.
_FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGABRT,
}


def block_signals() -> None:
    """Leave all signals to other threads; workers inherit this until they have handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)


class WorkerProcess:
    """A worker, from its start to its end."""

    __slots__ = (
        "_owed",
        "_process",
        "_unread",
        "ahead_s",
        "drained",
        "ending",
        "head_at",
        "inbox",
        "kill_at",
        "killed_at",
        "leaving",
        "link",
        "name",
        "outstanding",
        "parts",
        "pidfd",
        "ready",
        "slot",
    )

    def __init__(self, name: str, setup: Setup, slot: int) -> None:
        """Start the process.

        Args:
            name: For people.
            setup: Sent to it once.
            slot: Its place among the workers, from 1; its commands are told.

        Raises:
            OSError: no descriptors, no memory, no room in the process table.
            RuntimeError: this process itself is still importing its main module.
        """
        self.name = name
        self.slot = slot
        self.inbox, self._unread = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link, worker_end = _pair_or_close(self.inbox, self._unread)
        try:
            # Must come before the mask: it unblocks signals when it starts its process.
            resource_tracker.ensure_running()
            block_signals()
            self._process = _SPAWN.Process(
                target=main,
                args=(self._unread, worker_end, setup, slot),
                name=name,
                daemon=True,
            )
            self._process.start()
            self.pidfd = self._open_pidfd()
        except BaseException:
            self._close_sockets()
            raise
        finally:
            worker_end.close()
        self.inbox.settimeout(0.0)
        self.link.settimeout(0.0)
        #: Handed and not answered, oldest first; by id.
        self.outstanding: dict[int, Call] = {}
        #: It has said that it reads its inbox.
        self.ready = False
        #: Nothing handed to it is unread, as far as a look has shown since the last handing.
        self.drained = True
        #: Expected work in `outstanding`; infinite when that is one call of unknown length.
        self.ahead_s = 0.0
        #: Since when the first outstanding call is the first, by the monotonic clock.
        self.head_at = 0.0
        #: When it will be killed, and how its call ends then (None: as lost).
        self.kill_at: float | None = None
        self.ending: Outcome | None = None
        self.killed_at: float | None = None
        #: It was told to end, or killed: it gets no more calls.
        self.leaving = False
        #: The pieces of a long answer that have come so far.
        self.parts = bytearray()
        #: Control messages that found no room in the link: (kind, number) -> size.
        self._owed: dict[tuple[int, int], int] = {}

    def _open_pidfd(self) -> int:
        """Open what tells of its death; without that it may not live."""
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            self._process.kill()
            self._process.join()
            raise

    @property
    def pid(self) -> int:
        """The id of the process."""
        pid = self._process.pid
        return -1 if pid is None else pid

    @property
    def head(self) -> Call | None:
        """The call that it is running, or will read next."""
        return next(iter(self.outstanding.values()), None)

    def has_room(self, charge_s: float, most_calls: int) -> bool:
        """Whether one more short call may be queued behind what it has."""
        return len(self.outstanding) < most_calls and self.ahead_s + charge_s <= AHEAD_S

    def hand(self, call: Call, now: float) -> bool:
        """Put a call into the inbox; False when it has no room now.

        Raises:
            OSError: there is no memory for a long message.
        """
        try:
            if len(call.message) > wire.SPILL_BYTES:
                self._hand_by_file(call)
            else:
                self.inbox.send(call.message)
        except BlockingIOError:
            return False
        if not self.outstanding:
            self.head_at = now
        self.outstanding[call.id] = call
        self.ahead_s += call.charge_s
        self.drained = False
        return True

    def _hand_by_file(self, call: Call) -> None:
        """Send a long message as a file in memory: nothing is left of it, whoever dies.

        It may hold secrets, which no disk shall ever see.
        """
        from batchrun.ops.spawn import open_memory  # noqa: PLC0415  # for long messages only

        with open(open_memory("call"), "wb") as file:
            file.write(call.message)
            file.flush()
            head = wire.CALL_HEAD.pack(wire.SPILLED, 0, call.id)
            socket.send_fds(self.inbox, [head], [file.fileno()])

    def answered(self, call_id: int, now: float) -> Call | None:
        """Take a call off the books; None when it is not on them."""
        call = self.outstanding.pop(call_id, None)
        if call is not None:
            self.head_at = now
            self.ahead_s = self.ahead_s - call.charge_s if self.outstanding else 0.0
            if self.killed_at is None:
                self.kill_at = self.ending = None
        return call

    def take_back(self, most: int) -> list[Call]:
        """Take unread calls out of the inbox, oldest first."""
        taken: list[Call] = []
        while len(taken) < most:
            try:
                # A packet that is read in part is gone as a whole; its descriptor with it.
                head = self._unread.recv(wire.CALL_HEAD.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.drained = True
                break
            if not head:  # the inbox was closed: the worker is to end
                self.drained = True
                break
            call = self.outstanding.pop(wire.CALL_HEAD.unpack(head)[2])
            self.ahead_s = self.ahead_s - call.charge_s if self.outstanding else 0.0
            taken.append(call)
        return taken

    def tell(self, kind: int, number: int, size: int) -> bool:
        """Send a control message; False when it has to wait for room, summed with its like."""
        key = (kind, number)
        self._owed[key] = self._owed.get(key, 0) + size
        return self.tell_owed()

    def tell_owed(self) -> bool:
        """Send the control messages that are owed; False when some are left."""
        for key, size in list(self._owed.items()):
            try:
                self.link.send(wire.CONTROL.pack(*key, size))
            except BlockingIOError:
                return False
            except OSError:  # the worker is dead: there is nobody to be told
                self._owed.clear()
                return True
            del self._owed[key]
        return True

    def receive(self, buffer: bytearray) -> int:
        """Read one frame into the buffer; its size, 0 when there is none, -1 at the end."""
        for _ in range(2):
            try:
                return self.link.recv_into(buffer) or -1
            except BlockingIOError:
                return 0
            except ConnectionResetError:
                # It died with control messages unread: said once, ahead of what it has sent.
                continue
        return -1

    def end_inbox(self) -> None:
        """Let it end when it has done what it has."""
        self.inbox.close()

    def kill(self, now: float) -> None:
        """Send SIGKILL."""
        self.leaving = True
        if self.killed_at is None:
            self.killed_at = now
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return  # it is dead already, and its descriptor says so

    def release(self) -> int | None:
        """Let go of everything after its death.

        Returns:
            Its exit status, or minus the signal; None when somebody else has reaped it.
        """
        self._close_sockets()
        os.close(self.pidfd)
        for _ in range(_REAP_TRIES):
            exitcode = self._process.exitcode
            if exitcode is not None:
                self._process.close()
                return exitcode
            # Another thread that starts a process is reaping ours, and about to write it down.
            time.sleep(_REAP_TRY_S)
        _forget(self._process)
        return None

    def abandon(self) -> None:
        """Leave a process behind that SIGKILL does not end."""
        self._close_sockets()
        os.close(self.pidfd)
        _forget(self._process)

    def reap(self) -> bool:
        """Whether an abandoned process has ended after all; it is no zombie from then on."""
        return self._process.exitcode is not None

    def _close_sockets(self) -> None:
        """Close this side of both pairs."""
        self.inbox.close()
        self._unread.close()
        self.link.close()


def _forget(process: BaseProcess) -> None:
    """Keep multiprocessing, which joins all its children at exit, from waiting for this one."""
    multiprocessing_process._children.discard(process)  # type: ignore[attr-defined]  # noqa: SLF001  # there is no public way


def _pair_or_close(*others: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Make the second pair; without it the first is of no use."""
    try:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        for other in others:
            other.close()
        raise
