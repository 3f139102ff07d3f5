"""The fold behind every number that is shown."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from batchrun.model.counts import Counts, Tally, fold
from batchrun.model.event import RunStarted, TaskEnded, UnitEnded, UnitRetried
from batchrun.model.outcome import (
    KINDS,
    Aborted,
    Cancelled,
    Failed,
    Lost,
    Ok,
    Outcome,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import Unit

OUTCOMES: tuple[Outcome, ...] = (
    Ok(changed=False),
    Ok(changed=True),
    Failed(message="no"),
    TimedOut(limit_s=1),
    Unreachable(message="no"),
    Lost(message="no"),
    Cancelled(),
    Aborted(because="no"),
    Skipped(because="no"),
)


def report(outcome: Outcome) -> Report:
    return Report(number=1, attempt=1, outcome=outcome, started_at=1.0, duration_s=1.0)


def ended(task_id: str, outcome: Outcome, *, ignored: bool = False) -> UnitEnded:
    unit = Unit(task_id=task_id, index=1, operation="run")
    return UnitEnded(unit=unit, report=report(outcome), ignored=ignored)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(OUTCOMES), st.booleans())))
def test_every_unit_is_counted_once_in_its_task_and_its_kind(
    ends: list[tuple[str, Outcome, bool]],
) -> None:
    counts = Counts()
    for task_id, outcome, ignored in ends:
        fold(counts, ended(task_id, outcome, ignored=ignored))

    assert counts.total.done == len(ends)
    assert counts.total.changed == sum(isinstance(o, Ok) and o.changed for _, o, _ in ends)
    expected = Counter((task_id, outcome.kind) for task_id, outcome, _ in ends)
    for task_id in "abc":
        for kind in KINDS:
            assert counts.task(task_id).ended[kind] == expected[task_id, kind]


def test_the_total_is_accounted_only_when_each_planned_unit_has_an_outcome() -> None:
    counts = Counts()
    accounted = []
    for event in (
        ended("a", Ok(changed=False)),
        TaskEnded(task_id="a", good=True, planned=1),
        TaskEnded(task_id="b", good=True, planned=1),
    ):
        fold(counts, event)
        accounted.append(counts.total.accounted)

    assert accounted == [False, True, False]


def test_a_failure_that_is_ignored_is_counted_but_does_not_count() -> None:
    counts = Counts()
    fold(counts, ended("a", Failed(message="no"), ignored=True))
    fold(counts, ended("a", Failed(message="no")))

    total = counts.total
    assert (total.ended["failed"], total.ignored, total.counted("failed")) == (2, 1, 1)


def test_an_ok_unit_of_a_task_that_ignores_errors_ignores_nothing() -> None:
    counts = Counts()
    fold(counts, ended("a", Ok(changed=True), ignored=True))

    assert counts.total.ignored == 0


def test_an_attempt_that_is_repeated_is_no_outcome() -> None:
    counts = Counts()
    unit = Unit(task_id="a", index=1, operation="run")
    fold(counts, UnitRetried(unit=unit, report=report(Failed(message="no")), delay_s=1))

    assert (counts.total.done, counts.total.retried) == (0, 1)


def test_tasks_are_there_in_the_order_of_the_job_file_before_they_begin() -> None:
    counts = Counts()
    tasks = (("z", "last letter"), ("a", "first letter"))
    fold(counts, RunStarted(run_id="r", job_name="j", at=1.0, procs=1, tasks=tasks))

    assert list(counts.tasks) == ["z", "a"]


def test_all_numbers_have_a_name() -> None:
    assert list(Tally().as_dict()) == ["planned", *KINDS, "changed", "ignored", "retried"]
