"""What every sink promises, whatever the events hold."""

import base64
import contextlib
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from any_events import runs
from batchrun.journal.places import StateDir
from batchrun.journal.recorded import Recorded
from batchrun.journal.rows import raw_text, read_text
from batchrun.journal.sink import JournalSink
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
    UnitRetried,
    UnitStarted,
)
from batchrun.model.outcome import (
    NO_STREAM,
    Captured,
    Failed,
    Output,
    Report,
)
from batchrun.model.ports import Sink
from batchrun.model.record import RunRecord
from batchrun.model.unit import Unit, command_text
from batchrun.report.html import HtmlSink
from batchrun.report.joblog import JoblogSink
from batchrun.report.junit import JunitSink
from batchrun.report.lines import Lines
from batchrun.report.machine import JsonSink, NdjsonSink
from batchrun.report.messages import MessageSink
from batchrun.report.metrics import MetricsSink
from batchrun.report.outputdir import OutputDirSink
from batchrun.report.progress import ProgressSink
from batchrun.report.recap import Summary
from batchrun.report.screen import TextOptions, TextSink
from junit_reader import read_junit
from published_schemas import problems_of_document, problems_of_event
from support import MEMORY

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


class Record:
    """The record of a run, in a state directory that goes with it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(dir=MEMORY)
        record = RunRecord(run_id="20261122-031500-7f3a", job_name="nightly")
        self.journal = JournalSink(StateDir(Path(self._directory.name)), record)
        self._taken = 0

    def handle(self, event: Event) -> None:
        self.journal.handle(event)
        self._taken += 1
        if not self._taken % 100:  # what waits to be written is bounded, and not what is meant
            self.journal.settle()

    def events(self) -> list[Event]:
        with Recorded(self.journal.run) as recorded:
            return list(recorded.events())

    def close(self) -> None:
        self.journal.close()
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
    "journal": lambda _, __: Record(),
}
MACHINE_SINKS: dict[str, Factory] = {
    "json": lambda out, _: JsonSink(out),
    "ndjson": lambda out, _: NdjsonSink(out),
}
ALL_SINKS = TEXT_SINKS | MACHINE_SINKS
#: Those that write a file, or a directory, of a given path.
FILE_SINKS: dict[str, Callable[[str], Sink]] = {
    "joblog": JoblogSink,
    "junit": JunitSink,
    "metrics": MetricsSink,
    "output-dir": OutputDirSink,
}

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
    assert problems_of_document(document) == []
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
    assert [problem for record in records for problem in problems_of_event(record)] == []
    for record, event in zip(records, events, strict=True):
        if isinstance(event, UnitOutput):
            assert bytes_of(record, "data") == event.data
        if isinstance(event, UnitEnded):
            stdout = event.report.output.stdout
            assert bytes_of(record, "stdout") == stdout.head + stdout.tail
            assert record.get("stdout_omitted_bytes", 0) == stdout.omitted_bytes
    assert err == ""


@relaxed
@given(events=runs())
def test_the_record_of_any_run_gives_back_what_ended_and_what_was_said_in_order(
    events: list[Event],
) -> None:
    record = Record()
    handle_all(record, events)
    record.journal.close()
    found = record.events()
    record.close()

    told = (UnitEnded, UnitRetried, Note)
    assert [one for one in found if isinstance(one, told)] == [
        as_recorded(one) for one in events if isinstance(one, told)
    ]
    for kind in (TaskOpened, TaskEnded):
        assert [one for one in found if isinstance(one, kind)] == [
            as_recorded(one) for one in events if isinstance(one, kind)
        ]
    ended = last(events)
    stopped = read_text(raw_text(ended.stopped))
    run_id = "20261122-031500-7f3a"
    assert found[-1] == dataclasses.replace(ended, run_id=run_id, stopped=stopped)


def as_recorded(event: Event) -> Event:
    """Return an event as a record gives it back.

    A unit's parameters are reduced to the text of its command. Half a character that stands for
    no byte, which no name on a disk can hold, comes back as the bytes that it would be.
    """
    changes: dict[str, Any] = {}
    for one in dataclasses.fields(event):
        value = getattr(event, one.name)
        if isinstance(value, str):
            changes[one.name] = read_text(raw_text(value))
        elif isinstance(value, Unit):
            text = read_text(raw_text(command_text(value)))
            changes[one.name] = Unit(
                task_id=read_text(raw_text(value.task_id)),
                index=value.index,
                label=read_text(raw_text(value.label)),
                operation=value.operation,
                host=read_text(raw_text(value.host)),
                params={"command": text},
            )
        elif isinstance(value, Report):
            output = Output(
                stdout=value.output.stdout or NO_STREAM, stderr=value.output.stderr or NO_STREAM
            )
            worker = read_text(raw_text(value.worker))
            changes[one.name] = dataclasses.replace(value, output=output, worker=worker)
    return dataclasses.replace(event, **changes)


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
    assert not cut or problems_of_document(json.loads(document)) == []
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


# ---- files ----------------------------------------------------------------------------------


@contextmanager
def written(name: str, events: list[Event]) -> Iterator[Path]:
    """Let a sink write into an empty directory; return its path there."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file")
        sink = FILE_SINKS[name](str(path))
        handle_all(sink, events)
        sink.close()
        yield path


def real(events: list[Event]) -> list[Event]:
    """Make a run of what may have been a dry run."""
    first = events[0]
    assert isinstance(first, RunStarted)
    return [dataclasses.replace(first, dry_run=False), *events[1:]]


def ends(events: list[Event]) -> list[UnitEnded]:
    return [event for event in events if isinstance(event, UnitEnded)]


@relaxed
@given(events=runs().map(real))
def test_the_job_log_of_any_run_has_a_line_of_nine_columns_for_each_unit_that_was_run(
    events: list[Event],
) -> None:
    with written("joblog", events) as path:
        header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")

    assert header.count(b"\t") == 8
    was_run = [
        event.report.number
        for event in ends(events)
        if event.report.started_at
        and event.report.outcome.kind not in ("skipped", "aborted", "cancelled")
    ]
    assert [int(line.split(b"\t", 8)[0]) for line in lines] == was_run
    for line in lines:
        _seq, _host, start, runtime, *numbers, _command = line.split(b"\t", 8)
        assert float(start) > 0
        assert float(runtime) >= 0
        assert [str(int(number)).encode() for number in numbers] == numbers


@relaxed
@given(events=runs().map(real))
def test_the_junit_xml_of_any_run_is_valid_and_holds_every_unit_once(events: list[Event]) -> None:
    with written("junit", events) as path:
        junit = read_junit(path)

    suites = [event for event in events if isinstance(event, TaskEnded)]
    units = [case for case in junit.cases if case.attrib["name"] not in ("items", "run")]
    own_names = [event for event in ends(events) if event.unit.label in ("items", "run")]
    assert len(units) == len(ends(events)) - len(own_names)
    assert len(junit.suites) in (len(suites), len(suites) + 1)
    if last(events).exit_code:
        root = junit.root.attrib
        assert int(root["failures"]) + int(root["errors"]) > 0


@relaxed
@given(events=runs().map(real))
def test_the_metrics_of_any_run_are_lines_that_count_every_unit(events: list[Event]) -> None:
    with written("metrics", events) as path:
        text = path.read_bytes().decode()

    values = [line for line in text.split("\n") if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+\{job=\".*\"\} [0-9.]+", line) for line in values)
    counts = [int(line.rpartition(" ")[2]) for line in values if "outcome=" in line]
    assert sum(counts) == len(ends(events))


@relaxed
@given(events=runs().map(real))
def test_the_files_of_any_run_hold_its_output_and_lie_where_they_should(
    events: list[Event],
) -> None:
    with written("output-dir", events) as path:
        (run,) = path.iterdir()
        _header, *lines = (run / "index.tsv").read_bytes().removesuffix(b"\n").split(b"\n")
        rows = [line.decode().split("\t") for line in lines]
        files = {str(one.relative_to(run)): one.read_bytes() for one in run.glob("*/*")}
        assert [one.name for one in path.parent.iterdir()] == ["file"]

    named = [name for row in rows for name in row[3:5] if name]
    assert sorted(files) == sorted(named)
    streams = [
        stream
        for event in ends(events)
        for stream in (event.report.output.stdout, event.report.output.stderr)
        if stream
    ]
    assert len(named) == len(streams)
    for name, stream in zip(named, streams, strict=True):
        assert files[name].startswith(stream.head)
        assert files[name].endswith(stream.tail)


@relaxed
@given(events=runs().map(real), data=st.data())
def test_a_run_that_breaks_anywhere_leaves_whole_files(
    events: list[Event], data: st.DataObject
) -> None:
    cut = events[: data.draw(st.integers(0, len(events) - 1))]

    for name in FILE_SINKS:
        with written(name, cut) as path:
            assert path.exists() == (cut != [])
            assert [one.name for one in path.parent.iterdir()] == (["file"] if cut else [])
            if name == "junit" and cut:
                assert read_junit(path).case("run").find("error") is not None
            if name == "metrics" and cut:
                assert re.search(rb"(?m)^batchrun_exit_code\{.*\} 1$", path.read_bytes())


@relaxed
@given(events=runs())
def test_a_dry_run_writes_no_file(events: list[Event]) -> None:
    first = events[0]
    assert isinstance(first, RunStarted)
    for name in FILE_SINKS:
        with written(name, [dataclasses.replace(first, dry_run=True), *events[1:]]) as path:
            assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", FILE_SINKS)
def test_a_file_that_cannot_be_written_is_an_error_that_names_it_and_closing_is_quiet(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no directory")
    path = str(tmp_path / "file" / "below")
    sink = FILE_SINKS[name](path)

    with pytest.raises(OSError, match=re.escape(path)):
        handle_all(sink, small_run())
    sink.close()

    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", FILE_SINKS)
def test_memory_stays_flat_however_many_units_a_file_tells_of(name: str, tmp_path: Path) -> None:
    assert memory_of(FILE_SINKS[name](str(tmp_path / "file"))) < 400_000


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
    # Kept one by one, they would be some four million bytes.
    assert memory_of(ALL_SINKS[name](Void(), Void())) < 400_000


def memory_of(sink: Sink) -> int:
    """Return how much more memory a sink holds after some thousand units."""
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
    return grown


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
