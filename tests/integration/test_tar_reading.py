"""Tar archives of all kinds: what is read of them is what the standard library and tar(1) read."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from batchrun.errors import OperationError
from batchrun.ops.tarfiles import read_tar
from file_context import HOSTILE_NAMES, changed, do
from tree_judges import judge


def members(archive: Path) -> list[tuple[object, ...]]:
    """List an archive as we read it."""
    fd = os.open(archive, os.O_RDONLY)
    try:
        return [
            (
                one.name, one.kind, one.size_bytes, one.mtime_ns // 10**9, one.mode, one.uid,
                one.gid, one.link, one.device, content.read() if content else b"",
            )
            for one, content in read_tar(fd, "tar", lambda _: None)
        ]  # fmt: skip
    finally:
        os.close(fd)


def by_the_library(archive: Path) -> list[tuple[object, ...]]:
    kinds = {
        tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink",
        tarfile.FIFOTYPE: "fifo", tarfile.CHRTYPE: "character", tarfile.BLKTYPE: "block",
    }  # fmt: skip
    found: list[tuple[object, ...]] = []
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as tar:
        for one in tar:
            file = tar.extractfile(one) if one.isreg() else None
            content = file.read() if file else b""
            device = (one.devmajor, one.devminor) if one.isdev() and not one.isfifo() else (0, 0)
            found.append((
                one.name, kinds.get(one.type, "file"), one.size if one.isreg() else 0,
                int(one.mtime), one.mode & 0o7777, one.uid, one.gid, one.linkname, device, content,
            ))  # fmt: skip
    return found


def tree(root: Path) -> Path:
    made = root / "tree"
    (made / ("directory " * 12) / "below").mkdir(parents=True)
    for name in HOSTILE_NAMES.values():
        (made / name).write_text(name, errors="surrogateescape")
    (made / ("directory " * 12) / ("x" * 120)).write_bytes(os.urandom(1000))
    (made / "empty").touch()
    (made / "block").write_bytes(bytes(512))
    (made / "link").symlink_to("y" * 150)
    os.link(made / "empty", made / "hard")
    os.mkfifo(made / "fifo")
    os.mknod(made / "null", 0o020666, os.makedev(1, 3))
    os.chown(made / "block", 3_000_000, 4_000_000)
    os.utime(made / "block", ns=(0, 1_234_567_890_123_456_789))
    return made


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "posix", "ustar", "v7"])
def test_what_tar_has_written_is_read_as_the_library_reads_it(tmp_path: Path, form: str) -> None:
    tree(tmp_path)
    archive = tmp_path / "a.tar"
    # Old formats cannot hold all of it, say so, and leave it out.
    command = ["tar", f"--format={form}", "-cf", str(archive), "tree"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert len(members(archive)) > 8
    assert members(archive) == by_the_library(archive)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_the_library_has_written_is_read_as_it_reads_it(tmp_path: Path, form: int) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=form) as tar:
        for number, name in enumerate(["plain", "d/" * 60 + "deep", "\N{PILE OF POO}", "x" * 90]):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid = number, number, number
            tar.addfile(info, io.BytesIO(b"abc"[:number]))
        info = tarfile.TarInfo("old directory/")
        info.type = tarfile.AREGTYPE
        tar.addfile(info)
    assert members(archive) == by_the_library(archive)


def test_sparse_files_and_global_headers_are_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(3 << 20)
        sparse.seek(1 << 20)
        sparse.write(b"data")
    (tmp_path / "after").write_text("after")
    for form in ("gnu", "posix"):
        archive = tmp_path / f"{form}.tar"
        options = ["--pax-option=globexthdr.name=g,comment=all"] if form == "posix" else []
        judge("tar", "-S", f"--format={form}", *options, "-cf", archive, "sparse", "after",
              cwd=tmp_path)  # fmt: skip
        assert changed(do("extract", src=str(archive), dest=f"{tmp_path}/{form}"))
        for name in ("sparse", "after"):
            assert (tmp_path / form / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("at", [0, 100, 130, 150, 156, 512 * 2 + 20])
def test_a_header_that_is_broken_anywhere_is_found(tmp_path: Path, at: int) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = 5
            tar.addfile(info, io.BytesIO(b"12345"))
    data = bytearray(archive.read_bytes())
    data[at] ^= 0x55
    archive.write_bytes(data)
    with pytest.raises(OperationError, match="not a valid tar archive"):
        members(archive)


@pytest.mark.parametrize("size", [1, 511, 513, 1020, 1600, 2000])
def test_an_archive_that_is_cut_off_is_found(tmp_path: Path, size: int) -> None:
    tree(tmp_path)
    archive = tmp_path / "a.tar"
    judge("tar", "--format=posix", "-cf", archive, "tree", cwd=tmp_path)
    archive.write_bytes(archive.read_bytes()[:size])
    with pytest.raises(OperationError, match="not a valid tar archive"):
        members(archive)
