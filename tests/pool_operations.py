"""Operations and functions that runners are tested with; imported by their workers too."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.outcome import Cancelled, Captured, Failed, Ok, Output, TimedOut
from batchrun.ops.processes import cookie, end_command

__all__ = ["OPERATIONS", "TABLE"]

TABLE = "pool_operations:OPERATIONS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text: what it means is the operation's business."""

    text: str = ""


def note(params: Text, context: Context) -> Done:
    """Answer with the text, and whether it is a dry run."""
    return Done.changed(f"{params.text} dry" if context.settings.dry_run else params.text)


def fail(params: Text, _context: Context) -> Done:
    """Fail in the way that the text names."""
    if params.text == "operation":
        message = "it said no"
        raise OperationError(message, errno=13, retryable=False)
    if params.text == "system":
        os.unlink("/nonexistent/\udcff\n")
    if params.text == "exit":
        sys.exit(3)
    if params.text == "lambda":
        return Done(outcome=Ok(changed=False), warnings=(lambda: "",))  # type: ignore[arg-type]
    return 1 // 0  # type: ignore[return-value]


def wait(params: Text, context: Context) -> Done:
    """Say that it has begun, by a file, then wait until it is stopped."""
    if params.text:
        Path(params.text).touch()
    poll = select.poll()
    poll.register(-1 if context.control_fd is None else context.control_fd, select.POLLIN)
    while True:
        left = 60.0 if context.deadline is None else context.deadline - time.monotonic()
        poll.poll(max(0.0, left) * 1000)
        context.check()


def deaf(params: Text, _context: Context) -> Done:
    """Never look up."""
    if params.text:
        Path(params.text).touch()
    time.sleep(3600)
    return Done.unchanged()


def die(params: Text, _context: Context) -> NoReturn:
    """End the worker by the signal of this number."""
    os.kill(os.getpid(), int(params.text))
    time.sleep(3600)
    raise AssertionError


def command(params: Text, context: Context) -> Done:
    """Run a shell command as the real operation does, and end it when stopped."""
    mark = cookie(context.settings.run_id, context.number, context.attempt)
    name, _, value = mark.partition("=")
    with subprocess.Popen(
        ["/bin/sh", "-c", params.text],
        env={**os.environ, name: value},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        context.command_started(process.pid)
        fd = os.pidfd_open(process.pid)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(-1 if context.control_fd is None else context.control_fd, select.POLLIN)
        try:
            while fd not in [ready for ready, _ in poll.poll(_left_ms(context))]:
                context.check()
        except UnitStoppedError as error:
            end_command(process.pid, mark, context.settings.kill_grace_s)
            limit_s = context.settings.kill_grace_s
            ended = TimedOut(limit_s=limit_s) if error.timed_out else Cancelled(was_running=True)
            return Done(outcome=ended)
        finally:
            os.close(fd)
        head = process.stdout.read() if process.stdout else b""
        status = process.wait()
    output = Output(stdout=Captured(head=head))
    if status:
        return Done(outcome=Failed(message=f"exit status {status}"), output=output)
    return Done(outcome=Ok(changed=True, exit_status=0), output=output)


def _left_ms(context: Context) -> float | None:
    if context.deadline is None:
        return None
    return max(0.0, context.deadline - time.monotonic()) * 1000 + 1


def talk(params: Text, context: Context) -> Done:
    """Write so many bytes of live output, waiting for room as an operation must."""
    poll = select.poll()
    poll.register(-1 if context.control_fd is None else context.control_fd, select.POLLIN)
    held_up = 0
    for _ in range(int(params.text) // 100_000):
        if not context.live_output("stdout", b"x" * 100_000):
            held_up += 1
            poll.poll()
            context.check()
    context.progress(int(params.text))
    return Done.changed(str(held_up))


def _operation(function: object) -> Operation:
    name = getattr(function, "__name__", "")
    return Operation(name=name, summary=name, params=Text, function=function, main="text")  # type: ignore[arg-type]


OPERATIONS = {
    operation.name: operation
    for operation in map(_operation, (note, fail, wait, deaf, die, command, talk))
}


class KeywordOnlyError(Exception):
    """Pickles, and cannot be unpickled."""

    def __init__(self, *, text: str) -> None:
        super().__init__(text)


def raise_keyword_only() -> NoReturn:
    """Raise what cannot be unpickled."""
    raise KeywordOnlyError(text="only by keyword")


def raise_value_error(text: str) -> NoReturn:
    """Raise something ordinary."""
    raise ValueError(text)


def make_lambda() -> object:
    """Return what cannot be pickled."""
    return lambda: None


def make_bytes(size: int) -> bytes:
    """Return a long result."""
    return b"r" * size


def length(data: bytes, *, plus: int = 0) -> int:
    """Measure a long argument."""
    return len(data) + plus


def double(number: int) -> int:
    """Do next to nothing."""
    return 2 * number


def slow_double(number: int) -> int:
    """Take long enough to be hit."""
    time.sleep(0.005)
    return 2 * number


def segfault() -> None:
    """Die as broken C code dies."""
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def mark_and_sleep(path: str, seconds: float) -> int:
    """Say by a file which process runs this, then sleep."""
    Path(path).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(seconds)
    return os.getpid()


def open_descriptors() -> dict[int, str]:
    """Return what this process has open."""
    links: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            links[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own
    return links


def inheritable_descriptors() -> list[int]:
    """Return which descriptors commands would get, beside the standard three."""
    return [fd for fd in open_descriptors() if fd > 2 and os.get_inheritable(fd)]


def imported_modules() -> list[str]:
    """Return what this worker has imported."""
    return sorted(sys.modules)


def signal_state() -> tuple[set[int], list[bool]]:
    """Return the blocked signals, and whether some that matter are ignored."""
    blocked = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1)
    return blocked, [signal.getsignal(number) is signal.SIG_IGN for number in numbers]
