"""Failures are folded by task, kind and message, and never fill memory."""

import pytest

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
from batchrun.model.unit import Unit
from batchrun.report.failures import Failures, fold_message, reason


def add(
    failures: Failures, outcome: Outcome, label: str = "", *, task: str = "t", stderr: bytes = b""
) -> None:
    report = Report(
        number=1,
        attempt=1,
        outcome=outcome,
        started_at=1.0,
        duration_s=1.0,
        output=Output(stderr=Captured(head=stderr)),
    )
    failures.add(Unit(task_id=task, index=1, label=label, operation="run"), report)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (Ok(changed=True), ""),
        (Failed(message="exit status 3", exit_status=3), "exit status 3"),
        (Failed(message="grep found nothing", exit_status=1), "grep found nothing (exit status 1)"),
        (Failed(message="it died", signal=9), "it died (signal 9)"),
        (Failed(message="killed by signal 9 (SIGKILL)", signal=9), "killed by signal 9 (SIGKILL)"),
        (TimedOut(limit_s=90), "ran longer than 1 min 30 s"),
        (
            TimedOut(limit_s=5, stuck=True),
            "ran longer than 5 s, is blocked in the kernel and was left behind",
        ),
        (Unreachable(message="no route"), "no route"),
        (Lost(message="worker-3 was killed"), "worker-3 was killed"),
        (Cancelled(was_running=True), "stopped while it ran"),
        (Cancelled(), "not started"),
        (Aborted(because="fail limit"), "fail limit"),
        (Skipped(because="exists"), "exists"),
    ],
)
def test_every_kind_of_end_has_one_sentence(outcome: Outcome, sentence: str) -> None:
    assert reason(outcome) == sentence


@pytest.mark.parametrize(
    ("message", "label", "folded"),
    [
        ("/d/b.csv: No space", "/d/b.csv", "{}: No space"),
        ("/d/b.csv: cannot make /srv/b.csv", "/d/b.csv", "{}: cannot make /srv/{/}"),
        ("/d/b.csv.gz exists", "/d/b.csv", "{}.gz exists"),
        ("exit status 1", "1", "exit status 1"),
        ("/data/1: not a directory", "1", "/data/{}: not a directory"),
        ("not a directory", "a", "not a directory"),
        ("a: not a directory", "a", "{}: not a directory"),
        ("web01 and web01, not web011", "web01", "{} and {}, not web011"),
        ("no item", "", "no item"),
        ("trailing", "/", "trailing"),
    ],
)
def test_the_item_is_taken_out_of_a_message_only_where_it_stands_alone(
    message: str, label: str, folded: str
) -> None:
    assert fold_message(message, label) == folded


def test_failures_with_the_same_message_but_for_the_item_are_one_group() -> None:
    failures = Failures()
    for name in ("x", "y", "z", "v", "w"):
        add(failures, Failed(message=f"/data/{name}: No space left on device"), f"/data/{name}")

    (group,) = failures.groups()
    assert (group.number, group.message) == (5, "{}: No space left on device")
    assert group.items == ["/data/x", "/data/y", "/data/z"]


def test_another_task_or_kind_is_another_group() -> None:
    failures = Failures()
    add(failures, Failed(message="no"), task="a")
    add(failures, Failed(message="no"), task="b")
    add(failures, Lost(message="no"), task="a")

    assert [(group.kind, group.task_id) for group in failures.groups()] == [
        ("failed", "a"),
        ("failed", "b"),
        ("lost", "a"),
    ]


def test_twenty_groups_are_shown_and_the_rest_is_counted() -> None:
    failures = Failures()
    for number in range(1_000):
        add(failures, Failed(message=f"message {number}"))

    assert len(failures.groups()) == 20
    assert failures.left_out() == 980


def test_a_flood_that_comes_after_twenty_other_messages_is_shown() -> None:
    failures = Failures()
    for number in range(50):
        add(failures, Failed(message=f"message {number}"))
    for _ in range(1_000):
        add(failures, Failed(message="No space left on device"))

    assert "No space left on device" in [group.message for group in failures.groups()]
    assert failures.left_out() == 31


def test_the_last_ten_lines_are_kept_and_it_is_known_that_there_were_more() -> None:
    failures = Failures()
    add(failures, Failed(message="no"), stderr=b"".join(b"line %d\n" % n for n in range(1, 31)))

    excerpt = failures.groups()[0].samples[0].stderr
    assert excerpt.lines == tuple(f"line {n}" for n in range(21, 31))
    assert excerpt.is_cut


def test_a_short_output_is_whole_even_when_it_came_in_head_and_tail() -> None:
    failures = Failures()
    output = Output(stdout=Captured(head=b"one\ntw", tail=b"o\nthree"))
    report = Report(
        number=1,
        attempt=1,
        outcome=Failed(message="no"),
        started_at=1.0,
        duration_s=1.0,
        output=output,
    )
    failures.add(Unit(task_id="t", index=1, operation="run"), report)

    excerpt = failures.groups()[0].samples[0].stdout
    assert excerpt.lines == ("one", "two", "three")
    assert not excerpt.is_cut


def test_a_line_and_a_message_of_a_megabyte_are_cut() -> None:
    failures = Failures()
    add(failures, Failed(message="m" * 1_000_000), "i" * 1_000_000, stderr=b"x" * 1_000_000)

    (group,) = failures.groups()
    (sample,) = group.samples
    assert len(sample.stderr.lines[0]) == 400
    assert max(len(sample.message), len(sample.item), len(group.message)) <= 1_003
