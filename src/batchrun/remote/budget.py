"""How many connections can be open at once: as many as there are file descriptors for."""

import os
import resource
from dataclasses import dataclass
from typing import Final

__all__ = ["MOST", "Budget", "descriptor_budget"]

#: More connections than this are never held open, whatever the limits are.
MOST: Final = 1000
#: Descriptors for one connection: its socket, and a local file that is being sent or received.
_EACH: Final = 2
#: Kept for everything else: worker processes, the record, reports, name look-ups.
_KEPT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many connections can be open at once, and why not more."""

    most: int
    #: A sentence for people; empty: nothing keeps us from having `MOST`.
    remark: str = ""


def descriptor_budget() -> Budget:
    """Raise the limit for open files as far as it helps, and derive the budget from it.

    The limit is not raised further than needed: commands that are run here inherit it, and some
    programs walk through all descriptors that there could be.
    """
    used = _open_descriptors()
    wanted = used + _KEPT + _EACH * MOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _raised(soft, hard, wanted)
    most = max(1, min(MOST, (limit - used - _KEPT) // _EACH))
    if most == MOST:
        return Budget(most=MOST)
    remark = (
        f"At most {most} connections can be open at once, because only {limit} files may be"
        f" (`ulimit -Hn`); raise it to {wanted} for {MOST} connections"
    )
    return Budget(most=most, remark=remark)


def _raised(soft: int, hard: int, wanted: int) -> int:
    """Raise the soft limit towards the hard one; return what holds now."""
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    aim = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
    except (OSError, ValueError):  # a sandbox may forbid it
        return soft
    return aim


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
