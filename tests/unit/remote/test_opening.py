"""How a command on a host is begun, heard in pieces of any size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.ops.dialogue import Words
from batchrun.remote.opening import Opening
from batchrun.remote.wrapper import Marks

MARKS = Marks(started=b"brSTART", words=Words(prompt=b"p", ready=(b"re", b"ady")))


def heard(opening: Opening, stream: str, data: bytes, cuts: list[int]) -> bytes:
    """Feed a stream in pieces; return what is seen of it."""
    hear = opening.hear_stdout if stream == "stdout" else opening.hear_stderr
    seen, at = b"", 0
    for cut in (*sorted(cuts), len(data)):
        seen += hear(data[at:cut])
        at = max(at, cut)
    return seen


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=8))
def test_noise_is_dropped_and_the_process_is_known(cuts: list[int]) -> None:
    opening = Opening(MARKS)
    data = b"Welcome\nno line endbrSTART 1234\nout\nbrSTART 5\n"
    assert heard(opening, "stdout", data, cuts) == b"out\nbrSTART 5\n"
    assert opening.pid == 1234


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=8))
def test_what_is_said_before_the_command_is_seen_without_our_words(cuts: list[int]) -> None:
    opening = Opening(MARKS)
    data = b"noise\nbrSTART\nsudo: a warning\nready\nerr\nready\n"
    assert heard(opening, "stderr", data, cuts) == b"sudo: a warning\nerr\nready\n"
    assert opening.begun


def test_a_command_that_is_never_begun_leaves_its_complaint() -> None:
    opening = Opening(MARKS)
    opening.hear_stdout(b"brSTART 7\n")
    assert opening.hear_stderr(b"noise\nbrSTART\nsh: cd: no such directory\n") == b""
    assert not opening.begun
    assert opening.complaint == b"sh: cd: no such directory\n"
    assert opening.flush() == b"sh: cd: no such directory\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_terminal_in_between_changes_line_ends_only(end: bytes) -> None:
    opening = Opening(MARKS)
    assert opening.hear_stdout(b"brSTART 99" + end + b"x") == b"x"
    assert opening.pid == 99
