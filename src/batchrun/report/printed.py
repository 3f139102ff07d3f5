"""Output of tasks with `print: always`: kept while the run goes on, shown with the recap."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

from batchrun.model.event import UnitEnded
from batchrun.model.outcome import Captured
from batchrun.report.text import count, decode, visible
from batchrun.report.who import who

__all__ = ["PrintedOutput", "stream_lines"]

_COPY_CHARS = 256 * 1024
#: Up to here it stays in memory.
_MEMORY_BYTES = 1024 * 1024


class PrintedOutput:
    """Keeps what commands wrote as readable text, in a file when there is much of it.

    Head and tail of each stream are shown, as far as a run keeps them, with a line about what
    is missing between them.
    """

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    def keep(self, event: UnitEnded, task: str) -> None:
        """Take the output of a unit.

        Raises:
            OSError: the file for it cannot be written.
        """
        output = event.report.output
        if not output:
            return
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 (lives as long as the run)
                _MEMORY_BYTES, "w+", encoding="utf-8", prefix="batchrun-"
            )
        label = f"  {visible(who(event.unit))}" if who(event.unit) else ""
        self._file.write(f"OUTPUT  {task}{label}\n")
        for name, captured in (("stdout", output.stdout), ("stderr", output.stderr)):
            if captured:
                self._file.write(f"  {name}:\n" if name == "stderr" else "")
                self._file.writelines(f"    {line}\n" for line in stream_lines(captured))
        self._file.write("\n")

    def show(self, write: Callable[[str], None]) -> None:
        """Write all of it, a piece at a time, and let go of it."""
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(_COPY_CHARS):
                write(piece)
        self.close()

    def close(self) -> None:
        """Let go of what was not shown; never raises."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def stream_lines(captured: Captured) -> Iterator[str]:
    """Write a stream as lines for people."""
    if not captured.omitted_bytes:
        yield from _decoded(captured.head + captured.tail)
        return
    yield from _decoded(captured.head)
    yield f"[{count(captured.omitted_bytes)} bytes are left out here]"
    yield from _decoded(captured.tail)


def _decoded(data: bytes) -> Iterator[str]:
    return map(decode, data.removesuffix(b"\n").split(b"\n")) if data else iter(())
