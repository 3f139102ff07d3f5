"""The one poll of a running command: its output, its end, its deadline, a wish to stop it."""

import contextlib
import math
import os
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchrun.errors import UnitStoppedError
from batchrun.model.operation import Context
from batchrun.model.outcome import Output
from batchrun.ops.spawn import Child
from batchrun.ops.streams import Stream

if TYPE_CHECKING:
    from batchrun.ops.dialogue import Speaker

__all__ = ["Listening", "NotBegunError", "TooQuietError", "Watcher"]

#: What a pipe holds by default: 700 to 950 MB/s. A pipe of 1 MiB, read in larger pieces, measured
#: 0 to 20 % faster, but counts against the user's quota of pipe memory.
_PIECE_BYTES = 64 * 1024
#: The most a pipe can hold unless root has raised it: what may lie in it when nobody writes.
_PIPE_PIECES = 16
#: How long what a command left running may hold its pipes.
_DRAIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What becomes of a command's output."""

    #: Bytes kept of the beginning and of the end of standard output, and of standard error.
    stdout: tuple[int, int]
    stderr: tuple[int, int]
    #: It is passed on while the command runs.
    live: bool = False
    #: A stream that is longer goes to the file of this name and the stream's; empty: it is cut.
    spool: str = ""
    #: The command is ended when it writes nothing for so long, in seconds; None: never.
    idle_s: float | None = None


class TooQuietError(UnitStoppedError):
    """The command has written nothing for too long."""

    def __init__(self) -> None:
        super().__init__(timed_out=True)


class NotBegunError(UnitStoppedError):
    """What was to begin the command has nothing more to be told, and does not end."""

    def __init__(self) -> None:
        super().__init__(timed_out=False)


def _milliseconds(seconds: float) -> int:
    """Round up for poll(2), so that a deadline has passed when it returns; an hour at most."""
    return max(0, math.ceil(min(seconds, 3600.0) * 1000))


class Watcher:
    """The one poll of a running command."""

    def __init__(
        self,
        child: Child,
        pidfd: int,
        context: Context,
        listening: Listening,
        speaker: "Speaker | None",
    ) -> None:
        self._context = context
        self._speaker = speaker
        dialogue = None if speaker is None else speaker.dialogue
        self._pidfd = pidfd
        self._control_fd = context.control_fd
        #: Output is still passed on while the command runs.
        self._live = listening.live
        #: The reader of live output has had enough: the pipes are not in the poll.
        self._paused = False
        self._idle_s = listening.idle_s
        #: When something was written last, by the monotonic clock.
        self._heard_at = time.monotonic()
        mask, spool = context.terms.mask, listening.spool
        self._streams = {
            child.stdout_fd: Stream("stdout", listening.stdout, spool, mask),
            child.stderr_fd: Stream("stderr", listening.stderr, spool, mask, dialogue),
        }
        #: The pipes that may still give something.
        self._open = set(self._streams)
        self._poll = select.poll()
        for fd in (*self._open, pidfd):
            self._poll.register(fd, select.POLLIN)
        if self._control_fd is not None:
            self._poll.register(self._control_fd, select.POLLIN)

    def leave(self, kind: object, _error: object, _traceback: object) -> None:
        """Leave no file of the output behind that nobody will hear of."""
        if kind is not None:
            for stream in self._streams.values():
                stream.discard()

    def until_exit(self) -> None:
        """Read until the leader has ended.

        Raises:
            UnitStoppedError: it must not run any longer; it is still running.
        """
        deadline = self._context.deadline
        if self._idle_s is None and self._speaker is None:
            while not self._step(deadline):
                pass
            return
        while not self._step(self._next_look(deadline)):
            self._look()

    def _next_look(self, deadline: float | None) -> float | None:
        """When the poll must return though nothing has happened."""
        times = [] if deadline is None else [deadline]
        if self._idle_s is not None and not self._paused:  # paused: what it writes is not read
            times.append(self._heard_at + self._idle_s)
        if self._speaker is not None and (due_at := self._speaker.dialogue.due_at()) is not None:
            times.append(due_at)
        return min(times, default=None)

    def _look(self) -> None:
        """Lose patience with silence, and go on with the dialogue.

        Raises:
            UnitStoppedError: it must not run any longer.
        """
        quiet_s = time.monotonic() - self._heard_at
        if self._idle_s is not None and quiet_s >= self._idle_s and not self._paused:
            raise TooQuietError
        if self._speaker is not None:
            if not self._speaker.dialogue.look():
                raise NotBegunError
            self._speaker.attend(self._poll)

    def drain(self) -> tuple[str, ...]:
        """Read what an ended command left in its pipes; return what people should know."""
        self._poll.unregister(self._pidfd)
        if self._speaker is not None:
            self._speaker.close()
        end = time.monotonic() + _DRAIN_S
        with contextlib.suppress(UnitStoppedError):  # too late: it has ended by itself
            while self._open and time.monotonic() < end:
                self._step(end)
        self.read_rest()
        return tuple(
            f"Something that the command left running still holds its {stream.long_name}; "
            "what it writes there from now on is lost."
            for fd, stream in self._streams.items()
            if fd in self._open
        )

    def leave_loop(self) -> None:
        """Prepare for the end: only pipes are polled from now on, and nobody is asked."""
        self._poll.unregister(self._pidfd)
        if self._control_fd is not None:
            self._poll.unregister(self._control_fd)
            self._control_fd = None
        if self._speaker is not None:
            self._speaker.close()
        if self._paused:
            self._resume()
            self._live = False

    def read_for(self, seconds: float) -> None:
        """Read for that long, while the command is being ended."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            for fd, events in self._poll.poll(_milliseconds(left_s)):
                self._read(fd, events)

    def read_rest(self) -> None:
        """Read what lies in the pipes now, at most what they can hold."""
        for fd in tuple(self._open):
            for _ in range(_PIPE_PIECES):
                if not self._read(fd, select.POLLIN):
                    break

    def output(self) -> Output:
        """Return what was captured; nothing is read from here on."""
        for stream in self._streams.values():
            self._show(stream, stream.finish())
        stdout, stderr = (stream.capture.result() for stream in self._streams.values())
        return Output(stdout=stdout, stderr=stderr)

    def problems(self) -> tuple[str, ...]:
        """Return what kept output from being kept whole, as sentences."""
        return tuple(stream.problem for stream in self._streams.values() if stream.problem)

    def _step(self, until: float | None) -> bool:
        """Wait for anything, or until then, and deal with it; return whether the leader ended."""
        timeout = None if until is None else _milliseconds(until - time.monotonic())
        ready = self._poll.poll(timeout)
        ended = controlled = False
        for fd, events in ready:
            if fd == self._pidfd:
                ended = True
            elif fd == self._control_fd:
                controlled = True
            elif fd in self._open and not self._paused:
                self._read(fd, events)
        if (controlled or not ready) and not ended:
            self._context.check()
        if controlled and self._paused:
            self._resume()
        return ended

    def _read(self, fd: int, events: int) -> bool:
        """Take one piece from a pipe; return False when there is nothing now, or ever."""
        try:
            # Without POLLIN nothing is left but the end of file, which needs no system call.
            data = os.read(fd, _PIECE_BYTES) if events & select.POLLIN else b""
        except BlockingIOError:
            return False
        if data:
            if self._idle_s is not None:
                self._heard_at = time.monotonic()
            stream = self._streams[fd]
            self._show(stream, stream.feed(data))
            return True
        self._open.discard(fd)
        if not self._paused:
            self._poll.unregister(fd)
        self._show(self._streams[fd], self._streams[fd].finish())
        return False

    def _show(self, stream: Stream, data: bytes) -> None:
        """Pass on what may be seen."""
        if data and self._live and not self._context.live_output(stream.name, data):
            self._pause()

    def _pause(self) -> None:
        """Read no more for now, or show no more, when nobody could wake us up again."""
        if self._control_fd is None:
            self._live = False
        elif not self._paused:
            self._paused = True
            for fd in self._open:
                self._poll.unregister(fd)

    def _resume(self) -> None:
        """Read again."""
        self._paused = False
        self._heard_at = time.monotonic()
        for fd in self._open:
            self._poll.register(fd, select.POLLIN)
