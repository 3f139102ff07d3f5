"""Workers that die while several of them extract, and disks that fill up meanwhile."""

import os
from pathlib import Path

import pytest

from batchrun.model.outcome import Failed, Ok
from file_context import snapshot
from tree_judges import differences, judge
from tree_runs import Killer, spread
from varied_tree import shared, varied_tree

pytestmark = pytest.mark.timeout(120)


def test_workers_that_die_again_and_again_cost_an_extraction_nothing(tmp_path: Path) -> None:
    tree, out = varied_tree(tmp_path), tmp_path / "out"
    assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar.zst")
    for seed in range(20):
        with Killer(seed) as killer:
            report = spread("extract", slice_cost=1, src=f"{tmp_path}/a.tar.zst", dest=str(out))
        assert isinstance(report.outcome, Ok), report
        assert differences(tree, out / "tree") == ""
        judge("rm", "-rf", out)
        if killer.killed:
            return
    pytest.fail("everything was extracted before its killer was given the time to kill")


def test_a_full_disk_ends_an_extraction_at_once_and_leaves_no_half_file(tmp_path: Path) -> None:
    tree, small = varied_tree(tmp_path), tmp_path / "small"
    for number in range(30):
        (tree / "d0" / f"more {number}").write_bytes(os.urandom(50_000))
    assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar.zst")
    small.mkdir()
    judge("mount", "-t", "tmpfs", "-o", "size=1m", "batchrun-test", small)
    try:
        report = spread("extract", src=f"{tmp_path}/a.tar.zst", dest=f"{small}/out")
        assert isinstance(report.outcome, Failed)
        assert "No space left on device" in report.outcome.message
        assert "; stopped after about " in report.outcome.message
        for path in snapshot(small):
            source = tree / os.path.relpath(path, small / "out" / "tree")
            if os.path.isfile(path) and not os.path.islink(path):
                assert Path(path).read_bytes() == source.read_bytes()
    finally:
        judge("umount", small)
