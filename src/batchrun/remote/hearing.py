"""What becomes of the output of a command on a host: as of one here."""

import os

from batchrun.model.outcome import Output
from batchrun.model.session import HostContext
from batchrun.ops.streams import Stream
from batchrun.ops.watcher import Listening

__all__ = ["Hearing", "Tail"]


class Hearing:
    """Keeps both streams, secrets hidden, and passes them on while the command runs."""

    def __init__(self, listening: Listening, context: HostContext) -> None:
        self._context = context
        self._live = listening.live
        mask, spool = context.terms.mask, listening.spool
        self._stdout = Stream("stdout", listening.stdout, spool, mask)
        self._stderr = Stream("stderr", listening.stderr, spool, mask)

    def stdout(self, data: bytes) -> bool:
        """Keep a piece; return False when the reader of live output has had enough."""
        return self._show("stdout", self._stdout.feed(data))

    def stderr(self, data: bytes) -> bool:
        """Likewise."""
        return self._show("stderr", self._stderr.feed(data))

    def _show(self, name: str, data: bytes) -> bool:
        if not data or not self._live or self._context.live_output(name, data):
            return True
        if self._context.control_fd is None:  # nobody could wake us up again
            self._live = False
            return True
        return False

    def output(self) -> Output:
        """Return what was kept; nothing comes any more."""
        for name, stream in (("stdout", self._stdout), ("stderr", self._stderr)):
            self._show(name, stream.finish())
        return Output(stdout=self._stdout.capture.result(), stderr=self._stderr.capture.result())

    def problems(self) -> tuple[str, ...]:
        """Return what kept output from being kept whole, as sentences."""
        return tuple(stream.problem for stream in (self._stdout, self._stderr) if stream.problem)

    def discard(self) -> None:
        """Leave no file behind."""
        self._stdout.discard()
        self._stderr.discard()


class Tail:
    """Keeps the end of one stream."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self.data = b""

    def feed(self, data: bytes) -> None:
        """Take a piece."""
        self.data = (self.data + data)[-self._size :]

    def lines(self) -> list[str]:
        """Return its lines that say something, as text."""
        text = os.fsdecode(self.data)
        return [line for line in text.splitlines() if line.strip()]
