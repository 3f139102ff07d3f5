"""Follow one command on a host: send what it reads, take what it writes, notice its end.

    standard output ──┐                       ┌──► ears: what they are given, they keep or pass on
    standard error  ──┼──► one loop, no thread┤
    channel's end   ──┤                       └──► opening: what is said to us is taken out
    stop, deadline  ──┘    standard input ◄── lines, sudo's dialogue, then the source

Owned by the thread that runs the unit. The command has ended when its process has; what then still
holds its pipes is read for one second more. A stop, a deadline or too long a silence leaves this by
`UnitStoppedError`, with the command still running: ending it is the caller's. Nothing here waits
longer than `_LOOK_S` without asking whether the unit has to stop.
"""

import select
import time
from dataclasses import dataclass
from typing import Protocol

from batchrun.errors import BatchrunError, OperationError, UnitStoppedError
from batchrun.model.session import HostChannel, HostContext
from batchrun.ops.dialogue import Dialogue
from batchrun.ops.watcher import TooQuietError
from batchrun.remote.opening import Opening
from batchrun.remote.wrapper import Marks

__all__ = ["BrokenError", "Ears", "Ending", "Source", "Spoken", "Talk"]

#: How long a stop may go unseen.
_LOOK_S = 0.25
_PIECE_BYTES = 128 * 1024
#: Eight packets, and no small one behind them: each costs the same, whatever is in it.
_SENT_BYTES = 8 * 32_000
#: How long what a command left running may hold its pipes.
_DRAIN_S = 1.0
#: What is on its way when a command ends still counts, also on a slow line: at most so much, and
#: only while it comes in at such a rate a second.
_ON_ITS_WAY_BYTES = 4 * 1024 * 1024
_FLOW_BYTES = 16 * 1024
#: For a login shell to read its files and begin the wrapper.
_PATIENCE_S = 60.0


class BrokenError(BatchrunError):
    """The connection to a host broke while something ran there: how far it got is not known."""


class Ears(Protocol):
    """What becomes of the output."""

    def stdout(self, data: bytes) -> bool:
        """Take a piece; return False to be given no more until the unit was checked again."""

    def stderr(self, data: bytes) -> bool:
        """Take a piece of standard error, likewise."""


class Source(Protocol):
    """Where standard input comes from."""

    def read(self, size: int, /) -> bytes | memoryview:
        """Return the next piece, at most so long; empty: its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What is said to the wrapper, and to the command."""

    marks: Marks
    #: The line that the wrapper reads, and the one that the shell behind sudo does.
    lines: tuple[bytes, bytes]
    #: Says the second line when sudo asks for a password; None: it is said at once.
    dialogue: Dialogue | None = None
    #: What the command reads; None: nothing is sent.
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a command ended by itself."""

    #: None: by a signal, or nobody knows.
    exit_status: int | None
    #: Name of the signal, such as `TERM`; empty: none.
    signal: str
    #: Streams that something still held when we stopped reading.
    held: tuple[str, ...] = ()


class Talk:
    """One command on a host.

    Args:
        channel: Just opened with the text of the wrapper.
        context: Of the unit, or of a part of it.
        spoken: What is said.
        ears: Get what the command writes.
        idle_s: It may be silent for so long; None: for ever.
    """

    def __init__(
        self,
        channel: HostChannel,
        context: HostContext,
        spoken: Spoken,
        ears: Ears,
        idle_s: float | None = None,
    ) -> None:
        self._channel = channel
        self._context = context
        self._spoken = spoken
        self._ears = ears
        self._idle_s = idle_s
        self.opening = Opening(spoken.marks, spoken.dialogue)
        self._due = memoryview(b"")
        #: The lines were put into `_due`.
        self._spoke = False
        #: Nothing more is sent.
        self._silent = False
        self._open = {"stdout", "stderr"}
        self._paused = False
        self._heard_at = time.monotonic()
        self._ended_at: float | None = None
        self._since_end_bytes = 0
        self._flow_from = 0

    def follow(self) -> Ending:
        """Go on until the command has ended.

        Raises:
            BrokenError: the connection broke before.
            OperationError: the wrapper was never begun, and will not be.
            UnitStoppedError: it must not go on; the command may still run.
        """
        while not self._is_over():
            busy = self._speak()
            if not self._paused:
                busy = bool(self._hear()) or busy
            self._context.check()
            if not busy:
                self._rest()
        self.finish()
        return Ending(
            exit_status=self._channel.exit_status,
            signal=self._channel.exit_signal,
            held=tuple(sorted(self._open)),
        )

    def read_rest(self) -> None:
        """Read what has come by now, of a command that was ended."""
        self._paused = False
        left = _ON_ITS_WAY_BYTES
        while left > 0 and self._open and (size := self._hear()):
            left -= size
        self.finish()

    def finish(self) -> None:
        """Give the ears what was held back."""
        rest = self.opening.flush()
        if rest:
            self._ears.stderr(rest)

    def _is_over(self) -> bool:
        """Tell whether the command has ended, and was read to its end."""
        channel = self._channel
        # The end is looked at first: what came before it is there to be read then.
        ended = channel.exit_status is not None or bool(channel.exit_signal)
        closed = channel.ended or bool(channel.broken)
        if closed and (self._paused or self._hear()):
            return False
        if channel.broken and not ended:
            message = f"the connection broke: {channel.broken}"
            raise BrokenError(message)
        if closed or not ended:
            return closed
        return not self._open or self._has_drained()

    def _has_drained(self) -> bool:
        """Tell whether what an ended command has left running was waited for long enough."""
        now = time.monotonic()
        if self._ended_at is None:
            self._ended_at, self._since_end_bytes, self._flow_from = now, 0, 0
        if now < self._ended_at + _DRAIN_S:
            return False
        flow = self._since_end_bytes - self._flow_from
        if flow < _FLOW_BYTES or self._since_end_bytes > _ON_ITS_WAY_BYTES:
            return True
        self._ended_at, self._flow_from = now, self._since_end_bytes
        return False

    def _hear(self) -> int:
        """Take what there is on both streams; return how many bytes, or 1 for an end."""
        size = 0
        if "stdout" in self._open:
            size += self._take("stdout", self._channel.read(_PIECE_BYTES))
        if "stderr" in self._open and not self._paused:
            size += self._take("stderr", self._channel.read_stderr(_PIECE_BYTES))
        if size:
            self._heard_at = time.monotonic()
            self._since_end_bytes += size
            self._context.heard()
        return size

    def _take(self, stream: str, data: bytes | None) -> int:
        if data is None:
            return 0
        if not data:
            self._open.discard(stream)
            return 1
        if stream == "stdout":
            seen = self.opening.hear_stdout(data)
            more = not seen or self._ears.stdout(seen)
        else:
            seen = self.opening.hear_stderr(data)
            more = not seen or self._ears.stderr(seen)
        self._paused = not more
        return len(data)

    def _speak(self) -> bool:
        """Send what is due, as far as it is taken; return whether anything was."""
        if self._silent or self.opening.pid is None:
            return False
        try:
            if not self._spoke:
                self._spoke = True
                first, second = self._spoken.lines
                self._due = memoryview(first if self._spoken.dialogue else first + second)
            sent = self._send_due()
            if self._due or sent:
                return sent
            return self._go_on()
        except BrokenPipeError:  # nobody reads any more, which is the command's own business
            self._silent = True
        except ConnectionError:  # `_is_over` will say so
            self._silent = True
        return False

    def _send_due(self) -> bool:
        """Send the piece in hand."""
        sent = 0
        while self._due and (size := self._channel.send(self._due)):
            self._due = self._due[size:]
            sent += size
        return bool(sent)

    def _go_on(self) -> bool:
        """Find what is to be said next, when all that was due is sent."""
        dialogue = self._spoken.dialogue
        if dialogue is not None and not dialogue.has_begun:
            before = dialogue.wants_to_speak
            dialogue.speak(self._write)
            if dialogue.trouble and dialogue.is_over:
                self._end_input()
            return before and not dialogue.wants_to_speak
        if not self.opening.begun or self._spoken.source is None:
            return False
        piece = self._spoken.source.read(_SENT_BYTES)
        self._due = memoryview(piece)
        if not piece:
            self._end_input()
            return False
        return self._send_due()

    def _write(self, data: memoryview) -> int:
        """Send for the dialogue, which knows pipes."""
        size = self._channel.send(data)
        if not size:
            raise BlockingIOError
        return size

    def _end_input(self) -> None:
        self._silent = True
        self._channel.end_input()

    def _rest(self) -> None:
        """Wait until there is something to do, or it is time to look again."""
        if self._paused:
            self._wait_for_reader()
            return
        wait_s = _LOOK_S
        deadline = self._context.deadline
        now = time.monotonic()
        if deadline is not None:
            wait_s = min(wait_s, max(0.0, deadline - now))
        if self._idle_s is not None:
            wait_s = min(wait_s, max(0.0, self._heard_at + self._idle_s - now))
        self._channel.wait(wait_s, to_send=bool(self._due))
        self._look()

    def _look(self) -> None:
        """Lose patience with silence.

        Raises:
            UnitStoppedError, OperationError: it must not go on.
        """
        quiet_s = time.monotonic() - self._heard_at
        if self._idle_s is not None and quiet_s >= self._idle_s:
            raise TooQuietError
        if self.opening.pid is None and quiet_s >= _PATIENCE_S:
            message = f"its login shell began nothing within {_PATIENCE_S:.0f} s"
            raise OperationError(message)
        dialogue = self._spoken.dialogue
        if dialogue is not None and self.opening.pid is not None and not dialogue.look():
            raise UnitStoppedError(timed_out=False)

    def _wait_for_reader(self) -> None:
        """Wait until the reader of live output has caught up; nothing is read meanwhile."""
        fd = self._context.control_fd
        if fd is not None:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(int(_LOOK_S * 1000)):
                self._context.check()
                return
        self._context.check()
        self._paused = False
        self._heard_at = time.monotonic()
