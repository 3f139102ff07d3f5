"""JUnit XML: suites for tasks, cases for units."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.event import RunEnded, TaskEnded, UnitEnded
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
from batchrun.report.junit import JunitSink
from batchrun.report.junitcase import Verdict, verdict_of
from batchrun.report.text import count
from junit_reader import JunitFile, read_junit
from scripted_run import Script

OK = Ok(changed=True)
STATUS_3 = Failed(message="exit status 3", exit_status=3)


class Written:
    """A run that is written to a file."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "junit.xml"
        self.sink = JunitSink(str(self.path))
        self.script = Script()

    def read(self) -> JunitFile:
        return read_junit(self.path)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Written]:
    written = Written(tmp_path)
    yield written
    written.sink.close()


def text_of(junit: JunitFile, name: str, tag: str) -> str:
    return junit.case(name).findtext(tag) or ""


def test_each_task_is_a_suite_and_each_unit_a_case(run: Written) -> None:
    run.script.start(run.sink, ("stage", "stage the exports"), ("tell", "tell somebody"))
    run.script.end(run.sink, OK, "/data/a", task_id="stage")
    run.script.end(run.sink, OK, task_id="tell")
    run.script.end(run.sink, STATUS_3, "/data/b", task_id="stage")
    run.script.finish(run.sink, exit_code=2)
    junit = run.read()
    names = {suite.attrib["name"]: [case.attrib["name"] for case in suite.iter("testcase")]
             for suite in junit.suites}  # fmt: skip
    assert names == {
        "stage the exports": ["/data/a", "/data/b"],
        "tell somebody": ["tell somebody"],
    }
    assert junit.case("/data/a").attrib["classname"] == "nightly.stage"


def test_a_suite_says_of_which_run_it_is(run: Written) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, STATUS_3, "a")
    run.script.finish(run.sink, exit_code=124, stopped="the deadline was reached")
    assert run.read().properties() == {
        "run_id": "20261122-031500-7f3a",
        "job": "nightly",
        "exit_code": "124",
        "stopped": "the deadline was reached",
        "task": "stage",
    }


def test_times_are_those_of_the_units_and_of_the_run(run: Written) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a")
    run.script.end(run.sink, OK, "b")
    run.script.finish(run.sink)
    junit = run.read()
    (suite,) = junit.suites
    assert junit.root.attrib["time"] == "41.200"
    assert (suite.attrib["time"], suite.attrib["timestamp"]) == ("24.000", "2026-11-22T03:15:00")
    assert junit.case("a").attrib["time"] == "12.000"


@pytest.mark.parametrize(
    ("outcome", "started_at", "ignored", "expected"),
    [
        (OK, 1.0, False, Verdict.PASSED),
        (OK, 1.0, True, Verdict.PASSED),
        (STATUS_3, 1.0, False, Verdict.FAILURE),
        (STATUS_3, 1.0, True, Verdict.SKIPPED),
        (Failed(message="no template"), 0.0, False, Verdict.FAILURE),
        (TimedOut(limit_s=1.0), 1.0, False, Verdict.ERROR),
        (Unreachable(message="refused"), 1.0, False, Verdict.ERROR),
        (Lost(message="killed"), 1.0, False, Verdict.ERROR),
        (Cancelled(was_running=True), 1.0, False, Verdict.ERROR),
        (Cancelled(), 0.0, False, Verdict.SKIPPED),
        (Aborted(because="the deadline was reached"), 1.0, False, Verdict.ERROR),
        (Aborted(because="`stage` failed"), 0.0, False, Verdict.SKIPPED),
        (Skipped(because="when: it is false"), 0.0, False, Verdict.SKIPPED),
    ],
)
def test_an_outcome_is_a_verdict(
    outcome: Outcome, started_at: float, ignored: bool, expected: Verdict
) -> None:
    report = Report(number=1, attempt=1, outcome=outcome, started_at=started_at, duration_s=1.0)
    unit = Unit(task_id="t", index=1, operation="run")
    assert verdict_of(UnitEnded(unit=unit, report=report, ignored=ignored)) is expected


def test_a_failure_says_why_and_how_often_it_was_tried(run: Written) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, STATUS_3, "a", attempt=3)
    run.script.end(run.sink, Failed(message="a defect", traceback="Traceback:\n  x < y"), "b")
    run.script.end(run.sink, STATUS_3, "c", ignored=True)
    run.script.finish(run.sink, exit_code=2)
    junit = run.read()
    (failure,) = junit.case("a").findall("failure")
    assert failure.attrib == {"type": "failed", "message": "exit status 3, 3 attempts"}
    assert text_of(junit, "b", "failure") == "Traceback:\n  x < y"
    (skipped,) = junit.case("c").findall("skipped")
    assert skipped.attrib["message"] == "ignored: exit status 3"


def test_output_is_there_with_a_word_about_what_was_left_out(run: Written) -> None:
    output = Output(
        stdout=Captured(head=b"begin", tail=b"end\n", omitted_bytes=12345),
        stderr=Captured(head=b"oh", tail=b" no"),
    )
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a", output=output, warnings=("No ACLs there.",))
    run.script.end(run.sink, OK, "b")
    run.script.finish(run.sink)
    junit = run.read()
    expected = f"begin\n[batchrun: {count(12345)} bytes are left out here]\nend\n"
    assert text_of(junit, "a", "system-out") == expected
    assert text_of(junit, "a", "system-err") == "oh no\n[batchrun: No ACLs there.]\n"
    assert list(junit.case("b")) == []


def test_what_xml_cannot_hold_becomes_a_visible_escape(run: Written) -> None:
    label = os.fsdecode(b"caf\xe9\x1b[31m \xef\xbf\xbf") + "\ud800"
    data = b"\x1b[31mred\0\xff ]]> & <b> \r\n\ttab"
    run.script.start(run.sink)
    run.script.end(run.sink, OK, label, output=Output(stdout=Captured(head=data)))
    run.script.finish(run.sink)
    (case,) = run.read().cases
    assert case.attrib["name"] == "caf\\xe9\\x1b[31m \\uffff\\ud800"
    assert case.findtext("system-out") == "\\x1b[31mred\\x00\\xff ]]> & <b> \r\n\ttab"


def test_white_space_in_names_is_kept(run: Written) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, OK, ' two\nlines\r\n\t"quoted" ')
    run.script.finish(run.sink)
    assert run.read().names == [' two\nlines\r\n\t"quoted" ']


def test_a_source_that_cannot_be_read_is_an_error_of_its_task(run: Written) -> None:
    run.script.start(run.sink)
    run.sink.handle(TaskEnded(task_id="stage", good=False, source_error="no such file"))
    run.sink.handle(RunEnded(run_id="r", at=2.0, duration_s=1.0, exit_code=2))
    (error,) = run.read().case("items").findall("error")
    assert error.attrib == {"type": "source", "message": "no such file"}


def test_why_a_task_was_not_expanded_is_a_property_of_its_suite(run: Written) -> None:
    run.script.start(run.sink, ("stage", "stage"), ("tell", "tell"))
    run.script.end(run.sink, STATUS_3, "a")
    run.sink.handle(TaskEnded(task_id="tell", good=False, not_expanded="`stage` failed"))
    run.sink.handle(RunEnded(run_id="r", at=2.0, duration_s=1.0, exit_code=2))
    assert run.read().properties(1)["not_expanded"] == "`stage` failed"


@pytest.mark.parametrize(
    ("stopped", "message"),
    [("the deadline was reached", "the deadline was reached"), ("", "exit code 124")],
)
def test_a_run_that_ended_badly_without_a_bad_unit_is_an_error(
    run: Written, stopped: str, message: str
) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a")
    run.script.finish(run.sink, exit_code=124, stopped=stopped)
    junit = run.read()
    assert junit.names == ["a", "run"]
    (error,) = junit.case("run").findall("error")
    assert error.attrib == {"type": "run", "message": message}


def test_a_run_that_ended_badly_by_its_units_has_no_other_error(run: Written) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, STATUS_3, "a")
    run.script.finish(run.sink, exit_code=2)
    assert run.read().names == ["a"]


def test_a_run_that_broke_is_written_as_an_error(run: Written) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a")
    run.sink.close()
    junit = run.read()
    assert junit.names == ["a", "run"]
    (error,) = junit.case("run").findall("error")
    assert error.attrib["message"] == "the run broke"
    assert "exit_code" not in junit.properties()


def test_the_file_is_not_there_before_the_run_has_ended(run: Written) -> None:
    run.path.write_text("of the last run")
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a")
    assert run.path.read_text() == "of the last run"
    run.script.finish(run.sink)
    assert run.read().names == ["a"]
    assert [one.name for one in run.path.parent.iterdir()] == ["junit.xml"]


def test_cases_of_tasks_that_run_at_the_same_time_are_sorted_into_their_suites(
    run: Written,
) -> None:
    run.script.start(run.sink, ("a", "a"), ("b", "b"))
    output = Output(stdout=Captured(head=b"x" * 3000))
    for number in range(100):
        run.script.end(run.sink, OK, str(number), task_id="ab"[number % 2], output=output)
    run.script.finish(run.sink)
    for suite, begin in zip(run.read().suites, (0, 1), strict=True):
        names = [case.attrib["name"] for case in suite.iter("testcase")]
        assert names == [str(number) for number in range(begin, 100, 2)]


def test_a_dry_run_leaves_the_file_as_it_was(run: Written) -> None:
    run.path.write_text("of the last run")
    run.script.start(run.sink, dry_run=True)
    run.script.end(run.sink, OK, "a")
    run.script.finish(run.sink)
    run.sink.close()
    assert run.path.read_text() == "of the last run"
