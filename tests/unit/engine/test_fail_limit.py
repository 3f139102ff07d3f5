"""When more has failed than may."""

import pytest

from batchrun.engine.fail_limit import exceeded, limit_text
from batchrun.model.job import FailLimit


@pytest.mark.parametrize(("failures", "expected"), [(0, False), (3, False), (4, True)])
def test_a_number_is_passed_by_one_failure_more(failures: int, *, expected: bool) -> None:
    limit = FailLimit(count=3)
    assert exceeded(limit, failures=failures, total=None, attempted=failures) is expected


def test_zero_allows_none() -> None:
    assert exceeded(FailLimit(count=0), failures=1, total=100, attempted=1)
    assert exceeded(FailLimit(percent=0), failures=1, total=100, attempted=1)


@pytest.mark.parametrize(("failures", "expected"), [(10, False), (11, True)])
def test_a_share_of_a_known_total_is_of_all_planned_units(failures: int, *, expected: bool) -> None:
    limit = FailLimit(percent=10)
    assert exceeded(limit, failures=failures, total=100, attempted=failures) is expected


@pytest.mark.parametrize(
    ("attempted", "failures", "expected"),
    [(19, 19, False), (20, 2, False), (20, 3, True), (100, 10, False), (100, 11, True)],
)
def test_a_share_of_an_unknown_total_is_of_the_attempts_once_there_are_twenty(
    attempted: int, failures: int, *, expected: bool
) -> None:
    limit = FailLimit(percent=10)
    assert exceeded(limit, failures=failures, total=None, attempted=attempted) is expected


def test_a_share_with_a_fraction_is_exact() -> None:
    limit = FailLimit(percent=0.5)
    assert not exceeded(limit, failures=1, total=200, attempted=200)
    assert exceeded(limit, failures=2, total=200, attempted=200)


def test_all_may_fail_at_a_hundred_percent() -> None:
    assert not exceeded(FailLimit(percent=100), failures=50, total=50, attempted=50)


def test_a_limit_is_said_as_people_write_it() -> None:
    limits = (FailLimit(count=0), FailLimit(percent=10.0), FailLimit(percent=2.5))
    assert [limit_text(limit) for limit in limits] == ["0", "10%", "2.5%"]
