"""The recap has exactly the shape that the command line promises."""

from dataclasses import replace

import pytest

from batchrun.model.event import RunEnded, TaskEnded
from batchrun.model.outcome import (
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Output,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.report.recap import Summary, details_text, recap_text
from batchrun.report.text import Palette
from scripted_run import Script, written


def test_the_recap_of_the_manual_is_printed_letter_by_letter() -> None:
    summary, script = Summary(), Script()
    script.start(summary, ("stage", "stage the exports"), ("reload", "reload the front ends"))
    for number in range(1_204):
        script.end(summary, Ok(changed=number < 37))
    script.end(
        summary,
        Failed(message="/data/exports/b.csv: No space left on device (/srv/stage)"),
        "/data/exports/b.csv",
    )
    script.end(summary, Failed(message="exit status 3", exit_status=3), task_id="reload")
    script.end(
        summary,
        Unreachable(message="connect timed out after 10 s"),
        "web13",
        task_id="reload",
        attempt=3,
    )
    for _ in range(3):
        script.end(summary, Skipped(because="exists"))
    script.finish(summary, exit_code=2)
    unrecorded = recap_text(summary)
    assert summary.started is not None
    summary.started = replace(summary.started, recorded=True)

    assert recap_text(summary) == (
        "nightly: 1 204 ok (37 changed), 2 failed, 1 unreachable, 3 skipped of 1 210 planned"
        " in 41.2 s   run 20261122-031500-7f3a\n"
        "FAILED       stage the exports  /data/exports/b.csv: "
        "No space left on device (/srv/stage)\n"
        "FAILED       reload the front ends  exit status 3\n"
        "UNREACHABLE  reload the front ends  web13: connect timed out after 10 s, 3 attempts\n"
        "again: batchrun rerun 20261122-031500-7f3a\n"
    )
    assert "again:" not in unrecorded


def test_a_run_of_which_all_ended_well_needs_no_second_one() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    script.end(summary, Ok(changed=True))
    assert summary.started is not None
    summary.started = replace(summary.started, recorded=True)
    script.finish(summary)
    assert "again:" not in recap_text(summary)


def test_zero_kinds_are_left_out_but_ok_and_planned_are_always_there() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    script.finish(summary)

    assert recap_text(summary).startswith("nightly: 0 ok of 0 planned in 41.2 s   run ")


def test_a_dry_run_says_what_would_change() -> None:
    summary, script = Summary(), Script()
    script.start(summary, dry_run=True)
    script.end(summary, Ok(changed=True))
    script.finish(summary)

    assert "1 ok (1 would change) of 1 planned in 41.2 s (dry run)" in recap_text(summary)


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Failed(message="no"), "FAILED       stage the exports  item: no\n"),
        (TimedOut(limit_s=5), "TIMED OUT    stage the exports  item: ran longer than 5 s\n"),
        (Unreachable(message="no"), "UNREACHABLE  stage the exports  item: no\n"),
        (Lost(message="no"), "LOST         stage the exports  item: no\n"),
        (Cancelled(), "CANCELLED    stage the exports  item: not started\n"),
        (Aborted(because="no"), "ABORTED      stage the exports  item: no\n"),
    ],
)
def test_each_kind_stands_in_a_column_of_its_own(outcome: Outcome, line: str) -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    script.end(summary, outcome, "item")
    script.finish(summary, exit_code=2)

    assert recap_text(summary).endswith(line)


def test_a_group_names_its_first_items_and_how_many_there_are() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    for number in range(1, 1_205):
        script.end(summary, Failed(message=f"/d/f{number}: No space"), f"/d/f{number}")
    script.finish(summary, exit_code=2)

    assert recap_text(summary).endswith(
        "FAILED       stage the exports  /d/f1, /d/f2, /d/f3, ... (1 204): No space\n"
    )


def test_failures_that_are_ignored_stand_apart_and_do_not_look_like_failures() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    script.end(summary, Failed(message="no such service"), ignored=True)
    script.finish(summary)

    assert recap_text(summary, palette=Palette(enabled=True)) == (
        "nightly: \x1b[32m0 ok\x1b[0m, 1 failed (1 ignored) of 1 planned in 41.2 s"
        "   run 20261122-031500-7f3a\n"
        "\x1b[33mIGNORED\x1b[0m      stage the exports  no such service\n"
    )


def test_tasks_that_were_not_expanded_and_the_stop_come_last_with_their_reasons() -> None:
    summary, script = Summary(), Script()
    script.start(summary, ("fetch", "fetch"), ("copy", "copy"))
    script.end(summary, Failed(message="exit status 1"), task_id="fetch")
    summary.handle(TaskEnded(task_id="fetch", good=False, planned=1))
    why = "needs fetch, which failed"
    summary.handle(TaskEnded(task_id="copy", good=False, not_expanded=why))
    summary.handle(
        RunEnded(run_id="r", at=1.0, duration_s=1.0, exit_code=130, stopped="interrupted")
    )

    assert recap_text(summary).splitlines()[1:] == [
        "FAILED       fetch  exit status 1",
        "not expanded: copy (needs fetch, which failed)",
        "stopped: interrupted",
    ]


def test_a_source_that_could_not_be_read_is_a_failure_of_its_task() -> None:
    summary, script = Summary(), Script()
    script.start(summary, ("copy", "copy"))
    sentence = "list.txt: Permission denied"
    summary.handle(TaskEnded(task_id="copy", good=False, source_error=sentence))
    summary.handle(RunEnded(run_id="r", at=1.0, duration_s=1.0, exit_code=2))

    assert recap_text(summary).endswith("FAILED       copy  list.txt: Permission denied\n")


def test_units_without_an_outcome_are_told_as_a_defect() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    summary.handle(TaskEnded(task_id="stage", good=True, planned=2))
    summary.handle(RunEnded(run_id="r", at=1.0, duration_s=1.0, exit_code=1))

    assert "UNACCOUNTED  2 units were planned and 0 have an outcome" in recap_text(summary)


def test_ten_thousand_tasks_that_were_not_expanded_are_twenty_lines_and_a_number() -> None:
    summary, script = Summary(), Script()
    tasks = tuple((f"t{number}", f"task {number}") for number in range(10_000))
    script.start(summary, *tasks)
    for task_id, _ in tasks:
        summary.handle(TaskEnded(task_id=task_id, good=False, not_expanded="stopped"))

    lines = recap_text(summary).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "not expanded: 9 980 more tasks"


def test_a_finally_task_sees_the_recap_so_far() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    script.end(summary, Ok(changed=True))
    summary.handle(TaskEnded(task_id="stage", good=True, planned=1))

    assert recap_text(summary, duration_s=5.25) == (
        "nightly: 1 ok (1 changed) of 1 planned in 5.2 s   run 20261122-031500-7f3a\n"
    )


def test_details_show_the_end_of_each_stream_and_where_the_rest_is() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    output = Output(
        stdout=Captured(head=b"all of it\n"),
        stderr=Captured(head=b"a", tail=b"".join(b"%d\n" % n for n in range(20)), omitted_bytes=9),
    )
    script.end(summary, Failed(message="exit status 3", exit_status=3), "/d/a", output=output)
    script.finish(summary, exit_code=2)

    assert details_text(summary, rest_is_in="/var/out") == (
        "FAILED  stage the exports  /d/a\n"
        "  exit status 3, after 12 s\n"
        "  stdout:\n"
        "    | all of it\n"
        "  stderr, the last 10 lines of 60 B, all of it in /var/out:\n"
        + "".join(f"    | {number}\n" for number in range(10, 20))
        + "\n"
    )


def test_failures_without_output_need_no_details_and_tracebacks_are_for_debugging() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    script.end(summary, Failed(message="no", traceback="Traceback\n  File x\nKeyError: \x1b\n"))
    script.finish(summary, exit_code=2)

    assert details_text(summary) == ""
    assert details_text(summary, debug=True).splitlines()[2:6] == [
        "  traceback:",
        "    | Traceback",
        "    |   File x",
        "    | KeyError: \\x1b",
    ]


def test_only_the_first_three_failures_of_a_group_are_shown_with_their_output() -> None:
    summary, script = Summary(), Script()
    script.start(summary)
    for number in range(9):
        script.end(
            summary,
            Failed(message="exit status 1", exit_status=1),
            f"item {number}",
            output=written(b"out of %d\n" % number),
        )
    script.finish(summary, exit_code=2)

    shown = [line for line in details_text(summary).splitlines() if "out of" in line]
    assert shown == ["    | out of 0", "    | out of 1", "    | out of 2"]
