"""Progress as lines for a log, and the answer to SIGUSR1."""

import io

from batchrun.model.event import StatusAsked, UnitEnded, UnitProgress, UnitRetried
from batchrun.model.outcome import Failed, Ok, Report
from batchrun.model.unit import Unit
from batchrun.report.progress import ProgressMode, ProgressSink
from scripted_run import Script


class Desk:
    """A progress sink, its stream, and a clock that stands still unless it is moved."""

    def __init__(self, mode: ProgressMode) -> None:
        self.now = 100.0
        self.stream = io.StringIO()
        self.sink = ProgressSink(self.stream, mode, clock=lambda: self.now)
        self.script = Script()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.sink.tick()

    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_a_line_comes_every_ten_seconds_even_when_nothing_happens() -> None:
    desk = Desk("lines")
    desk.script.start(desk.sink)
    desk.script.begin(desk.sink, desk.script.unit("slow"))
    for _ in range(35):
        desk.pass_time(1)

    assert desk.lines() == ["progress: 0 units, 1 running, 0.0 units/s"] * 3


def test_a_line_comes_for_every_tenth_of_the_units_but_not_more_than_one_a_second() -> None:
    desk = Desk("lines")
    desk.script.start(desk.sink, total=1_000)
    for number in range(1, 501):
        desk.now += 1 / 64
        desk.script.end(desk.sink, Ok(changed=True), f"item {number}")

    assert [line.split(" units", 1)[0] for line in desk.lines()] == [
        "progress: 128 of 1 000",
        "progress: 256 of 1 000",
        "progress: 320 of 1 000",
        "progress: 448 of 1 000",
    ]
    assert desk.lines()[1] == (
        "progress: 256 of 1 000 units (25 %), 256 ok, 0 running, 64.0 units/s, about 11.6 s left"
    )


def test_the_end_of_a_task_is_a_line() -> None:
    desk = Desk("lines")
    desk.script.start(desk.sink)
    desk.script.end(desk.sink, Ok(changed=True))
    desk.script.end(desk.sink, Failed(message="no"))
    desk.now += 2
    desk.script.finish(desk.sink, exit_code=2)

    assert desk.lines() == ["progress: stage the exports has ended after 2 s: 1 ok, 1 failed"]


def test_without_progress_nothing_is_said() -> None:
    desk = Desk("none")
    desk.script.start(desk.sink)
    desk.script.end(desk.sink, Ok(changed=True))
    desk.pass_time(100)
    desk.script.finish(desk.sink)

    assert desk.lines() == []


def test_who_is_running_is_told_when_asked_even_without_progress() -> None:
    desk = Desk("none")
    desk.script.start(desk.sink)
    first = desk.script.begin(desk.sink, desk.script.unit("/data/\x1b[2J"))
    desk.now += 192
    desk.script.begin(desk.sink, desk.script.unit("/data/b"), attempt=2)
    desk.sink.handle(UnitProgress(number=first, bytes_done=3 * 1024 * 1024))
    desk.script.end(desk.sink, Failed(message="no"))
    desk.now += 1
    desk.sink.handle(StatusAsked(at=1.0))

    assert desk.lines() == [
        "2 running, 0 ok, 1 failed",
        "    3 min 13 s  stage the exports  /data/\\x1b[2J  (3.0 MiB done)",
        "           1 s  stage the exports  /data/b  (attempt 2)",
    ]


def test_only_the_twenty_oldest_are_named() -> None:
    desk = Desk("none")
    desk.script.start(desk.sink)
    for number in range(100):
        desk.script.begin(desk.sink, desk.script.unit(f"item {number}"))

    lines = desk.sink.status().splitlines()
    assert lines[0] == "100 running, 0 ok"
    assert lines[1].endswith("item 0")
    assert lines[20].endswith("item 19")
    assert lines[21:] == ["  and 80 more, all of them for a shorter time"]


def test_a_unit_that_waits_for_another_attempt_does_not_run() -> None:
    desk = Desk("none")
    desk.script.start(desk.sink)
    unit = desk.script.unit("a")
    number = desk.script.begin(desk.sink, unit)
    desk.sink.handle(UnitRetried(unit=unit, report=failed(number), delay_s=5))
    waiting = desk.sink.status()
    desk.sink.handle(UnitEnded(unit=unit, report=failed(number)))

    assert waiting == "0 running, 1 wait for another attempt, 0 ok\n"
    assert desk.sink.status() == "0 running, 0 ok, 1 failed\n"


def test_bytes_are_counted_once_whether_they_came_on_the_way_or_at_the_end() -> None:
    desk = Desk("lines")
    desk.script.start(desk.sink)
    unit = desk.script.unit("a")
    number = desk.script.begin(desk.sink, unit)
    for bytes_done in (1024, 2048):
        desk.sink.handle(UnitProgress(number=number, bytes_done=bytes_done))
    report = Report(
        number=number,
        attempt=1,
        outcome=Ok(changed=True),
        started_at=1.0,
        duration_s=1.0,
        bytes_done=4096,
    )
    desk.sink.handle(UnitEnded(unit=unit, report=report))
    short = Unit(task_id="stage", index=9, operation="copy")
    desk.sink.handle(UnitEnded(unit=short, report=report))
    desk.pass_time(16)

    assert desk.lines()[-1].endswith("0.1 units/s, 8.0 KiB, 512 B/s")


def failed(number: int) -> Report:
    return Report(
        number=number,
        attempt=1,
        outcome=Failed(message="no"),
        started_at=1.0,
        duration_s=1.0,
    )
