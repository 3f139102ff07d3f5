"""Runs that end before their time, and what goes on with them: nothing is lost or done twice."""

import os
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchrun import api
from batchrun.errors import LockHeldError
from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from faults import clock, compiled, preloaded
from journal_judge import endings, facts, ok_units, records, rows, state_dir
from program import Ended, Program, Started, holds_open
from support import freeze, wait_until

pytestmark = pytest.mark.timeout(120)

#: Each of its units waits for a file of its item's name, and leaves a line when it has ended.
STEPPED = """
tasks:
  - id: step
    foreach: {range: [1, 6]}
    run: |
      echo {{ item }} >> began
      until test -e go-{{ item }}; do sleep 0.02; done
      echo {{ item }} >> log
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def lines(program: Program, name: str = "log") -> list[str]:
    path = program.dir / name
    return path.read_text().split() if path.exists() else []


def let(program: Program, items: range) -> None:
    for item in items:
        (program.dir / f"go-{item}").touch()


def third_runs(program: Program, *words: str) -> Started:
    """Start the run, and wait until two units are on record and the third one runs."""
    let(program, range(1, 3))
    run = program.start(program.job(STEPPED), "--procs", "1", *words)
    run.until(
        lambda: lines(program, "began") == ["1", "2", "3"] and len(endings(records()[-1])) == 2,
        "the third unit runs",
    )
    return run


def resumed(program: Program, *words: str) -> Ended:
    """Let everything go, and go on."""
    let(program, range(1, 7))
    return program.run("resume", "--procs", "2", *words)


def oks() -> Counter[tuple[str, str]]:
    """Count the units that ended ok, in all runs."""
    return sum((ok_units(run) for run in records()), Counter())


def assert_all_once() -> None:
    assert oks() == {("step", str(item)): 1 for item in range(1, 7)}


# ---- every way to end before the time -----------------------------------------------------------


def interrupted(run: Started, program: Program) -> None:
    run.send(signal.SIGINT)
    run.until(lambda: "interrupted: " in run.err_so_far, "it has heard")
    let(program, range(3, 4))


def interrupted_twice(run: Started, _: Program) -> None:
    for said in ("interrupted: ", "a second signal: "):
        run.send(signal.SIGINT)
        run.until(lambda said=said: said in run.err_so_far, "it has heard")  # type: ignore[misc]


def terminated(run: Started, _: Program) -> None:
    run.send(signal.SIGTERM)


def terminated_twice(run: Started, _: Program) -> None:
    for said in ("asked to end (SIGTERM): ", "a second signal: "):
        run.send(signal.SIGTERM)
        run.until(lambda said=said: said in run.err_so_far, "it has heard")  # type: ignore[misc]


def hung_up(run: Started, _: Program) -> None:
    run.send(signal.SIGHUP)


def out_of_time(_run: Started, _: Program) -> None:
    """Do nothing: it has a deadline."""


@pytest.mark.parametrize(
    ("words", "end", "code", "third"),
    [
        ([], interrupted, 130, "ok"),
        ([], interrupted_twice, 130, "cancelled"),
        (["--grace", "200ms"], terminated, 143, "cancelled"),
        (["--grace", "1h"], terminated_twice, 143, "cancelled"),
        (["--grace", "200ms"], hung_up, 129, "cancelled"),
        (["--deadline", "10s"], out_of_time, 124, "aborted"),
    ],
)
def test_the_record_says_why_a_run_ended_and_resume_does_the_rest(
    program: Program,
    words: list[str],
    end: Callable[[Started, Program], None],
    code: int,
    third: str,
) -> None:
    run = third_runs(program, *words)
    end(run, program)
    ended = run.end()
    assert ended.code == code
    (record,) = records()
    assert facts(record)["exit_code"] == code
    assert facts(record)["stopped"]
    assert facts(record)["stopped"] in ended.out
    found = {item: kind for _, item, kind in endings(record)}
    assert (found["1"], found["2"], found["3"]) == ("ok", "ok", third)

    again = resumed(program)
    assert (again.code, again.err) == (0, "")
    assert_all_once()
    assert sorted(lines(program)) == ["1", "2", "3", "4", "5", "6"]


def test_a_run_that_a_fail_limit_ended_is_done_to_its_end_when_the_reason_is_mended(
    program: Program,
) -> None:
    job = program.job("""
tasks:
  - id: step
    foreach: {range: [1, 6]}
    run: test -e mended -o {{ item }} != 3 && echo {{ item }} >> log
    max_fail: 0
""")
    ended = program.run(job, "--procs", "1")
    assert ended.code == 5
    (record,) = records()
    assert facts(record)["exit_code"] == 5
    assert facts(record)["stopped"] in ended.out
    (program.dir / "mended").touch()
    assert resumed(program).code == 0
    assert_all_once()
    assert sorted(lines(program)) == ["1", "2", "3", "4", "5", "6"]


def test_a_run_that_was_killed_before_its_first_unit_is_begun_anew(program: Program) -> None:
    (program.dir / "slow").touch()
    job = program.job("""
tasks:
  - id: step
    foreach: {command: [sh, -c, "until ! test -e slow; do sleep 0.02; done; seq 6"]}
    run: echo {{ item }} >> log
""")
    run = program.start(job, "--procs", "1")
    run.until(
        lambda: records() and rows(records()[0], "SELECT 1 FROM tasks WHERE opened"), "it waits"
    )
    run.send(signal.SIGKILL)
    run.end()
    (program.dir / "slow").unlink()
    assert resumed(program).code == 0
    assert_all_once()


# ---- what a dead run has left running -----------------------------------------------------------


#: Ends when it is killed, and only then; says so when another one like it is still there.
STUBBORN = """
tasks:
  - id: one
    run: |
      trap '' TERM
      if test -e first; then
        readlink /proc/$(cat first)/exe && echo raced > raced
        exit 0
      fi
      echo $$ > first
      while :; do sleep 0.05; done
"""


def stubborn(program: Program, *words: str) -> Started:
    run = program.start(program.job(STUBBORN), *words)
    first = program.dir / "first"
    run.until(lambda: first.exists() and first.read_text(), "the command runs")
    return run


@pytest.mark.parametrize("procs", ["0", "1"])
def test_resume_waits_until_a_killed_run_has_ended_what_it_ran(
    program: Program, procs: str
) -> None:
    run = stubborn(program, "--procs", procs)
    run.send(signal.SIGKILL)
    run.end()
    # Between TERM and KILL it has five seconds.
    assert program.commands_left()
    again = program.run("resume")
    assert (again.code, again.err) == (0, "")
    assert not (program.dir / "raced").exists()


def test_resume_names_the_processes_that_it_has_waited_for_in_vain(program: Program) -> None:
    run = stubborn(program, "--procs", "1")
    (worker,) = run.workers()
    freeze(worker)
    run.send(signal.SIGKILL)
    run.end()
    with pytest.raises(LockHeldError) as caught:
        api.continuation(api.Wanted(how="resume", patience_s=1.0))
    assert caught.value.exit_code == 75
    told = str(caught.value)
    assert f"run {records()[0].name} was killed, and what it has started is still ending" in told
    pids = {int(pid) for pid in re.findall(r"\d+", told.partition("(process ")[2])}
    assert worker in pids
    assert pids <= set(program.left())
    os.kill(worker, signal.SIGCONT)
    assert program.run("resume").code == 0
    assert not (program.dir / "raced").exists()


def test_waiting_for_a_killed_run_can_be_interrupted(program: Program) -> None:
    run = stubborn(program, "--procs", "1")
    (worker,) = run.workers()
    freeze(worker)
    run.send(signal.SIGKILL)
    run.end()
    again = program.start("resume")
    presence = state_dir() / "presence" / records()[0].name
    again.until(lambda: holds_open(again.pid, records()[0] / "journal.sqlite"), "it waits")
    again.send(signal.SIGINT)
    assert again.end().code == 130
    assert presence.exists()
    assert len(records()) == 1
    os.kill(worker, signal.SIGKILL)


# ---- many at the same time ----------------------------------------------------------------------


QUICK = """
tasks:
  - id: step
    foreach: {range: [1, 50]}
    run: echo {{ item }}
    register: told
  - id: write
    foreach: {range: [1, 50]}
    write: {dest: "made-{{ run.id }}/{{ item }}", text: x}
"""


def assert_index_is_whole(number: int) -> None:
    with closing(sqlite3.connect(state_dir() / "index.sqlite")) as connection:
        (check,) = connection.execute("PRAGMA integrity_check").fetchone()
        found = connection.execute("SELECT exit_code, counts NOT NULL FROM runs").fetchall()
    assert check == "ok"
    assert found == [(0, 1)] * number


@pytest.mark.parametrize("number", [2, 10])
def test_runs_at_the_same_time_are_recorded_side_by_side(program: Program, number: int) -> None:
    job = program.job(QUICK)
    states: set[str] = set()
    seen_s: list[float] = []
    runs = [program.start(job, "--procs", "2") for _ in range(number)]

    def look() -> bool:
        began = time.monotonic()
        with History(StateDir(state_dir())) as history:
            found = history.rows()
            for row in found:
                states.add(row.state)
                with history.open(row.run_id) as recorded:
                    assert sum(1 for _ in recorded.units()) <= 100
        seen_s.append(time.monotonic() - began)
        return all(run.process.poll() is not None for run in runs)

    wait_until(look, 100, "all runs have ended")
    for run in runs:
        ended = run.end()
        assert (ended.code, ended.err) == (0, "")
        assert "100 ok" in ended.out
    with History(StateDir(state_dir())) as history:
        assert [row.state for row in history.rows()] == ["ok"] * number
        assert [row.counts.counted("ok") for row in history.rows()] == [100] * number
    assert states <= {"running", "ok"}
    assert max(seen_s) < 20
    assert_index_is_whole(number)
    assert not list(state_dir().glob("*.damaged"))


@pytest.mark.parametrize("how", ["resume", "rerun"])
def test_of_many_that_go_on_with_a_run_at_the_same_time_one_does(
    program: Program, how: str
) -> None:
    run = third_runs(program)
    run.send(signal.SIGKILL)
    run.end()
    wait_until(lambda: not program.left(), 30, "the third unit is ended")
    let(program, range(1, 7))
    everybody = [program.start(how, "--procs", "1") for _ in range(8)]
    codes = Counter(one.end().code for one in everybody)
    # Who comes when it has ended may find that nothing is left to do.
    assert codes[0] >= 1
    assert set(codes) <= {0, 75}
    assert_all_once()
    assert sorted(lines(program)) == ["1", "2", "3", "4", "5", "6"]


def test_a_run_that_goes_on_is_not_gone_on_with(program: Program) -> None:
    run = third_runs(program)
    for how in ("resume", "rerun"):
        refused = program.run(how)
        assert refused.code == 75
        assert f"run {records()[0].name} is still running (process {run.pid} on " in refused.err
    let(program, range(1, 7))
    assert run.end().code == 0
    assert len(records()) == 1


# ---- power cuts ---------------------------------------------------------------------------------


POWER = """
tasks:
  - id: old
    write: {dest: old, text: old}
  - id: told
    needs: [old]
    foreach: [a, b, c, d]
    run: echo {{ item }} >> log
  - id: made
    needs: [told]
    foreach: [x, y]
    write: {dest: "made/{{ item }}", text: "{{ item }}"}
  - id: last
    needs: [made]
    run: echo last >> log; until test -e go; do sleep 0.02; done
"""


@pytest.mark.parametrize("is_same_boot", [True, False])
def test_after_a_power_cut_files_of_the_last_minute_are_written_again_and_commands_are_named(
    program: Program, *, is_same_boot: bool
) -> None:
    run = program.start(program.job(POWER), "--procs", "1")
    run.until(lambda: oks().total() == 7 and "last" in lines(program), "only the last one is left")
    run.send(signal.SIGKILL)
    run.end()
    (record,) = records()
    with closing(sqlite3.connect(record / "journal.sqlite", isolation_level=None)) as connection:
        if not is_same_boot:
            connection.execute("UPDATE run SET boot_id = 'of another boot'")
        # It was written an hour before.
        connection.execute(
            "UPDATE attempts SET started_at = started_at - 3600 WHERE operation = 'write' "
            "AND task = (SELECT position FROM tasks WHERE id = 'old')"
        )
    for name in ("old", "made/x", "made/y"):
        (program.dir / name).unlink()  # they had not reached the disk
    (program.dir / "go").touch()
    again = program.run("resume", "--procs", "1")
    assert again.code == 0
    assert lines(program) == ["a", "b", "c", "d", "last", "last"]
    made = sorted(path.name for path in program.dir.glob("made/*"))
    repeated = {(task, item) for task, item, kind in endings(records()[-1]) if kind == "ok"}
    assert not (program.dir / "old").exists()
    if is_same_boot:
        assert (made, again.err) == ([], "")
        assert repeated == {("last", "")}
    else:
        assert made == ["x", "y"]
        assert repeated == {("made", "x"), ("made", "y"), ("last", "")}
        assert "the machine went down during run" in again.err
        assert again.err.rstrip().endswith("they are not run again: a, b, c and 1 more")
    third = program.run("resume", "--procs", "1")
    assert (third.code, lines(program)) == (0, ["a", "b", "c", "d", "last", "last"])


# ---- clocks -------------------------------------------------------------------------------------


def test_clocks_that_are_set_back_between_runs_lose_and_repeat_nothing(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Six runs, all but the last killed, each an hour before the one that it goes on with."""
    preload = preloaded(compiled(tmp_path_factory.mktemp("library")))
    job = program.job(
        STEPPED.replace("echo {{ item }} >> log", "echo {{ item }} {{ now() }} >> log")
    )
    order: list[str] = []
    for item in range(1, 7):
        begun = len(lines(program, "began"))
        words = ["resume"] if order else [job]
        run = program.start(*words, "--procs", "1", env={**preload, **clock(-3600 * item)})
        # Not before: a unit of the run that was killed may not have been ended yet.
        run.until(lambda begun=begun: len(lines(program, "began")) > begun, "it runs")  # type: ignore[misc]
        let(program, range(item, item + 1))
        if item < 6:
            run.until(lambda item=item: ("step", str(item)) in oks(), "one more")  # type: ignore[misc]
            run.send(signal.SIGKILL)
        assert run.end().code == (0 if item == 6 else -signal.SIGKILL)
        (new,) = {path.name for path in records()} - set(order)
        order.append(new)
    assert order == sorted(order, reverse=True)
    assert [facts(state_dir() / "runs" / one)["previous"] for one in order] == ["", *order[:-1]]
    assert_all_once()
    words_of = [line.split(maxsplit=1) for line in (program.dir / "log").read_text().splitlines()]
    assert [item for item, _ in words_of] == ["1", "2", "3", "4", "5", "6"]
    assert len({now for _, now in words_of}) == 1
    with History(StateDir(state_dir())) as history:
        assert history.find("last") == order[-1]
        assert history.family(order[2]) == order
        assert [row.run_id for row in history.rows()] == order[::-1]
    # An hour later, another run of the same job knows nothing of them.
    assert program.run(job).code == 0
    with History(StateDir(state_dir())) as history:
        assert history.find("last") not in order


def test_of_runs_that_began_in_the_same_second_the_last_one_is_the_last(tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("tasks:\n  - touch: made\n")
    ids = ["20260101-000000-ffff", "20260101-000000-0000", "20260101-000000-8888"]
    for at, run_id in enumerate(ids):
        api.run(tmp_path / "job.yml", procs=0, config=api.RunConfig(run_id=run_id))
        with History(StateDir(state_dir())) as history:
            assert history.find("last") == run_id
            assert [row.run_id for row in history.rows()] == ids[at::-1]
