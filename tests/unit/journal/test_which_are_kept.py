"""Which runs are thrown away: by number, age and size, families as one."""

import pytest

from batchrun.journal.retention import DEFAULT, Retention, superfluous
from batchrun.model.record import RunRow, RunState

_HOUR = 3600.0
_NOW = 1000 * _HOUR


def row(
    hours_ago: int, *, previous: int | None = None, size: int = 10, running: bool = False
) -> RunRow:
    return RunRow(
        run_id=name(hours_ago),
        started_at=_NOW - hours_ago * _HOUR,
        state=RunState.RUNNING if running else RunState.OK,
        previous="" if previous is None else name(previous),
        continues="" if previous is None else "resume",
        size_bytes=None if running else size,
    )


def name(hours_ago: int) -> str:
    return f"run-{1000 - hours_ago:04d}"


def gone(rows: list[RunRow], policy: Retention, *spared: int) -> list[int]:
    """Return how many hours ago those began that are thrown away."""
    found = superfluous(rows, policy, _NOW, [name(one) for one in spared])
    return [round((_NOW - one.started_at) / _HOUR) for one in found]


SINGLE = [row(1), row(2), row(3), row(4)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Retention(count=2), [3, 4]),
        (Retention(count=0), [1, 2, 3, 4]),
        (Retention(age_s=2 * _HOUR), [3, 4]),
        (Retention(size_bytes=30), [4]),
        (Retention(size_bytes=29), [3, 4]),
        (Retention(count=3, age_s=2 * _HOUR, size_bytes=10), [2, 3, 4]),
        (Retention(), []),
        (DEFAULT, []),
    ],
)
def test_the_newest_are_kept_as_far_as_every_limit_allows(
    policy: Retention, expected: list[int]
) -> None:
    assert gone(SINGLE, policy) == expected


def test_one_that_does_not_fit_is_passed_over_for_older_ones_that_do() -> None:
    rows = [row(1), row(2, size=1000), row(3), row(4)]
    assert gone(rows, Retention(size_bytes=35)) == [2]


def test_runs_that_go_on_with_each_other_are_kept_for_the_newest_of_them() -> None:
    rows = [row(1, previous=4), row(2), row(3), row(4)]
    assert gone(rows, Retention(count=1)) == [2, 3]
    assert gone(rows, Retention(count=2)) == [2, 3]
    assert gone(rows, Retention(age_s=1.5 * _HOUR)) == [2, 3]


def test_they_are_thrown_away_together_too_the_newest_first() -> None:
    rows = [row(1), row(2, previous=3), row(3, previous=5), row(4), row(5)]
    assert gone(rows, Retention(count=1)) == [2, 3, 4, 5]
    assert gone(rows, Retention(size_bytes=39)) == [2, 3, 5]


def test_a_run_that_goes_on_keeps_its_family_and_takes_nobodys_place() -> None:
    rows = [row(1), row(2, previous=3, running=True), row(3), row(4)]
    assert gone(rows, Retention(count=0)) == [1, 4]
    assert gone(rows, Retention(count=1)) == [4]


def test_the_run_that_has_just_ended_is_spared_however_big_it_is() -> None:
    rows = [row(1, size=1000, previous=2), row(2), row(3), row(4)]
    policy = Retention(count=1, size_bytes=10)
    assert gone(rows, policy, 1) == [4]
    assert gone(rows, policy) == [1, 2, 4]


def test_a_record_that_cannot_be_read_is_kept_by_its_age_like_others() -> None:
    damaged = RunRow(
        run_id=name(3),
        started_at=_NOW - 3 * _HOUR,
        state=RunState.UNREADABLE,
        problem="the file is damaged",
        size_bytes=5,
    )
    rows = [row(1), row(2), damaged]
    assert gone(rows, Retention(age_s=4 * _HOUR)) == []
    assert gone(rows, Retention(age_s=2 * _HOUR)) == [3]
