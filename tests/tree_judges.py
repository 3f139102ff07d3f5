"""Independent tools that say whether two trees are the same in everything."""

import os
import subprocess
from pathlib import Path

__all__ = ["attributes", "differences", "judge"]


def judge(*command: str | os.PathLike[str], cwd: Path | None = None) -> str:
    """Run a tool that must be content, and return what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return os.fsdecode(done.stdout)


def differences(one: Path, other: Path) -> str:
    """Return what rsync would still do to make two trees the same in everything."""
    command = ["rsync", "-nacHAX", "--devices", "--specials", "--delete", "--itemize-changes"]
    return judge(*command, f"{one}/", f"{other}/")


def attributes(root: Path) -> str:
    """Return ACLs and extended attributes of everything below a directory, sorted."""
    names = ["-m", "-", "-h", "-d", "--absolute-names", "-R", "."]
    acls = judge("getfacl", "-R", "-n", "-P", ".", cwd=root)
    found = acls.split("\n\n") + judge("getfattr", *names, cwd=root).split("\n\n")
    return "\n".join(sorted(found))
