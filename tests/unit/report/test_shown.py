"""What `show` says of a run: its header, its slowest units, every attempt of a unit, raw output."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest

from batchrun.model.event import RunEnded, UnitEnded, UnitRetried
from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Output, Report
from batchrun.model.record import RunRecord, RunRow, RunState
from batchrun.model.unit import Unit
from batchrun.report.raw import write_raw
from batchrun.report.shown import Shown, failed_text, header_text, slowest_text, unit_text
from support import local_zone

_AT = 1_795_317_300.0
_RUN = "20261122-031500-7f3a"
FAILED = Failed(message="exit status 3", exit_status=3)


@pytest.fixture(autouse=True)
def _zone() -> Iterator[None]:
    with local_zone("TEST-01:30"):
        yield


def names(task_id: str) -> str:
    return {"stage": "stage the exports"}[task_id]


def shown(**fields: object) -> Shown:
    record = RunRecord(
        run_id=_RUN,
        job_name="nightly",
        job_file="/etc/batchrun/nightly.yml",
        command_line=("nightly.yml", "-e", "a=b c"),
        started_at=_AT,
        host="web1",
        user="ann",
        pid=4242,
        version="0.1.0",
        python="3.11.7",
    )
    ended = RunEnded(run_id=_RUN, at=_AT + 41.2, duration_s=41.2, exit_code=2)
    known = {
        "record": record,
        "state": RunState.FAILED,
        "ended": ended,
        "duration_s": 41.2,
        "family": (),
        "size_bytes": 36_864,
        "place": f"/var/lib/batchrun/runs/{_RUN}",
    }
    return Shown(**{**known, **fields})  # type: ignore[arg-type]  # any of its fields


def ended(
    number: int,
    outcome: Outcome,
    *,
    label: str = "/data/b.csv",
    output: Output | None = None,
    duration_s: float = 1.5,
    **more: object,
) -> UnitEnded:
    unit = Unit(
        task_id="stage",
        index=number,
        label=label,
        operation="copy",
        params={"command": f"copy {label} -> /srv/stage"},
    )
    report = Report(
        number=number,
        attempt=1,
        outcome=outcome,
        started_at=_AT + 3,
        duration_s=duration_s,
        output=output or Output(),
        worker="worker-2",
    )
    return UnitEnded(unit=unit, report=replace(report, **more))  # type: ignore[arg-type]  # fields


def test_the_header_says_what_the_run_was_and_why_it_ended() -> None:
    assert header_text(shown()) == (
        "run       20261122-031500-7f3a\n"
        "job       nightly, /etc/batchrun/nightly.yml\n"
        "when      2026-11-22 04:45:00 +0130 to 2026-11-22 04:45:41, 41.2 s\n"
        "where     ann on web1, process 4242\n"
        "command   batchrun nightly.yml -e 'a=b c'\n"
        "version   batchrun 0.1.0, Python 3.11.7\n"
        "record    /var/lib/batchrun/runs/20261122-031500-7f3a, 36.0 KiB\n"
        "state     failed (exit code 2, some units failed, timed out or were lost)\n"
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"state": RunState.INTERRUPTED, "ended": None},
            ["its last unit ended after 41.2 s\n", "interrupted: it was killed, or the machine"],
        ),
        ({"state": RunState.INTERRUPTED, "ended": None, "duration_s": None}, ["no unit ended\n"]),
        (
            {"state": RunState.RUNNING, "ended": None},
            ["since 2026-11-22 04:45:00 +0130, 41.2 s so far\n", "state     running\n"],
        ),
    ],
)
def test_a_run_without_an_end_says_so(fields: dict[str, object], expected: list[str]) -> None:
    text = header_text(shown(**fields))
    assert [one for one in expected if one not in text] == []


def test_runs_that_go_on_with_each_other_are_listed_as_a_chain() -> None:
    first = RunRow(run_id="one", started_at=0.0, state=RunState.INTERRUPTED)
    mine = RunRow(
        run_id=_RUN, started_at=1.0, state=RunState.FAILED, previous="one", continues="resume"
    )
    last = RunRow(run_id="two", started_at=2.0, state=RunState.OK, previous=_RUN, continues="rerun")
    assert (
        "chain     one: interrupted\n"
        "          20261122-031500-7f3a (this one): failed, resumes one\n"
        "          two: ok, reruns 20261122-031500-7f3a\n"
    ) in header_text(shown(family=(first, mine, last)))
    assert "chain" not in header_text(shown(family=(mine,)))


def test_where_a_job_came_from_is_said_only_when_there_is_a_file() -> None:
    made = header_text(shown(record=replace(shown().record, job_file="", job_name="each")))
    read = header_text(shown(record=replace(shown().record, job_file="-")))
    assert "job       each\n" in made
    assert "job       nightly, from standard input\n" in read


def test_nothing_in_the_header_can_act_on_a_terminal() -> None:
    evil = "a\x1b[2J\nb\udcff"
    record = RunRecord(
        run_id=evil, job_name=evil, job_file=evil, command_line=(evil,), host=evil, user=evil,
        version=evil, python=evil,
    )  # fmt: skip
    text = header_text(shown(record=record, place=evil))
    assert text.replace("\n", "").isprintable()
    assert text.count("\n") == 8


def test_the_slowest_units_are_listed_with_their_numbers() -> None:
    events = [ended(7, FAILED, duration_s=80.0), ended(12, Ok(changed=True), label="")]
    assert slowest_text(events, names) == (
        "slowest units:\n"
        "  1 min 20 s  unit 7  stage the exports  /data/b.csv  failed\n"
        "       1.5 s  unit 12  stage the exports\n"
    )
    assert slowest_text(events[:1], names) == ""


def test_every_attempt_of_a_unit_is_shown_with_all_that_was_kept() -> None:
    lines = b"".join(b"line %d\n" % number for number in range(30))
    first = ended(7, FAILED, output=Output(stdout=Captured(head=lines)))
    retried = UnitRetried(unit=first.unit, report=first.report, delay_s=2.0)
    last = ended(
        7,
        Ok(changed=True, note="12 bytes"),
        attempt=2,
        output=Output(
            stderr=Captured(head=b"begin\n", tail=b"end \x1b[2J\n", omitted_bytes=1234),
        ),
        warnings=("mode not kept",),
        errors=("x: no",),
        diff="--- a\n+++ b\n-1\n+2\n",
    )
    text = "".join(unit_text([retried, last], names))
    assert text == (
        "unit 7  stage the exports  /data/b.csv\n"
        "  copy /data/b.csv -> /srv/stage\n"
        "  attempt 1: failed: exit status 3\n"
        "    2026-11-22 04:45:03, took 1.5 s, worker-2\n"
        "    stdout:\n"
        + "".join(f"      | line {number}\n" for number in range(30))
        + "    another attempt after 2 s\n"
        "  attempt 2: ok, changed: 12 bytes\n"
        "    2026-11-22 04:45:03, took 1.5 s, worker-2\n"
        "    error: x: no\n"
        "    warning: mode not kept\n"
        "  --- a\n  +++ b\n  -1\n  +2\n"
        "    stderr:\n"
        "      | begin\n"
        "      | [1 234 bytes are left out here]\n"
        "      | end \\x1b[2J\n"
    )


def test_units_are_shown_apart_from_each_other() -> None:
    text = "".join(unit_text([ended(1, FAILED), ended(2, Ok(changed=False))], names))
    assert "\n\nunit 2  " in text


def test_a_failure_is_shown_with_its_number_also_without_output() -> None:
    text = failed_text(ended(7, FAILED), names)
    assert (
        text == "FAILED  stage the exports  /data/b.csv  (unit 7)\n  exit status 3, after 1.5 s\n\n"
    )
    ignored = failed_text(replace(ended(7, FAILED), ignored=True), names)
    assert "(unit 7, ignored)" in ignored


def test_raw_output_is_what_the_commands_wrote_and_gaps_are_said_elsewhere() -> None:
    events = [
        ended(1, FAILED, output=Output(stdout=Captured(head=b"\x00a\xff"))),
        ended(2, FAILED, output=Output(stderr=Captured(head=b"e\n"))),
        ended(
            3,
            FAILED,
            label="b\nc",
            output=Output(stdout=Captured(head=b"x", tail=b"y", omitted_bytes=4321)),
        ),
        ended(4, FAILED),
    ]
    stdout, stderr = io.BytesIO(), io.BytesIO()
    write_raw(events, stdout, stderr)
    assert stdout.getvalue() == b"\x00a\xffxy"
    assert stderr.getvalue() == (
        b"e\nbatchrun: unit 3 (b\\nc): 4 321 bytes in the middle of its standard output were not "
        b"kept\n"
    )
