"""The outputs of several steps as one: a pure function, bounded as one command's output is."""

from collections.abc import Iterable

from batchrun.model.outcome import NO_OUTPUT, NO_STREAM, Captured, Output
from batchrun.model.unit import HEAD_BYTES, TAIL_BYTES

__all__ = ["joined"]


def joined(
    outputs: Iterable[Output], *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES
) -> Output:
    """Put outputs one after the other, and keep the beginning and the end of the whole.

    >>> one = Output(stdout=Captured(head=b"a"))
    >>> joined([one, one]).stdout.head
    b'aa'

    Returns:
        The only one that wrote anything, as it is; else one whose streams hold the first
        `head_bytes` and the last `tail_bytes`, with the number of bytes between them.
    """
    written = [output for output in outputs if output]
    if not written:
        return NO_OUTPUT
    if len(written) == 1:
        return written[0]
    return Output(
        stdout=_joined([output.stdout for output in written], head_bytes, tail_bytes),
        stderr=_joined([output.stderr for output in written], head_bytes, tail_bytes),
    )


def _joined(streams: list[Captured], head_bytes: int, tail_bytes: int) -> Captured:
    """Join one stream; complete files of more than one step are not joined."""
    streams = [stream for stream in streams if stream]
    if len(streams) < 2:
        return streams[0] if streams else NO_STREAM
    first, last = _before_gap(streams), _after_gap(streams)
    total = sum(stream.size_bytes for stream in streams)
    head = first[:head_bytes]
    # Without a gap both hold everything: the end must not repeat the beginning.
    rest = total - len(head)
    tail = last[max(0, len(last) - min(tail_bytes, rest)) :] if rest else b""
    return Captured(head=head, tail=tail, omitted_bytes=rest - len(tail))


def _before_gap(streams: list[Captured]) -> bytes:
    """Return what was written before the first byte that was not kept."""
    pieces: list[bytes] = []
    for stream in streams:
        pieces.append(stream.head)
        if stream.omitted_bytes:
            break
        pieces.append(stream.tail)
    return b"".join(pieces)


def _after_gap(streams: list[Captured]) -> bytes:
    """Return what was written after the last byte that was not kept."""
    pieces: list[bytes] = []
    for stream in reversed(streams):
        pieces.append(stream.tail)
        if stream.omitted_bytes:
            break
        pieces.append(stream.head)
    return b"".join(reversed(pieces))
