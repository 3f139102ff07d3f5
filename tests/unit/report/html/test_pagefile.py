"""A new file is whole or not there, and is nobody else's to read unless it was before."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.report.html.pagefile import PageFile


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_only_its_owner_can_read_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    PageFile(path).write(["a", "ü"])

    assert path.read_bytes() == "aü".encode()
    assert mode_of(path) == 0o600


def test_mode_and_group_of_a_file_that_is_replaced_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")
    path.chmod(0o644)
    os.chown(path, -1, 65534 if os.geteuid() == 0 else os.getegid())
    before = path.stat()
    PageFile(path).write(["new"])

    assert path.read_text() == "new"
    assert (mode_of(path), path.stat().st_gid) == (0o644, before.st_gid)
    assert path.stat().st_ino != before.st_ino


def test_a_symbolic_link_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "r.html"
    target.write_text("precious")
    target.chmod(0o644)
    link.symlink_to(target)
    PageFile(link).write(["new"])

    assert target.read_text() == "precious"
    assert not link.is_symlink()
    assert mode_of(link) == 0o600


def test_nothing_is_there_before_it_is_written(tmp_path: Path) -> None:
    PageFile(tmp_path / "r.html")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing/r.html", "No such file or directory"),
        (".", "Is a directory"),
        ("file/r.html", "Not a directory"),
        ("pipe", "Not a regular file"),
        ("n" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match=why):
        PageFile(tmp_path / name)


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    PageFile(path).write(["x"])

    assert path.read_text() == "x"


def test_what_breaks_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")

    def pieces() -> Iterator[str]:
        yield "half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        PageFile(path).write(pieces())

    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
