"""What every sink promises, whatever the events hold."""

import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    StatusAsked,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitOutput,
    UnitProgress,
    UnitRetried,
    UnitStarted,
)
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
from batchrun.model.ports import Sink
from batchrun.model.unit import Unit
from batchrun.report.html import HtmlSink
from batchrun.report.lines import Lines
from batchrun.report.machine import JsonSink, NdjsonSink
from batchrun.report.messages import MessageSink
from batchrun.report.progress import ProgressSink
from batchrun.report.recap import Summary
from batchrun.report.screen import TextOptions, TextSink

Factory = Callable[[TextIO, TextIO], Sink]


class RushedClock:
    """A clock on which every look is half a second later, so that progress has to draw."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


class Page:
    """The HTML report, written to standard output in the end."""

    def __init__(self, stdout: TextIO) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name, "report.html")
        self._stdout = Lines(stdout)
        self._sink = HtmlSink(self._path)

    def handle(self, event: Event) -> None:
        self._sink.handle(event)

    def close(self) -> None:
        self._sink.close()
        if self._path.exists():
            self._stdout.write(self._path.read_text(encoding="utf-8"))
        self._directory.cleanup()


TEXT_SINKS: dict[str, Factory] = {
    "text": TextSink,
    "text-quiet": lambda out, err: TextSink(out, err, TextOptions(quiet=1)),
    "text-silent": lambda out, err: TextSink(out, err, TextOptions(quiet=2)),
    "text-live": lambda out, err: TextSink(out, err, TextOptions(live=True, debug=True)),
    "messages": lambda _, err: MessageSink(err),
    "summary": lambda _, __: Summary(),
    "progress-lines": lambda _, err: ProgressSink(err, "lines", clock=RushedClock()),
    "progress-none": lambda _, err: ProgressSink(err, "none", clock=RushedClock()),
    "html": lambda out, _: Page(out),
}
MACHINE_SINKS: dict[str, Factory] = {
    "json": lambda out, _: JsonSink(out),
    "ndjson": lambda out, _: NdjsonSink(out),
}
ALL_SINKS = TEXT_SINKS | MACHINE_SINKS

# ---- any legal sequence of events -----------------------------------------------------------

hostile = st.one_of(
    st.sampled_from(
        [
            "",
            "/data/a.csv",
            "-rf",
            "\x1b]0;owned\x07\x1b[2J",
            "two\nlines\r",
            "tab\there",
            os.fsdecode(b"caf\xe9\xff"),
            "\ud800 alone",
            "right \u202e to left",
            "\x9b31m",
            "日本語 wide",
            "{} {0} %s {desc}",
        ]
    ),
    st.text(st.characters(), max_size=12),
)
hostile_bytes = st.one_of(
    st.sampled_from([b"", b"line\n", b"\x1b[31mred\x1b[0m\n", b"\xff\xfe\x00", b"50%\r100%\r\n"]),
    st.binary(max_size=40),
)
seconds = st.floats(0, 1e6)
captured = st.builds(
    Captured,
    head=hostile_bytes,
    tail=hostile_bytes,
    omitted_bytes=st.sampled_from([0, 0, 5000]),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Ok, changed=st.booleans(), note=hostile, exit_status=st.none() | st.just(3)),
    st.builds(
        Failed,
        message=hostile,
        exit_status=st.none() | st.integers(1, 255),
        signal=st.none() | st.just(9),
        traceback=hostile,
    ),
    st.builds(TimedOut, limit_s=seconds | st.just(float("inf")), stuck=st.booleans()),
    st.builds(Unreachable, message=hostile),
    st.builds(Lost, message=hostile),
    st.builds(Cancelled, was_running=st.booleans()),
    st.builds(Aborted, because=hostile),
    st.builds(Skipped, because=hostile),
)


def reports(number: int, attempt: int) -> st.SearchStrategy[Report]:
    return st.builds(
        Report,
        number=st.just(number),
        attempt=st.just(attempt),
        outcome=outcomes,
        started_at=st.sampled_from([0.0, 1.7e9, 1_795_317_300.999999]),
        duration_s=seconds,
        output=st.builds(Output, stdout=captured, stderr=captured),
        warnings=st.lists(hostile, max_size=2).map(tuple),
        bytes_done=st.integers(0, 2**50),
        worker=hostile,
    )


@st.composite
def one_unit(draw: st.DrawFn, number: int, unit: Unit) -> list[Event]:
    events: list[Event] = []
    attempts = draw(st.integers(1, 2))
    for attempt in range(1, attempts + 1):
        if draw(st.booleans()):
            events.append(UnitStarted(number=number, attempt=attempt, unit=unit, at=1.7e9))
            for data in draw(st.lists(hostile_bytes, max_size=3)):
                stream = draw(st.sampled_from(["stdout", "stderr"]))
                events.append(UnitOutput(number=number, unit=unit, stream=stream, data=data))
            events.append(UnitProgress(number=number, bytes_done=draw(st.integers(0, 2**40))))
        report = draw(reports(number, attempt))
        if attempt < attempts:
            events.append(UnitRetried(unit=unit, report=report, delay_s=draw(seconds)))
        else:
            events.append(UnitEnded(unit=unit, report=report, ignored=draw(st.booleans())))
    return events


@st.composite
def runs(draw: st.DrawFn) -> list[Event]:
    names = draw(st.lists(hostile, min_size=1, max_size=3, unique=True))
    events: list[Event] = [
        RunStarted(
            run_id=draw(hostile),
            job_name=draw(hostile),
            at=1.7e9,
            procs=2,
            tasks=tuple((name, draw(hostile)) for name in names),
            dry_run=draw(st.booleans()),
        )
    ]
    number = 0
    for name in names:
        total = draw(st.integers(0, 3))
        known = total if draw(st.booleans()) else None
        events.append(TaskOpened(task_id=name, total=known))
        for index in range(1, total + 1):
            number += 1
            unit = Unit(task_id=name, index=index, label=draw(hostile), operation="run")
            events += draw(one_unit(number, unit))
        if draw(st.booleans()):
            level = draw(st.sampled_from(["warning", "info"]))
            events.append(Note(message=draw(hostile), level=level, task_id=name))
            events.append(StatusAsked(at=1.7e9))
        events.append(
            TaskEnded(
                task_id=name,
                good=draw(st.booleans()),
                not_expanded=draw(hostile),
                source_error=draw(hostile),
                planned=total,
            )
        )
    events.append(
        RunEnded(
            run_id="r",
            at=1.7e9 + 5,
            duration_s=draw(seconds),
            exit_code=draw(st.sampled_from([0, 2, 130])),
            stopped=draw(hostile),
        )
    )
    return events


# ---- running a sink -------------------------------------------------------------------------


@dataclass(slots=True)
class Streams:
    """Standard output and error as they are in a process: bytes below, an encoding on top."""

    encoding: str = "utf-8"
    out: io.BytesIO = field(default_factory=io.BytesIO)
    err: io.BytesIO = field(default_factory=io.BytesIO)

    def run(self, factory: Factory, events: list[Event]) -> tuple[str, str]:
        stdout = io.TextIOWrapper(self.out, encoding=self.encoding, newline="")
        stderr = io.TextIOWrapper(self.err, encoding=self.encoding, newline="")
        sink = factory(stdout, stderr)
        for event in events:
            sink.handle(event)
        sink.close()
        return self.out.getvalue().decode("utf-8"), self.err.getvalue().decode("utf-8")


#: What must never reach a terminal: controls but newline and tab, direction overrides.
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def handle_all(sink: Sink, events: list[Event]) -> None:
    for event in events:
        sink.handle(event)


def small_run(*, units: int = 3, exit_code: int = 2) -> list[Event]:
    events: list[Event] = [
        RunStarted(run_id="r1", job_name="nightly", at=1.7e9, procs=2, tasks=(("copy", "copy"),)),
        TaskOpened(task_id="copy", total=units),
    ]
    for number in range(1, units + 1):
        unit = Unit(task_id="copy", index=number, label=f"/data/{number}", operation="copy")
        outcome = Failed(message=f"/data/{number}: No space left on device")
        report = Report(number=number, attempt=1, outcome=outcome, started_at=1.7e9, duration_s=0.5)
        events.append(UnitOutput(number=number, unit=unit, stream="stdout", data=b"hello\n"))
        events.append(UnitEnded(unit=unit, report=report))
    events.append(TaskEnded(task_id="copy", good=False, planned=units))
    events.append(RunEnded(run_id="r1", at=1.7e9 + 1, duration_s=1.0, exit_code=exit_code))
    return events


relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(events=runs())
def test_text_of_any_run_is_lines_without_anything_that_acts_on_a_terminal(
    events: list[Event],
) -> None:
    for name, factory in TEXT_SINKS.items():
        for text in Streams().run(factory, events):
            assert HARMFUL.findall(text) == [], name
            assert text == "" or text.endswith("\n"), name


@relaxed
@given(events=runs())
def test_the_json_document_of_any_run_holds_every_unit_once(events: list[Event]) -> None:
    out, err = Streams().run(MACHINE_SINKS["json"], events)

    document = json.loads(out, parse_constant=refuse)
    ended = [event for event in events if isinstance(event, UnitEnded)]
    assert document["version"] == 1
    assert [unit["number"] for unit in document["units"]] == [e.report.number for e in ended]
    assert [outcome_kind(unit) for unit in document["units"]] == [
        event.report.outcome.kind for event in ended
    ]
    assert [item_bytes(unit) for unit in document["units"]] == [
        event.unit.label.encode("utf-8", "surrogateescape")
        if not has_lone(event.unit.label)
        else event.unit.label.encode("utf-8", "surrogatepass")
        for event in ended
    ]
    assert document["counts"]["planned"] == len(ended)
    assert document["exit_code"] == last(events).exit_code
    assert err == ""


@relaxed
@given(events=runs())
def test_ndjson_of_any_run_is_one_object_per_event_in_order(events: list[Event]) -> None:
    out, err = Streams().run(MACHINE_SINKS["ndjson"], events)

    lines = out.split("\n")
    assert lines.pop() == ""
    records = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [record["type"] for record in records] == [type_name(event) for event in events]
    for record, event in zip(records, events, strict=True):
        if isinstance(event, UnitOutput):
            assert bytes_of(record, "data") == event.data
        if isinstance(event, UnitEnded):
            stdout = event.report.output.stdout
            assert bytes_of(record, "stdout") == stdout.head + stdout.tail
            assert record.get("stdout_omitted_bytes", 0) == stdout.omitted_bytes
    assert err == ""


@relaxed
@given(events=runs(), data=st.data())
def test_a_run_that_breaks_anywhere_still_closes_with_valid_output(
    events: list[Event], data: st.DataObject
) -> None:
    cut = events[: data.draw(st.integers(0, len(events) - 1))]

    for name, factory in TEXT_SINKS.items():
        assert HARMFUL.findall("".join(Streams().run(factory, cut))) == [], name
    document, _ = Streams().run(MACHINE_SINKS["json"], cut)
    lines, _ = Streams().run(MACHINE_SINKS["ndjson"], cut)

    assert (document == "") == (cut == [])
    assert not cut or json.loads(document)["exit_code"] is None
    types = [json.loads(line)["type"] for line in lines.splitlines()]
    assert types == [type_name(event) for event in cut]


@relaxed
@given(events=runs())
def test_a_stream_that_knows_only_ascii_gets_escapes_instead_of_an_error(
    events: list[Event],
) -> None:
    for name, factory in ALL_SINKS.items():
        out, err = Streams(encoding="ascii").run(factory, events)
        assert (out + err).isascii(), name


@pytest.fixture
def pipe_without_reader() -> Iterator[TextIO]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w", encoding="utf-8")
    yield stream
    # What could not be written stands in its buffer still.
    with contextlib.suppress(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("name", ["text", "text-quiet", "text-silent", "text-live", *MACHINE_SINKS])
def test_a_reader_that_went_away_is_a_broken_pipe_and_closing_is_quiet(
    name: str, pipe_without_reader: TextIO
) -> None:
    sink = ALL_SINKS[name](pipe_without_reader, io.StringIO())

    with pytest.raises(BrokenPipeError):
        handle_all(sink, small_run())
    sink.close()


@pytest.mark.parametrize("name", ["text", "text-quiet", "text-live", *MACHINE_SINKS])
def test_a_standard_output_that_was_closed_is_an_oserror_and_closing_is_quiet(name: str) -> None:
    stdout = io.StringIO()
    stdout.close()
    sink = ALL_SINKS[name](stdout, io.StringIO())

    with pytest.raises(OSError, match="Bad file descriptor"):
        handle_all(sink, small_run())
    sink.close()


@pytest.mark.parametrize("name", ["text", "text-live", "messages", "progress-lines"])
def test_a_standard_error_that_is_gone_costs_nothing_on_standard_output(
    name: str, pipe_without_reader: TextIO
) -> None:
    stdout = io.StringIO()
    sink = TEXT_SINKS[name](stdout, pipe_without_reader)
    events = small_run()
    events.insert(2, Note(message="mind the gap"))
    events.insert(3, StatusAsked(at=1.7e9))

    for event in events:
        sink.handle(event)
    sink.close()

    assert ("of 3 planned" in stdout.getvalue()) == name.startswith("text")


class Void(io.StringIO):
    """A stream that keeps nothing."""

    def write(self, text: str, /) -> int:
        return len(text)


@pytest.mark.parametrize("name", ALL_SINKS)
def test_memory_stays_flat_however_many_units_fail_each_in_its_own_way(name: str) -> None:
    sink = ALL_SINKS[name](Void(), Void())
    first, opened, *_ = small_run()
    sink.handle(first)
    sink.handle(opened)
    feed(sink, 1, 500)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        feed(sink, 501, 4_500)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    sink.close()

    # Kept one by one, they would be some four million bytes.
    assert grown < 400_000


def feed(sink: Sink, begin: int, end: int) -> None:
    """Let units fail, each with its own message, warning, output and unfinished line."""
    for number in range(begin, end + 1):
        unit = Unit(task_id="copy", index=number, label=f"item {number}", operation="run")
        output = Output(stderr=Captured(head=b"x%d\n" % number * 100))
        report = Report(
            number=number,
            attempt=1,
            outcome=Failed(message=f"code {number * 7919}"),
            started_at=1.7e9,
            duration_s=0.1,
            output=output,
            warnings=(f"odd thing {number * 31}",),
        )
        sink.handle(UnitStarted(number=number, attempt=1, unit=unit, at=1.7e9))
        sink.handle(UnitOutput(number=number, unit=unit, stream="stdout", data=b"no newline"))
        sink.handle(UnitEnded(unit=unit, report=report))


def test_tqdm_is_loaded_for_bars_only() -> None:
    code = (
        "import io, sys\n"
        "from batchrun.report.progress import ProgressSink\n"
        "from batchrun.report.screen import TextSink\n"
        "ProgressSink(io.StringIO(), 'lines').close()\n"
        "print('tqdm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "False\n"


# ---- reading what was written ---------------------------------------------------------------


def refuse(constant: str) -> None:
    message = f"{constant} is not JSON"
    raise ValueError(message)


def bytes_of(record: dict[str, Any], name: str) -> bytes:
    exact = record.get(f"{name}_base64")
    text: str = record[name]
    return text.encode() if exact is None else base64.b64decode(exact)


def item_bytes(record: dict[str, Any]) -> bytes:
    return bytes_of(record, "item")


def has_lone(text: str) -> bool:
    return re.search("[\ud800-\udc7f\udd00-\udfff]", text) is not None


def outcome_kind(record: dict[str, Any]) -> object:
    return record["outcome"]["kind"]


def type_name(event: Event) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


def last(events: list[Event]) -> RunEnded:
    event = events[-1]
    assert isinstance(event, RunEnded)
    return event
