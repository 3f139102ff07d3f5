"""The kinds of outcome, and the records around them."""

import dataclasses
import pickle
from typing import get_args

import pytest

from batchrun.model.outcome import (
    KINDS,
    NO_OUTPUT,
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Output,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)

OUTCOMES: tuple[Outcome, ...] = (
    Ok(changed=True, note="made", exit_status=0),
    Failed(message="\udcff", exit_status=3, errno=28, traceback="Traceback"),
    TimedOut(limit_s=1.5, stuck=True),
    Unreachable(message="refused"),
    Lost(message="killed"),
    Cancelled(was_running=True),
    Aborted(because="the deadline was reached"),
    Skipped(because="when"),
)


def test_each_kind_has_one_class_and_one_name() -> None:
    assert tuple(kind.kind for kind in get_args(Outcome)) == KINDS
    assert tuple(outcome.kind for outcome in OUTCOMES) == KINDS


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.kind)
def test_an_outcome_cannot_be_changed_and_travels_between_processes(outcome: Outcome) -> None:
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    name = dataclasses.fields(outcome)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(outcome, name, None)


def test_a_failure_may_be_tried_again_unless_somebody_knows_better() -> None:
    assert Failed(message="no").retryable


def test_captured_output_counts_what_was_not_kept() -> None:
    assert Captured(head=b"abc", tail=b"yz", omitted_bytes=10).size_bytes == 15
    assert Captured().size_bytes == 0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (NO_OUTPUT, False),
        (Output(stdout=Captured(head=b"x")), True),
        (Output(stderr=Captured(tail=b"x")), True),
    ],
)
def test_an_output_is_true_when_anything_was_written(output: Output, *, expected: bool) -> None:
    assert bool(output) is expected


def test_a_report_travels_between_processes_with_all_that_it_holds() -> None:
    report = Report(
        number=3,
        attempt=2,
        outcome=OUTCOMES[1],
        started_at=1.0,
        duration_s=0.5,
        output=Output(stdout=Captured(head=b"\xff\x00")),
        warnings=("one",),
        bytes_done=7,
        worker="worker-2",
    )
    assert pickle.loads(pickle.dumps(report)) == report
