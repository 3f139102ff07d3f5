"""A disk that is full: a clear sentence, and no half file under a final name."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.engine.lockfile import hold, lock_path
from batchrun.engine.presence import Presence, presence_path
from file_context import FileContext, changed, do, message_of

SIZE = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory that takes less than 1 MiB, and what the system says then.

    A small filesystem where we may mount one; else a limit on the size of files.
    """
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "batchrun-test", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield path, "No space left on device"
        finally:
            subprocess.run(["umount", path], check=True)
        return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, limits[1]))
    try:
        yield path, "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _big(tmp_path: Path) -> Path:
    """Make a file of 3 MiB that cannot be compressed below 1 MiB; in pieces, for the limit."""
    path = tmp_path / "in" / "big"
    path.parent.mkdir(exist_ok=True)
    subprocess.run(
        ["dd", "if=/dev/urandom", f"of={path}", "bs=1M", "count=3"],
        check=True,
        capture_output=True,
        preexec_fn=_unlimited,
    )
    return path


def _unlimited() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _copy(tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"src": (str(_big(tmp_path)),), "dest": f"{small}/"}


def _copy_tree(tmp_path: Path, small: Path) -> dict[str, Any]:
    _big(tmp_path)
    return {"src": (f"{tmp_path}/in",), "dest": f"{small}/out"}


def _move(tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"src": (str(_big(tmp_path)),), "dest": f"{small}/moved"}


def _write(_tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"dest": f"{small}/text", "text": "x" * 2 * SIZE}


def _template(_tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"src": "t", "dest": f"{small}/text", "text": "x" * 2 * SIZE}


def _archive(tmp_path: Path, small: Path) -> dict[str, Any]:
    _big(tmp_path)
    return {"src": (f"{tmp_path}/in",), "dest": f"{small}/a.tar.gz", "remove": True}


def _extract(tmp_path: Path, small: Path) -> dict[str, Any]:
    tree = tmp_path / "in"
    tree.mkdir()
    (tree / "zeros").write_bytes(b"")
    archive = tmp_path / "a.tar.gz"
    with (tree / "zeros").open("wb") as file:
        file.truncate(3 * SIZE if resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0 else SIZE)
    (tree / "zeros").chmod(0o600)
    for number in range(3):
        os.link(tree / "zeros", tree / f"more{number}")
    assert changed(do("archive", src=(str(tree),), dest=str(archive)))
    return {"src": str(archive), "dest": f"{small}/out"}


def _decompress(_tmp_path: Path, small: Path) -> dict[str, Any]:
    packed = small / "zeros.gz"
    zeros = subprocess.run(
        ["head", "-c", str(3 * SIZE), "/dev/zero"], capture_output=True, check=True
    ).stdout
    with packed.open("wb") as file:
        subprocess.run(["gzip", "-c"], input=zeros, stdout=file, check=True)
    return {"src": (str(packed),)}


CASES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "copy": _copy,
    "copy a tree": _copy_tree,
    "move": _move,
    "write": _write,
    "template": _template,
    "archive": _archive,
    "extract": _extract,
    "decompress": _decompress,
}


@pytest.mark.parametrize("case", CASES)
def test_a_full_disk_is_said_and_nothing_half_is_left(
    tmp_path: Path, small: tuple[Path, str], case: str
) -> None:
    directory, reason = small
    params = CASES[case](tmp_path, directory)
    sources = sorted(path for path in tmp_path.rglob("in/*"))
    message = message_of(do(case.split(maxsplit=1)[0], **params))
    assert reason in message
    assert str(directory) in message
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert [path.name for path in files] in ([], ["zeros.gz"])
    assert sorted(path for path in tmp_path.rglob("in/*")) == sources


def test_a_new_text_that_does_not_fit_leaves_the_old_one(small: tuple[Path, str]) -> None:
    directory, reason = small
    for name in ("a", "b"):
        (directory / name).write_text("x" * (SIZE * 2 // 5))
    done = do(
        "replace", path=(f"{directory}/a", f"{directory}/b"), regex="x", with_="yyyy", backup=True
    )
    assert reason in message_of(done)
    assert sorted(os.listdir(directory)) == ["a", "b"]
    assert {(directory / name).read_text() for name in ("a", "b")} == {"x" * (SIZE * 2 // 5)}


def test_a_tree_stops_at_once_and_is_finished_when_there_is_room(
    tmp_path: Path, small: tuple[Path, str]
) -> None:
    directory, reason = small
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"{number:02}").write_bytes(os.urandom(60_000))
    ballast = directory / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    done = do("copy", src=(str(tree),), dest=f"{directory}/copy")
    if reason == "File too large":
        assert changed(done)
        return
    assert message_of(done).count(reason) == 1
    copied = list((directory / "copy").iterdir())
    assert 0 < len(copied) < 20
    for path in copied:
        assert path.read_bytes() == (tree / path.name).read_bytes()
        assert path.stat().st_mtime_ns == (tree / path.name).stat().st_mtime_ns
    assert message_of(do("copy", FileContext(), src=(str(tree),), dest=f"{directory}/copy"))
    for path in list(tree.iterdir())[5:]:
        path.unlink()
    ballast.unlink()
    done = do("copy", FileContext(), src=(str(tree),), dest=f"{directory}/copy")
    assert isinstance(changed(done), bool)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_does_not_keep_a_lock_from_telling_whose_it_is(
    tmp_path: Path, small: tuple[Path, str]
) -> None:
    directory, reason = small
    path, present = lock_path(directory, "n"), Presence(presence_path(tmp_path, "x"))
    with hold(path, "n"):
        size = path.stat().st_size
    with pytest.raises(OSError, match=reason):
        _fill(directory / "ballast")
    with hold(path, "n") as lock:
        lock.sign(present)
        record = path.read_text()
    present.close()
    assert record.strip("\0") == f"{os.getpid()}\n{present.path}"
    assert path.read_text().strip("\0") == ""
    assert path.stat().st_size == size


def test_a_read_only_filesystem_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for dest in ("/proc/batchrun-test", "/sys/batchrun-test"):
        message = message_of(do("copy", src=(f"{tmp_path}/file",), dest=dest))
        assert f"cannot write {dest}" in message
