"""Disks and clocks that fail: `fault/faults.c`, compiled, and what puts it in between."""

import subprocess
from pathlib import Path

__all__ = ["NO_SHARED_MEMORY", "clock", "compiled", "preloaded"]

_SOURCE = Path(__file__).parent / "fault" / "faults.c"
#: Files of a filesystem that cannot be mapped, which SQLite's write-ahead log needs.
NO_SHARED_MEMORY = {"FAULTS_NO_SHARED_MEMORY": "1"}


def compiled(directory: Path) -> Path:
    """Compile it."""
    library = directory / "faults.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, _SOURCE],
        check=True,
    )
    return library


def preloaded(library: Path) -> dict[str, str]:
    """Return what is different in the environment of a program that meets such faults."""
    return {"LD_PRELOAD": str(library)}


def clock(ahead_s: int) -> dict[str, str]:
    """Return what sets the clock of a program; behind, if negative."""
    return {"FAULTS_CLOCK_S": str(ahead_s)}
