"""The bars on a real pseudo-terminal, seen through a small screen."""

import fcntl
import os
import pty
import re
import termios
import threading
import unicodedata
from collections.abc import Iterator
from typing import TextIO

import pytest

from batchrun.model.event import Note, StatusAsked, UnitProgress
from batchrun.model.outcome import Failed, Ok
from batchrun.report.messages import MessageSink
from batchrun.report.progress import ProgressSink
from scripted_run import Script

PIECE = re.compile(r"\x1b\[(\d*)([A-Za-z])|(.)", re.DOTALL)


class Screen:
    """What a terminal of some width would show: rows of cells, and how often a line wrapped."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self.row = 0
        self.column = 0
        self.wraps = 0

    def feed(self, text: str) -> None:
        for match in PIECE.finditer(text):
            number, letter, char = match.groups()
            if letter is not None:
                assert letter in {"A", "m"}, f"unexpected control sequence {match[0]!r}"
                self.row -= int(number or 1) if letter == "A" else 0
                assert self.row >= 0
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self._down()
            else:
                self._put(char)

    def text(self) -> list[str]:
        """Return the rows, without blanks at their ends and blank rows at the end."""
        lines = ["".join(row).rstrip() for row in self.rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def _put(self, char: str) -> None:
        assert char.isprintable(), f"{char!r} reached the terminal"
        width = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if self.column + width > self.columns:
            self.wraps += 1
            self.column = 0
            self._down()
        cells = self.rows[self.row]
        cells += [" "] * (self.column + width - len(cells))
        cells[self.column] = char
        if width == 2:
            cells[self.column + 1] = ""
        self.column += width


class Terminal:
    """A pseudo-terminal: `stream` is what a program writes to, `screen` what people see."""

    def __init__(self, columns: int, rows: int = 24) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (rows, columns))
        os.set_blocking(self.master, False)
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        self.screen = Screen(columns)

    def look(self) -> list[str]:
        self.screen.feed(self.read().decode("utf-8").replace("\r\n", "\n\r"))
        return self.screen.text()

    def read(self) -> bytes:
        data = b""
        while True:
            try:
                piece = os.read(self.master, 65536)
            except BlockingIOError:
                return data
            data += piece

    def close(self) -> None:
        for close in (self.stream.close, lambda: os.close(self.master)):
            try:
                close()
            except OSError:
                continue


@pytest.fixture(params=[120, 40])
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    made = Terminal(request.param)
    yield made
    made.close()


@pytest.fixture
def narrow() -> Iterator[Terminal]:
    made = Terminal(40)
    yield made
    made.close()


@pytest.fixture
def wide() -> Iterator[Terminal]:
    made = Terminal(120)
    yield made
    made.close()


class Desk:
    """A progress sink with bars, and a clock that is moved by hand."""

    def __init__(self, stream: TextIO) -> None:
        self.now = 100.0
        self.sink = ProgressSink(stream, "bar", clock=lambda: self.now)
        self.script = Script()

    def pass_time(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.sink.tick()


def half_done(desk: Desk) -> None:
    """Be in the middle of a run: 50 of 100 units done, 2 not ok, 2 running."""
    desk.script.start(desk.sink, ("stage", "stage the 日本語 exports"), total=100)
    for number in range(48):
        desk.script.end(desk.sink, Ok(changed=True), f"/data/{number}")
    for number in range(2):
        desk.script.end(desk.sink, Failed(message="no"), f"/data/{number}")
    for name in ("日本/very long name of an export that is running.csv", "\x1b[2J\n"):
        running = desk.script.begin(desk.sink, desk.script.unit(f"/data/{name}"))
        desk.sink.handle(UnitProgress(number=running, bytes_done=2 * 1024 * 1024))
    desk.pass_time(10)


def test_bars_are_two_lines_that_never_wrap(terminal: Terminal) -> None:
    desk = Desk(terminal.stream)
    half_done(desk)
    for _ in range(20):
        desk.pass_time()

    bar, running = terminal.look()
    assert terminal.screen.wraps == 0
    assert " 50%|" in bar
    assert "50/100" in bar
    assert "2 not ok" in bar
    assert running.startswith("2 running: stage the 日本語 exports")
    desk.sink.close()


def test_a_tree_is_shown_with_how_far_it_has_come(wide: Terminal) -> None:
    desk = Desk(wide.stream)
    desk.script.start(desk.sink, total=1)
    number = desk.script.begin(desk.sink, desk.script.unit("/data"))
    desk.pass_time(20)
    desk.sink.handle(
        UnitProgress(number=number, bytes_done=200 << 20, files_done=12_340, share=0.4)
    )
    desk.pass_time()

    _, running = wide.look()
    assert "(12 340 files, 200.0 MiB, 9.5 MiB/s, 40 %, about 31.5 s left)" in running
    desk.sink.close()


def test_a_wide_terminal_shows_the_rate_the_bytes_and_all_that_runs(wide: Terminal) -> None:
    desk = Desk(wide.stream)
    half_done(desk)

    bar, running = wide.look()
    assert "unit/s" in bar
    assert "4.0 MiB" in bar
    assert "very long name of an export that is running.csv 10 s" in running
    desk.sink.close()


def test_without_a_total_the_number_of_units_grows(narrow: Terminal) -> None:
    desk = Desk(narrow.stream)
    desk.script.start(desk.sink)
    desk.script.end(desk.sink, Ok(changed=True))
    desk.pass_time()

    assert narrow.look() == ["1 units"]
    desk.sink.close()


def test_nothing_is_drawn_for_a_run_that_is_over_at_once(terminal: Terminal) -> None:
    desk = Desk(terminal.stream)
    desk.script.start(desk.sink, total=1)
    desk.pass_time(0.2)
    desk.script.end(desk.sink, Ok(changed=True))
    desk.script.finish(desk.sink)

    assert terminal.read() == b""


def test_bars_are_drawn_at_most_ten_times_a_second_however_many_units_end(
    terminal: Terminal,
) -> None:
    desk = Desk(terminal.stream)
    desk.script.start(desk.sink, total=10_000)
    for _ in range(10_000):
        desk.now += 0.0002
        desk.script.end(desk.sink, Ok(changed=True))

    frames = terminal.read().count(b"/10000")
    assert 10 <= frames <= 20
    desk.sink.close()


def test_an_echoed_ctrl_c_does_not_leave_a_bar_behind(terminal: Terminal) -> None:
    """The terminal writes it where the cursor stands, and drawing goes on from there."""
    desk = Desk(terminal.stream)
    messages = MessageSink(terminal.stream, before=desk.sink.hide)
    half_done(desk)
    terminal.look()
    terminal.screen.feed("^C")
    messages.handle(Note(message="interrupted", level="info"))
    desk.pass_time()

    said, bar, running = terminal.look()
    assert said == "interrupted"
    assert " 50%|" in bar
    assert running.startswith("2 running")
    desk.sink.close()


def test_messages_stand_above_the_bars_and_neither_is_mangled(terminal: Terminal) -> None:
    desk = Desk(terminal.stream)
    messages = MessageSink(terminal.stream, before=desk.sink.hide)
    half_done(desk)
    for number in range(5):
        messages.handle(Note(message=f"note {number}"))
        desk.pass_time()

    lines = terminal.look()
    assert lines[:5] == [f"warning: note {number}" for number in range(5)]
    assert len(lines) == 7
    assert "50/100" in lines[5]
    assert lines[6].startswith("2 running")
    desk.sink.close()


def test_the_answer_to_sigusr1_stands_above_the_bars(wide: Terminal) -> None:
    desk = Desk(wide.stream)
    half_done(desk)
    desk.sink.handle(StatusAsked(at=1.0))
    desk.pass_time()

    lines = wide.look()
    assert lines[0] == "2 running, 48 ok, 2 failed"
    assert "50/100" in lines[3]
    desk.sink.close()


def test_the_end_leaves_the_terminal_as_if_no_bar_had_been_there(terminal: Terminal) -> None:
    desk = Desk(terminal.stream)
    half_done(desk)
    desk.sink.close()
    desk.sink.close()
    terminal.stream.write("recap\n")
    terminal.stream.flush()

    assert terminal.look() == ["recap"]
    assert terminal.screen.wraps == 0


def test_a_terminal_that_is_made_narrower_is_obeyed_at_the_next_drawing(wide: Terminal) -> None:
    desk = Desk(wide.stream)
    half_done(desk)
    desk.sink.hide()
    wide.look()
    termios.tcsetwinsize(wide.master, (24, 30))
    wide.screen = Screen(30)
    desk.pass_time()

    assert "50/100" in wide.look()[0]
    assert wide.screen.wraps == 0
    desk.sink.close()


def test_a_terminal_of_no_width_or_height_does_no_harm() -> None:
    for columns, rows in [(0, 0), (1, 1), (3, 2)]:
        terminal = Terminal(columns, rows)
        desk = Desk(terminal.stream)
        half_done(desk)
        desk.sink.close()
        assert terminal.read() != b""
        terminal.close()


def test_a_terminal_that_was_stopped_holds_up_nothing_and_is_drawn_on_when_it_goes_on(
    wide: Terminal,
) -> None:
    desk = Desk(wide.stream)
    termios.tcflow(wide.stream.fileno(), termios.TCOOFF)
    half_done(desk)
    for _ in range(1_000):
        desk.pass_time()
    assert wide.read() == b""

    termios.tcflow(wide.stream.fileno(), termios.TCOON)
    desk.pass_time()
    desk.pass_time()

    assert "50/100" in wide.look()[0]
    desk.sink.close()


def test_a_terminal_that_nobody_reads_holds_up_nothing(wide: Terminal) -> None:
    desk = Desk(wide.stream)
    half_done(desk)
    for number in range(3_000):
        desk.script.begin(desk.sink, desk.script.unit(f"{number}"))
        desk.pass_time()
    desk.sink.close()

    assert len(wide.read()) > 1_000


def test_a_terminal_that_has_gone_raises_nothing() -> None:
    terminal = Terminal(120)
    desk = Desk(terminal.stream)
    half_done(desk)
    os.close(terminal.master)
    for _ in range(10):
        desk.pass_time()
        desk.sink.hide()
    desk.script.finish(desk.sink)
    desk.sink.close()
    terminal.stream.close()

    assert "2 running" in desk.sink.status()


def test_no_thread_is_started_and_the_shared_terminal_stays_blocking(wide: Terminal) -> None:
    threads = threading.active_count()
    desk = Desk(wide.stream)
    half_done(desk)

    assert threading.active_count() == threads
    assert not fcntl.fcntl(wide.stream.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
    desk.sink.close()


def test_bars_that_are_asked_for_on_a_file_are_appended_to_it(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "log")
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("what was there before\n")
        stream.flush()
        desk = Desk(stream)
        half_done(desk)
        desk.sink.close()

    with open(path, encoding="utf-8", newline="") as stream:
        text = stream.read()
    assert text.startswith("what was there before\n")
    assert "50/100" in text


def test_a_terminal_without_unicode_gets_bars_of_ascii() -> None:
    terminal = Terminal(120)
    with open(terminal.stream.fileno(), "w", encoding="ascii", closefd=False) as stream:
        desk = Desk(stream)
        half_done(desk)
        desk.sink.close()

    drawn = terminal.read()
    assert b"50/100" in drawn
    assert drawn.isascii()
    terminal.close()
