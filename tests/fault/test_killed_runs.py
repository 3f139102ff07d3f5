"""What a killed run has started is ended, and holds the locks of that run until it has ended."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from program import Ended, Program, Started, holds_open
from support import environ_of, freeze, wait_until

pytestmark = pytest.mark.timeout(120)

#: A kernel lock of its own says whether two are inside at once, the log who was there when.
GUARD = "exec 9>> guard; flock -n 9 || echo both >> log"
#: Takes a while to end when it is told to; nobody may be left then to read what it writes.
SLOW = f"""
tasks:
  - id: slow
    LOCK
    run: |
      exec > /dev/null 2>&1
      {GUARD}
      trap 'sleep 3; echo end first >> log; exit' TERM
      echo begin first >> log
      while :; do sleep 0.1; done
"""
#: Never ends when it is told to.
DEAF = SLOW.replace("sleep 3; echo end first >> log; exit", "")
#: Its items are given by a program that takes a while to end.
SLOW_ITEMS = f"""
tasks:
  - foreach:
      command:
        - sh
        - -c
        - |
          exec 2> /dev/null
          {GUARD}
          trap 'sleep 1.5; echo end first >> log; exit' TERM
          echo begin first >> log
          while :; do sleep 0.1; done
    run: echo item >> log
"""
NEXT = f"tasks:\n  - LOCK\n    run: '{GUARD}; echo begin second >> log; echo end second >> log'\n"
MACHINE = "lock: {name: shared, scope: machine}"
ALONE = ["begin first", "end first", "begin second", "end second"]

Kill = Callable[[Started], None]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "jobs"
    directory.mkdir()
    with Program(directory) as made:
        yield made


def kill_batchrun(run: Started) -> None:
    """Kill batchrun; its workers learn of it."""
    run.send(signal.SIGKILL)
    run.end()


def kill_all(run: Started) -> None:
    """Kill batchrun and its workers before one can learn of the death of another."""
    workers = run.workers()
    for pid in (run.pid, *workers):
        freeze(pid)
    for pid in (run.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    run.end()


def kill_worker_first(run: Started) -> None:
    """Kill batchrun while it ends the command of a worker that was killed."""
    for pid in run.workers():
        os.kill(pid, signal.SIGKILL)
        run.until(lambda pid=pid: not environ_of(pid), "the worker is dead")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    kill_batchrun(run)


def log(program: Program) -> list[str]:
    path = program.dir / "log"
    return path.read_text().splitlines() if path.exists() else []


def start_slow(program: Program, text: str, *words: str) -> Started:
    """Start a run that is to be killed, and wait until its command is inside."""
    run = program.start(program.job(text, "slow.yml"), *words)
    run.until(lambda: log(program) == ["begin first"], "the first command runs")
    return run


def presences() -> list[str]:
    directory = Path(os.environ["BATCHRUN_STATE_DIR"]) / "presence"
    return os.listdir(directory) if directory.exists() else []


# ---- locks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("procs", "kill"),
    [("0", kill_batchrun), ("2", kill_batchrun), ("2", kill_all), ("2", kill_worker_first)],
)
def test_a_machine_lock_lasts_until_the_command_of_a_killed_run_has_ended(
    program: Program, procs: str, kill: Kill
) -> None:
    first = start_slow(program, SLOW.replace("LOCK", MACHINE), "-j", procs)
    kill(first)
    second = program.run(program.job(NEXT.replace("LOCK", MACHINE)), "-j", procs)
    assert second.code == 0
    assert log(program) == ALONE
    assert presences() == []


@pytest.mark.parametrize(
    ("procs", "kill"), [("0", kill_batchrun), ("2", kill_batchrun), ("2", kill_all)]
)
def test_the_lock_of_a_run_lasts_until_its_commands_have_ended(
    program: Program, procs: str, kill: Kill
) -> None:
    words = ("-j", procs, "--lock-name", "both")
    first = start_slow(program, SLOW.replace("LOCK", "name: x"), *words)
    kill(first)
    job = program.job(NEXT.replace("LOCK", "name: x"))
    second = program.start(job, *words, "--wait", "1m")
    assert second.end().code == 0
    assert log(program) == ALONE
    assert presences() == []


@pytest.mark.parametrize("kill", [kill_batchrun, kill_all])
def test_a_lock_is_not_stuck_when_the_command_of_a_killed_run_must_be_killed(
    program: Program, kill: Kill
) -> None:
    first = start_slow(program, DEAF.replace("LOCK", MACHINE), "-j", "2", "--lock-name", "both")
    kill(first)
    job = program.job(NEXT.replace("LOCK", MACHINE))
    words = ("-j", "2", "--lock-name", "both", "--wait", "1m")
    runs = [program.start(job, *words) for _ in range(2)]
    assert [run.end().code for run in runs] == [0, 0]
    assert log(program) == ["begin first", *["begin second", "end second"] * 2]
    assert presences() == []


def test_who_does_not_wait_is_told_what_of_a_killed_run_still_ends(program: Program) -> None:
    first = start_slow(program, DEAF.replace("LOCK", "name: x"), "-j", "2", "--lock-name", "both")
    workers = first.workers()
    # Else all may have ended before the other run looks, on a busy machine.
    for pid in workers:
        freeze(pid)
    kill_batchrun(first)
    second = program.run(program.job(NEXT.replace("LOCK", "name: x")), "--lock-name", "both")
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert second.code == 75
    said = f"both is being run by process {first.pid}, which was killed: what it has started is "
    assert said in second.err
    assert any(str(pid) in second.err.partition("still ending")[2] for pid in workers)
    assert log(program) == ["begin first"]


def test_a_killed_run_without_anything_to_end_is_not_waited_for(program: Program) -> None:
    """Its idle workers need some milliseconds to end."""
    text = "tasks:\n  - {id: a, run: echo done >> log}\n  - {needs: [a], batch: 1, pause: 1h"
    job = program.job(text + ", foreach: [1, 2], run: 'echo {{ item }} >> log'}\n")
    first = program.start(job, "-j", "3", "--lock-name", "both")
    first.until(lambda: log(program) == ["done", "1"], "it pauses")
    kill_batchrun(first)
    (program.dir / "log").unlink()
    other = program.job(NEXT.replace("LOCK", "name: x"), "other.yml")
    assert program.run(other, "--lock-name", "both").code == 0
    assert log(program) == ["begin second", "end second"]


def test_a_killed_waiter_changes_nothing_for_those_who_wait(program: Program) -> None:
    first = start_slow(program, SLOW.replace("LOCK", MACHINE), "-j", "2", "--lock-name", "both")
    kill_batchrun(first)
    job = program.job(NEXT.replace("LOCK", MACHINE))
    words = ("-j", "2", "--lock-name", "both", "--wait", "1m")
    waiter, last = program.start(job, *words), program.start(job, *words)
    (file,) = (Path(os.environ["BATCHRUN_STATE_DIR"]) / "locks").iterdir()
    waiter.until(lambda: holds_open(waiter.pid, file), "it waits for the lock")
    waiter.send(signal.SIGKILL)
    assert last.end().code == 0
    assert log(program) == ALONE


def test_a_run_that_ends_by_itself_leaves_nobody_present(program: Program) -> None:
    text = f"tasks:\n  - {MACHINE}\n    run: ls $BATCHRUN_STATE_DIR/presence > seen\n"
    assert program.run(program.job(text), "-j", "2", "--lock").code == 0
    assert len((program.dir / "seen").read_text().split()) == 1
    assert presences() == []


def test_a_command_gets_nothing_of_what_keeps_a_lock(program: Program) -> None:
    text = f"tasks:\n  - {MACHINE}\n    run: ls -l /proc/self/fd > seen-{{{{ item }}}}\n"
    for procs in ("0", "2"):
        job = program.job(text.replace("{{ item }}", procs))
        assert program.run(job, "-j", procs, "--lock").code == 0
        seen = (program.dir / f"seen-{procs}").read_text()
        assert "seen-" in seen
        assert not [word for word in ("presence", "memfd", ".lock") if word in seen]


def test_without_a_lock_nobody_needs_a_state_directory(program: Program) -> None:
    (program.dir / "state").write_text("in the way")
    env = {"BATCHRUN_STATE_DIR": str(program.dir / "state")}
    job = program.job(NEXT.replace("LOCK", "name: x"))
    assert program.run(job, "--no-journal", env=env).code == 0
    assert (program.dir / "state").read_text() == "in the way"


def test_a_presence_that_cannot_be_made_is_said_and_nothing_is_run(program: Program) -> None:
    state = program.dir / "state"
    state.mkdir()
    (state / "presence").write_text("in the way")
    env = {"BATCHRUN_STATE_DIR": str(state)}
    job = program.job(NEXT.replace("LOCK", MACHINE))
    refused = program.run(job, "--lock", "--no-journal", env=env)
    assert refused.code == 1
    assert f"the file {state}/presence, which the lock needs, cannot be made" in refused.err
    failed = program.run(job, "--no-journal", "--output", "json", env=env)
    assert failed.code == 2
    assert "cannot be locked: File exists" in failed.units[0]["outcome"]["message"]
    assert log(program) == []


# ---- what else a run has started ----------------------------------------------------------------

#: Ignores TERM, as do its child and one that has left the session.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0 and os.fork() == 0:
    os.setsid()
open(f"here-{os.getpid()}", "w").close()
time.sleep(1000)
"""
ITEMS = "tasks: [{foreach: {command: PROGRAM}, run: 'true'}]\n"
SECRET = "secrets: {db: {command: PROGRAM}}\ntasks: [{run: cat, stdin: '{{ secrets.db }}'}]\n"


@pytest.mark.parametrize("procs", ["0", "2"])
@pytest.mark.parametrize("text", [ITEMS, SECRET], ids=["items", "secret"])
def test_a_program_that_gives_items_or_a_secret_does_not_outlive_the_run(
    program: Program, text: str, procs: str
) -> None:
    (program.dir / "stubborn.py").write_text(STUBBORN)
    run = program.start(program.job(text.replace("PROGRAM", "[python3, stubborn.py]")), "-j", procs)
    run.until(lambda: len(list(program.dir.glob("here-*"))) == 3, "all of the program are there")
    kill_batchrun(run)
    wait_until(lambda: not program.left(), 50, "nothing of it is left")


def test_several_programs_of_one_killed_run_are_all_ended(program: Program) -> None:
    text = "secrets: {db: {command: [sh, -c, ': > a; exec sleep 1000']}}\ntasks:\n"
    text += "- {run: cat, stdin: '{{ secrets.db }}'}\n"
    for name in "bcd":
        command = f"[sh, -c, 'trap \"\" TERM; : > {name}; sleep 1000; sleep 1000']"
        text += f"- {{foreach: {{command: {command}}}, run: 'true'}}\n"
    run = program.start(program.job(text), "-j", "2")
    run.until(lambda: all((program.dir / name).exists() for name in "abcd"), "all programs run")
    kill_batchrun(run)
    wait_until(lambda: not program.left(), 50, "nothing of them is left")


def test_the_lock_of_a_run_lasts_until_the_program_of_its_items_has_ended(program: Program) -> None:
    words = ("-j", "2", "--lock-name", "both")
    kill_batchrun(start_slow(program, SLOW_ITEMS, *words))
    job = program.job(NEXT.replace("LOCK", "name: x"))
    assert program.run(job, *words, "--wait", "1m").code == 0
    assert log(program) == ALONE


@pytest.mark.parametrize("kill", [kill_batchrun, kill_all])
def test_what_commands_and_programs_left_running_on_purpose_outlives_the_run(
    program: Program, kill: Kill
) -> None:
    left = "setsid sleep 1000 < /dev/null > /dev/null 2>&1 & echo $! >> left"
    job = program.job(
        f"tasks:\n- {{id: a, foreach: {{command: [sh, -c, '{left}; echo x']}}, run: '{left}'}}\n"
        "- {id: b, needs: [a], run: ': > begun; sleep 1000'}\n"
    )
    run = program.start(job, "-j", "2")
    run.until((program.dir / "begun").exists, "the last command runs")
    pids = [int(word) for word in (program.dir / "left").read_text().split()]
    try:
        kill(run)
        wait_until(lambda: len(program.left()) <= 2, 50, "the last command has ended")
        assert sorted(program.left()) == sorted(pids)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_commands_of_workers_that_are_killed_with_their_parent_are_ended(program: Program) -> None:
    (program.dir / "stubborn.py").write_text(STUBBORN)
    job = program.job("tasks: [{foreach: [1, 2], run: 'exec python3 stubborn.py'}]\n")
    run = program.start(job, "-j", "2")
    run.until(lambda: len(list(program.dir.glob("here-*"))) == 6, "both commands run")
    kill_all(run)
    assert len(program.commands_left()) == 6
    wait_until(lambda: not program.left(), 50, "nothing of them is left")


# ---- all at once --------------------------------------------------------------------------------


def test_runs_that_are_killed_at_any_moment_never_share_a_lock_and_never_keep_it(
    program: Program,
) -> None:
    text = f"""
tasks:
  - foreach: {{range: [1, 50]}}
    {MACHINE}
    run: |
      {GUARD}
      trap 'sleep 0.4; exit' TERM
      echo in >> log
      sleep 0.05
"""
    job = program.job(text)
    ways: list[Kill] = [kill_batchrun, kill_all, kill_batchrun]
    for round_, kill in enumerate(ways * 2):
        runs = [program.start(job, "-j", "2") for _ in range(2)]
        before = len(log(program))
        for run in runs:
            run.until(
                lambda most=before + 2 * (round_ + 1): len(log(program)) >= most,  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                "commands run",
            )
            kill(run)
    ended: Ended = program.run(job, "-j", "2")
    assert ended.code == 0
    assert set(log(program)) == {"in"}
    assert presences() == []
