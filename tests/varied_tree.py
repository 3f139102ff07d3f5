"""A tree that is more than one slice, and what several workers do with such trees."""

import os
import random
from pathlib import Path
from typing import Any

from batchrun.model.outcome import Ok
from file_context import HOSTILE_NAMES
from tree_judges import judge
from tree_runs import spread

__all__ = ["shared", "varied_tree"]


def shared(operation: str, **params: Any) -> bool:
    """Have several workers do something that goes well; returns whether it changed anything."""
    outcome = spread(operation, **params).outcome
    assert isinstance(outcome, Ok), outcome
    return outcome.changed


def varied_tree(root: Path) -> Path:
    """Make a tree that is more than one slice, with several names of files in several places."""
    tree, chance = root / "tree", random.Random(3)
    for number in range(12):
        directory = tree / f"d{number % 3}" / f"e{number}"
        directory.mkdir(parents=True)
        for file in range(12):
            path = directory / f"file-{file}"
            path.write_bytes(chance.randbytes(chance.randint(0, 3000)))
            os.utime(path, ns=(file, 10**18 + number * 1000 + file))
        os.link(directory / "file-1", tree / f"d{(number + 1) % 3}-hard-{number}")
        (directory / "link").symlink_to("file-1")
        os.setxattr(directory / "file-2", "user.kind", b"\x00binary")
    for name in HOSTILE_NAMES.values():
        (tree / "d0" / name).write_text(name, errors="surrogateescape")
    (tree / "empty").mkdir()
    os.mkfifo(tree / "fifo", 0o640)
    (tree / ("long " * 40)).write_text("long")
    judge("setfacl", "-m", "u:daemon:rw", tree / "d1" / "e1" / "file-3")
    return tree
