"""Files that appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from batchrun.report.newfile import about, new_file, open_now


def write(path: Path, data: bytes, mode: int | None = None) -> None:
    with new_file(str(path), mode=mode) as file:
        file.write(data)


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with new_file(str(path)) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["f"]


def test_what_waits_has_a_name_that_no_collector_reads(tmp_path: Path) -> None:
    with new_file(str(tmp_path / "f.prom")):
        (name,) = os.listdir(tmp_path)
        assert name.startswith(".")
        assert not name.endswith(".prom")


def test_when_something_goes_wrong_the_old_file_stays_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def half() -> None:
        with new_file(str(path)) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_an_error_names_the_file_that_the_user_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "f"
    with pytest.raises(FileNotFoundError) as caught, new_file(str(path)):
        raise AssertionError
    assert caught.value.filename == str(path)


def test_an_error_that_names_no_file_gets_one_and_stays_of_its_kind() -> None:
    with pytest.raises(BrokenPipeError, match="pipe/name"), about("pipe/name"):
        raise BrokenPipeError(32, "Broken pipe")


def test_the_umask_decides_who_may_read_it_unless_a_mode_is_given(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "private", b"")
        write(tmp_path / "public", b"", mode=0o644)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "public")]
    assert modes == [0o640, 0o644]


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.symlink_to("/dev/null")
    write(device, b"gone")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert os.listdir(tmp_path) == ["device"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, b"through it")
        assert os.read(reader, 100) == b"through it"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        open_now(str(tmp_path / "pipe"))


def test_a_pipe_that_is_full_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with open_now(str(tmp_path / "pipe")) as file:
        assert os.get_blocking(file.fileno())
    os.close(reader)
