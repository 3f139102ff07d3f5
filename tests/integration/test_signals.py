"""Signals: what runs may finish, what does not begin, what is said, and the exit code."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from program import Program, Started, holds_open
from support import wait_until

pytestmark = pytest.mark.timeout(120)

JOB = """
tasks:
  - id: work
    name: do the work
    foreach: {range: [1, 6]}
    run: |
      echo $$ > began-{{ item }}
      until test -e go; do sleep 0.02; done
      echo done > ended-{{ item }}
  - id: later
    needs: [work]
    run: "true"
finally:
  - id: last
    write: {dest: last, text: "{{ run.outcome }}"}
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def names(program: Program, pattern: str) -> list[str]:
    return sorted(path.name for path in program.dir.glob(pattern) if path.stat().st_size)


def start(program: Program, *words: str, procs: int = 2, **more: Any) -> Started:
    """Start the job and wait until each process has a command."""
    job = program.job(JOB)
    run = program.start(job, "--procs", str(procs), *words, **more)
    slots = max(procs, 1)
    run.until(lambda: len(names(program, "began-*")) == slots, "every process has a command")
    return run


def send_and_wait(run: Started, number: signal.Signals, answer: str) -> None:
    run.send(number)
    run.until(lambda: answer in run.err_so_far, f"it says {answer!r}")


# ---- to the whole group -------------------------------------------------------------------------


@pytest.mark.parametrize("procs", [0, 2])
@pytest.mark.parametrize("cwd", [".", "/"])
def test_a_signal_to_the_whole_group_ends_no_command_that_is_about_to_begin(
    program: Program, procs: int, cwd: str
) -> None:
    """For a moment its process is still one of the group, as when Ctrl-C is typed."""
    job = program.job(f"""
tasks:
  - write: {{dest: ready, text: ""}}
  - foreach: {{range: [1, 300]}}
    run: ["true"]
    cwd: {cwd}
""")
    run = program.start(job, "--procs", str(procs), "--output", "json")
    run.until((program.dir / "ready").exists, "it takes signals")
    while run.process.poll() is None:
        os.killpg(run.pid, signal.SIGUSR1)
    assert run.end().counts == {"planned": 301, "ok": 301, "changed": 301}


# ---- SIGINT -------------------------------------------------------------------------------------


@pytest.mark.parametrize("procs", [0, 2])
def test_the_first_interrupt_lets_running_units_finish_and_starts_nothing_more(
    program: Program, procs: int
) -> None:
    run = start(program, "--output", "json", procs=procs)
    send_and_wait(run, signal.SIGINT, "interrupted: ")
    (program.dir / "go").touch()
    ended = run.end()
    slots = max(procs, 1)
    units = "1 unit" if slots == 1 else "2 units"
    assert ended.code == 130
    assert ended.counts == {
        "planned": 7, "ok": slots + 1, "changed": slots + 1, "cancelled": 6 - slots,
    }  # fmt: skip
    assert len(names(program, "ended-*")) == len(names(program, "began-*")) == slots
    assert (program.dir / "last").read_text() == "interrupted"
    said = ended.err.splitlines()
    assert said[0] == (
        f"interrupted: nothing new is started, {units} may finish; once more stops them now"
    )
    assert any("do the work  1" in line for line in said)
    (later,) = [task for task in ended.document["tasks"] if task["id"] == "later"]
    assert later["not_expanded"]
    assert ended.document["run"]["stopped"] == "interrupted"


@pytest.mark.parametrize("procs", [0, 2])
def test_the_second_interrupt_stops_what_runs_and_skips_finally_and_says_so(
    program: Program, procs: int
) -> None:
    run = start(program, procs=procs)
    send_and_wait(run, signal.SIGINT, "interrupted: ")
    send_and_wait(run, signal.SIGINT, "a second signal: ")
    ended = run.end()
    assert ended.code == 130
    assert "`finally` tasks are skipped" in ended.err
    assert re.search(r"job: 0 ok, 6 cancelled of 6 planned", ended.out)
    assert "not expanded: last (skipped because a second signal came)" in ended.out
    assert not (program.dir / "last").exists()
    assert names(program, "ended-*") == []


def test_a_unit_that_waits_for_its_retry_is_cancelled_at_once(program: Program) -> None:
    job = program.job("""
tasks:
  - run: "false"
    retries: 3
    retry_delay: 1h
""")
    run = program.start(job, "-v")
    run.until(lambda: "attempt 2 in " in run.err_so_far, "it waits for its second attempt")
    run.send(signal.SIGINT)
    ended = run.end()
    assert ended.code == 130
    assert "1 cancelled of 1 planned" in ended.out


def test_an_interrupt_while_the_job_file_is_read_is_no_traceback(program: Program) -> None:
    reading, writing = os.pipe()
    try:
        run = program.start("-", stdin=reading)
        run.until(lambda: waits_for_input(run.pid), "it reads its standard input")
        run.send(signal.SIGINT)
        ended = run.end()
    finally:
        os.close(reading)
        os.close(writing)
    assert (ended.code, ended.stdout, ended.stderr) == (130, b"", b"")


@pytest.mark.parametrize("module", ["typer", "yaml"])
def test_an_interrupt_while_batchrun_itself_is_loaded_is_no_traceback(
    program: Program, module: str
) -> None:
    slow = program.dir / "slow"
    slow.mkdir()
    (slow / f"{module}.py").write_text("import time\nopen('loading', 'w').close()\ntime.sleep(60)")
    job = program.job("tasks:\n  - run: 'true'\n")
    run = program.start(job, env={"PYTHONPATH": str(slow)})
    run.until((program.dir / "loading").exists, f"it imports {module}")
    run.send(signal.SIGINT)
    ended = run.end()
    assert (ended.code, ended.stdout, ended.stderr) == (130, b"", b"")


def waits_for_input(pid: int) -> bool:
    """Whether a process is blocked in read(0, ...)."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[:2] == ["0", "0x0"] and words[2:3] != []


def test_an_interrupt_that_is_ignored_from_the_start_stays_ignored(program: Program) -> None:
    """As for a background job of a shell without job control."""
    run = start(program, before=("env", "--ignore-signal=INT"))
    run.send(signal.SIGINT)
    send_and_wait(run, signal.SIGUSR1, "2 running")
    (program.dir / "go").touch()
    ended = run.end()
    assert ended.code == 0
    assert "interrupted" not in ended.err
    assert len(names(program, "ended-*")) == 6


# ---- SIGTERM and SIGHUP -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"]
)
def test_a_request_to_end_gives_running_units_the_grace_and_no_more(
    program: Program, number: signal.Signals, code: int
) -> None:
    run = start(program, "--grace", "1s", "--output", "json")
    send_and_wait(run, number, "2 units may go on for 1 s")
    ended = run.end()
    assert ended.code == code
    assert ended.counts == {"planned": 7, "ok": 1, "changed": 1, "cancelled": 6}
    running = [unit for unit in ended.units if unit["outcome"].get("was_running")]
    assert [unit["item"] for unit in running] == ["1", "2"]
    assert names(program, "ended-*") == []
    assert (program.dir / "last").read_text() == "interrupted"


def test_what_ends_within_the_grace_ends_well(program: Program) -> None:
    run = start(program, "--output", "json")
    send_and_wait(run, signal.SIGTERM, "2 units may go on for 60 s")
    (program.dir / "go").touch()
    ended = run.end()
    assert ended.code == 143
    assert ended.counts == {"planned": 7, "ok": 3, "changed": 3, "cancelled": 4}


def test_a_second_request_to_end_stops_at_once_and_keeps_the_first_ones_code(
    program: Program,
) -> None:
    run = start(program)
    send_and_wait(run, signal.SIGTERM, "may go on for 60 s")
    send_and_wait(run, signal.SIGINT, "a second signal: ")
    ended = run.end()
    assert ended.code == 143
    assert not (program.dir / "last").exists()


@pytest.mark.parametrize(
    ("first", "code"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143)], ids=["HUP", "TERM"]
)
def test_a_hangup_is_never_a_second_wish(
    program: Program, first: signal.Signals, code: int
) -> None:
    """Shells repeat the kernel's SIGHUP, and systemd may send one right behind SIGTERM."""
    run = start(program, "--output", "json")
    send_and_wait(run, first, "2 units may go on for 60 s")
    run.send(signal.SIGHUP)
    run.send(signal.SIGUSR1)
    run.until(lambda: run.err_so_far.count("2 running, 0 ok") == 2, "it answers, and goes on")
    (program.dir / "go").touch()
    ended = run.end()
    assert ended.code == code
    assert ended.counts == {"planned": 7, "ok": 3, "changed": 3, "cancelled": 4}


def test_a_hangup_that_is_ignored_from_the_start_stays_ignored_by_all(program: Program) -> None:
    """As under nohup: the run, its workers and its commands."""
    run = start(program, before=("nohup",))
    began = [int((program.dir / name).read_text()) for name in names(program, "began-*")]
    for pid in (run.pid, *run.workers(), *began):
        os.kill(pid, signal.SIGHUP)
    send_and_wait(run, signal.SIGUSR1, "2 running")
    (program.dir / "go").touch()
    ended = run.end()
    assert ended.code == 0
    assert len(names(program, "ended-*")) == 6


def test_signals_sent_to_the_workers_are_not_their_business(program: Program) -> None:
    run = start(program)
    for pid in run.workers():
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(pid, number)
    (program.dir / "go").touch()
    assert run.end().code == 0
    assert len(names(program, "ended-*")) == 6


# ---- SIGUSR1 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["-qq"], ["--output", "json", "--progress", "lines"]])
def test_usr1_says_who_runs_for_how_long_and_changes_nothing(
    program: Program, options: list[str]
) -> None:
    run = start(program, *options)
    send_and_wait(run, signal.SIGUSR1, "2 running")
    run.until(lambda: run.err_so_far.count("do the work") >= 2, "it names both")
    said = run.err_so_far.splitlines()
    head = said.index(next(line for line in said if line.startswith("2 running")))
    assert said[head] == "2 running, 0 ok"
    pattern = r" +\d+(\.\d)? m?s  do the work  [12]  \(worker-[12]\)"
    assert all(re.fullmatch(pattern, line) for line in said[head + 1 : head + 3]), said
    (program.dir / "go").touch()
    ended = run.end()
    assert ended.code == 0
    if "json" in options:
        assert ended.counts == {"planned": 8, "ok": 8, "changed": 8}


def test_usr1_before_the_run_has_begun_does_not_kill_it(program: Program) -> None:
    """A watchdog may ask early: while the lock is waited for, and while the file is read."""
    job = program.job("tasks:\n  - run: until test -e go; do sleep 0.02; done\n")
    first = program.start(job, "--lock-name", "x")
    first.until(program.commands_left, "the first run holds the lock")
    second = program.start(job, "--lock-name", "x", "--wait", "1m")
    (lock,) = (Path(os.environ["BATCHRUN_STATE_DIR"]) / "locks").iterdir()
    second.until(lambda: holds_open(second.pid, lock), "the second one waits for the lock")
    second.send(signal.SIGUSR1)
    (program.dir / "go").touch()
    assert (first.end().code, second.end().code) == (0, 0)


def test_a_run_can_be_stopped_and_continued(program: Program) -> None:
    run = start(program)
    run.send(signal.SIGSTOP)
    wait_until(lambda: state_of(run.pid) == "T", 10, "it is stopped")
    (program.dir / "go").touch()
    run.send(signal.SIGCONT)
    assert run.end().code == 0


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
