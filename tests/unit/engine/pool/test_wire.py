"""What travels arrives as it was."""

import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.pool import wire
from batchrun.model.around import Around, OutputFile
from batchrun.model.outcome import (
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
from batchrun.model.secret import SecretRef, SecretText
from batchrun.model.unit import Order, Unit
from batchrun.model.values import Glob

OUTCOMES: list[Outcome] = [
    Ok(changed=True),
    Ok(changed=False, note="x\udcff", exit_status=3),
    Failed(message="m", exit_status=1, signal=None, errno=28, retryable=False, traceback="t"),
    TimedOut(limit_s=1.5, stuck=True),
    Unreachable(message="m"),
    Lost(message="m"),
    Cancelled(was_running=True),
    Aborted(because="b"),
    Skipped(because="b"),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: str(outcome.kind))
@pytest.mark.parametrize("diff", ["", "-a\n+b\n"], ids=["", "diff"])
def test_a_report_arrives_as_it_was_but_for_who_ran_it(outcome: Outcome, diff: str) -> None:
    report = Report(
        number=7,
        attempt=2,
        outcome=outcome,
        started_at=12.5,
        duration_s=0.25,
        output=Output(stdout=Captured(head=b"h\xff", tail=b"t", omitted_bytes=9, spool="/s/7")),
        warnings=("w",),
        bytes_done=5,
        diff=diff,
        worker="w1",
    )
    values = pickle.loads(pickle.dumps(wire.report_to_tuple(report)))
    assert wire.report_from_tuple(values, "w1") == report


def test_an_order_arrives_with_what_a_worker_needs() -> None:
    params = {"src": ("a", "b\udcff"), "mode": None}
    unit = Unit(task_id="t", index=3, label="l", operation="o", params=params, timeout_s=1.0)
    order = Order(number=1, attempt=2, unit=unit)
    values = pickle.loads(pickle.dumps(wire.order_to_tuple(order)))
    assert wire.order_from_tuple(values) == order


@pytest.mark.parametrize(
    "more",
    [
        {"around": Around(creates=("a", Glob("b*")), output=OutputFile(path="p", temporary="t"))},
        {"capture_bytes": 9},
        {"params": {"env": {"A": SecretText(("x", SecretRef("s")))}}},
        {},
    ],
)
def test_guards_and_secrets_travel_with_an_order(more: dict[str, Any]) -> None:
    unit = replace(Unit(task_id="t", index=3, operation="o", timeout_s=1.0), **more)
    order = Order(number=1, attempt=2, unit=unit, secrets={"s": "v"})
    values = pickle.loads(pickle.dumps(wire.order_to_tuple(order)))
    assert wire.order_from_tuple(values) == order
    assert wire.order_from_tuple(values).secrets == {"s": "v"}


def test_what_a_unit_has_none_of_does_not_travel() -> None:
    unit = Unit(
        task_id="t", index=1, operation="o", key="k", locks=("l",), limits=("m",), secrets=("s",)
    )
    order = Order(number=2, attempt=1, unit=unit)
    assert wire.order_to_tuple(order) == (2, 1, "t", 1, "", "o", {}, None)
    report = Report(number=2, attempt=1, outcome=Ok(changed=True), started_at=1.0, duration_s=2.0)
    assert len(wire.report_to_tuple(report)) == 9


@given(
    st.sampled_from([0, 1, wire.FRAME_BYTES]),
    st.integers(0, 3),
    st.integers(-2 * wire.ANSWER_HEAD.size, 2),
)
def test_frames_fit_and_together_are_the_body(base: int, times: int, more: int) -> None:
    body = bytes(max(0, base * times + more))
    frames = list(wire.frames(wire.VALUE, 0.5, 42, body))
    assert all(len(frame) <= wire.FRAME_BYTES for frame in frames)
    heads = [wire.ANSWER_HEAD.unpack_from(frame) for frame in frames]
    assert [kind for kind, _, _ in heads] == [wire.PART] * (len(frames) - 1) + [wire.VALUE]
    assert {call_id for _, _, call_id in heads} == {42}
    assert b"".join(frame[wire.ANSWER_HEAD.size :] for frame in frames) == body
