"""Steps when things die, hang and are stopped: `always` runs, or is said not to have."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Ended, Program, Started
from support import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def log(program: Program) -> list[str]:
    """Return what the steps wrote down, in order."""
    path = program.dir / "log"
    return path.read_text().split() if path.exists() else []


def is_there(program: Program, name: str) -> bool:
    path = program.dir / name
    return path.exists() and bool(path.read_bytes())


def message(ended: Ended) -> str:
    (unit,) = [one for one in ended.units if one["outcome"]["kind"] != "ok"]
    found: str = unit["outcome"].get("message", "")
    return found


#: A step that goes on until it is ended, and what surrounds it. `{}`: modifiers of the task.
HANGS = """
tasks:
  - id: deploy
    {}
    steps:
      - {{name: drain, run: echo drain >> log}}
      - {{name: restart, run: "echo restart >> log; echo $PPID > worker; exec sleep 1000"}}
      - {{name: check, run: echo check >> log}}
    rescue:
      - {{name: repair, run: echo repair >> log}}
    always:
      - {{name: undrain, run: echo undrain >> log}}
      - {{name: tell, run: echo tell >> log}}
finally:
  - run: echo finally >> log
"""


def hanging(program: Program, *words: str, modifiers: str = "tags: [x]") -> Started:
    """Start the job above and wait until its second step runs."""
    job = program.job(HANGS.format(modifiers))
    run = program.start(job, "--procs", "2", "--output", "json", *words)
    run.until(lambda: is_there(program, "worker"), "the second step runs")
    return run


def test_a_failed_step_is_followed_by_rescue_always_and_finally(program: Program) -> None:
    job = program.job("""
tasks:
  - steps:
      - {name: a, run: echo a >> log}
      - {name: b, run: "echo b >> log; echo oops >&2; exit 3"}
      - {name: c, run: echo c >> log}
    rescue:
      - run: echo {{ failed.step }} {{ failed.exit_status }} {{ failed.stderr }} >> log
    always:
      - run: echo z >> log
finally:
  - run: echo finally {{ run.outcome }} {{ run.counts.failed }} >> log
""")
    ended = program.run(job, "--output", "json")
    assert ended.code == 2
    assert log(program) == ["a", "b", "b", "3", "oops", "z", "finally", "failed", "1"]
    assert ended.counts == {"planned": 2, "ok": 1, "changed": 1, "failed": 1}
    assert message(ended) == "step `b`: exit status 3; rescued"


def test_a_rescued_unit_is_ok_when_the_file_says_so(program: Program) -> None:
    job = program.job("""
tasks:
  - steps: [{run: exit 3}]
    rescue: [{run: echo r >> log}]
    rescue_ok: true
""")
    ended = program.run(job, "--output", "json")
    assert (ended.code, log(program)) == (0, ["r"])
    assert ended.counts == {"planned": 1, "ok": 1, "changed": 1}


def test_a_worker_killed_in_a_step_loses_the_unit_and_always_still_runs(program: Program) -> None:
    run = hanging(program)
    os.kill(int((program.dir / "worker").read_text()), signal.SIGKILL)
    ended = run.end()
    assert ended.code == 2
    assert log(program) == ["drain", "restart", "repair", "undrain", "tell", "finally"]
    assert ended.counts == {"planned": 2, "ok": 1, "changed": 1, "lost": 1}
    assert message(ended).startswith("step `restart`: worker-")
    assert message(ended).endswith("; rescued")
    assert not program.commands_left()


def test_a_step_past_its_own_time_is_rescued(program: Program) -> None:
    job = program.job("""
tasks:
  - steps: [{run: sleep 1000, timeout: 200ms}]
    rescue: [{run: echo r >> log}]
    always: [{run: echo z >> log}]
""")
    ended = program.run(job, "--output", "json")
    assert (ended.code, log(program)) == (2, ["r", "z"])
    assert ended.counts == {"planned": 1, "timed_out": 1}
    assert not program.commands_left()


def test_a_unit_past_its_time_is_not_rescued_and_always_runs(program: Program) -> None:
    job = program.job(HANGS.format("timeout: 5s"))
    ended = program.run(job, "--output", "json")
    assert (ended.code, log(program)) == (2, ["drain", "restart", "undrain", "tell", "finally"])
    (unit,) = [one for one in ended.units if one["outcome"]["kind"] == "timed_out"]
    assert unit["outcome"]["limit_s"] == 5.0
    assert not program.commands_left()


def test_the_deadline_ends_the_running_step_and_always_and_finally_run(program: Program) -> None:
    ended = program.run(
        program.job(HANGS.format("tags: [x]")), "--output", "json", "--deadline", "8s"
    )
    assert ended.code == 124
    assert log(program) == ["drain", "restart", "undrain", "tell", "finally"]
    assert ended.counts == {"planned": 2, "ok": 1, "changed": 1, "aborted": 1}
    assert not program.commands_left()


def test_the_first_signal_lets_a_unit_go_through_all_its_steps(program: Program) -> None:
    job = program.job("""
tasks:
  - id: steps
    steps:
      - run: "echo a >> log; until test -e go; do sleep 0.02; done"
      - run: echo b >> log
    always: [{run: echo z >> log}]
  - id: later
    needs: [steps]
    run: echo later >> log
finally:
  - run: echo finally >> log
""")
    run = program.start(job, "--output", "json")
    run.until(lambda: log(program), "the first step runs")
    run.send(signal.SIGINT)
    run.until(lambda: "interrupted" in run.err_so_far, "the signal was heard")
    (program.dir / "go").touch()
    ended = run.end()
    assert ended.code == 130
    assert log(program) == ["a", "b", "z", "finally"]
    assert ended.counts == {"planned": 2, "ok": 2, "changed": 2}
    assert not program.commands_left()


def test_a_request_to_end_runs_always_when_the_grace_is_over(program: Program) -> None:
    run = hanging(program, "--grace", "100ms")
    run.send(signal.SIGTERM)
    ended = run.end()
    assert ended.code == 143
    assert log(program) == ["drain", "restart", "undrain", "tell", "finally"]
    assert ended.counts == {"planned": 2, "ok": 1, "changed": 1, "cancelled": 1}
    assert not program.commands_left()


def test_a_second_signal_leaves_always_and_finally_out_and_says_so(program: Program) -> None:
    run = hanging(program)
    run.send(signal.SIGINT)
    run.until(lambda: "interrupted" in run.err_so_far, "the first signal was heard")
    run.send(signal.SIGINT)
    ended = run.end()
    assert ended.code == 130
    assert log(program) == ["drain", "restart"]
    assert ended.counts == {"planned": 1, "cancelled": 1}
    assert "skipped because a second signal came: `always` of 1 unit" in ended.err
    assert "`finally` tasks are skipped" in ended.err
    wait_until(lambda: not program.left(), 30, "workers and commands are gone")


def test_a_second_signal_ends_a_running_always(program: Program) -> None:
    job = program.job("""
tasks:
  - steps: [{run: "true"}]
    always: [{run: "echo z > here; trap '' TERM; sleep 1000; sleep 1000"}]
""")
    run = program.start(job, "--output", "json")
    run.until(lambda: is_there(program, "here"), "`always` runs")
    for word in ("interrupted", "a second signal"):
        run.send(signal.SIGINT)
        run.until(lambda word=word: word in run.err_so_far, word)  # type: ignore[misc]
    run.send(signal.SIGINT)  # it ignores TERM: without the grace
    ended = run.end()
    assert ended.code == 130
    assert ended.counts == {"planned": 1, "cancelled": 1}
    assert "skipped because a second signal came: `always` of 1 unit" in ended.err
    wait_until(lambda: not program.left(), 30, "workers and commands are gone")


def test_a_fail_limit_lets_a_unit_in_the_middle_end_its_steps(program: Program) -> None:
    job = program.job("""
max_fail: 0
tasks:
  - id: slow
    steps:
      - run: "echo a >> log; touch begun; until test -e failed; do sleep 0.02; done"
      - run: echo b >> log
    always: [{run: echo z >> log}]
  - id: bad
    run: until test -e begun; do sleep 0.02; done; touch failed; exit 1
  - id: after
    needs: [slow]
    run: echo after >> log
finally:
  - run: echo finally >> log
""")
    ended = program.run(job, "--procs", "2", "--output", "json")
    assert ended.code == 5
    assert log(program) == ["a", "b", "z", "finally"]
    assert ended.counts == {"planned": 3, "ok": 2, "changed": 2, "failed": 1}


def test_a_finally_task_may_have_steps_and_sees_how_the_run_went(program: Program) -> None:
    job = program.job("""
tasks:
  - run: exit 7
finally:
  - steps:
      - run: echo {{ run.outcome }} {{ run.counts.failed }} {{ run.failures | length }} >> log
      - run: exit 1
    rescue: [{run: "echo {{ run.id }} > id"}]
    always: [{run: "echo {{ run.summary }} > summary; echo z >> log"}]
""")
    ended = program.run(job, "--output", "json")
    assert ended.code == 2
    assert log(program) == ["failed", "1", "1", "z"]
    assert "0 ok, 1 failed of 1 planned" in (program.dir / "summary").read_text()
    assert (program.dir / "id").read_text().strip() == ended.document["run"]["id"]


def test_the_next_step_does_not_wait_behind_other_units(program: Program) -> None:
    """What has begun goes on: a unit between two steps keeps its worker."""
    job = program.job("""
tasks:
  - id: steps
    foreach: [1, 2]
    steps:
      - run: sleep 0.05
      - run: echo step-{{ item }} >> log
      - run: sleep 0.05
      - run: echo done-{{ item }} >> log
  - id: others
    foreach: {range: [1, 8]}
    run: echo other >> log; sleep 0.2
""")
    ended = program.run(job, "--procs", "1", "--output", "json")
    assert ended.code == 0
    words = log(program)
    for item in ("1", "2"):
        first, last = words.index(f"step-{item}"), words.index(f"done-{item}")
        assert last == first + 1


@pytest.mark.parametrize("procs", ["0", "2"])
def test_a_job_with_many_units_of_steps_adds_up(program: Program, procs: str) -> None:
    job = program.job("""
tasks:
  - foreach: {range: [1, 40]}
    steps:
      - run: echo {{ item }} > a-{{ item }}
      - run: test {{ item % 4 }} != 0
    rescue: [{run: "rm a-{{ item }}"}]
    always: [{run: "touch z-{{ item }}"}]
""")
    ended = program.run(job, "--procs", procs, "--output", "json")
    assert ended.code == 2
    assert ended.counts == {"planned": 40, "ok": 30, "changed": 30, "failed": 10}
    assert len(list(program.dir.glob("a-*"))) == 30
    assert len(list(program.dir.glob("z-*"))) == 40


def test_a_dry_run_rehearses_every_step_and_changes_nothing(program: Program) -> None:
    job = program.job("""
tasks:
  - steps:
      - mkdir: new
      - run: touch new/file
      - copy: {src: new/file, dest: new/copy}
    rescue: [{run: echo r >> log}]
    always: [{mkdir: other}]
""")
    ended = program.run(job, "--dry-run", "--output", "json")
    assert ended.code == 0
    assert ended.counts == {"planned": 1, "ok": 1, "changed": 1}
    (unit,) = ended.units
    assert "unknown until run" in unit["outcome"]["note"]
    assert not (program.dir / "new").exists()
    assert not (program.dir / "other").exists()
    assert not log(program)
