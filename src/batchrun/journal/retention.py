"""Which records are kept: by age, number and size, the newest longest.

Runs that go on with each other are kept or thrown away together: without the first one, the last
one could not be resumed without doing again what the first had done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batchrun.journal.history import History, RunRow

__all__ = ["DEFAULT", "Retention", "superfluous", "tidy"]

_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept; None: that does not count."""

    #: The newest so many runs.
    count: int | None = None
    #: Runs that began less than so long ago, in seconds.
    age_s: float | None = None
    #: As many of the newest as fit into this many bytes.
    size_bytes: int | None = None


#: Applied at the end of each run.
DEFAULT = Retention(count=1000, age_s=90 * _DAY_S, size_bytes=2 * 1024**3)


def superfluous(rows: Sequence[RunRow], policy: Retention, now: float) -> list[str]:
    """Return the ids of the runs that a policy does not keep; never one that is running.

    Args:
        rows: All runs, newest first.
        policy: What is kept.
        now: The time, in seconds since the epoch.
    """
    families = _families(rows)
    kept: set[str] = set()
    size = 0
    for at, row in enumerate(rows):
        size += row.size_bytes or 0
        keeps = (
            (policy.count is None or at < policy.count)
            and (policy.age_s is None or now - row.started_at <= policy.age_s)
            and (policy.size_bytes is None or size <= policy.size_bytes)
        )
        if keeps or row.state == "running":
            kept.add(families[row.run_id])
    return [row.run_id for row in rows if families[row.run_id] not in kept]


def _families(rows: Sequence[RunRow]) -> dict[str, str]:
    """Return of each run the first one of those that it goes on with."""
    first: dict[str, str] = {}
    for row in reversed(rows):
        first[row.run_id] = first.get(row.previous, row.run_id)
    return first


def tidy(history: History, now: float, policy: Retention = DEFAULT) -> list[str]:
    """Throw away what a policy does not keep; returns the ids.

    Raises:
        JournalError: a record cannot be removed.
    """
    gone = superfluous(history.rows(), policy, now)
    if gone:
        history.remove(gone)
    return gone
