"""Outputs of several steps, shown as one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.joining import joined, with_everything
from batchrun.model.outcome import NO_OUTPUT, Captured, Output

HEAD, TAIL = 4, 6


def captured(written: bytes, head: int = HEAD, tail: int = TAIL) -> Captured:
    """Keep of a stream what a runner keeps."""
    rest = written[head:]
    end = rest[max(0, len(rest) - tail) :]
    return Captured(head=written[:head], tail=end, omitted_bytes=len(rest) - len(end))


def join(*streams: Captured) -> Captured:
    outputs = [Output(stdout=stream) for stream in streams]
    return joined(outputs, head_bytes=HEAD, tail_bytes=TAIL).stdout


def test_steps_that_wrote_nothing_give_no_output() -> None:
    assert joined([NO_OUTPUT, NO_OUTPUT]) == NO_OUTPUT


def test_the_only_output_stays_as_it_is_with_its_file() -> None:
    only = Output(stderr=Captured(head=b"x" * 100, spool="/spool/1"))
    assert joined([NO_OUTPUT, only, NO_OUTPUT], head_bytes=1, tail_bytes=1) is only


def test_streams_are_joined_apart() -> None:
    first = Output(stdout=Captured(head=b"o1"), stderr=Captured(head=b"e1"))
    second = Output(stderr=Captured(head=b"e2"))
    whole = Output(stdout=Captured(head=b"o1"), stderr=Captured(head=b"e1e2"))
    assert joined([first, second]) == whole


@given(st.lists(st.binary(min_size=1, max_size=12), min_size=2, max_size=5))
def test_what_is_kept_is_the_beginning_and_the_end_of_the_whole(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    found = join(*map(captured, pieces))
    assert found.size_bytes == len(whole)
    assert len(found.head) <= HEAD
    assert len(found.tail) <= TAIL
    assert whole.startswith(found.head)
    assert whole.endswith(found.tail)


@given(st.lists(st.binary(min_size=1, max_size=HEAD + TAIL), min_size=2, max_size=5))
def test_of_outputs_that_were_kept_whole_as_much_is_kept_as_of_one(pieces: list[bytes]) -> None:
    found = join(*map(captured, pieces))
    assert replace(found, parts=()) == captured(b"".join(pieces))


@given(st.lists(st.binary(min_size=1, max_size=HEAD + TAIL), min_size=2, max_size=5))
def test_what_was_kept_whole_is_still_there_in_parts(pieces: list[bytes]) -> None:
    found = join(*map(captured, pieces))
    parts = found.parts or (found,)
    assert b"".join(part.head + part.tail for part in parts) == b"".join(pieces)
    assert bool(found.parts) == bool(found.omitted_bytes)


def test_files_with_the_whole_of_several_outputs_are_its_parts() -> None:
    first = Captured(head=b"1", omitted_bytes=50, spool="/spool/1")
    last = Captured(head=b"3", omitted_bytes=50, spool="/spool/3")
    assert join(first, captured(b"2"), last).parts == (first, captured(b"2"), last)
    assert join(join(first, captured(b"2")), last).parts == (first, captured(b"2"), last)


def test_one_output_leads_to_everything_that_was_written() -> None:
    shown = Output(stdout=Captured(head=b"b"), stderr=Captured(head=b"e"))
    everything = Output(stdout=Captured(head=b"abc"), stderr=Captured(head=b"e"))
    found = with_everything(shown, everything)
    assert found.stdout == Captured(head=b"b", parts=(Captured(head=b"abc"),))
    assert found.stderr is shown.stderr


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=3, max_size=5))
def test_joining_one_by_one_is_joining_all_at_once(pieces: list[bytes]) -> None:
    streams = [captured(piece) for piece in pieces]
    growing = streams[0]
    for stream in streams[1:]:
        growing = join(growing, stream)
    assert growing == join(*streams)
