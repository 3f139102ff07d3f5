"""When too much has failed: `max_fail` of a task or of the job, as pure functions."""

from batchrun.model.job import FailLimit

__all__ = ["exceeded", "limit_text"]

#: A share counts only once so many units were attempted, if the total is not known.
_ATTEMPTED_BEFORE_PERCENT = 20


def exceeded(limit: FailLimit, *, failures: int, total: int | None, attempted: int) -> bool:
    """Tell whether more has failed than may.

    >>> exceeded(FailLimit(count=2), failures=2, total=10, attempted=5)
    False
    >>> exceeded(FailLimit(percent=10), failures=2, total=None, attempted=19)
    False
    >>> exceeded(FailLimit(percent=10), failures=3, total=None, attempted=20)
    True

    Args:
        limit: `max_fail`.
        failures: Units that failed, timed out, were unreachable or lost.
        total: Units planned in all; None while the source has not been read to its end.
        attempted: Units that have ended after an attempt.
    """
    if limit.count is not None:
        return failures > limit.count
    if total is None:
        if attempted < _ATTEMPTED_BEFORE_PERCENT:
            return False
        total = attempted
    return failures * 100 > (limit.percent or 0.0) * total


def limit_text(limit: FailLimit) -> str:
    """Say a limit as people write it."""
    return str(limit.count) if limit.count is not None else f"{limit.percent:g}%"
