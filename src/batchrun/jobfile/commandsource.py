"""`{command: ARGV}`: the lines that a program writes, read as it writes them.

    program ──stdout──► thread: lines ──► Feeder
            ──stderr──► its last lines, for the message when it fails

The program leads a session of its own. `close` ends its whole group at once: TERM, and KILL from
the thread when it has not ended within two seconds. So does a shell when batchrun is killed.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Compiled
from batchrun.jobfile.feeder import Batches, Feeder, LineSplitter
from batchrun.jobfile.scope import Names
from batchrun.jobfile.sources import Items, value_of
from batchrun.model.ports import Waker
from batchrun.ops.paths import shown
from batchrun.ops.survivor import Survivor, new_cookie

__all__ = ["CommandSource"]

_BLOCK_BYTES = 64 * 1024
#: How much of the end of standard error is kept for the message.
_KEPT_BYTES = 4096
_SHOWN_LINES = 3
_GRACE_S = 2.0
#: How long what the program started may keep its output open after its own end.
_DRAIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSource:
    """The output lines of a program."""

    argv: Compiled
    text: str
    #: Where it runs.
    base_dir: str
    null_separated: bool = False
    #: Variables that it does not inherit: they hold secrets.
    withheld_env: tuple[str, ...] = ()
    standard_input: bool = False

    @property
    def described(self) -> str:
        """The source, as written."""
        return f"output of {self.text}"

    @property
    def total(self) -> int | None:
        """Not known before it has ended."""
        return None

    def open(self, names: Names, waker: Waker) -> Items:
        """Start the program.

        Raises:
            SourceError: it cannot be started.
        """
        argv = list(value_of(self.argv, names))
        environment = {
            key: value for key, value in os.environ.items() if key not in self.withheld_env
        }
        program = _Program(argv, self.base_dir, environment)
        splitter = LineSplitter(
            b"\0" if self.null_separated else b"\n", f"the output of {program.name}"
        )
        feeder = Feeder(program.batches(splitter), waker)

        def close() -> None:
            program.stop()
            feeder.close()

        return Items(next=feeder.next, close=close)


class _Program:
    """A running program; `batches` belongs to one thread, `stop` may come from any other."""

    def __init__(self, argv: list[str], base_dir: str, environment: dict[str, str]) -> None:
        if not argv or not argv[0]:
            message = "the items cannot be computed: the command is empty"
            raise SourceError(message)
        self.name = shown(argv[0])
        cookie = new_cookie("ITEMS")
        self._survivor = Survivor(_GRACE_S)
        try:
            self._survivor.watch(cookie)
            self._child = subprocess.Popen(
                argv,
                cwd=base_dir,
                env=environment | dict([cookie.split("=")]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._survivor.rest()
            self._survivor.close()
            reason = getattr(error, "strerror", None) or str(error)
            message = f"the command {self.name} for the items cannot be started: {reason}"
            raise SourceError(message) from None
        self._survivor.watch(cookie, self._child.pid)
        self._pipes = cast("list[IO[bytes]]", [self._child.stdout, self._child.stderr])
        # A pidfd polls readable when the program has ended, and is never somebody else's.
        self._pidfd = os.pidfd_open(self._child.pid)
        self._stop_read, self._stop_write = os.pipe()
        self._errors = b""
        self._stopped = False
        self._reaped = False
        #: Held while the group is signalled or reaped: its id must not become another's between.
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End the program's group, if it runs; called from the engine's thread."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._signal(signal.SIGTERM)
                os.close(self._stop_write)

    def batches(self, splitter: LineSplitter) -> Batches:
        """Yield the lines as they come.

        Raises:
            SourceError: the program failed, or what it writes is no list.
        """
        try:
            for block in self._blocks():
                yield splitter.feed(block)
            yield splitter.feed(b"")
            self._check()
        finally:
            self._end()

    def _blocks(self) -> Iterator[bytes]:
        """Yield standard output until the program has ended and both pipes are read."""
        outputs = {pipe.fileno() for pipe in self._pipes}
        poll = select.poll()
        for fd in (*outputs, self._pidfd, self._stop_read):
            poll.register(fd, select.POLLIN)
        until: float | None = None
        while outputs or until is None:
            left_ms = None if until is None else max(0.0, until - time.monotonic()) * 1000
            ready = {fd for fd, _ in poll.poll(left_ms)}
            if self._stop_read in ready or not ready:
                return
            if self._pidfd in ready:
                poll.unregister(self._pidfd)
                until = time.monotonic() + _DRAIN_S
            for fd in ready.intersection(outputs):
                block = os.read(fd, _BLOCK_BYTES)
                if not block:
                    poll.unregister(fd)
                    outputs.remove(fd)
                elif fd == self._pipes[1].fileno():
                    self._errors = (self._errors + block)[-_KEPT_BYTES:]
                else:
                    yield block

    def _check(self) -> None:
        """Collect the program, which has ended.

        Raises:
            SourceError: it did not end well.
        """
        with self._lock:
            if self._stopped:
                return
            self._reaped = True
            status = self._child.wait()
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            lines = self._errors.decode("utf-8", "surrogateescape").splitlines()[-_SHOWN_LINES:]
            said = ": " + " / ".join(map(shown, lines)) if lines else ""
            message = f"the command {self.name} for the items ended with {how}{said}"
            raise SourceError(message)

    def _end(self) -> None:
        """Let nothing of the program be left, unless it has ended by itself."""
        self.stop()
        if not self._reaped:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll(_GRACE_S * 1000)
        with self._lock:
            self._signal(signal.SIGKILL)
            self._reaped = True
            self._child.wait()
        self._survivor.rest()
        self._survivor.close()
        for pipe in self._pipes:
            pipe.close()
        os.close(self._pidfd)
        os.close(self._stop_read)

    def _signal(self, number: signal.Signals) -> None:
        if not self._reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)
