"""Output of commands in one piece for each unit."""

import io
from pathlib import Path

import pytest

from batchrun.model.event import RunEnded, UnitEnded
from batchrun.model.outcome import Captured, Failed, Ok, Output, Report
from batchrun.model.unit import Unit
from batchrun.report.grouped import GroupedOptions, GroupedSink
from batchrun.report.spool import SpoolCleaner
from scripted_run import Script


class Streams:
    """Two streams over bytes, and the sink that writes to them."""

    def __init__(self, options: GroupedOptions | None = None) -> None:
        self.out, self.err = io.BytesIO(), io.BytesIO()
        texts = [io.TextIOWrapper(one, encoding="utf-8") for one in (self.out, self.err)]
        self._texts = texts
        self.sink = GroupedSink(texts[0], texts[1], options)
        Script().start(self.sink)

    def end(self, index: int, stdout: bytes | Captured, stderr: bytes = b"") -> UnitEnded:
        captured = Captured(head=stdout) if isinstance(stdout, bytes) else stdout
        event = UnitEnded(
            unit=Unit(task_id="stage", index=index, label=f"i{index}", operation="run"),
            report=Report(
                number=index,
                attempt=1,
                outcome=Ok(changed=True),
                started_at=1.0,
                duration_s=1.0,
                output=Output(stdout=captured, stderr=Captured(head=stderr)),
            ),
        )
        self.sink.handle(event)
        return event

    def finish(self, exit_code: int = 0) -> tuple[bytes, bytes]:
        self.sink.handle(RunEnded(run_id="r", at=2.0, duration_s=1.0, exit_code=exit_code))
        self.sink.close()
        for text in self._texts:
            text.flush()
        return self.out.getvalue(), self.err.getvalue()


def test_in_order_each_waits_for_those_before_it_and_no_longer() -> None:
    streams = Streams(GroupedOptions(keep_order=True, quiet=1))
    streams.end(2, b"two\n")
    assert streams.out.getvalue() == b""
    streams.end(1, b"one\n")
    assert streams.out.getvalue() == b"one\ntwo\n"
    streams.end(4, b"four")
    assert streams.finish() == (b"one\ntwo\nfour", b"")


def test_what_does_not_fit_in_memory_waits_in_a_file_and_is_whole() -> None:
    streams = Streams(GroupedOptions(keep_order=True, quiet=1, tag=True))
    piece = b"x" * (3 * 1024 * 1024) + b"\n"
    for index in (4, 3, 2):
        streams.end(index, piece, b"e\n")
    streams.end(1, b"first\n")
    out, err = streams.finish()
    assert out == b"i1\tfirst\n" + b"".join(b"i%d\t" % index + piece for index in (2, 3, 4))
    assert err == b"i2\te\ni3\te\ni4\te\n"


@pytest.mark.parametrize("keep_order", [False, True])
def test_whole_output_is_taken_from_its_file_and_the_file_goes(
    tmp_path: Path, keep_order: bool
) -> None:
    streams = Streams(GroupedOptions(keep_order=keep_order, quiet=1))
    cleaner = SpoolCleaner()
    for index in (2, 1):
        path = tmp_path / str(index)
        path.write_bytes(b"all of %d\n" % index)
        cut = Captured(head=b"all", omitted_bytes=4, tail=b"\n", spool=str(path))
        cleaner.handle(streams.end(index, cut))
    out, _ = streams.finish()
    assert sorted(out.splitlines()) == [b"all of 1", b"all of 2"]
    assert list(tmp_path.iterdir()) == []


def test_output_that_was_cut_says_how_much_is_missing() -> None:
    streams = Streams()
    streams.end(1, Captured(head=b"a", omitted_bytes=1234, tail=b"z\n"))
    assert streams.finish()[0] == b"a\n[batchrun: 1 234 bytes were not kept]\nz\n"


@pytest.mark.parametrize(
    ("quiet", "exit_code", "is_said"),
    [(0, 0, True), (1, 0, False), (1, 2, True), (2, 2, True), (2, 0, False)],
)
def test_the_recap_is_on_standard_error(quiet: int, exit_code: int, is_said: bool) -> None:
    streams = Streams(GroupedOptions(quiet=quiet))
    streams.end(1, b"x")
    out, err = streams.finish(exit_code)
    assert out == b"x"
    assert err.startswith(b"nightly: 1 ok") is is_said


def test_a_run_that_broke_shows_what_waited() -> None:
    streams = Streams(GroupedOptions(keep_order=True))
    streams.end(2, b"two")
    streams.sink.close()
    assert streams.out.getvalue() == b"two"


def test_failures_in_a_dry_run_are_shown_as_always() -> None:
    streams = Streams()
    event = streams.end(1, b"")
    Script().start(streams.sink, dry_run=True)
    streams.sink.handle(
        UnitEnded(
            unit=event.unit,
            report=Report(
                number=1, attempt=1, outcome=Failed(message="no"), started_at=1.0, duration_s=1.0,
                output=Output(stdout=Captured(head=b"guard\n")),
            ),
        )
    )  # fmt: skip
    assert streams.finish(2)[0] == b"guard\n"
