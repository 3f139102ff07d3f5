"""Output of commands on hosts, line by line."""

import contextlib
import io
import os
import pty

import pytest

from batchrun.model.event import UnitOutput
from batchrun.model.outcome import Failed, Ok, Unreachable
from batchrun.model.ports import ReaderGoneError
from batchrun.model.unit import Unit
from batchrun.report.hostlines import HostLinesOptions, HostLinesSink
from scripted_run import Script


class Streams:
    """Two streams over bytes, and the sink that writes to them."""

    def __init__(self, options: HostLinesOptions | None = None) -> None:
        self.out, self.err = io.BytesIO(), io.BytesIO()
        self._texts = [io.TextIOWrapper(one, encoding="utf-8") for one in (self.out, self.err)]
        self.sink = HostLinesSink(self._texts[0], self._texts[1], options)
        self.script = Script()
        self.script.start(self.sink)
        self._units: dict[str, tuple[int, Unit]] = {}

    def write(self, host: str, data: bytes, stream: str = "stdout") -> None:
        if host not in self._units:
            self._units[host] = (len(self._units) + 1, self.script.unit(host=host))
        number, unit = self._units[host]
        self.sink.handle(UnitOutput(number=number, unit=unit, stream=stream, data=data))


def test_only_whole_lines_are_written_so_that_hosts_never_mix() -> None:
    streams = Streams()
    streams.write("web1", b"one\ntw")
    streams.write("web2", b"1\n2\n")
    assert streams.out.getvalue() == b"web1: one\nweb2: 1\nweb2: 2\n"
    streams.write("web1", b"o\n")
    assert streams.out.getvalue().endswith(b"web2: 2\nweb1: two\n")


def test_standard_error_goes_to_standard_error() -> None:
    streams = Streams()
    streams.write("web1", b"oh\n", "stderr")
    assert (streams.out.getvalue(), streams.err.getvalue()) == (b"", b"web1: oh\n")


def test_what_has_no_newline_at_its_end_comes_when_the_command_has_ended() -> None:
    streams = Streams(HostLinesOptions(quiet=1))
    streams.write("web1", b"last words")
    assert streams.out.getvalue() == b""
    streams.script.end(streams.sink, Ok(changed=True), host="web1")
    assert streams.out.getvalue() == b"web1: last words\n"


def test_a_line_without_end_comes_in_pieces() -> None:
    streams = Streams()
    for _ in range(3):
        streams.write("web1", b"x" * 60_000)
    lines = streams.out.getvalue().splitlines()
    assert [len(line) for line in lines] == [64 * 1024 + len("web1: ")] * 2


def test_where_nobody_looks_every_byte_is_passed_on() -> None:
    streams = Streams()
    streams.write("web1", b"\x1b[31mred\xff\r\n")
    assert streams.out.getvalue() == b"web1: \x1b[31mred\xff\r\n"


@pytest.mark.parametrize(
    ("raw", "shown"), [(False, b"web1: \\x1b[31mred\r\n"), (True, b"web1: \x1b[31mred\r\n")]
)
def test_on_a_terminal_controls_are_harmless_unless_they_are_wanted(
    raw: bool, shown: bytes
) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "rb", buffering=0) as read, os.fdopen(terminal, "w") as out:
        sink = HostLinesSink(out, io.TextIOWrapper(io.BytesIO()), HostLinesOptions(raw=raw))
        unit = Unit(task_id="stage", index=1, operation="run", host="web1")
        sink.handle(UnitOutput(number=1, unit=unit, stream="stdout", data=b"\x1b[31mred\n"))
        assert read.read(100) == shown


def test_hosts_that_did_not_end_well_are_folded_at_the_end_on_standard_error() -> None:
    streams = Streams()
    for host in ("web2", "web1"):
        failed = Failed(message="exit status 3", exit_status=3)
        streams.script.end(streams.sink, failed, host=host)
    streams.script.end(streams.sink, Unreachable(message="connection refused"), host="db1")
    streams.script.finish(streams.sink, exit_code=2)
    assert streams.out.getvalue() == b""
    assert streams.err.getvalue().decode().splitlines()[1:] == [
        "FAILED       stage the exports  web[1-2] (2): exit status 3",
        "UNREACHABLE  stage the exports  db1: connection refused",
    ]


def test_a_reader_that_went_away_costs_nothing_but_the_output() -> None:
    read, write = os.pipe()
    os.close(read)
    err = io.BytesIO()
    # What nobody takes is left in the stream, which says so when it is closed.
    with contextlib.suppress(BrokenPipeError), os.fdopen(write, "w") as out:
        sink, script = HostLinesSink(out, io.TextIOWrapper(err, write_through=True)), Script()
        script.start(sink)
        unit = script.unit(host="web1")
        output = UnitOutput(number=1, unit=unit, stream="stdout", data=b"x\n")
        with pytest.raises(ReaderGoneError):
            sink.handle(output)
        sink.handle(output)  # it is said once
        script.end(sink, Failed(message="no"), host="web1")
        script.finish(sink, exit_code=2)
    assert b"web1: no" in err.getvalue()
