"""What commands wrote, as they wrote it: standard output and standard error apart."""

from collections.abc import Iterable
from typing import BinaryIO

from batchrun.model.event import UnitEnded, UnitRetried
from batchrun.model.outcome import Captured
from batchrun.report.text import count, visible
from batchrun.report.who import who

__all__ = ["write_raw"]


def write_raw(
    events: Iterable[UnitEnded | UnitRetried], stdout: BinaryIO, stderr: BinaryIO
) -> None:
    """Write the output of units, one after the other; what was not kept is said on standard error.

    Args:
        events: The ends of attempts.
        stdout: Gets what they wrote to their standard output, and nothing else.
        stderr: Gets the rest.

    Raises:
        OSError: it cannot be written.
    """
    for event in events:
        output = event.report.output
        if output.stdout:
            _write(output.stdout, stdout)
        gaps = _gap(event, "standard output", output.stdout)
        gaps += _gap(event, "standard error", output.stderr)
        if output.stderr or gaps:
            stdout.flush()  # on a terminal they are read together
            _write(output.stderr, stderr)
            stderr.write(gaps.encode())
            stderr.flush()
    stdout.flush()


def _write(captured: Captured, stream: BinaryIO) -> None:
    stream.write(captured.head)
    stream.write(captured.tail)


def _gap(event: UnitEnded | UnitRetried, stream: str, captured: Captured) -> str:
    if not captured.omitted_bytes:
        return ""
    item = f" ({visible(who(event.unit))})" if who(event.unit) else ""
    number = count(captured.omitted_bytes)
    return (
        f"batchrun: unit {event.report.number}{item}: {number} bytes in the middle of its {stream} "
        "were not kept\n"
    )
