"""Wait for a command: read its output, notice its end, its deadline and a wish to stop it.

    stdout ──┐                                   ┌──► head, tail, file (Capture)
    stderr ──┼──► one poll, no thread ──► masked ┤
    pidfd  ──┤                                   └──► live output, as much as the reader takes
    control ─┤
    stdin  ──┘ only while there is a dialogue with sudo, and something to be said

The command has ended when its leader has. What still holds its pipes then is read for one
second more and left alone. A stop, a timeout or too long a silence ends everything, and what was
written is kept.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batchrun.errors import UnitStoppedError
from batchrun.model.operation import Context
from batchrun.model.outcome import Output
from batchrun.ops.processes import Wait, is_ours, never_ran
from batchrun.ops.spawn import Child
from batchrun.ops.watcher import Listening, NotBegunError, TooQuietError, Watcher

if TYPE_CHECKING:
    from batchrun.ops.dialogue import Speaker

__all__ = ["End", "Ending", "Listening", "NeverRanError", "watch"]

#: What a terminal or an operator sends to a whole group, and none of our processes dies of.
_TO_A_GROUP = frozenset(
    {
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
_LEFT = "Not all that it has started could be ended; some of it may still run."


class NeverRanError(Exception):
    """A signal to our own group ended a command's process before it had become the command.

    Until it leads a session of its own it is one of our group, and our handlers are not its own.
    Nothing was done: start it again.
    """


class End(Protocol):
    """`end_command`, of one command."""

    def __call__(self, pid: int, *, grace_s: float, wait: Wait = ...) -> bool:
        """End it; return False when some of it may still run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a command ended."""

    #: As the shell counts: 0 to 255; None when a signal or we ended it, or nobody knows.
    exit_status: int | None = None
    #: The signal that ended it by itself, else None.
    signal: int | None = None
    #: Why we ended it; None when it ended by itself.
    stopped: UnitStoppedError | None = None
    #: It was ended because it wrote nothing for too long.
    idle: bool = False
    #: It could not even be killed.
    stuck: bool = False
    #: Why it was not even begun, as a sentence; empty: it was.
    refused: str = ""
    output: Output
    warnings: tuple[str, ...] = ()


def watch(
    child: Child,
    context: Context,
    end: End,
    listening: Listening,
    speaker: "Speaker | None" = None,
) -> Ending:
    """Wait until a command has ended, or end it; reaps it and closes its pipes.

    Args:
        child: Just started.
        context: Is told of it; asked for its deadline, for a stop, and where live output goes.
        end: Ends it.
        listening: What becomes of its output.
        speaker: Has the word until sudo has begun the command; None: sudo is asked nothing.

    Raises:
        NeverRanError: it is to be started again.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, child.stdout_fd)
        stack.callback(os.close, child.stderr_fd)
        if speaker is not None:
            stack.callback(speaker.close)
        try:
            context.command_started(child.pid)
            pidfd = os.pidfd_open(child.pid)
            stack.callback(os.close, pidfd)
            watcher = Watcher(child, pidfd, context, listening, speaker)
            stack.push(watcher.leave)
            ending = _follow(watcher, child.pid, context, end)
        except BaseException:  # nobody would ever end it
            end(child.pid, grace_s=0.0)
            raise
        if ending is None:
            raise NeverRanError
        return ending


def _follow(watcher: Watcher, pid: int, context: Context, end: End) -> Ending | None:
    """Go through a command's life, from started to read to the end; None: it never ran."""
    try:
        watcher.until_exit()
    except UnitStoppedError as stopped:
        watcher.leave_loop()
        gone = end(pid, grace_s=context.settings.kill_grace_s, wait=watcher.read_for)
        watcher.read_rest()
        stuck = _is_running(pid) and is_ours(pid)
        return Ending(
            stopped=None if isinstance(stopped, NotBegunError) else stopped,
            idle=isinstance(stopped, TooQuietError),
            stuck=stuck,
            output=watcher.output(),
            warnings=(*(() if gone or stuck else (_LEFT,)), *watcher.problems()),
        )
    exit_status, signum, ran = _reap(pid)
    if not ran:
        return None
    held = watcher.drain()
    output = watcher.output()
    return Ending(
        exit_status=exit_status,
        signal=signum,
        output=output,
        warnings=(*held, *watcher.problems()),
    )


def _is_running(pid: int) -> bool:
    """Tell whether a child of ours has not ended in spite of everything."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is None
    except ChildProcessError:
        return False


def _reap(pid: int) -> tuple[int | None, int | None, bool]:
    """Collect an ended child: its exit status, or the signal that ended it; whether it ran."""
    ran = True
    try:
        result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if result is None:
            return None, None, ran
        exited = result.si_code == os.CLD_EXITED
        if not exited and result.si_status in _TO_A_GROUP:
            ran = not never_ran(pid)
        os.waitid(os.P_PID, pid, os.WEXITED)
    except ChildProcessError:  # SIGCHLD is ignored in this process: the kernel has thrown it away
        return None, None, ran
    return (result.si_status, None, ran) if exited else (None, result.si_status, ran)
