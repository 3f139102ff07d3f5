"""How many processes are worth starting, by affinity and control group."""

import os
from pathlib import Path

import pytest

from batchrun.engine.cpus import usable_cpus


@pytest.fixture
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this process may run on four CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


def own_group(root: Path) -> Path:
    """Make the directory that our own control group has under `root`."""
    lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    group = root / own.lstrip("/")
    group.mkdir(parents=True, exist_ok=True)
    return group


@pytest.mark.usefixtures("four_cpus")
def test_without_a_quota_all_cpus_of_the_affinity_count(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 4


@pytest.mark.usefixtures("four_cpus")
@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 4),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("900000 100000", 4),
    ],
)
def test_a_quota_is_rounded_up_and_never_adds_cpus(
    tmp_path: Path, quota: str, expected: int
) -> None:
    (own_group(tmp_path) / "cpu.max").write_text(f"{quota}\n", encoding="ascii")
    assert usable_cpus(tmp_path) == expected


@pytest.mark.usefixtures("four_cpus")
def test_a_quota_further_up_counts_too(tmp_path: Path) -> None:
    own_group(tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000\n", encoding="ascii")
    assert usable_cpus(tmp_path) == 1


@pytest.mark.usefixtures("four_cpus")
@pytest.mark.parametrize("text", ["", "nonsense", "1 2 3", "100000 0", "x y"])
def test_a_quota_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (own_group(tmp_path) / "cpu.max").write_text(text, encoding="ascii")
    assert usable_cpus(tmp_path) == 4


def test_the_real_machine_has_at_least_one() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
