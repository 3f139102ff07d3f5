"""Compressed streams are read to their end, whatever pieces they come in."""

import bz2
import gzip
import lzma
import random
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import OperationError
from batchrun.ops.codecs import SUFFIXES, compressor, decompressed, format_of, is_compressed
from batchrun.ops.parallel import ParallelStreams

FORMATS = sorted(set(SUFFIXES.values()))


def packed(form: str, data: bytes, level: int | None = None) -> bytes:
    machine = compressor(form, level)
    return machine.compress(data) + machine.flush()


def packed_by(threads: int, form: str, data: bytes, level: int | None = None) -> bytes:
    machine = compressor(form, level, threads)
    step = 300_000
    pieces = [
        machine.compress(memoryview(data)[at : at + step]) for at in range(0, len(data), step)
    ]
    return b"".join([*pieces, machine.flush()])


def unpacked(form: str, data: bytes, piece: int) -> bytes:
    pieces = (memoryview(data[at : at + piece]) for at in range(0, len(data), piece))
    return b"".join(decompressed(form, pieces))


@pytest.mark.parametrize("form", FORMATS)
@given(members=st.lists(st.binary(max_size=200), min_size=1, max_size=4), piece=st.integers(1, 300))
def test_any_members_in_any_pieces_come_back(form: str, members: list[bytes], piece: int) -> None:
    data = b"".join(packed(form, member, 1) for member in members)
    assert unpacked(form, data, piece) == b"".join(members)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_every_cut_is_found(form: str, piece: int) -> None:
    data = packed(form, b"some content, " * 10, 1)
    for end in range(len(data)):
        with pytest.raises(OperationError, match="not valid"):
            unpacked(form, data[:end], piece)


@pytest.mark.parametrize("form", FORMATS)
def test_padding_is_no_garbage_and_garbage_is(form: str) -> None:
    data = packed(form, b"content")
    assert unpacked(form, data + bytes(5000), 512) == b"content"
    with pytest.raises(OperationError, match="not valid"):
        unpacked(form, data + bytes(20) + b"garbage after the padding, long enough", 4096)


def test_the_standard_libraries_agree() -> None:
    data = bytes(range(256)) * 1000
    assert gzip.decompress(packed("gz", data)) == data
    assert bz2.decompress(packed("bz2", data)) == data
    assert lzma.decompress(packed("xz", data)) == data


def test_a_thousand_small_members_need_no_thousand_copies_of_the_rest() -> None:
    member = gzip.compress(b"x")
    assert unpacked("gz", member * 20_000, 1 << 20) == b"x" * 20_000


@pytest.mark.parametrize(
    ("name", "form", "is_packed"),
    [("a.gz", "gz", True), ("a.tgz", "gz", True), ("a.zip", None, True), ("gz", None, False)],
)
def test_the_suffix_says_the_format(name: str, form: str | None, is_packed: bool) -> None:
    assert format_of(name) == form
    assert is_compressed(name) is is_packed


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 5_000_000])
@pytest.mark.parametrize("level", [None, 1])
def test_threads_make_one_gzip_member(size: int, level: int | None) -> None:
    data = (b"%d," * 400_000 % tuple(range(400_000)) * 2)[:size]
    made = packed_by(3, "gz", data, level)
    machine = zlib.decompressobj(31)
    assert machine.decompress(made) == data
    assert machine.eof
    assert machine.unused_data == b""
    # What a piece has in common with the one before it is found.
    assert len(made) <= len(packed_by(1, "gz", data, level)) * 1.01 + 64


@pytest.mark.parametrize("form", FORMATS)
def test_what_threads_have_made_is_read_by_the_format_s_own_program(form: str) -> None:
    data = random.Random(1).randbytes(700_000) + b"line\n" * 400_000
    made = packed_by(4, form, data, 1)
    program = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}[form]
    read = subprocess.run([program, "-dc"], input=made, capture_output=True, check=True, timeout=60)
    assert read.stdout == data
    assert unpacked(form, made, 65_536) == data


def test_a_stream_in_pieces_is_whole_when_only_its_end_is_in_the_buffer() -> None:
    machine = ParallelStreams(bz2.BZ2Compressor, 10, 2)
    data = bytes(range(105))
    made = b"".join(machine.compress(data[at : at + 7]) for at in range(0, len(data), 7))
    assert bz2.decompress(made + machine.flush()) == data
