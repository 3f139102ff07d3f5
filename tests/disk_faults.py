"""Disks that fail: `fault/disk_faults.c`, compiled, and the environment that puts it in between."""

import subprocess
from pathlib import Path

__all__ = ["NO_SHARED_MEMORY", "compiled", "preloaded"]

_SOURCE = Path(__file__).parent / "fault" / "disk_faults.c"
#: Files of a filesystem that cannot be mapped, which SQLite's write-ahead log needs.
NO_SHARED_MEMORY = {"FAULTS_NO_SHARED_MEMORY": "1"}


def compiled(directory: Path) -> Path:
    """Compile it."""
    library = directory / "disk_faults.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, _SOURCE],
        check=True,
    )
    return library


def preloaded(library: Path) -> dict[str, str]:
    """Return what is different in the environment of a program that meets such faults."""
    return {"LD_PRELOAD": str(library)}
