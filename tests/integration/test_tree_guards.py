"""What tree operations never do: delete after errors, leave a filesystem, fail for what is gone."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.event import Event, UnitProgress
from batchrun.model.outcome import Failed, Ok
from file_context import FileContext, as_nobody, changed, do, message_of
from tree_runs import in_process, spread

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may write into."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o777)
        yield Path(directory)


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# nothing is deleted after errors


def _mirror_of_a_source_that_cannot_be_read(root: Path) -> None:
    put(root / "src/closed/a")
    (root / "src/closed").chmod(0)


def _mirror_of_a_file_that_cannot_be_read(root: Path) -> None:
    put(root / "src/closed").chmod(0)


def _mirror_into_a_directory_that_cannot_be_read(root: Path) -> None:
    put(root / "dest/closed/a")
    (root / "dest/closed").chmod(0)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in slices"])
@pytest.mark.parametrize(
    "prepare",
    [
        _mirror_of_a_source_that_cannot_be_read,
        _mirror_of_a_file_that_cannot_be_read,
        _mirror_into_a_directory_that_cannot_be_read,
    ],
)
def test_nothing_is_deleted_when_not_everything_could_be_read(
    public: Path, prepare: Any, alone: bool
) -> None:
    def mirror() -> str:
        for number in range(20):
            put(public / f"src/d{number}/file")
        put(public / "dest/own/file")
        prepare(public)
        params: dict[str, Any] = {
            "src": f"{public}/src",
            "dest": f"{public}/dest",
            "delete": True,
            "max_delete": "100%",
        }
        run = do("sync", **params) if alone else spread("sync", make=in_process, **params)
        assert isinstance(run.outcome, Failed), run
        return run.outcome.message

    assert "Permission denied" in as_nobody(mirror)
    assert (public / "dest/own/file").exists()
    assert (public / "dest/d7/file").exists()


# other filesystems


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A directory of the same filesystem that is mounted below another one; only for root."""
    precious, point = put(tmp_path / "precious/file").parent, tmp_path / "dest/own/deep/point"
    point.mkdir(parents=True)
    subprocess.run(["mount", "--bind", precious, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_mirror_deletes_nothing_that_is_mounted_in_what_it_deletes(
    tmp_path: Path, mounted: Path
) -> None:
    put(tmp_path / "src/a")
    put(tmp_path / "dest/own/b")

    report = spread(
        "sync", src=f"{tmp_path}/src", dest=f"{tmp_path}/dest", delete=True, max_delete="100%"
    )

    assert isinstance(report.outcome, Failed)
    assert f"{mounted} is another filesystem and was kept" in report.outcome.message
    assert (tmp_path / "precious/file").exists()
    assert not (tmp_path / "dest/own/b").exists()


def test_what_holds_a_mount_point_is_not_deleted(tmp_path: Path, mounted: Path) -> None:
    put(tmp_path / "dest/own/b")
    message = message_of(do("delete", path=(f"{tmp_path}/dest/own",)))
    assert f"holds a mount point, {mounted}" in message
    assert (tmp_path / "dest/own/b").exists()


# what is gone meanwhile


class _Vanishing(FileContext):
    """Deletes a file and a directory at the check that follows their listing."""

    def __init__(self, *gone: Path, checks: int) -> None:
        super().__init__()
        self.meanwhile = self._count
        self._gone = gone
        self._left = checks

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            for path in self._gone:
                path.unlink()


@pytest.mark.parametrize(
    ("operation", "checks", "params"),
    [
        ("copy", 2, {"src": ("{root}/tree",), "dest": "{root}/copy"}),
        ("sync", 1, {"src": "{root}/tree", "dest": "{root}/copy"}),
        ("checksum", 1, {"src": ("{root}/tree",), "dest": "{root}/sums"}),
        ("perms", 2, {"path": ("{root}/tree",), "mode": "0600", "recursive": True}),
        ("compare", 1, {"src": "{root}/tree", "dest": "{root}/twin", "metadata": ()}),
    ],
)
def test_what_vanishes_is_noted_and_no_failure(
    tmp_path: Path, operation: str, checks: int, params: dict[str, Any]
) -> None:
    for name in "abc":
        put(tmp_path / "tree" / name)
        put(tmp_path / "twin" / name)
    gone = tmp_path / "tree/b"
    context = _Vanishing(gone, checks=checks)

    done = do(operation, context, **_at(tmp_path, params))

    assert not gone.exists()
    assert isinstance(done.outcome, Ok), done
    assert done.warnings == (f"{gone} vanished meanwhile",)


def _at(root: Path, params: dict[str, Any]) -> dict[str, Any]:
    def put_in(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(put_in, value))
        return value.format(root=root) if isinstance(value, str) else value

    return {name: put_in(value) for name, value in params.items()}


# how far it has come


@pytest.mark.parametrize("operation", ["copy", "checksum", "delete", "perms", "compare"])
def test_files_bytes_and_share_are_told_while_the_scan_goes_on(
    tmp_path: Path, operation: str
) -> None:
    for number in range(400):
        put(tmp_path / f"tree/d{number % 5}/e{number % 40}/{number}", "x" * 100)
    changed(do("copy", src=(f"{tmp_path}/tree",), dest=f"{tmp_path}/twin"))
    params: dict[str, dict[str, Any]] = {
        "copy": {"src": (f"{tmp_path}/tree",), "dest": f"{tmp_path}/copy"},
        "checksum": {"src": (f"{tmp_path}/tree",), "dest": f"{tmp_path}/sums"},
        "delete": {"path": (f"{tmp_path}/tree",)},
        "perms": {"path": (f"{tmp_path}/tree",), "mode": "0600", "recursive": True},
        "compare": {"src": f"{tmp_path}/tree", "dest": f"{tmp_path}/twin"},
    }
    told: list[UnitProgress] = []

    def listen(event: Event) -> None:
        # The first worker, before anybody else, knows nothing of the whole.
        if isinstance(event, UnitProgress) and event.share is not None:
            told.append(event)

    spread(operation, make=in_process, slice_cost=40, on_event=listen, **params[operation])

    first = told[0]
    assert 0 < first.files_done < 400
    assert first.share is not None
    assert 0 <= first.share < 1
    assert (first.bytes_done > 0) is (operation in ("copy", "checksum"))
