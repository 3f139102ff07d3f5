"""How many processes are worth starting here."""

import math
import os
from pathlib import Path

__all__ = ["usable_cpus"]


def usable_cpus(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the CPUs that this process may use: its affinity, and its control group's quota.

    Args:
        cgroup_root: Where control groups (version 2) are mounted.

    Returns:
        At least 1. A quota of one and a half CPUs counts as two.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        count = os.cpu_count() or 1
    quota = _quota(cgroup_root)
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def _quota(root: Path) -> float | None:
    """Return the smallest quota on the way from our control group up to the root, in CPUs."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii", errors="replace").split("\n")
    except OSError:
        return None
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    group = root / own.lstrip("/")
    quotas = [_read_quota(path / "cpu.max") for path in (group, *group.parents)
              if path == root or root in path.parents]  # fmt: skip
    return min((quota for quota in quotas if quota is not None), default=None)


def _read_quota(path: Path) -> float | None:
    """Read `MAX PERIOD` in microseconds; `max` means no limit."""
    try:
        allowed, period = path.read_text(encoding="ascii").split()
        return None if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
