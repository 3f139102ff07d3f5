"""The complete output of a command that writes more than is kept in memory."""

import os
import resource
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.ops.capture import Capture


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=20),
    head_bytes=st.integers(0, 50),
    tail_bytes=st.integers(0, 50),
)
def test_a_stream_that_outgrows_memory_is_whole_in_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[bytes],
    head_bytes: int,
    tail_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    capture = Capture(head_bytes, tail_bytes, str(folder / "1-1.stdout"))
    for piece in pieces:
        capture.feed(piece)
    whole = b"".join(pieces)
    captured = capture.result()
    assert captured.size_bytes == len(whole)
    if len(whole) <= head_bytes + tail_bytes:
        assert captured.spool == ""
        assert list(folder.iterdir()) == []
    else:
        assert Path(captured.spool).read_bytes() == whole


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    usual = os.umask(0)
    try:
        capture = Capture(1, 1, str(tmp_path / "3-1.stderr"))
        capture.feed(b"abc")
    finally:
        os.umask(usual)
    spool = capture.result().spool
    assert spool == str(tmp_path / "3-1.stderr")
    assert stat.S_IMODE(os.stat(spool).st_mode) == 0o600


def test_a_file_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1-1.stdout").write_bytes(b"of an earlier step")
    capture = Capture(1, 1, str(tmp_path / "1-1.stdout"))
    capture.feed(b"abc")
    captured = capture.result()
    assert Path(captured.spool).read_bytes() == b"abc"
    assert (tmp_path / "1-1.stdout").read_bytes() == b"of an earlier step"


def test_without_room_the_beginning_and_the_end_are_still_kept(tmp_path: Path) -> None:
    capture = Capture(4, 4, str(tmp_path / "1-1.stdout"))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, usual[1]))
    try:
        for _ in range(5):
            capture.feed(b"x" * 9_999 + b"\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    captured = capture.result()
    assert (captured.head, captured.tail) == (b"xxxx", b"xxx\n")
    assert captured.size_bytes == 50_000
    assert captured.spool == ""
    assert capture.problem == "File too large"
    assert list(tmp_path.iterdir()) == []


def test_without_a_directory_the_beginning_and_the_end_are_still_kept(tmp_path: Path) -> None:
    capture = Capture(1, 1, str(tmp_path / "missing" / "1-1.stdout"))
    capture.feed(b"abc")
    captured = capture.result()
    assert (captured.head, captured.tail, captured.omitted_bytes) == (b"a", b"c", 1)
    assert capture.problem == "No such file or directory"


def test_a_discarded_stream_leaves_no_file(tmp_path: Path) -> None:
    capture = Capture(1, 1, str(tmp_path / "1-1.stdout"))
    capture.feed(b"abc")
    assert len(list(tmp_path.iterdir())) == 1
    capture.discard()
    assert list(tmp_path.iterdir()) == []
    assert capture.result().spool == ""
