"""Tar streams: others read ours, and we read theirs, in pieces of any size."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.errors import OperationError
from batchrun.remote.tarstream import END_NAME, Member, TarSource, Untar

FILE, LINK, FOLDER = stat.S_IFREG | 0o640, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o751


class Basket:
    """Keeps what comes out of a stream."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.links: dict[str, str] = {}
        self._name = ""

    def begin(self, name: str, size: int) -> None:
        self._name, self.files[name] = name, b""
        assert size >= 0

    def data(self, piece: memoryview) -> None:
        self.files[self._name] += piece

    def end(self) -> None:
        self._name = ""

    def link(self, name: str, text: str) -> None:
        self.links[name] = text


def test_tarfile_reads_what_we_write(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    long = "d/" + "n" * 150 + os.fsdecode(b"\xff\n")
    members = [
        Member(name="d", mode=FOLDER, mtime_ns=5_000_000_001),
        Member(name=long, mode=FILE, mtime_ns=7_500_000_000, size=1000, path=str(tmp_path / "f")),
        Member(name="l", mode=LINK, mtime_ns=0, link="y" * 200),
    ]
    counted: list[int] = []
    source = TarSource(iter(members), counted.append)
    stream = b""
    while piece := source.read(100):
        stream += piece
    assert sum(counted) == 1000
    assert len(stream) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        d, f, link, end = archive.getmembers()
        assert (d.name, d.mode, d.isdir()) == ("d", 0o751, True)
        assert (f.name, f.mode, f.size, f.mtime) == (long, 0o640, 1000, 7.5)
        assert (link.linkname, end.name) == ("y" * 200, END_NAME)
        content = archive.extractfile(f)
        assert content is not None
        assert content.read() == b"x" * 1000


def test_a_file_that_became_shorter_ends_the_stream_by_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    member = Member(name="f", mode=FILE, mtime_ns=0, size=2, path=str(tmp_path / "f"))
    with pytest.raises(OperationError, match="shorter"):
        TarSource(iter([member]), lambda _: None).read(1000)


@settings(deadline=None)
@given(
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.lists(st.tuples(st.integers(1, 300), st.binary(max_size=1500)), max_size=4),
    st.integers(1, 2000),
)
def test_we_read_what_tarfile_writes(
    form: int, files: list[tuple[int, bytes]], piece_bytes: int
) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        for number, (length, content) in enumerate(files):
            info = tarfile.TarInfo(f"{number}-" + "n" * length)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * 120
        archive.addfile(link)
    basket = Basket()
    untar = Untar(basket)
    stream = data.getvalue()
    for at in range(0, len(stream), piece_bytes):
        untar.feed(stream[at : at + piece_bytes])
    assert untar.complete
    expected = {f"{number}-" + "n" * length: each for number, (length, each) in enumerate(files)}
    assert basket.files == expected
    assert basket.links == {"link": "t" * 120}


def test_what_is_no_tar_stream_is_refused() -> None:
    with pytest.raises(OperationError, match="no tar stream"):
        Untar(Basket()).feed(b"x" * 512)
