"""Whether a unit is tried again, and after how long: one pure function."""

from batchrun.model.job import RetryPolicy
from batchrun.model.outcome import Failed, Lost, Outcome, Unreachable

__all__ = ["LONGEST_DELAY_S", "MOST_LOSSES", "repeated_for_free", "retry_delay"]

LONGEST_DELAY_S = 300.0
#: A repeatable operation lost with its worker is repeated this often, whatever `retries` says.
MOST_LOSSES = 3


def repeated_for_free(policy: RetryPolicy, outcome: Outcome, *, losses: int) -> bool:
    """Tell whether an attempt is repeated at once, without counting against `retries`.

    Args:
        policy: The task's.
        outcome: How the attempt ended.
        losses: How often the unit was repeated like this before.
    """
    return isinstance(outcome, Lost) and policy.repeat_lost and losses < MOST_LOSSES


def retry_delay(
    policy: RetryPolicy, outcome: Outcome, *, tries: int, random: float
) -> float | None:
    """Decide about one attempt that has ended and is not repeated for free.

    Args:
        policy: The task's.
        outcome: How the attempt ended.
        tries: Attempts so far that count against `retries` (losses repeated for free do not).
        random: Between 0 and 1; spreads the waits by a quarter to each side.

    Returns:
        Seconds until the next attempt; None: the outcome is final.
    """
    if tries > policy.retries or not _worth_it(policy, outcome):
        return None
    try:
        delay_s = policy.delay_s * policy.backoff ** (tries - 1)
    except OverflowError:
        delay_s = LONGEST_DELAY_S if policy.delay_s else 0.0
    return min(delay_s * (0.75 + random / 2), LONGEST_DELAY_S)


def _worth_it(policy: RetryPolicy, outcome: Outcome) -> bool:
    """Whether the policy names this ending, and the one who knows it has not ruled it out."""
    if isinstance(outcome, Failed | Unreachable) and not outcome.retryable:
        return False
    if isinstance(outcome, Failed) and outcome.exit_status in policy.exit_statuses:
        return True
    return outcome.kind in policy.kinds
