"""A host made by hand: commands of this machine, behind the same seam as those over SSH."""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.host import Host
from batchrun.model.operation import Context, Done, Terms
from batchrun.model.outcome import Failed
from batchrun.model.session import HostChannel, HostContext
from batchrun.model.unit import RunSettings
from file_context import changed, snapshot

__all__ = ["LocalChannel", "LocalHost", "LocalSession", "local_host"]


class LocalChannel:
    """A process of this machine; `cut` makes its connection break."""

    def __init__(self, shell: tuple[str, ...], text: str, home: Path, noise: str) -> None:
        full = f"{noise}\n{text}" if noise else text
        self.process = subprocess.Popen(
            [*shell, "-c", full],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "LOGNAME": "me"},
            start_new_session=True,
        )
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._ends = {"stdout": False, "stderr": False}
        self.broken = ""
        self.closed = False
        self.ahead = False
        #: Break when so many more bytes were sent; None: never.
        self.breaks_after: int | None = None

    def cut(self) -> None:
        """Break the connection, as a cable that is pulled."""
        self.broken = "the cable was pulled"
        self._close_pipes()

    @property
    def exit_status(self) -> int | None:
        status = self.process.poll()
        return status if status is not None and status >= 0 and not self.broken else None

    @property
    def exit_signal(self) -> str:
        status = self.process.poll()
        if status is None or status >= 0 or self.broken:
            return ""
        return signal.Signals(-status).name.removeprefix("SIG")

    @property
    def ended(self) -> bool:
        return bool(self.broken) or (self.process.poll() is not None and all(self._ends.values()))

    def send(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise ConnectionResetError
        if self.breaks_after is not None:
            data = data[: self.breaks_after]
            if not data:
                self.cut()
                raise ConnectionResetError
        assert self.process.stdin is not None
        try:
            size = os.write(self.process.stdin.fileno(), data)
        except BlockingIOError:
            return 0
        if self.breaks_after is not None:
            self.breaks_after -= size
        return size

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def read(self, size: int) -> bytes | None:
        return self._read("stdout", self.process.stdout, size)

    def read_stderr(self, size: int) -> bytes | None:
        return self._read("stderr", self.process.stderr, size)

    def _read(self, name: str, pipe: Any, size: int) -> bytes | None:
        if self._ends[name] or self.broken:
            return b""
        try:
            data = os.read(pipe.fileno(), size)
        except BlockingIOError:
            return None
        self._ends[name] = not data
        return data

    @property
    def refused(self) -> bool:
        return False

    def wait(self, timeout_s: float, *, to_send: bool = False) -> None:
        poll = select.poll()
        for name, pipe in (("stdout", self.process.stdout), ("stderr", self.process.stderr)):
            assert pipe is not None
            if not self._ends[name] and not self.broken:
                poll.register(pipe.fileno(), select.POLLIN)
        if to_send and self.process.stdin is not None and not self.process.stdin.closed:
            poll.register(self.process.stdin.fileno(), select.POLLOUT)
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(self.process.pid)
            if self.process.poll() is None:
                poll.register(pidfd, select.POLLIN)
            poll.poll(timeout_s * 1000)
            os.close(pidfd)
            return
        poll.poll(min(timeout_s, 0.05) * 1000)

    def signal(self, name: str) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, getattr(signal, f"SIG{name}"))

    def close(self) -> None:
        self.closed = True
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@dataclass
class LocalSession:
    """Opens channels; remembers them."""

    home: Path
    #: The login shell.
    shell: tuple[str, ...] = ("/bin/sh",)
    #: What a file of the login shell does first.
    noise: str = ""
    host: Host = field(default_factory=lambda: Host(name="web1"))
    channels: list[LocalChannel] = field(default_factory=list)
    #: Texts that login shells were given.
    texts: list[str] = field(default_factory=list)
    #: For the next channel.
    breaks_after: int | None = None
    #: No channel is opened any more after so many.
    refuses_after: int | None = None

    def open_channel(self, command: str, context: Context) -> HostChannel:
        context.check()
        if self.refuses_after is not None and len(self.channels) >= self.refuses_after:
            message = "the host opens no more channels (MaxSessions)"
            raise OperationError(message)
        channel = LocalChannel(self.shell, command, self.home, self.noise)
        channel.breaks_after, self.breaks_after = self.breaks_after, None
        self.texts.append(command)
        self.channels.append(channel)
        return channel

    def cut(self, number: int) -> None:
        """Break the connection of the channel that was opened as number so many, from 0."""
        self.channels[number].cut()

    def open_files(self, context: Context) -> object:
        raise OperationError(f"no files here {context.number}")


@dataclass(kw_only=True)
class LocalHost:
    """The context of a unit on this host; can be stopped from another thread."""

    settings: RunSettings
    #: A `LocalSession`, or one with a real server.
    session: Any
    #: The login directory.
    home: Path
    number: int = 1
    attempt: int = 1
    task_id: str = "task"
    label: str = ""
    deadline: float | None = None
    terms: Terms = field(default_factory=Terms)
    stopped: bool = False
    control: tuple[int, int] = field(default_factory=os.pipe)
    shown: list[tuple[str, bytes]] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    #: This many more pieces of live output are welcome; None: any number.
    welcome: int | None = None
    bytes_seen: int = 0
    #: How many times something was heard.
    signs: int = 0
    insisted: bool = False
    _names: int = 0

    @property
    def host(self) -> Host:
        host: Host = self.session.host
        return host

    @property
    def control_fd(self) -> int | None:
        return self.control[0]

    def check(self) -> None:
        os.set_blocking(self.control[0], False)
        with suppress(BlockingIOError):
            os.read(self.control[0], 100)
        if self.stopped:
            raise UnitStoppedError(timed_out=False)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise UnitStoppedError(timed_out=True)

    def stop(self) -> None:
        self.stopped = True
        os.write(self.control[1], b".")

    def command_started(self, pid: int) -> None:
        raise AssertionError(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        self.shown.append((stream, data))
        if self.welcome is None:
            return True
        self.welcome -= 1
        if self.welcome <= 0:
            threading.Timer(0.1, self._welcome_again).start()
        return self.welcome > 0

    def _welcome_again(self) -> None:
        self.welcome = None
        os.write(self.control[1], b".")

    def progress(self, bytes_done: int) -> None:
        self.bytes_seen = bytes_done

    def temp_name(self) -> str:
        self._names += 1
        return f".br-r1-1-{self.attempt}-{self._names}"

    def heard(self) -> None:
        self.signs += 1

    def stage(self, words: str) -> None:
        self.stages.append(words)

    def do(self, name: str, /, **params: Any) -> Done:
        """Run an operation as run_unit() would."""
        from batchrun.remote import OPERATIONS

        operation = OPERATIONS[name]
        context: HostContext = self
        try:
            done: Done = operation.function(operation.params(**params), context)
        except OperationError as error:
            failed = Failed(message=str(error), errno=error.errno, retryable=error.retryable)
            return Done(outcome=failed)
        return done

    def rehearse(self, name: str, /, **params: Any) -> bool:
        """Run an operation dry, see that nothing changed by it, and return what it answers."""
        before = snapshot(self.home)
        real, self.settings = self.settings, replace(self.settings, dry_run=True)
        done = self.do(name, **params)
        self.settings = real
        assert snapshot(self.home) == before
        return changed(done)


@contextmanager
def local_host(
    folder: Path, *, timeout_s: float | None = None, **settings: Any
) -> Iterator[LocalHost]:
    """Make a host whose login directory is `folder/home`; nothing of it may be left running."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    base = folder / "here"
    base.mkdir(exist_ok=True)
    run_id = f"t{os.getpid()}"
    context = LocalHost(
        settings=RunSettings(run_id=run_id, base_dir=str(base), **settings),
        session=LocalSession(home),
        home=home,
        deadline=None if timeout_s is None else time.monotonic() + timeout_s,
        terms=Terms(timeout_s=timeout_s),
    )
    try:
        yield context
        assert all(channel.closed for channel in context.session.channels)
    finally:
        for channel in context.session.channels:
            with suppress(ProcessLookupError):
                os.killpg(channel.process.pid, signal.SIGKILL)
            channel.process.wait(10)
            channel.close()
        for fd in context.control:
            os.close(fd)
