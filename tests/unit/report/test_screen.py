"""What a run prints, for every degree of quiet, and live."""

import io

import pytest

from batchrun.model.event import Event, Note, UnitEnded, UnitOutput, UnitRetried
from batchrun.model.outcome import Captured, Failed, Ok, Output, Report
from batchrun.report.messages import MessageSink
from batchrun.report.screen import TextOptions, TextSink
from batchrun.report.text import Palette
from scripted_run import Script, written


class Screen:
    """The sinks of `--output text`, as the command line puts them together."""

    def __init__(self, out: io.StringIO, err: io.StringIO, options: TextOptions) -> None:
        self._sinks = (MessageSink(err, quiet=options.quiet), TextSink(out, err, options))

    def handle(self, event: Event) -> None:
        for sink in self._sinks:
            sink.handle(event)

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


class Desk:
    """A screen with both of its streams."""

    def __init__(self, options: TextOptions | None = None) -> None:
        self.out = io.StringIO()
        self.err = io.StringIO()
        self.sink = Screen(self.out, self.err, options or TextOptions())
        self.script = Script()

    def texts(self) -> tuple[str, str]:
        self.sink.close()
        return self.out.getvalue(), self.err.getvalue()


def play(quiet: int, *, exit_code: int) -> tuple[str, str]:
    """Run a unit with a warning, and one that fails if the run is to fail."""
    desk = Desk(TextOptions(quiet=quiet))
    desk.script.start(desk.sink)
    desk.sink.handle(Note(message="the journal is slow"))
    desk.sink.handle(Note(message="all hosts are known", level="info"))
    desk.script.end(desk.sink, Ok(changed=True), "a", warnings=("a: no ACL here",))
    if exit_code == 2:
        desk.script.end(desk.sink, Failed(message="no"), "b", output=written(b"oh\n"))
    desk.script.finish(desk.sink, exit_code=exit_code)
    return desk.texts()


def test_by_default_results_go_to_standard_output_and_messages_to_standard_error() -> None:
    out, err = play(0, exit_code=0)

    assert out.startswith("nightly: 1 ok (1 changed) of 1 planned")
    assert err == (
        "warning: the journal is slow\n"
        "all hosts are known\n"
        "warning: stage the exports: a: no ACL here\n"
    )


def test_quiet_prints_nothing_but_warnings_when_all_went_well() -> None:
    out, err = play(1, exit_code=0)

    assert out == ""
    assert err == ("warning: the journal is slow\nwarning: stage the exports: a: no ACL here\n")


def test_quiet_twice_prints_nothing_at_all_when_all_went_well() -> None:
    assert play(2, exit_code=0) == ("", "")


@pytest.mark.parametrize("quiet", [1, 2])
def test_quiet_says_everything_needed_when_something_went_wrong(quiet: int) -> None:
    loud, _ = play(0, exit_code=2)
    out, _ = play(quiet, exit_code=2)

    assert out == loud
    assert "    | oh\n" in out
    assert "FAILED       stage the exports  b: no\n" in out


def test_changes_that_a_dry_run_found_are_no_failure_to_talk_about() -> None:
    assert play(2, exit_code=3) == ("", "")


def test_the_recap_is_the_last_thing_after_the_details() -> None:
    out, _ = play(0, exit_code=2)

    assert out.index("    | oh") < out.index("nightly: ")


def test_live_lines_are_tagged_and_go_where_the_command_wrote_them() -> None:
    desk = Desk(TextOptions(live=True))
    desk.script.start(desk.sink)
    unit = desk.script.unit("web01")
    number = desk.script.begin(desk.sink, unit)
    for stream, data in [
        ("stdout", b"fir"),
        ("stderr", b"oops\n"),
        ("stdout", b"st\nsecond\n\nhalf"),
    ]:
        desk.sink.handle(UnitOutput(number=number, unit=unit, stream=stream, data=data))

    assert desk.out.getvalue() == "web01: first\nweb01: second\nweb01: \n"
    assert desk.err.getvalue() == "web01: oops\n"


def test_the_output_of_two_units_is_never_mixed_within_a_line() -> None:
    desk = Desk(TextOptions(live=True))
    desk.script.start(desk.sink)
    units = [desk.script.unit(label) for label in "ab"]
    numbers = [desk.script.begin(desk.sink, unit) for unit in units]
    for data in (b"1", b"2", b"3\n"):
        for number, unit in zip(numbers, units, strict=True):
            desk.sink.handle(UnitOutput(number=number, unit=unit, stream="stdout", data=data))

    assert desk.out.getvalue() == "a: 123\nb: 123\n"


def test_a_last_line_without_newline_is_shown_when_its_attempt_ends() -> None:
    desk = Desk(TextOptions(live=True))
    desk.script.start(desk.sink)
    unit = desk.script.unit()
    number = desk.script.begin(desk.sink, unit)
    desk.sink.handle(UnitOutput(number=number, unit=unit, stream="stdout", data=b"no newline"))
    report = Report(
        number=number,
        attempt=1,
        outcome=Failed(message="exit status 1", exit_status=1),
        started_at=1.0,
        duration_s=1.0,
    )
    desk.sink.handle(UnitRetried(unit=unit, report=report, delay_s=2))

    assert desk.out.getvalue() == "stage the exports: no newline\n"
    assert desk.err.getvalue() == "stage the exports: exit status 1; attempt 2 in 2 s\n"


def test_a_line_that_never_ends_is_shown_in_pieces_that_cut_no_character() -> None:
    desk = Desk(TextOptions(live=True))
    desk.script.start(desk.sink)
    unit = desk.script.unit("x")
    number = desk.script.begin(desk.sink, unit)
    text = "a" + "é" * 100_000
    desk.sink.handle(UnitOutput(number=number, unit=unit, stream="stdout", data=text.encode()))
    desk.sink.close()

    pieces = [line.removeprefix("x: ") for line in desk.out.getvalue().splitlines()]
    assert len(pieces) > 3
    assert "".join(pieces).startswith(text)


def test_a_failure_is_told_at_once_when_live() -> None:
    desk = Desk(TextOptions(live=True))
    desk.script.start(desk.sink)
    desk.script.end(desk.sink, Failed(message="/d/a: No space"), "/d/a")

    assert desk.err.getvalue() == "/d/a: failed: No space\n"


def test_a_run_that_breaks_still_shows_what_failed_until_then() -> None:
    desk = Desk()
    desk.script.start(desk.sink)
    desk.script.end(desk.sink, Failed(message="no"), "b")
    out, _ = desk.texts()

    assert out.startswith("nightly: 0 ok, 1 failed of at least 1 planned   run ")
    assert "FAILED       stage the exports  b: no\n" in out


def test_warnings_of_units_are_folded_and_their_number_has_an_end() -> None:
    err, script = io.StringIO(), Script()
    sink = MessageSink(err)
    script.start(sink)
    for number in range(1_500):
        label = f"/d/{number}"
        script.end(sink, Ok(changed=True), label, warnings=(f"{label}: no ACL here",))
    for number in range(100):
        script.end(sink, Ok(changed=True), warnings=(f"odd thing {number}",))
    script.finish(sink)

    lines = err.getvalue().splitlines()
    assert lines[0] == "warning: stage the exports: /d/0: no ACL here (1 500 times alike)"
    assert len(lines) == 21
    assert lines[-1] == "warning: and 81 more warnings"


def play_printed(quiet: int, exit_code: int) -> str:
    """Run a unit whose output is to be shown in any case."""
    desk = Desk(TextOptions(quiet=quiet))
    desk.script.start(desk.sink, printed=("stage",))
    output = Output(stdout=Captured(head=b"disk 80 %\x1b[2J\n"), stderr=Captured(head=b"note\n"))
    desk.script.end(desk.sink, Ok(changed=True), "db1", output=output)
    desk.script.finish(desk.sink, exit_code=exit_code)
    return desk.texts()[0]


def test_output_of_a_task_that_prints_always_comes_before_the_recap() -> None:
    assert play_printed(0, 0).startswith(
        "OUTPUT  stage the exports  db1\n    disk 80 %\\x1b[2J\n  stderr:\n    note\n\n"
        "nightly: 1 ok"
    )


def test_a_report_by_mail_arrives_unless_not_even_warnings_are_wanted() -> None:
    quiet = play_printed(1, 0)
    assert "disk 80 %" in quiet
    assert "nightly" not in quiet
    assert play_printed(2, 0) == ""
    assert "disk 80 %" in play_printed(2, 2)


def test_output_that_is_printed_always_is_not_shown_again_with_the_failure() -> None:
    desk = Desk()
    desk.script.start(desk.sink, printed=("stage",))
    desk.script.end(desk.sink, Failed(message="no"), "b", output=written(b"once\n"))
    desk.script.finish(desk.sink, exit_code=2)
    assert desk.texts()[0].count("once") == 1


def test_what_changes_in_a_file_is_shown_under_its_unit() -> None:
    desk = Desk(TextOptions(palette=Palette(enabled=True)))
    desk.script.start(desk.sink)
    unit = desk.script.unit("f")
    report = Report(
        number=1, attempt=1, outcome=Ok(changed=True), started_at=1.0, duration_s=1.0,
        diff="--- f\n+++ f\n@@ -1 +1 @@\n-a\x1b\n+b\n same\n",
    )  # fmt: skip
    desk.sink.handle(UnitEnded(unit=unit, report=report))
    shown = desk.texts()[0]
    assert shown.startswith("\x1b[33mchanged\x1b[0m stage the exports  f\n")
    assert "\x1b[31m  -a\\x1b\x1b[0m\n\x1b[32m  +b\x1b[0m\n   same\n" in shown
