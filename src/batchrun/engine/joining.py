"""The outputs of several steps as one: a pure function, bounded as one command's output is."""

from collections.abc import Iterable
from dataclasses import replace

from batchrun.model.outcome import NO_OUTPUT, NO_STREAM, Captured, Output
from batchrun.model.unit import HEAD_BYTES, TAIL_BYTES

__all__ = ["joined", "with_everything"]


def joined(
    outputs: Iterable[Output], *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES
) -> Output:
    """Put outputs one after the other, and keep the beginning and the end of the whole.

    >>> one = Output(stdout=Captured(head=b"a"))
    >>> joined([one, one]).stdout.head
    b'aa'

    Returns:
        The only one that wrote anything, as it is; else one whose streams hold the first
        `head_bytes` and the last `tail_bytes`, with the number of bytes between them; then its
        parts are the outputs.
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


def with_everything(shown: Output, everything: Output) -> Output:
    """Let the output of one step lead to that of all of them.

    Args:
        shown: What is kept of the step that people will look at.
        everything: What all steps wrote, joined.
    """
    return Output(
        stdout=_leading_to(shown.stdout, everything.stdout),
        stderr=_leading_to(shown.stderr, everything.stderr),
    )


def _leading_to(shown: Captured, everything: Captured) -> Captured:
    if shown.size_bytes == everything.size_bytes:
        return shown
    return replace(shown, parts=everything.parts or (everything,))


def _joined(streams: list[Captured], head_bytes: int, tail_bytes: int) -> Captured:
    """Join one stream."""
    streams = [stream for stream in streams if stream]
    if len(streams) < 2:
        return streams[0] if streams else NO_STREAM
    first, last = _before_gap(streams), _after_gap(streams)
    total = sum(stream.size_bytes for stream in streams)
    head = first[:head_bytes]
    # Without a gap both hold everything: the end must not repeat the beginning.
    rest = total - len(head)
    tail = last[max(0, len(last) - min(tail_bytes, rest)) :] if rest else b""
    omitted_bytes = rest - len(tail)
    parts = _parts(streams, head_bytes, tail_bytes) if omitted_bytes else ()
    return Captured(head=head, tail=tail, omitted_bytes=omitted_bytes, parts=parts)


def _parts(streams: list[Captured], head_bytes: int, tail_bytes: int) -> tuple[Captured, ...]:
    """List the streams that were joined; what memory holds of short ones makes one part."""
    parts: list[Captured] = []
    for part in (one for stream in streams for one in stream.parts or (stream,)):
        last = parts[-1] if parts else part
        size_bytes = last.size_bytes + part.size_bytes
        is_short = size_bytes <= head_bytes + tail_bytes
        if parts and is_short and not last.omitted_bytes and not part.omitted_bytes:
            data = last.head + last.tail + part.head + part.tail
            parts[-1] = Captured(head=data[:head_bytes], tail=data[head_bytes:])
        else:
            parts.append(part)
    return tuple(parts)


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
