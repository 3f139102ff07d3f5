"""Units for hosts, in every report."""

import io
from pathlib import Path

from batchrun.model.event import UnitEnded, UnitOutput, UnitRetried
from batchrun.model.host import Host
from batchrun.model.outcome import Captured, Failed, Ok, Output, Report, Unreachable
from batchrun.model.unit import Unit
from batchrun.report.failures import fold_sentence
from batchrun.report.html import HtmlSink
from batchrun.report.joblog import JoblogSink
from batchrun.report.junit import JunitSink
from batchrun.report.outputdir import OutputDirSink
from batchrun.report.recap import Summary, recap_text
from batchrun.report.records import event_record
from batchrun.report.screen import TextOptions, TextSink
from junit_reader import read_junit
from report_page import ReportPage
from scripted_run import Script

TIMED_OUT = Unreachable(message="connect timed out after 10 s")


def recap_of(*failures: tuple[str, str, str]) -> list[str]:
    """Play failures (host, item, message) and return the lines of the recap below the first."""
    summary, script = Summary(), Script()
    script.start(summary, ("reload", "reload"))
    for host, item, message in failures:
        script.end(summary, Failed(message=message), item, task_id="reload", host=host)
    script.finish(summary, exit_code=2)
    return recap_text(summary).splitlines()[1:]


def test_the_recap_of_the_manual_names_unreachable_hosts_as_a_node_set() -> None:
    summary, script = Summary(), Script()
    script.start(summary, ("reload", "reload the front ends"))
    for host in ("web17", "web13"):
        script.end(summary, TIMED_OUT, task_id="reload", host=host, attempt=3)
    script.finish(summary, exit_code=4)
    assert recap_text(summary).splitlines()[1] == (
        "UNREACHABLE  reload the front ends  web[13,17] (2): connect timed out after 10 s, "
        "3 attempts"
    )


def test_one_host_is_named_with_its_item() -> None:
    assert recap_of(("web1", "a.csv", "web1: no space")) == [
        "FAILED       reload  web1 a.csv: no space"
    ]


def test_items_on_several_hosts_are_counted() -> None:
    failures = [
        (f"web{at}", item, f"cannot write {item}") for at in (1, 2) for item in ("a.csv", "b.csv")
    ]
    assert recap_of(*failures) == ["FAILED       reload  web[1-2] (2), 4 items: cannot write {}"]


def test_messages_that_differ_in_the_name_of_the_host_are_one_group() -> None:
    failures = [(f"web{at}", "", f"web{at}: the key of web{at} is not known") for at in (1, 2, 3)]
    assert recap_of(*failures) == [
        "FAILED       reload  web[1-3] (3): the key of {host} is not known"
    ]


def test_messages_that_differ_in_the_address_are_one_group() -> None:
    folded = {
        fold_sentence(
            f"192.0.2.{at} refused the connection",
            Unit(task_id="t", index=at, operation="run", host=f"web{at}",
                 place=Host(name=f"web{at}", address=f"192.0.2.{at}")),
        )
        for at in (1, 2)
    }  # fmt: skip
    assert folded == {"{address} refused the connection"}


def test_a_job_log_has_the_host_in_its_column(tmp_path: Path) -> None:
    sink, script = JoblogSink(str(tmp_path / "log")), Script()
    script.start(sink)
    script.end(sink, Ok(changed=True), host="web1")
    script.end(sink, Ok(changed=True))
    sink.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split("\t")[1] for line in lines] == ["Host", "web1", ":"]


def test_a_test_case_is_named_by_host_and_item(tmp_path: Path) -> None:
    sink, script = JunitSink(str(tmp_path / "junit.xml")), Script()
    script.start(sink)
    script.end(sink, Ok(changed=True), "a.csv", host="web1")
    script.finish(sink)
    sink.close()
    assert read_junit(tmp_path / "junit.xml").names == ["web1 a.csv"]


def test_files_with_output_are_named_by_the_host_and_the_index_has_it(tmp_path: Path) -> None:
    sink, script = OutputDirSink(str(tmp_path)), Script()
    script.start(sink)
    script.end(sink, Ok(changed=True), host="web1", output=Output(stdout=Captured(head=b"up\n")))
    sink.close()
    (directory,) = tmp_path.iterdir()
    assert (directory / "stage" / "000001-web1.out").read_bytes() == b"up\n"
    line = (directory / "index.tsv").read_text().splitlines()[1]
    assert line.split("\t")[-2:] == ["", "web1"]


def test_json_has_the_host_and_it_is_empty_for_a_unit_without() -> None:
    found = []
    for host in ("web1", ""):
        unit = Unit(task_id="t", index=1, operation="run", host=host)
        report = Report(
            number=1, attempt=1, outcome=Ok(changed=True), started_at=1.0, duration_s=1.0
        )
        found.append(event_record(UnitEnded(unit=unit, report=report))["host"])
    assert found == ["web1", ""]


def test_live_lines_are_tagged_with_host_and_item() -> None:
    out, err = io.StringIO(), io.StringIO()
    sink, script = TextSink(out, err, TextOptions(live=True)), Script()
    script.start(sink)
    unit = script.unit("a.csv", host="web1")
    sink.handle(UnitOutput(number=1, unit=unit, stream="stdout", data=b"one\n"))
    script.end(sink, Failed(message="web2: no space"), host="web2")
    assert out.getvalue() == "web1 a.csv: one\n"
    assert err.getvalue() == "web2: failed: no space\n"


def page_of(directory: Path, *ends: tuple[str, Failed | Ok]) -> ReportPage:
    sink, script = HtmlSink(directory / "report.html"), Script()
    script.start(sink)
    retried = Report(
        number=1, attempt=1, outcome=TIMED_OUT, started_at=1_795_317_300.0, duration_s=1.0
    )
    sink.handle(UnitRetried(unit=script.unit(host="web1"), report=retried, delay_s=1.0))
    for host, outcome in ends:
        script.end(sink, outcome, host=host)
    script.finish(sink)
    sink.close()
    return ReportPage(directory / "report.html")


def test_the_page_has_a_lane_for_each_host_and_the_host_in_each_row(tmp_path: Path) -> None:
    ok = Ok(changed=True)
    page = page_of(tmp_path, ("web1", ok), ("web10", ok), ("web2", ok))
    assert [(name, attempts) for name, attempts, _ in page.data["lanes"]] == [
        ("web1", 2), ("web2", 1), ("web10", 1),
    ]  # fmt: skip
    assert [row[2] for row in page.data["units"]] == ["web1", "web10", "web2"]


def test_failures_in_the_page_name_their_hosts_as_a_node_set(tmp_path: Path) -> None:
    no = Failed(message="no")
    page = page_of(tmp_path, ("web1", no), ("web2", no), ("web3", no))
    assert "web[1-3] (3)" in page.words
