"""A hand-made world for one command: what a worker gives an operation, in this process."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from batchrun.errors import UnitStoppedError
from batchrun.model.operation import Terms
from batchrun.model.unit import RunSettings
from batchrun.ops.processes import cookie
from support import processes_with_environ, wait_until

__all__ = ["RUN_ID", "CommandContext", "command_context", "when"]

#: Told apart from other test runs on this machine.
RUN_ID = f"test{os.getpid()}"


@dataclass(kw_only=True)
class CommandContext:
    """Can be stopped from another thread, counts what is shown, and has a deadline."""

    settings: RunSettings
    number: int = 1
    attempt: int = 1
    task_id: str = "task"
    label: str = ""
    deadline: float | None = None
    terms: Terms = field(default_factory=Terms)
    #: This many more pieces of live output are welcome; None: any number.
    welcome: int | None = None
    shown: list[tuple[str, bytes]] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    stopped: bool = False
    #: The reading and the writing end behind `control_fd`.
    control: tuple[int, int] = field(default_factory=os.pipe)

    @property
    def control_fd(self) -> int | None:
        return self.control[0]

    @property
    def cookie(self) -> str:
        return cookie(self.settings.run_id, self.number, self.attempt)

    def survivors(self) -> list[int]:
        """Ids of live processes that carry this attempt's cookie."""
        return processes_with_environ(self.cookie)

    def wake(self) -> None:
        """Make `control_fd` readable once, as an acknowledgement does."""
        os.write(self.control[1], b".")

    def stop(self) -> None:
        """Tell the unit to stop, from any thread."""
        self.stopped = True
        self.wake()

    def check(self) -> None:
        os.set_blocking(self.control[0], False)
        with suppress(BlockingIOError):
            os.read(self.control[0], 100)
        if self.stopped:
            raise UnitStoppedError(timed_out=False)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise UnitStoppedError(timed_out=True)

    def command_started(self, pid: int) -> None:
        self.pids.append(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        self.shown.append((stream, data))
        if self.welcome is None:
            return True
        self.welcome -= 1
        return self.welcome > 0

    def progress(self, bytes_done: int) -> None:
        raise AssertionError(bytes_done)

    def temp_name(self) -> str:
        return ".br-test-1"


_numbers = iter(range(1, 1_000_000))


@contextmanager
def command_context(
    base_dir: Path, *, timeout_s: float | None = None, settings: RunSettings | None = None
) -> Iterator[CommandContext]:
    """Make a context; afterwards no descriptor may be left open that was not before."""
    before = len(os.listdir("/proc/self/fd"))
    context = CommandContext(
        settings=settings or RunSettings(run_id=RUN_ID, base_dir=str(base_dir)),
        number=next(_numbers),
        deadline=None if timeout_s is None else time.monotonic() + timeout_s,
        terms=Terms(timeout_s=timeout_s),
    )
    yield context
    for fd in context.control:
        os.close(fd)
    # Fewer, when what an earlier test has left behind was collected meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= before


@contextmanager
def when(predicate: Callable[[], object], then: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread as soon as a condition holds, while the body runs."""

    def watch() -> None:
        wait_until(predicate, 30, "the condition of the test")
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
