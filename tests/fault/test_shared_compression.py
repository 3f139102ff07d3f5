"""Workers that die while several of them compress, and disks that fill up meanwhile."""

import os
from pathlib import Path

import pytest

from batchrun.model.outcome import Failed, Ok
from batchrun.model.values import Glob
from tree_judges import judge
from tree_runs import Killer, spread

pytestmark = pytest.mark.timeout(120)


def logs(root: Path, size: int = 200_000) -> Path:
    directory = root / "logs"
    directory.mkdir(parents=True)
    for number in range(60):
        (directory / f"{number}.log").write_bytes(os.urandom(size) + b"%d" % number)
    return directory


def test_workers_that_die_again_and_again_lose_no_file(tmp_path: Path) -> None:
    for seed in range(20):
        directory = logs(tmp_path / str(seed))
        judge("sh", "-c", "sha256sum *.log > ../sums", cwd=directory)
        with Killer(seed, whom="compressing") as killer:
            report = spread("compress", src=(Glob(f"{directory}/*.log"),), format="zst")
        assert isinstance(report.outcome, Ok), report
        judge("sh", "-c", "zstd -q -d --rm *.zst", cwd=directory)
        judge("sha256sum", "-c", "--quiet", "../sums", cwd=directory)
        if killer.killed:
            return
    pytest.fail("everything was compressed before its killer was given the time to kill")


def test_workers_that_die_in_a_big_file_cost_it_nothing(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(200 << 20)
        file.seek(77 << 20)
        file.write(b"in the middle")
    before = judge("sha256sum", big).split()[0]
    with Killer(1, whom="compressing"):
        report = spread("compress", src=(str(big),), format="zst")
    assert isinstance(report.outcome, Ok), report
    assert not big.exists()
    assert judge("sh", "-c", f"zstd -dc {tmp_path}/big.zst | sha256sum").split()[0] == before


@pytest.mark.parametrize("what", ["many", "big"])
def test_a_full_disk_ends_everything_at_once_and_keeps_the_originals(
    tmp_path: Path, what: str
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    judge("mount", "-t", "tmpfs", "-o", "size=98m", "batchrun-test", small)
    try:
        if what == "many":
            directory = logs(small, size=1_500_000)
        else:
            directory = small / "logs"
            directory.mkdir()
            judge("sh", "-c", "head -c 70M /dev/urandom > big.log", cwd=directory)
        names = sorted(os.listdir(directory))
        report = spread("compress", src=(Glob(f"{directory}/*.log"),), keep=True)
        assert isinstance(report.outcome, Failed)
        assert "No space left on device" in report.outcome.message
        left = sorted(os.listdir(directory))
        assert [name for name in left if not name.endswith(".gz")] == names
        for name in left:
            if name.endswith(".gz"):
                judge("gzip", "-t", directory / name)
    finally:
        judge("umount", small)
