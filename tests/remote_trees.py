"""Trees for tests of transfers, and rsync as the judge of them."""

import os
import subprocess
from pathlib import Path

from file_context import HOSTILE_NAMES

__all__ = ["assert_same", "make_tree"]


def make_tree(root: Path) -> None:
    """Files of all names and some sizes, directories, symlinks."""
    for name in HOSTILE_NAMES.values():
        (root / name).mkdir(parents=True)
        (root / name / name).write_bytes(os.urandom(len(name) * 100))
        (root / name / name).chmod(0o640)
        (root / name / "link").symlink_to(name)
    (root / "deep" / ("d" * 120) / ("e" * 120)).mkdir(parents=True)
    (root / "deep" / ("d" * 120) / ("e" * 120) / ("f" * 120)).write_text("deep")
    (root / "empty").mkdir(mode=0o750)
    (root / "between").mkdir()
    (root / "between" / "last").write_text("x")
    (root / "between.txt").write_text("sorted between the directory and what is in it")
    (root / "empty.txt").touch()
    (root / "big").write_bytes(os.urandom(700_001))
    (root / "long link").symlink_to("x" * 300)
    os.utime(root / "big", ns=(1, 1_234_567_890_123_456_789))
    os.utime(root / "empty", ns=(1, 987_654_321_000_000_001))


def assert_same(one: Path, two: Path, *options: str) -> None:
    """Let rsync find what differs: content, kinds, modes, times of files and directories."""
    command = ["rsync", "-nacl", "--delete", "--out-format=%i %n", *options, f"{one}/", f"{two}/"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line for line in found.splitlines() if not line.endswith(" ./")] == [], found
