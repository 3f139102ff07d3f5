"""Whether a unit is tried again, and after how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.retry import LONGEST_DELAY_S, MOST_LOSSES, repeated_for_free, retry_delay
from batchrun.model.job import RetryPolicy
from batchrun.model.outcome import (
    Aborted,
    Cancelled,
    Failed,
    Lost,
    Outcome,
    TimedOut,
    Unreachable,
)

LOST = Lost(message="killed")
FAILED = Failed(message="no")


def policy(retries: int = 3, *kinds: str, delay_s: float = 1.0, backoff: float = 2.0,
           statuses: frozenset[int] = frozenset()) -> RetryPolicy:  # fmt: skip
    return RetryPolicy(
        retries=retries, delay_s=delay_s, backoff=backoff, kinds=frozenset(kinds),
        exit_statuses=statuses,
    )  # fmt: skip


def delay(
    rules: RetryPolicy, outcome: Outcome, tries: int = 1, random: float = 0.5
) -> float | None:
    return retry_delay(rules, outcome, tries=tries, random=random)


def test_each_wait_is_longer_by_the_backoff() -> None:
    rules = policy(4, "failed", delay_s=2.0, backoff=3.0)
    assert [delay(rules, FAILED, tries) for tries in (1, 2, 3, 4, 5)] == [2, 6, 18, 54, None]


def test_without_retries_the_first_outcome_is_final() -> None:
    assert delay(policy(0, "failed"), FAILED) is None


@pytest.mark.parametrize(("random", "expected"), [(0.0, 7.5), (0.5, 10.0), (1.0, 12.5)])
def test_jitter_spreads_a_wait_by_a_quarter_to_each_side(random: float, expected: float) -> None:
    assert delay(policy(1, "failed", delay_s=10.0), FAILED, random=random) == expected


@given(
    st.floats(0, 1e9), st.floats(0, 1e6), st.integers(1, 5000), st.floats(0, 1)
)  # fmt: skip
def test_no_wait_is_longer_than_five_minutes_or_negative(
    delay_s: float, backoff: float, tries: int, random: float
) -> None:
    rules = policy(5000, "failed", delay_s=delay_s, backoff=backoff)
    found = delay(rules, FAILED, tries, random)
    assert found is not None
    assert 0 <= found <= LONGEST_DELAY_S == 300.0


def test_retries_without_a_delay_stay_without_one_however_many_they_are() -> None:
    assert delay(policy(5000, "failed", delay_s=0.0), FAILED, tries=4999) == 0.0


@pytest.mark.parametrize(
    "outcome",
    [FAILED, Unreachable(message="no"), TimedOut(limit_s=1), LOST],
    ids=lambda outcome: outcome.kind,
)
def test_only_the_kinds_that_are_named_are_tried_again(outcome: Outcome) -> None:
    others = {"failed", "unreachable", "timed_out", "lost"} - {outcome.kind}
    assert delay(policy(1, outcome.kind), outcome) == 1.0
    assert delay(policy(1, *others), outcome) is None


@pytest.mark.parametrize("outcome", [Cancelled(was_running=True), Aborted(because="no")])
def test_what_was_stopped_is_not_tried_again(outcome: Outcome) -> None:
    assert delay(RetryPolicy(retries=9), outcome) is None


def test_only_the_exit_statuses_that_are_named_are_tried_again() -> None:
    rules = policy(1, statuses=frozenset({75}))
    assert delay(rules, Failed(message="busy", exit_status=75)) == 1.0
    assert delay(rules, Failed(message="no", exit_status=1)) is None
    assert delay(rules, FAILED) is None


def test_a_refusal_is_final_whatever_the_policy_says() -> None:
    refusal = Failed(message="refused", exit_status=75, retryable=False)
    assert delay(policy(9, "failed", statuses=frozenset({75})), refusal) is None


def test_a_repeatable_unit_is_repeated_for_free_three_times() -> None:
    rules = RetryPolicy(repeat_lost=True)
    free = [repeated_for_free(rules, LOST, losses=losses) for losses in range(5)]
    assert free == [True, True, True, False, False]
    assert MOST_LOSSES == 3


def test_only_losses_of_repeatable_units_are_repeated_for_free() -> None:
    assert not repeated_for_free(RetryPolicy(repeat_lost=True), FAILED, losses=0)
    assert not repeated_for_free(RetryPolicy(repeat_lost=False), LOST, losses=0)
