"""On a real terminal: bars that fit and go away, Ctrl-C, hanging up; elsewhere nothing of it."""

import fcntl
import os
import pty
import re
import select
import shlex
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from program import COMMAND, Program
from support import wait_until

pytestmark = pytest.mark.timeout(120)

#: How many units there will be is known from the start.
JOB = """
tasks:
  - id: quick
    name: make the many little directories that a terminal of forty columns is too narrow for
    foreach: {range: [1, 50]}
    mkdir: "made/{{ item }}"
  - id: slow
    name: wait
    max_parallel: 2
    foreach: [first, second, third, fourth]
    run: |
      echo > began-{{ item }}
      until test -e go; do sleep 0.02; done
      echo > ended-{{ item }}
"""
FINALLY = """
finally:
  - {id: last, write: {dest: last, text: "{{ run.outcome }}"}}
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


class Tmux:
    """A terminal of some size, seen with tmux's eyes, in which a command runs."""

    def __init__(self, program: Program, columns: int, shell: str = "sh") -> None:
        self._program = program
        self._socket = program.dir.parent / f"{program.dir.name}.tmux"
        self._columns = columns
        self._shell = shell

    def __enter__(self) -> Self:
        size = ["-x", str(self._columns), "-y", "20"]
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "-s", "main", self._shell)
        # A server without sessions ends, and one is about to be hung up.
        self._tmux("new-session", "-d", "-s", "other", "sh")
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        env = self._program.environment({"TERM": "xterm", "PS1": "", "TMUX": None})
        ended = subprocess.run(
            ["tmux", "-S", str(self._socket), *words],
            cwd=self._program.dir,
            env=env,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return ended.stdout

    def type(self, line: str) -> None:
        self._tmux("send-keys", "-t", "main", "-l", line)
        self._tmux("send-keys", "-t", "main", "Enter")

    def press(self, key: str) -> None:
        self._tmux("send-keys", "-t", "main", key)

    def hang_up(self) -> None:
        self._tmux("kill-pane", "-t", "main")

    def screen(self) -> list[str]:
        """Return the lines on the screen that are not empty."""
        lines = self._tmux("capture-pane", "-t", "main", "-p").splitlines()
        return [line.rstrip() for line in lines if line.strip()]

    def until(self, pattern: str) -> list[str]:
        """Wait until a line on the screen matches; return the screen."""
        found: list[list[str]] = []

        def matches() -> bool:
            found[:] = [self.screen()]
            return any(re.search(pattern, line) for line in found[0])

        try:
            wait_until(matches, 30, f"{pattern!r} on the screen")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *found[0]])) from None
        return found[0]


def run_in(terminal: Tmux, program: Program, *words: str, text: str = JOB) -> None:
    """Type a command line; its exit code ends up in the file `code`."""
    job = program.job(text)
    line = shlex.join([*COMMAND, job, "--procs", "3", *words])
    (program.dir / "run.sh").write_text(f"clear; {line}; echo $? > code.new; mv code.new code\n")
    terminal.type(". ./run.sh")


def code_of(program: Program) -> int:
    path = program.dir / "code"
    wait_until(path.exists, 30, "the run has ended")
    return int(path.read_text())


def began(program: Program) -> int:
    return len(list(program.dir.glob("began-*")))


@pytest.mark.parametrize("columns", [120, 40])
def test_bars_fit_the_terminal_and_leave_nothing_but_the_recap(
    program: Program, columns: int
) -> None:
    with Tmux(program, columns) as terminal:
        run_in(terminal, program)
        terminal.until(r"^2 running: wait  first")
        screen = terminal.until(r"\b\d+%\|.*\| 50/54 ")
        assert len(screen) == 2, screen
        bar, running = screen
        assert len(bar) < columns
        assert len(running) < columns
        assert re.match(r"2 running: wait  first \d", running)
        assert re.match(r" 93%\|.*\| 50/54 ", bar)
        (program.dir / "go").touch()
        assert code_of(program) == 0
        recap = terminal.until(r"^job: 54 ok")
        assert "".join(recap).startswith("job: 54 ok (54 changed) of 54 planned in ")
        assert not any("|" in line or "running" in line for line in recap)


def test_ctrl_c_lets_what_runs_finish_with_the_bars_below_what_is_said(program: Program) -> None:
    with Tmux(program, 120) as terminal:
        run_in(terminal, program)
        terminal.until(r"\| 50/54 ")
        wait_until(lambda: began(program) == 2, 30, "both commands run")
        terminal.press("C-c")
        terminal.until(r"^interrupted: nothing new is started, 2 units may finish")
        screen = terminal.until(r"^2 running: wait")
        said = [line for line in screen if line.startswith("interrupted: ")]
        assert len(said) == 1
        assert sum("%|" in line for line in screen) == 1, screen
        assert screen.index(said[0]) < next(n for n, line in enumerate(screen) if "%|" in line)
        (program.dir / "go").touch()
        assert code_of(program) == 130
        assert (began(program), len(list(program.dir.glob("ended-*")))) == (2, 2)
        recap = terminal.until(r"^stopped: interrupted")
        assert not any("%|" in line for line in recap)


def test_ctrl_c_twice_stops_what_runs(program: Program) -> None:
    with Tmux(program, 120) as terminal:
        run_in(terminal, program, text=JOB + FINALLY)
        terminal.until(r"^50 units")
        terminal.press("C-c")
        terminal.until(r"^interrupted: ")
        terminal.press("C-c")
        terminal.until(r"a second signal: stopping now what runs \(2 units\); `finally` tasks are")
        assert code_of(program) == 130
        assert list(program.dir.glob("ended-*")) == []
        terminal.until(r"^job: 50 ok \(50 changed\), 4 cancelled of 54 planned")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_terminal_that_is_closed_ends_the_run_within_its_grace(
    program: Program, shell: str
) -> None:
    """The kernel sends SIGHUP, and bash sends another: that is no second wish."""
    with Tmux(program, 80, shell) as terminal:
        run_in(terminal, program, "--grace", "2s", text=JOB + FINALLY)
        terminal.until(r"^2 running: wait")
        terminal.hang_up()
        wait_until((program.dir / "last").exists, 30, "`finally` has run")
    assert list(program.dir.glob("ended-*")) == []
    assert (program.dir / "last").read_text() == "interrupted"


def test_live_lines_stand_above_the_bars(program: Program) -> None:
    program.job("""
tasks:
  - foreach: {range: [1, 8]}
    run: sleep 0.2; echo out {{ item }}; echo err {{ item }} >&2
  - run: until test -e go; do sleep 0.02; done
""")
    with Tmux(program, 100) as terminal:
        terminal.type(shlex.join([*COMMAND, "job.yml", "--procs", "3", "-v"]) + "; clear -x")
        terminal.until(r"^8: out 8")
        screen = terminal.until(r"^1 running: ")
        for number in range(1, 9):
            assert f"{number}: out {number}" in screen
            assert f"{number}: err {number}" in screen
        assert sum("%|" in line for line in screen) == 1
        assert re.search(r"%\|", screen[-2])
        (program.dir / "go").touch()
        wait_until(lambda: not program.commands_left(), 30, "it ends")
        wait_until(lambda: not any(map(is_batchrun, program.left())), 30, "it ends")


def is_batchrun(pid: int) -> bool:
    try:
        return b"job.yml" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


# ---- half a terminal ----------------------------------------------------------------------------


class Master:
    """The other end of a pseudo-terminal."""

    def __init__(self, columns: int = 100) -> None:
        self.fd, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (24, columns))
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_NONBLOCK)
        self.text = ""

    def read(self) -> str:
        """Take in what was written so far."""
        while select.select([self.fd], [], [], 0)[0]:
            try:
                self.text += os.read(self.fd, 65536).decode()
            except OSError:
                break
        return self.text

    def close(self) -> None:
        for fd in (self.fd, self.slave):
            if fd >= 0:
                os.close(fd)

    def hang_up(self) -> None:
        os.close(self.fd)
        self.fd = -1


@pytest.fixture
def master() -> Iterator[Master]:
    made = Master()
    yield made
    made.close()


NEUTRAL: dict[str, str | None] = {"TERM": "xterm", "NO_COLOR": None, "CLICOLOR_FORCE": None}
WAITING = "tasks:\n  - {id: wait, run: until test -e go; do sleep 0.02; done}\n"


def test_bars_go_to_the_terminal_and_results_to_the_file(program: Program, master: Master) -> None:
    job = program.job(WAITING)
    run = program.start(job, stderr=master.slave, env=NEUTRAL)
    run.until(lambda: "1 running: wait" in master.read(), "bars on the terminal")
    (program.dir / "go").touch()
    ended = run.end()
    assert ended.code == 0
    assert re.fullmatch(r"job: 1 ok \(1 changed\) of 1 planned in .+\n", ended.out)


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["-q"], {}),
        (["--progress", "none"], {}),
        ([], {"TERM": "dumb"}),
        (["--progress", "lines"], {"NO_COLOR": "1"}),
    ],
    ids=["quiet", "none", "dumb", "lines"],
)
def test_no_bars_where_nobody_wants_them(
    program: Program, master: Master, options: list[str], env: dict[str, str]
) -> None:
    job = program.job("tasks:\n  - {id: wait, run: sleep 0.6}\n")
    run = program.start(job, *options, stderr=master.slave, env={**NEUTRAL, **env})
    assert run.end().code == 0
    said = master.read().replace("\r\n", "\n")
    assert not re.search(r"[\x1b\r|]", said)
    assert bool(said) is ("lines" in options)


def test_results_on_a_terminal_are_coloured_and_without_one_nothing_is(
    program: Program, master: Master
) -> None:
    job = program.job("tasks:\n  - {id: bad, run: sleep 0.6; exit 1}\n  - {foreach: [], run: a}\n")
    run = program.start(job, stdout=master.slave, env=NEUTRAL)
    ended = run.end()
    assert "\x1b[31mFAILED\x1b[0m" in master.read()
    assert "%|" not in master.text
    assert "\x1b" not in ended.err
    plain = program.run(job, env=NEUTRAL)
    assert "\x1b" not in plain.out + plain.err
    assert "\r" not in plain.out + plain.err
    assert "|" not in plain.err


def test_a_terminal_that_goes_away_costs_the_bars_and_nothing_else(
    program: Program, master: Master
) -> None:
    job = program.job(WAITING + "  - {foreach: [], run: a}\n")
    run = program.start(job, stderr=master.slave, env=NEUTRAL)
    run.until(lambda: "1 running: wait" in master.read(), "bars on the terminal")
    master.hang_up()
    (program.dir / "go").touch()
    ended = run.end()
    assert (ended.code, ended.out[:26]) == (0, "job: 1 ok (1 changed) of 1")


def test_a_terminal_that_nobody_reads_holds_up_nothing(program: Program, master: Master) -> None:
    job = program.job("""
tasks:
  - foreach: {range: [1, 3000]}
    mkdir: "made/{{ item }}"
  - foreach: {range: [1, 20]}
    run: sleep 0.1
""")
    termios.tcflow(master.slave, termios.TCOOFF)  # as Ctrl-S does
    try:
        ended = program.run(job, stderr=master.slave, env=NEUTRAL)
    finally:
        termios.tcflow(master.slave, termios.TCOON)
    assert ended.code == 0
    assert ended.out.startswith("job: 3 020 ok")


def test_the_table_of_runs_is_as_wide_as_the_terminal(program: Program) -> None:
    job = "name: a job whose name is longer than what is left for it\ntasks: [{mkdir: out}]\n"
    assert program.run(program.job(job)).code == 0
    with Tmux(program, 70) as tmux:
        tmux.type(f"unset COLUMNS; {shlex.join(COMMAND)} runs")
        lines = tmux.until("1 ok")
    at = next(number for number, line in enumerate(lines) if line.startswith("RUN "))
    assert re.fullmatch(r"RUN +WHEN +TOOK +EXIT +JOB", lines[at])
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}  .* 0  a job w.*\.\.\.", lines[at + 1])
    assert lines[at + 2] == "    1 ok (1 changed)"
