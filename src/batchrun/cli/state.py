"""Where batchrun keeps what outlives a run."""

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["state_dir"]


def state_dir(environ: Mapping[str, str], *, uid: int) -> Path:
    """Return the state directory; it need not exist.

    >>> state_dir({"XDG_STATE_HOME": "/home/ann/.state"}, uid=1000).as_posix()
    '/home/ann/.state/batchrun'
    """
    if chosen := environ.get("BATCHRUN_STATE_DIR"):
        return Path(os.path.abspath(chosen))
    if uid == 0:
        return Path("/var/lib/batchrun")
    if home := environ.get("XDG_STATE_HOME"):
        return Path(home) / "batchrun"
    return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "batchrun"
