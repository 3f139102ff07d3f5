"""Have sudo do something small on the side: no output, no environment, no standard input.

For what a unit with `sudo` needs beside its command, done as the same user and with the same
password: signals, and the little that guards and `output` take. Bounded by a time of its own,
because some of it is done when the unit's time is over.
"""

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass

from batchrun.ops.dialogue import Dialogue, Speaker, Words
from batchrun.ops.spawn import Child, Launch, start
from batchrun.ops.sudo import Sudo

__all__ = ["Answer", "ask"]

_PIECE_BYTES = 4096
_LAST_BYTES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of it."""

    #: Exit status, of sudo or of what it ran; None: it was killed, or had to be left.
    status: int | None
    #: What was said on standard error, on one line, or why sudo was not told more.
    said: str


def ask(sudo: Sudo, script: bytes, *words: bytes, patience_s: float) -> Answer:
    """Run a script of sh(1) as that user; its words are `$1` and so on.

    Raises:
        OperationError, OSError: sudo could not be started.
    """
    our_words = Words.fresh()
    launch = Launch(
        argv=[*sudo.options(our_words), b"/bin/sh", b"-c", script, b"sh", *words],
        # What we were started with may hold secrets.
        env={name: os.environb[name] for name in (b"PATH",) if name in os.environb},
        cwd=b"/",
        talk=True,
    )
    dialogue = Dialogue(our_words, sudo.password or b"", (b"", b""))
    child = start(launch)
    with contextlib.ExitStack() as stack:
        for fd in (child.stdout_fd, child.stderr_fd):
            stack.callback(os.close, fd)
        return _see_through(child, dialogue, time.monotonic() + patience_s)


def _see_through(child: Child, dialogue: Dialogue, end: float) -> Answer:
    """Wait until sudo has ended, and give it the password when it asks."""
    speaker, poll, said = Speaker(child.stdin_fd, dialogue), select.poll(), b""
    with contextlib.ExitStack() as stack:
        stack.callback(speaker.close)
        pidfd = os.pidfd_open(child.pid)
        stack.callback(os.close, pidfd)
        poll.register(child.stderr_fd, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        ended = False
        while not ended and (left_s := end - time.monotonic()) > 0:
            ready = [fd for fd, _ in poll.poll(left_s * 1000)]
            ended = pidfd in ready
            if child.stderr_fd in ready:
                data = os.read(child.stderr_fd, _PIECE_BYTES)
                said = (said + dialogue.hear(data))[-_LAST_BYTES:]
                if not data:
                    poll.unregister(child.stderr_fd)
            speaker.attend(poll)
    if not ended:
        _leave(child.pid)
    status = _reap(child.pid) if ended else None
    lines = os.fsdecode(said).splitlines()
    return Answer(status=status, said=dialogue.trouble or "; ".join(filter(None, lines)))


def _reap(pid: int) -> int | None:
    try:
        result = os.waitid(os.P_PID, pid, os.WEXITED)
    except ChildProcessError:  # SIGCHLD is ignored in this process
        return None
    return result.si_status if result is not None and result.si_code == os.CLD_EXITED else None


def _leave(pid: int) -> None:
    """Kill sudo, which we may or may not; nothing is waited for."""
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
