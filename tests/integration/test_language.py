"""Each modifier of the language at work: the whole program, real commands, real files."""

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from batchrun.jobfile.members import wrong_member
from program import Ended, Program


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "job"
    directory.mkdir()
    with Program(directory) as program:
        yield program


def run(program: Program, text: str, *words: str, code: int = 0) -> Ended:
    """Run a job to its end, with a document as its output."""
    ended = program.run(program.job(text), "--output", "json", *words)
    assert ended.code == code, ended.err
    return ended


def outcomes(ended: Ended) -> list[dict[str, Any]]:
    """Return how the units ended, in the order of the file."""
    order = [task["id"] for task in ended.document["tasks"]]
    by_place = sorted(ended.units, key=lambda unit: (order.index(unit["task"]), unit["index"]))
    return [unit["outcome"] for unit in by_place]


def kinds(ended: Ended) -> list[str]:
    return [outcome["kind"] for outcome in outcomes(ended)]


def told(program: Program, name: str = "log") -> list[str]:
    """Return the lines that the commands of a job wrote to a file."""
    path = program.dir / name
    return path.read_text().splitlines() if path.exists() else []


# ---- order


def test_an_item_goes_on_as_soon_as_its_own_unit_has_ended(program: Program) -> None:
    # `slow` of the first task ends only when `fast` of the second one has run.
    run(
        program,
        """
tasks:
- id: first
  foreach: [slow, fast]
  run: |
    if [ {{ item }} = slow ]; then
      i=0; while ! test -e fast.done; do i=$((i+1)); test $i -lt 600 || exit 9; sleep 0.05; done
    fi
- foreach: [fast, slow]
  needs: [{task: first, per: item}]
  run: touch {{ item }}.done
""",
        "-j",
        "2",
    )

    assert (program.dir / "slow.done").exists()


def test_only_the_items_that_did_not_end_well_are_held_back(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- id: first
  foreach: [bad, good]
  run: test {{ item }} = good
- foreach: [good, bad]
  needs: [{task: first, per: item}]
  run: touch {{ item }}.done
""",
        code=2,
    )

    assert ended.counts["aborted"] == 1
    assert (program.dir / "good.done").exists()
    assert not (program.dir / "bad.done").exists()


def test_waves_do_not_overlap_and_a_failing_canary_stops_the_rest(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- foreach: [a, b, c, d, e]
  batch: [1, 50%]
  run: |
    echo {{ item }} >> log
    test {{ item }} != b || { until grep -qx c log; do sleep 0.02; done; false; }
""",
        "-j",
        "2",
        code=5,
    )

    assert told(program)[0] == "a"
    assert sorted(told(program)) == ["a", "b", "c"]
    assert ended.counts["aborted"]


def test_a_share_of_items_that_nobody_knows_beforehand_is_a_share_of_all(
    program: Program,
) -> None:
    (program.dir / "list").write_text("a\nb\nc\nd\n")

    run(
        program,
        """
tasks:
- foreach: {lines: list}
  batch: 50%
  run: echo {{ item }} >> log; test {{ item }} != a
""",
        code=5,
    )

    assert sorted(told(program)) == ["a", "b"]


def test_units_that_take_two_slots_run_one_at_a_time_on_two(program: Program) -> None:
    run(
        program,
        """
tasks:
- foreach: [a, b, c, d]
  slots: 2
  run: mkdir alone && sleep 0.05 && rmdir alone
""",
        "-j",
        "2",
    )


def test_a_lock_of_the_machine_keeps_two_runs_apart(program: Program) -> None:
    state = {"BATCHRUN_STATE_DIR": str(program.dir / "state")}
    text = """
tasks:
- foreach: {range: [1, 5]}
  lock: {name: "only-{{ 'one' }}", scope: machine}
  run: mkdir alone && sleep 0.02 && rmdir alone
"""
    runs = [program.start(program.job(text), env=state) for _ in range(2)]

    assert [one.end().code for one in runs] == [0, 0]


# ---- guards


def test_guards_skip_what_there_is_nothing_to_do_for(program: Program) -> None:
    (program.dir / "there").touch()
    ended = run(
        program,
        """
tasks:
- {run: touch made-1, creates: there}
- {run: touch made-2, creates: [there, "missing*"]}
- {run: touch made-3, removes: missing}
- {run: touch made-4, unless: test -e there}
- {run: touch made-5, onlyif: [test, -e, missing]}
- {run: touch made-6, onlyif: test $A = yes, env: {A: "yes"}}
- {run: touch made-7, unless: exit 127}
""",
        code=2,
    )

    expected = ["skipped", "ok", "skipped", "skipped", "skipped", "ok", "failed"]
    assert kinds(ended) == expected
    made = sorted(path.name for path in program.dir.glob("made-*"))
    assert made == ["made-2", "made-6"]


def test_a_directory_that_is_no_mount_point_fails_the_unit_before_anything_is_done(
    program: Program,
) -> None:
    (program.dir / "mnt").mkdir()
    ended = run(
        program,
        "tasks: [{run: touch made, mounted: [mnt]}, {run: touch other, mounted: /proc}]",
        code=2,
    )

    assert kinds(ended) == ["failed", "ok"]
    assert not (program.dir / "made").exists()
    assert (program.dir / "other").exists()


def test_an_output_is_made_whole_or_not_at_all(program: Program) -> None:
    for name in ("good", "bad"):
        (program.dir / f"{name}.in").write_text(name)
    ended = run(
        program,
        """
tasks:
- foreach: {glob: "*.in"}
  run: cat {{ item }} > {{ output }} && test -e {{ item | stem }}.in && ! grep -q bad {{ item }}
  output: out/{{ item | stem }}.tar.gz
""",
        code=2,
    )

    assert sorted(kinds(ended)) == ["failed", "ok"]
    assert [path.name for path in (program.dir / "out").iterdir()] == ["good.tar.gz"]
    assert (program.dir / "out" / "good.tar.gz").read_text() == "good"


def test_an_output_that_is_newer_than_its_item_is_left_alone(program: Program) -> None:
    source, out = program.dir / "a.in", program.dir / "a.out"
    source.write_text("one")
    text = """
tasks:
- foreach: {glob: "*.in"}
  run: "cp {{ item }} {{ output }}"
  output: "{{ item | stem }}.out"
"""

    first = kinds(run(program, text))
    second = kinds(run(program, text))
    source.write_text("two")
    os.utime(source, (time.time() + 60, time.time() + 60))
    third = kinds(run(program, text))

    assert (first, second, third) == (["ok"], ["skipped"], ["ok"])
    assert out.read_text() == "two"


def test_a_command_runs_with_its_niceness(program: Program) -> None:
    run(program, "tasks: [{run: nice > plain}, {run: nice > nicer, nice: 7}]")

    plain = int((program.dir / "plain").read_text())
    assert int((program.dir / "nicer").read_text()) == min(plain + 7, 19)


# ---- codes


def test_codes_say_what_success_and_change_are(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- {run: exit 3, ok_codes: [0, 3]}
- {run: exit 4, changed_codes: 4}
- {run: "true", changed_codes: 4}
- {run: "true", readonly: true}
- {run: echo nothing new, changed_when: "'created' in stdout"}
- {run: echo created, changed_when: "'created' in stdout"}
- {run: exit 5, changed_codes: 4}
""",
        code=2,
    )

    assert kinds(ended) == ["ok"] * 6 + ["failed"]
    changed = [outcome["changed"] for outcome in outcomes(ended)[:6]]
    assert changed == [True, True, False, False, False, True]


def test_silence_ends_a_command_where_that_is_asked(program: Program) -> None:
    ended = run(program, "tasks: [{run: echo begun; sleep 60, idle_timeout: 300ms}]", code=2)

    assert kinds(ended) == ["timed_out"]


# ---- results


def test_a_result_is_used_by_later_tasks(program: Program) -> None:
    run(
        program,
        """
tasks:
- {id: probe, run: printf 'one\\ntwo words\\n', register: probe, readonly: true}
- id: each
  needs: probe
  foreach: "{{ results.probe.lines }}"
  run: printf '%s' {{ item }}
  register: seen
- needs: each
  when: results.probe.exit_status == 0
  run: echo {{ results.seen.units | map(attribute='stdout') | list }} >> log
- needs: each
  foreach: "{{ results.probe.lines }}"
  run: echo "mine is" {{ mine.seen.stdout }} >> mine.log
  max_parallel: 1
""",
    )

    assert told(program) == ["one two words"]
    assert told(program, "mine.log") == ["mine is one", "mine is two words"]


def test_a_result_per_item_reaches_a_unit_that_was_planned_before(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- {id: a, foreach: [x, y], run: "sleep 0.2; echo seen {{ item }}", register: made}
- id: b
  foreach: [x, y]
  needs: [{task: a, per: item}]
  when: item == 'x' or mine.made.stdout == 'never'
  run: echo {{ mine.made.stdout }} > {{ item }}.log
- {needs: [a, b], run: "echo {{ results.made.units | length }} > count"}
""",
        "-j",
        "2",
    )

    assert ended.counts["skipped"] == 1
    assert told(program, "x.log") == ["seen x"]
    assert told(program, "count") == ["2"]


def test_bytes_of_a_result_that_are_no_text_come_through(program: Program) -> None:
    run(
        program,
        """
tasks:
- {id: a, run: "printf 'caf\\\\351'", register: name}
- {needs: a, run: "printf %s {{ results.name.stdout }} > out"}
""",
    )

    assert (program.dir / "out").read_bytes() == b"caf\xe9"


def test_a_result_that_is_too_long_fails_the_unit_and_says_what_to_do(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- {run: head -c 1048576 /dev/zero | tr '\\0' x, register: fits}
- {run: head -c 1048577 /dev/zero | tr '\\0' x, register: long}
""",
        code=2,
    )

    assert kinds(ended) == ["ok", "failed"]
    assert "write it to a file" in outcomes(ended)[1]["message"]


def test_finally_sees_the_results_of_a_run_that_failed(program: Program) -> None:
    run(
        program,
        """
tasks:
- {run: "echo said; exit 3", register: probe}
- {run: "true", register: other}
finally:
- run: echo {{ results.probe.outcome }} {{ results.probe.exit_status }} >> log
- run: echo {{ results.probe.stdout }} > said
""",
        code=2,
    )

    assert told(program) == ["failed 3"]
    assert told(program, "said") == ["said"]


def test_a_dry_run_says_what_it_cannot_know(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- {id: probe, run: touch changed, register: probe}
- {id: look, run: echo here, register: look, readonly: true}
- {needs: probe, run: "echo {{ results.probe.stdout }}"}
- {needs: probe, run: a, when: results.probe.changed}
- {needs: probe, run: a, foreach: "{{ results.probe.lines }}"}
- {needs: look, run: "touch {{ results.look.stdout }}"}
""",
        "--dry-run",
    )

    assert kinds(ended).count("skipped") == 3
    because = [one["because"] for one in outcomes(ended) if one["kind"] == "skipped"]
    assert all("unknown until run" in one for one in because)
    assert list(program.dir.iterdir()) == [program.dir / "job.yml"]


def test_a_dry_run_waits_for_what_a_pattern_may_match_later(program: Program) -> None:
    text = """
tasks:
- {id: made, foreach: [a.csv, b.csv], write: {dest: "in/{{ item }}", text: x}}
- {id: copied, needs: made, copy: {src: "in/*.csv", dest: out/}}
- {id: listed, needs: made, checksum: {src: "in/*.csv", dest: sums}}
- id: both
  foreach: [c.csv]
  steps:
  - write: {dest: "new/{{ item }}", text: x}
  - move: {src: "new/*.csv", dest: moved/}
- {id: alone, perms: {path: "none/*.csv", mode: 0600}}
"""
    early = run(program, text, "--dry-run")
    assert [kind for kind in kinds(early) if kind == "skipped"] == ["skipped", "skipped"]
    _, _, copied, listed, both, _ = outcomes(early)
    assert copied["because"] == f"unknown until run: nothing matches {program.dir}/in/*.csv"
    assert listed["because"].startswith("unknown until run: there is nothing to list in ")
    assert f"`move`: unknown until run: nothing matches {program.dir}/new/*.csv" in both["note"]
    warning = f"warning: alone: nothing matches {program.dir}/none/*.csv\n"
    assert early.err == warning

    late = run(program, text)
    assert late.counts["changed"] == 5
    assert late.err == warning


def test_a_dry_run_does_not_blame_trees_that_a_task_before_would_make_equal(
    program: Program,
) -> None:
    for name, text in (("src/a", "new"), ("dest/a", "old"), ("dest/b", "own")):
        path = program.dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (program.dir / "sums").write_text(f"{sha256(b'new').hexdigest()}  dest/a\n")
    text = """
tasks:
- {id: before, compare: {src: src, dest: dest}, ignore_errors: true}
- {id: mirrored, needs: before, sync: {src: src, dest: dest, delete: true}}
- {id: same, needs: mirrored, compare: {src: src, dest: dest}}
- {id: right, needs: mirrored, checksum: {dest: sums, verify: true}}
"""
    early = run(program, text, "--dry-run")
    assert kinds(early) == ["failed", "ok", "skipped", "skipped"]
    _, _, same, right = outcomes(early)
    assert same["because"].startswith("unknown until run: the trees differ: ")
    assert "has another checksum than the manifest says" in right["because"]

    assert kinds(run(program, text)) == ["failed", "ok", "ok", "ok"]
    assert kinds(run(program, text, "--dry-run")) == ["ok", "ok", "ok", "ok"]


def test_a_dry_run_says_the_same_of_items_that_follow_their_own(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- {id: a, foreach: [x], run: touch changed, register: made}
- {foreach: [x], needs: [{task: a, per: item}], run: "echo {{ mine.made.stdout }}"}
""",
        "--dry-run",
    )

    assert kinds(ended) == ["ok", "skipped"]
    assert "unknown until run" in outcomes(ended)[1]["because"]


def test_what_the_programs_own_names_hold_is_what_the_check_knows(program: Program) -> None:
    run(
        program,
        """
tasks:
- id: probe
  run: echo x
  register: probe
- needs: probe
  steps:
  - run: [sh, -c, 'exit 1']
  rescue:
  - write: {dest: failed, text: "{{ failed.keys() | join(' ') }}"}
  - write: {dest: job, text: "{{ job.keys() | join(' ') }}"}
  - write: {dest: results.probe, text: "{{ results.probe.keys() | join(' ') }}"}
  - write: {dest: mine.probe, text: "{{ results.probe.units[0].keys() | join(' ') }}"}
finally:
- write: {dest: run, text: "{{ run.keys() | join(' ') }}"}
- write: {dest: run.counts, text: "{{ run.counts.keys() | join(' ') }}"}
""",
        code=2,
    )
    for root in ("failed", "job", "results.probe", "mine.probe", "run", "run.counts"):
        words = told(program, root)[0].split()
        assert len(words) > 1
        for word in words:
            assert wrong_member((*root.split("."), word)) == ""
        assert wrong_member((*root.split("."), "nonsense"))


# ---- steps


def test_steps_run_one_after_the_other_and_know_of_each_other(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- foreach: [x, y]
  max_parallel: 1
  env: {WHO: "{{ item }}"}
  steps:
  - {run: "echo 1 $WHO >> log; echo got $WHO", register: got}
  - {run: "echo 2 {{ mine.got.stdout }} >> log", when: mine.got.changed}
  - {run: echo never >> log, when: "false"}
  - copy: {src: log, dest: "copy-{{ item }}"}
""",
    )

    assert told(program) == ["1 x", "2 got x", "1 y", "2 got y"]
    assert (program.dir / "copy-x").exists()
    assert kinds(ended) == ["ok", "ok"]


def test_a_failed_step_is_rescued_and_always_runs(program: Program) -> None:
    ended = run(
        program,
        """
tasks:
- id: hurt
  steps:
  - run: echo 1 >> log
  - {name: break it, run: "echo why >&2; exit 3"}
  - run: echo never >> log
  rescue:
  - run: echo rescue {{ failed.step }} {{ failed.exit_status }} {{ failed.stderr }} >> log
  always:
  - run: echo always >> log
- id: saved
  needs: []
  steps: [{run: exit 1}]
  rescue: [{run: "true"}]
  rescue_ok: true
""",
        code=2,
    )

    assert told(program) == ["1", "rescue break it 3 why", "always"]
    assert sorted(kinds(ended)) == ["failed", "ok"]


def test_a_step_has_guards_retries_codes_and_ignored_errors(program: Program) -> None:
    run(
        program,
        """
tasks:
- steps:
  - {run: "echo try >> log; test $(wc -l < log) -ge 3", retries: 5, retry_delay: 10ms}
  - {run: exit 4, ok_codes: 4}
  - {run: exit 5, ignore_errors: true}
  - {run: echo never >> log, creates: log}
  - {run: "echo made > {{ output }}", output: out.txt}
""",
    )

    assert told(program) == ["try"] * 3
    assert told(program, "out.txt") == ["made"]
    assert sorted(path.name for path in program.dir.iterdir()) == ["job.yml", "log", "out.txt"]


def test_a_unit_that_is_tried_again_starts_at_its_first_step(program: Program) -> None:
    run(
        program,
        """
tasks:
- retries: 3
  retry_delay: 10ms
  steps:
  - {run: "echo one >> log; cat log | wc -l", register: count}
  - {run: "test {{ mine.count.stdout }} -ge 3"}
""",
    )

    assert told(program) == ["one"] * 3


@pytest.mark.parametrize("words", [("-j", "0"), ("-j", "1")])
def test_late_results_and_steps_are_the_same_in_process(
    program: Program, words: tuple[str, str]
) -> None:
    run(
        program,
        """
tasks:
- {id: a, foreach: [x, y], run: "echo saw {{ item }}", register: made}
- foreach: [y, x]
  needs: [{task: a, per: item}]
  steps:
  - {run: "echo {{ mine.made.stdout }} twice", register: own}
  - {run: "echo {{ mine.own.stdout }} >> {{ item }}.log"}
""",
        *words,
    )

    assert [told(program, f"{name}.log") for name in "xy"] == [["saw x twice"], ["saw y twice"]]


def test_output_of_a_task_may_be_shown_always(program: Program) -> None:
    job = program.job("tasks: [{run: echo for the mail, print: always}, {run: echo unseen}]")

    ended = program.run(job)

    assert "for the mail" in ended.out + ended.err
    assert "unseen" not in ended.out + ended.err
