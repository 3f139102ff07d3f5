"""Programs whose output is needed as a whole: secrets (`pass show db`), inventories.

Started without input, with a bound on time and output, and ended for certain.

When batchrun is killed meanwhile, a shell ends the program (see `ops/survivor.py`).
"""

import os
import subprocess
import threading
from collections.abc import Sequence
from typing import IO

from batchrun.errors import SourceError
from batchrun.model.secret import SHORTEST, Mask
from batchrun.ops.paths import shown
from batchrun.ops.processes import end_command
from batchrun.ops.survivor import Survivor, new_cookie

__all__ = ["MOST_BYTES", "QuietCommands"]

#: Nobody's password is longer; a wrong path often leads to something that is.
MOST_BYTES = 1024 * 1024
_KILL_GRACE_S = 2.0
_STDERR_BYTES = 4096
_STDERR_CHARACTERS = 300


class QuietCommands:
    """Runs the commands of one job, one at a time.

    `read` may be called from any one thread; `close` from another one ends what it waits for.

    Args:
        base_dir: Where they run.
        patience_s: How long one may take.
        most_bytes: How much one may print.
    """

    def __init__(
        self, base_dir: str, *, patience_s: float = 60.0, most_bytes: int = MOST_BYTES
    ) -> None:
        self._base_dir = base_dir
        self._patience_s = patience_s
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        #: The process that is waited for, and the entry of its environment that it is known by.
        self._running: tuple[int, str] | None = None
        self._closed = False

    def close(self) -> None:
        """End the command that runs, if there is one; no other is started."""
        with self._lock:
            self._closed = True
            running = self._running
        if running is not None:
            pid, mark = running
            end_command(pid, mark, 0.0)

    def read(self, what: str, argv: Sequence[str]) -> str:
        """Run a command without a shell and without input; return what it prints.

        Args:
            what: What it is for, for messages: "the secret `db`".
            argv: The program and its arguments.

        Raises:
            SourceError: it failed, or took too long, or wrote too much.
        """
        mark = new_cookie("QUIET")
        survivor = Survivor(_KILL_GRACE_S)
        value = reason = ""
        try:
            process = self._start(what, argv, mark, survivor)
            value = _finished(what, process, mark, (self._patience_s, self._most_bytes))
        except SourceError as error:
            reason = str(error)
        finally:
            survivor.rest()
            survivor.close()
        if self._is_closed():  # what was read until then may be half of it
            raise SourceError(_over(what))
        if reason:
            raise SourceError(reason)
        return value

    def _start(
        self, what: str, argv: Sequence[str], mark: str, survivor: Survivor
    ) -> "subprocess.Popen[bytes]":
        """Start a command, unless none is to be started any more.

        Raises:
            SourceError: it cannot be started, or the run is over.
        """
        with self._lock:
            if self._closed:
                raise SourceError(_over(what))
            try:
                survivor.watch(mark)
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self._base_dir,
                    env=os.environ | dict([mark.split("=")]),
                    start_new_session=True,
                )
            except OSError as error:
                reason = f"{error.strerror}: {shown(str(error.filename or argv[0]))}"
                message = f"the command for {what} cannot be started: {reason}"
                raise SourceError(message) from None
            survivor.watch(mark, process.pid)
            self._running = (process.pid, mark)
            return process

    def _is_closed(self) -> bool:
        """Forget the command that has ended; tell whether the run is over as well."""
        with self._lock:
            self._running = None
            return self._closed


def _over(what: str) -> str:
    return f"{what} is not read any more: the run is over"


def _finished(
    what: str, process: "subprocess.Popen[bytes]", mark: str, bounds: tuple[float, int]
) -> str:
    """Wait for a command, as long as it stays within its time and its number of bytes.

    Raises:
        SourceError: it took too long, wrote too much, or failed.
    """
    patience_s, most_bytes = bounds
    killed = threading.Event()

    def end() -> None:
        killed.set()
        end_command(process.pid, mark, _KILL_GRACE_S)

    timer = threading.Timer(patience_s, end)
    timer.daemon = True
    timer.start()
    complaints = bytearray()
    reader = threading.Thread(target=_drain, args=(process.stderr, complaints), daemon=True)
    reader.start()
    with process:
        output = process.stdout.read(most_bytes + 1) if process.stdout else b""
        if len(output) > most_bytes:
            end_command(process.pid, mark, 0.0)
            reason = f"wrote more than {most_bytes} bytes"
        else:
            process.wait()
            reader.join()
            reason = f"failed with exit status {process.returncode}" if process.returncode else ""
            reason += _said(bytes(complaints), output) if reason else ""
        timer.cancel()
    if killed.is_set():
        reason = f"did not end within {patience_s:g} s"
    if reason:
        message = f"the command for {what} {reason}"
        raise SourceError(message)
    return os.fsdecode(output)


def _drain(stream: IO[bytes], tail: bytearray) -> None:
    """Read to the end, and keep the last of it."""
    while block := stream.read1(_STDERR_BYTES):  # type: ignore[attr-defined]  # it is buffered
        tail += block
        del tail[:-_STDERR_BYTES]


def _said(errors: bytes, output: bytes) -> str:
    """Quote the end of what a command complained about, without what may be the secret."""
    text = os.fsdecode(errors).strip()
    if not text:
        return ""
    written = os.fsdecode(output).strip()
    if len(written) >= SHORTEST:
        text = Mask([written]).text(text)
    return f": {shown(text[-_STDERR_CHARACTERS:])}"
