"""The table of runs fits the terminal, does nothing to it, and says of each run what matters."""

from collections.abc import Iterator

import pytest

from batchrun.model.counts import Tally
from batchrun.model.record import RunRow, RunState
from batchrun.report.runs import local_time, run_record, runs_text
from batchrun.report.text import Palette, measure
from support import local_zone

_AT = 1_795_317_300.0


@pytest.fixture(autouse=True)
def _zone() -> Iterator[None]:
    """Look from a place that is an hour and a half ahead of UTC."""
    with local_zone("TEST-01:30"):
        yield


def row(**fields: object) -> RunRow:
    counts = Tally(planned=1210, changed=37)
    counts.ended.update(ok=1204, failed=2, unreachable=1, skipped=3)
    known = {
        "run_id": "20261122-031500-7f3a",
        "job": "nightly",
        "job_file": "/etc/batchrun/nightly.yml",
        "started_at": _AT,
        "ended_at": _AT + 41.2,
        "duration_s": 41.2,
        "exit_code": 2,
        "state": RunState.FAILED,
        "counts": counts,
    }
    return RunRow(**{**known, **fields})  # type: ignore[arg-type]  # any of its fields


RUNNING = row(
    run_id="20261122-041500-0001",
    started_at=_AT + 3600,
    ended_at=None,
    duration_s=None,
    exit_code=None,
    state=RunState.RUNNING,
    previous="20261122-031500-7f3a",
    continues="resume",
)


def test_a_run_is_a_line_with_the_local_time() -> None:
    assert runs_text([RUNNING, row()], now=_AT + 3672) == (
        "RUN                   WHEN                 TOOK  EXIT  JOB      RESULT\n"
        "20261122-041500-0001  2026-11-22 05:45  1 min 12 s     -  nightly  running: 1 204 ok "
        "(37 changed), 2 failed, 1 unreachable, 3 skipped so far; resumes 20261122-031500-7f3a\n"
        "20261122-031500-7f3a  2026-11-22 04:45      41.2 s     2  nightly  1 204 ok "
        "(37 changed), 2 failed, 1 unreachable, 3 skipped\n"
    ).replace("WHEN                 TOOK", "WHEN                    TOOK")


@pytest.mark.parametrize("columns", [70, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    rows = [row(job="a job with a name that goes on for quite a while " * 3), row(), RUNNING]
    lines = runs_text(rows, now=_AT + 9999, columns=columns).splitlines()
    assert max(map(measure, lines)) <= columns
    assert sum("20261122-031500-7f3a  2026" in line for line in lines) == 2


def test_where_there_is_not_room_enough_the_result_has_a_line_of_its_own() -> None:
    text = runs_text([row()], now=_AT, columns=80)
    assert text == (
        "RUN                   WHEN                TOOK  EXIT  JOB\n"
        "20261122-031500-7f3a  2026-11-22 04:45  41.2 s     2  nightly\n"
        "    1 204 ok (37 changed), 2 failed, 1 unreachable, 3 skipped\n"
    )


def test_a_result_that_is_too_long_is_cut() -> None:
    assert runs_text([RUNNING], now=_AT, columns=110).splitlines()[1].endswith("...")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": RunState.STOPPED, "exit_code": 5}, "stopped: 1 204 ok"),
        ({"state": RunState.DEADLINE, "exit_code": 124}, "deadline: 1 204 ok"),
        ({"state": RunState.INTERRUPTED, "exit_code": None}, "interrupted: 1 204 ok"),
        ({"state": RunState.INTERRUPTED, "exit_code": 143}, "interrupted: 1 204 ok"),
        ({"state": RunState.OK, "exit_code": 0}, "  1 204 ok"),
        ({"state": RunState.UNREACHABLE, "exit_code": 4}, "  1 204 ok"),
        ({"previous": "x", "continues": "rerun"}, "3 skipped; reruns x"),
        (
            {"state": RunState.UNREADABLE, "problem": "the file is damaged", "job": ""},
            "?    unreadable: the file is damaged",
        ),
    ],
)
def test_what_the_numbers_do_not_tell_is_said_in_a_word(
    fields: dict[str, object], expected: str
) -> None:
    assert expected in runs_text([row(**fields)], now=_AT)


def test_hostile_names_do_nothing_to_the_terminal() -> None:
    evil = "a\x1b[2J\nb\r\u202ec\udcff"
    text = runs_text(
        [row(job=evil, run_id=evil, problem=evil, previous=evil)], now=_AT, columns=200
    )
    assert text.count("\n") == 2
    assert text.replace("\n", "").isprintable()
    assert "a\\x1b[2J\\nb\\r\\u202ec\\xff" in text


def test_wide_characters_keep_the_columns_straight() -> None:
    lines = runs_text([row(job="夜間処理"), row(job="nightly")], now=_AT).splitlines()
    starts = [measure(line[: line.index("1 204")]) for line in lines[1:]]
    assert starts[0] == starts[1]


def test_the_exit_code_is_coloured_by_how_the_run_stands() -> None:
    rows = [row(), RUNNING, row(state=RunState.OK, exit_code=0)]
    lines = runs_text(rows, now=_AT, palette=Palette(enabled=True)).splitlines()
    assert "\x1b[31m   2\x1b[0m" in lines[1]
    assert "\x1b[33m   -\x1b[0m" in lines[2]
    assert "\x1b[32m   0\x1b[0m" in lines[3]


def test_a_run_as_json_says_everything_and_keeps_the_bytes_of_names() -> None:
    record = run_record(row(job_file="/x/caf\udce9.yml", stopped="because"))
    assert record["job_file"] == "/x/caf\ufffd.yml"
    assert record["job_file_base64"] == "L3gvY2Fm6S55bWw="
    assert (record["state"], record["exit_code"], record["stopped"]) == ("failed", 2, "because")
    assert (record["started_at"], record["ended_at"]) == (
        "2026-11-22T03:15:00.000Z", "2026-11-22T03:15:41.200Z",
    )  # fmt: skip
    assert (record["counts"]["ok"], record["counts"]["planned"]) == (1204, 1210)
    assert run_record(RUNNING)["ended_at"] is None


def test_moments_are_local() -> None:
    assert local_time(_AT) == "2026-11-22 04:45:00"
