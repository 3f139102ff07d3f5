"""Where batchrun keeps what outlives a run: locks, and the records of runs."""

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["home_dir", "own_state_dir", "state_dir"]


def own_state_dir() -> Path:
    """Return the state directory of whoever runs this process; it need not exist."""
    return state_dir(os.environ, uid=os.geteuid())


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
    return home_dir(environ) / ".local" / "state" / "batchrun"


def home_dir(environ: Mapping[str, str]) -> Path:
    """Return the home directory; `/` where nobody knows of one, as for a number without a name."""
    if home := environ.get("HOME"):
        return Path(home)
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")
