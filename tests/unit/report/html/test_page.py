"""The page of a run: what it says without scripts, what it holds, and what it can never do."""

from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest

from batchrun.model.event import Note, RunEnded, RunStarted, TaskEnded, UnitRetried
from batchrun.model.outcome import (
    Aborted,
    Captured,
    Failed,
    Ok,
    Output,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.report.html import HtmlSink
from report_page import ReportPage
from scripted_run import Script, written

EAST = timezone(timedelta(hours=1))
HOSTILE = "</script><script>window.owned = 1</script><!--<img src=x onerror='window.owned=1'>"


class Played:
    """A run, played to a sink that writes a page."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "report.html"
        self.sink = HtmlSink(self.path, zone=EAST)
        self.script = Script()

    def page(self) -> ReportPage:
        self.sink.close()
        return ReportPage(self.path)


@pytest.fixture
def played(tmp_path: Path) -> Played:
    return Played(tmp_path)


def test_the_header_says_what_run_it_was_and_what_came_of_it(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    script.end(sink, Failed(message="no", exit_status=1), "a")
    script.end(sink, Ok(changed=True), "b")
    script.finish(sink, exit_code=2, stopped="the deadline was reached")

    page = played.page()
    assert "<h1>nightly</h1>" in page.source
    for words in (
        "1 failed 2 of 2 units in 41.2 s",
        "Run 20261122-031500-7f3a",
        "Started 2026-11-22 04:15:00 +01:00 2026-11-22 03:15:00 UTC",
        "Ended 2026-11-22 04:15:41 +01:00 2026-11-22 03:15:41 UTC",
        "Exit code 2: some units failed, timed out or were lost",
        "Stopped the deadline was reached",
        "Workers 2 processes",
        "Operations 2 × run",
    ):
        assert words in page.words


def test_local_time_is_left_out_where_it_is_utc(tmp_path: Path) -> None:
    sink, script = HtmlSink(tmp_path / "r.html", zone=UTC), Script()
    script.start(sink)
    script.finish(sink)

    assert "Started 2026-11-22 03:15:00 UTC Ended" in ReportPage(tmp_path / "r.html").words


def test_the_recap_has_every_number(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    for at in range(1_204):
        script.end(sink, Ok(changed=at < 37), str(at))
    script.end(sink, Failed(message="no"), "x", ignored=True)
    script.end(sink, TimedOut(limit_s=5), "y")
    script.end(sink, Skipped(because="exists"), "z")
    unit = script.unit("again")
    failed = Report(
        number=9, attempt=1, outcome=Failed(message="no"), started_at=0.0, duration_s=1.0
    )
    sink.handle(UnitRetried(unit=unit, report=failed, delay_s=1.0))
    script.planned["stage"] -= 1
    script.finish(sink, exit_code=2)

    assert (
        "1 207 planned 1 204 ok 37 changed 1 failed (1 ignored) 1 timed out 1 skipped 1 retries"
    ) in played.page().words


def test_a_dry_run_is_marked_and_says_what_would_change(played: Played) -> None:
    played.script.start(played.sink, dry_run=True)
    played.script.end(played.sink, Ok(changed=True), "a")
    played.script.finish(played.sink)

    page = played.page()
    assert "nightly dry run" in page.words
    assert "1 would change" in page.words
    assert page.data["changed"] == "would change"


def test_failures_stand_there_without_any_script_alike_ones_and_equal_outputs_once(
    played: Played,
) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    for item in ("/data/a.csv", "/data/b.csv", "/data/c.csv"):
        script.end(sink, Failed(message=f"{item}: no space"), item, output=written(b"sorry\n"))
    script.end(sink, Failed(message="/data/d: no space"), "/data/d", output=written(b"other\n"))
    script.finish(sink, exit_code=2)

    page = played.page()
    assert "failed stage the exports 4 units Show in the table item : no space" in page.words
    assert page.text.count("sorry") == 1
    assert "/data/a.csv /data/b.csv /data/c.csv Output of 3, the same stderr sorry" in page.words
    assert "/data/d Output stderr other" in page.words
    assert page.data["texts"] == ["sorry", "other"]


def test_failures_that_are_ignored_come_last_and_are_called_so(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    script.end(sink, Failed(message="never mind"), "a", ignored=True)
    script.end(sink, Unreachable(message="no route"), "b")
    script.finish(sink, exit_code=4)

    words = played.page().words
    assert words.index("unreachable stage the exports") < words.index("ignored stage the exports")


def test_omitted_bytes_are_said_where_they_are_missing(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    output = Output(stdout=Captured(head=b"begin\n", tail=b"end\n", omitted_bytes=1_234_567))
    script.end(sink, Failed(message="no"), "a", output=output)
    script.finish(sink, exit_code=2)

    page = played.page()
    assert "begin 1 234 567 bytes are left out here end" in page.words
    assert page.data["texts"] == [["begin", 1_234_567, "end"]]


def test_the_tasks_say_why_they_have_less_units_than_they_should(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink, ("a", "first"), ("b", "second"), ("c", "third"))
    sink.handle(TaskEnded(task_id="a", good=False, source_error="items.csv: not there"))
    sink.handle(TaskEnded(task_id="b", good=False, not_expanded="needs first"))
    sink.handle(RunEnded(run_id="r", at=1.8e9, duration_s=1.0, exit_code=2))

    words = played.page().words
    assert "first not all items: items.csv: not there" in words
    assert "second not expanded: needs first" in words
    assert "third did not end" in words


def test_notes_and_the_folded_warnings_of_units_are_shown(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    sink.handle(Note(message="mind the gap", task_id="stage"))
    sink.handle(Note(message="wave 2 begins", level="info"))
    for item in ("/data/a", "/data/b"):
        script.end(sink, Ok(changed=True), item, warnings=(f"{item}: owner not kept",))
    script.finish(sink)

    words = played.page().words
    assert "warning: stage the exports: mind the gap" in words
    assert "info: wave 2 begins" in words
    assert "/data/a: owner not kept (2 times alike)" in words


def test_numbers_that_do_not_add_up_are_said(played: Played) -> None:
    played.script.start(played.sink)
    played.script.planned["stage"] = 3
    played.script.finish(played.sink)

    assert "3 units were planned and 0 have an outcome" in played.page().words


def test_a_run_that_broke_leaves_a_page_that_says_so(played: Played) -> None:
    played.script.start(played.sink)
    played.script.end(played.sink, Ok(changed=True), "a")

    page = played.page()
    assert "The run broke before its end 1 of at least 1 units" in page.words
    assert "Exit code" not in page.words
    assert page.items == ["a"]
    assert page.data["took_ms"] is None


def test_no_run_no_page(tmp_path: Path) -> None:
    HtmlSink(tmp_path / "r.html").close()

    assert list(tmp_path.iterdir()) == []


def test_the_same_events_give_the_same_page(tmp_path: Path) -> None:
    pages = []
    for name in ("one", "two"):
        sink, script = HtmlSink(tmp_path / name, zone=EAST), Script()
        script.start(sink)
        script.end(sink, Failed(message="no"), "a", output=written(b"x\n"))
        script.finish(sink, exit_code=2)
        sink.close()
        pages.append((tmp_path / name).read_bytes())

    assert pages[0] == pages[1]


# ---- nothing in it can act ----------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path) -> ReportPage:
    """Every text that a run can bring along, each of them wanting to be markup."""
    sink = HtmlSink(tmp_path / "r.html")
    tasks = (("t" + HOSTILE, HOSTILE),)
    start = RunStarted(run_id=HOSTILE, job_name=HOSTILE, at=1.7e9, procs=1, tasks=tasks)
    sink.handle(start)
    script = Script()
    script.planned = {tasks[0][0]: 0}
    sink.handle(Note(message=HOSTILE, level=HOSTILE, task_id=tasks[0][0]))
    captured = Captured(head=HOSTILE.encode(), tail=HOSTILE.encode(), omitted_bytes=7)
    failed = Failed(message=HOSTILE + "\x1b[31m\u2028\x00", traceback=HOSTILE)
    script.end(
        sink, failed, HOSTILE, task_id=tasks[0][0], warnings=(HOSTILE,),
        output=Output(stdout=captured, stderr=captured),
    )  # fmt: skip
    sink.handle(
        TaskEnded(task_id=tasks[0][0], good=False, not_expanded=HOSTILE, source_error=HOSTILE)
    )
    sink.handle(RunEnded(run_id=HOSTILE, at=1.7e9, duration_s=1.0, exit_code=2, stopped=HOSTILE))
    sink.close()
    return ReportPage(tmp_path / "r.html")


def test_hostile_text_makes_no_element_no_attribute_and_no_comment(hostile: ReportPage) -> None:
    tags = [tag for tag, _ in hostile.elements]
    assert tags.count("script") == 2
    assert hostile.comments == []
    assert "img" not in tags
    for tag, attributes in hostile.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
    # Nothing leads out of the page.
    leads = [
        value
        for _, attributes in hostile.elements
        for name, value in attributes.items()
        if name in {"src", "href", "action", "srcset", "ping", "data", "xlink:href"}
    ]
    assert leads == ["data:,", "#units"]


def test_hostile_text_is_there_as_text(hostile: ReportPage) -> None:
    assert hostile.text.count(HOSTILE) >= 9
    assert f"{HOSTILE}\\x1b[31m\\u2028\\x00" in hostile.text
    (row,) = hostile.data["units"]
    assert row[3] == HOSTILE
    assert hostile.data["texts"] == [[HOSTILE, 7, HOSTILE]]
    assert row[-1]["traceback"] == HOSTILE


def test_nothing_in_the_data_can_end_its_script_or_hide_what_follows(hostile: ReportPage) -> None:
    begin = hostile.source.index('id="data">') + len('id="data">')
    data = hostile.source[begin : hostile.source.index("</script>", begin)]
    assert not set(data) & set("<>&\u2028\u2029\x00\x1b")
    assert data.isascii()


def test_the_policy_allows_exactly_the_scripts_and_styles_of_the_page(hostile: ReportPage) -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in hostile.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert [rules["script-src"]] == hostile.hashes("script")
    assert [rules["style-src"]] == hostile.hashes("style")
    assert "unsafe" not in hostile.policy
    assert rules["require-trusted-types-for"] == "'script'"
    # It governs only what stands behind it.
    assert [tag for tag, _ in hostile.elements[:4]] == ["html", "head", "meta", "meta"]


def test_names_of_any_bytes_are_visible_and_the_file_is_valid_utf8(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    script.end(sink, Failed(message="caf\udce9: \ud800"), "caf\udce9\x1b[2J")
    script.finish(sink, exit_code=2)

    page = played.page()
    assert page.items == ["caf\\xe9\\x1b[2J"]
    assert "caf\\xe9" in page.words


# ---- many units -----------------------------------------------------------------------------


def test_a_flood_is_counted_exactly_and_listed_in_part_which_is_said(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchrun.report.html.listing.MOST_ROWS", 3)
    script, sink = played.script, played.sink
    script.start(sink)
    for at in range(1_000):
        script.end(sink, Ok(changed=False), f"ok{at}")
    for at in range(5):
        script.end(sink, Failed(message="no"), f"bad{at}")
    script.end(sink, Aborted(because="enough"), "late")
    script.finish(sink, exit_code=2)

    page = played.page()
    assert page.items == ["ok0", "ok1", "ok2", "bad0", "bad1", "bad2", "late"]
    assert "1 006 planned 1 000 ok" in page.words
    assert (
        "7 of 1 006 units are listed: the first 3 of 5 that failed, timed out or got lost;"
        " the one cancelled or aborted; the first 3 of 1 000 that ended ok, or skipped."
        " batchrun show 20261122-031500-7f3a shows all of them."
    ) in page.words


def test_when_all_are_listed_that_is_said(played: Played) -> None:
    played.script.start(played.sink)
    played.script.end(played.sink, Ok(changed=False), "a")
    played.script.end(played.sink, Ok(changed=False), "b")
    played.script.finish(played.sink)

    words = played.page().words
    assert "All 2 units are listed." in words
    assert "batchrun show" not in words


def test_a_row_has_what_its_columns_promise(played: Played) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    script.end(sink, Ok(changed=True, note="same content"), "a", attempt=2, output=written(b"x\n"))
    script.finish(sink)

    (row,) = played.page().data["units"]
    assert row == [1, 0, "", "a", 0, 1, 0, 12000.0, 2, "", "same content", -1, 0, -1]


def test_a_page_has_a_limit_also_when_every_failure_has_long_output_of_its_own(
    played: Played,
) -> None:
    script, sink = played.script, played.sink
    script.start(sink)
    for at in range(3_000):
        output = written(b"%d " % at * 2_000)
        script.end(sink, Failed(message=f"code {at}"), f"item{at}", output=output)
    script.finish(sink, exit_code=2)

    page = played.page()
    assert len(page.source) < 8 * 1024 * 1024
    # What has no room any more is said in its row.
    assert page.data["units"][-1][12] == -2
    assert "3 000 failed" in page.words
    assert "and 2 950 more with other messages" in page.words


def test_a_page_that_cannot_be_written_in_the_end_is_an_error_once(tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    sink, script = HtmlSink(directory / "r.html"), Script()
    script.start(sink)
    directory.rmdir()

    with pytest.raises(FileNotFoundError, match=r"r\.html"):
        script.finish(sink)
    sink.close()
