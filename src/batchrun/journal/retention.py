"""Which records are kept: by age, number and size, the newest longest.

Runs that go on with each other are kept or thrown away together: without the first one, the last
one could not be resumed without doing again what the first had done.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from batchrun.journal.history import History
from batchrun.model.record import RunRow, RunState

__all__ = ["DEFAULT", "Retention", "superfluous", "tidy"]

_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept; None: that does not count."""

    #: The newest so many runs.
    count: int | None = None
    #: Runs that began no longer than so long ago, in seconds.
    age_s: float | None = None
    #: As many of the newest as fit into this many bytes; one that does not fit is passed over.
    size_bytes: int | None = None


#: Applied at the end of each run.
DEFAULT = Retention(count=1000, age_s=90 * _DAY_S, size_bytes=2 * 1024**3)


def superfluous(
    rows: Sequence[RunRow], policy: Retention, now: float, spared: Collection[str] = ()
) -> list[RunRow]:
    """Return the runs that a policy does not keep, newest first; never one that is running.

    Args:
        rows: All runs, newest first.
        policy: What is kept.
        now: The time, in seconds since the epoch.
        spared: Ids of runs that are kept in any case, and do not count: whoever has just ended a
            run wants to look at it, however big its record is.
    """
    count, size_bytes = 0, 0
    gone: set[str] = set()
    for family in _families(rows):
        if any(row.run_id in spared or row.state is RunState.RUNNING for row in family):
            continue
        size = sum(row.size_bytes or 0 for row in family)
        keeps = (
            (policy.count is None or count < policy.count)
            and (policy.age_s is None or now - family[0].started_at <= policy.age_s)
            and (policy.size_bytes is None or size_bytes + size <= policy.size_bytes)
        )
        if keeps:
            count += len(family)
            size_bytes += size
        else:
            gone.update(row.run_id for row in family)
    return [row for row in rows if row.run_id in gone]


def _families(rows: Sequence[RunRow]) -> Iterable[list[RunRow]]:
    """Put runs that go on with each other together, newest first, the newest family first."""
    first: dict[str, str] = {}
    for row in reversed(rows):
        first[row.run_id] = first.get(row.previous, row.run_id)
    families: dict[str, list[RunRow]] = {}
    for row in rows:
        families.setdefault(first[row.run_id], []).append(row)
    return families.values()


def tidy(
    history: History, now: float, policy: Retention = DEFAULT, spared: Collection[str] = ()
) -> list[str]:
    """Throw away what a policy does not keep; returns the ids.

    Raises:
        JournalError: the state directory cannot be read, or a record cannot be removed.
    """
    rows = history.rows()
    history.sweep(rows, now)
    gone = [row.run_id for row in superfluous(rows, policy, now, spared)]
    history.remove(gone)
    return gone
