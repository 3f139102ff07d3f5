"""Workers that die while several of them make an archive, and disks that fill up meanwhile."""

import os
from pathlib import Path

import pytest

from batchrun.model.outcome import Failed, Ok
from tree_judges import differences, judge
from tree_runs import Killer, spread

pytestmark = pytest.mark.timeout(120)


def many_files(root: Path) -> Path:
    tree = root / "tree"
    for number in range(20):
        directory = tree / f"d{number}"
        directory.mkdir(parents=True)
        for file in range(30):
            (directory / f"file {file}").write_bytes(os.urandom(100 * file))
        os.link(directory / "file 1", tree / f"hard {number}")
    return tree


@pytest.mark.parametrize("form", ["tar.zst", "tar.gz"])
def test_workers_that_die_again_and_again_cost_an_archive_nothing(
    tmp_path: Path, form: str
) -> None:
    tree = many_files(tmp_path)
    for seed in range(20):
        archive = tmp_path / f"{seed}.{form}"
        with Killer(seed) as killer:
            report = spread("archive", slice_cost=3, src=(str(tree),), dest=str(archive))
        assert isinstance(report.outcome, Ok), report
        judge("zstd" if form == "tar.zst" else "gzip", "-t", "-q", archive)
        judge("tar", "--compare", "--file", archive, cwd=tmp_path)
        archive.unlink()
        # What a worker that died in the first slice has left is told from what is in use by its
        # age; nothing else stays.
        left = [name for name in os.listdir(tmp_path) if name != "tree"]
        assert len(left) <= killer.killed, left
        if killer.killed:
            return
    pytest.fail("every archive was complete before its killer was given the time to kill")


def test_workers_that_die_do_not_delete_what_is_not_in_the_archive(tmp_path: Path) -> None:
    tree = many_files(tmp_path)
    judge("cp", "-a", tree, tmp_path / "kept")
    archive = tmp_path / "a.tar.zst"
    with Killer(5):
        spread("archive", slice_cost=3, src=(str(tree),), dest=str(archive), remove=True)
    target = tmp_path / "out"
    target.mkdir()
    if archive.exists():
        judge("tar", "-xpf", archive, "-C", target)
    if tree.exists():
        judge("cp", "-a", tree, target)
    assert differences(tmp_path / "kept", target / "tree") == ""


def test_a_full_disk_ends_an_archive_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    tree, small = many_files(tmp_path), tmp_path / "small"
    small.mkdir()
    judge("mount", "-t", "tmpfs", "-o", "size=256k", "batchrun-test", small)
    try:
        report = spread("archive", slice_cost=3, src=(str(tree),), dest=f"{small}/a.tar.zst")
        assert isinstance(report.outcome, Failed)
        assert "No space left on device" in report.outcome.message
        assert "; stopped after about " in report.outcome.message
        assert os.listdir(small) == []
    finally:
        judge("umount", small)
