"""Looking back with the real program: runs, show, report and prune, over runs of every ending."""

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.journal.schema import RECORD
from batchrun.model.record import RunState
from program import COMMAND, Program, Started, as_ordinary_user
from support import wait_until
from written_runs import WrittenRun

pytestmark = pytest.mark.timeout(120)

MIXED = """
name: nightly
tasks:
  - id: stage
    name: stage the exports
    foreach: [a, b, "c d"]
    run: |
      for i in $(seq 30); do echo {{ item }} $i; done
      echo err of {{ item }} >&2
      test {{ item }} != b
    retries: 1
    retry_delay: 10ms
    timeout: 1m
  - id: sure
    foreach: {range: [1, 5]}
    mkdir: out/{{ item }}
"""
GOOD = "name: good\ntasks: [{run: echo fine, timeout: 1m}]\n"
#: Waits for a file, so that it goes on until somebody wants it to end.
WAITS = """
name: waits
tasks:
  - id: quick
    foreach: [x, y]
    run: echo {{ item }}
    timeout: 1m
  - needs: [quick]
    run: touch begun; while ! test -e go; do sleep 0.01; done
    timeout: 1m
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path / "work") as made:
        yield made


@pytest.fixture(autouse=True)
def _work(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()


def state_dir() -> Path:
    return Path(os.environ["BATCHRUN_STATE_DIR"])


def run_ids() -> list[str]:
    """Return the ids of all runs, the oldest first."""
    runs = (state_dir() / "runs").iterdir()
    return [path.name for path in sorted(runs, key=lambda path: (path / "lock").stat().st_mtime)]


def database(run_id: str) -> Path:
    return state_dir() / "runs" / run_id / "journal.sqlite"


def listed(program: Program, *words: str) -> list[dict[str, Any]]:
    """Return what `runs --json` lists."""
    ended = program.run("runs", "--json", *words)
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["version"] == 1
    runs: list[dict[str, Any]] = document["runs"]
    return runs


def mixed(program: Program) -> str:
    """Run the job in which something fails; returns the run's id."""
    assert program.run(program.job(MIXED, "mixed.yml"), "-j2").code == 2
    return run_ids()[-1]


def begun(program: Program) -> Started:
    """Start the run that waits, until it does."""
    run = program.start(program.job(WAITS, "waits.yml"), "-j1")
    run.until((program.dir / "begun").exists, "its last unit runs")
    return run


# ---- runs -------------------------------------------------------------------------------------


def test_runs_lists_what_ran_the_newest_first(program: Program) -> None:
    mixed(program)
    program.run(program.job(GOOD, "good.yml"))
    program.run("each", "echo {}", ":::", "1", "2")
    ended = program.run("runs")
    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[0].split() == ["RUN", "WHEN", "TOOK", "EXIT", "JOB", "RESULT"]
    assert [line.split()[0] for line in lines[1:]] == run_ids()[::-1]
    shape = re.compile(
        r"\d{8}-\d{6}-[0-9a-f]{4}  \d{4}-\d\d-\d\d \d\d:\d\d +[\d.]+ m?s +(\d+)  (\S+) +(.*)"
    )
    assert [shape.fullmatch(line).groups() for line in lines[1:]] == [  # type: ignore[union-attr]
        ("0", "each", "2 ok (2 changed)"),
        ("0", "good", "1 ok (1 changed)"),
        ("2", "nightly", "7 ok (7 changed), 1 failed"),
    ]


def test_runs_as_json_holds_the_same_numbers_as_the_run_itself(program: Program) -> None:
    document = program.run(program.job(MIXED, "mixed.yml"), "--output", "json").document
    (run,) = listed(program)
    assert run["id"] == document["run"]["id"]
    assert run["counts"] == document["counts"]
    assert (run["state"], run["exit_code"], run["job"]) == ("failed", 2, "nightly")
    assert run["job_file"] == str(program.dir / "mixed.yml")
    assert (run["started_at"], run["ended_at"]) == (
        document["run"]["started_at"], document["run"]["ended_at"],
    )  # fmt: skip
    assert run["size_bytes"] >= database(run["id"]).stat().st_size


def test_runs_are_chosen_by_job_state_and_time(program: Program) -> None:
    bad = mixed(program)
    program.run(program.job(GOOD, "good.yml"))
    good = run_ids()[-1]
    elsewhere = program.dir / "elsewhere"
    elsewhere.mkdir()

    def found(*words: str, **more: Any) -> list[str]:
        return [one["id"] for one in program.run("runs", "--json", *words, **more).document["runs"]]

    assert found("--job", "nightly") == found("--job", "mixed.yml") == [bad]
    assert found("--job", "../good.yml", cwd=elsewhere) == [good]
    assert found("--job", "mixed.yml", cwd=elsewhere) == []
    assert found("--state", "failed") == [bad]
    assert found("--state", "failed", "--state", "ok") == [good, bad]
    assert found("--since", "1h") == [good, bad]
    assert found("--since", "2030-01-01") == []
    assert found("--last", "1") == [good]
    assert found(env={"BATCHRUN_JOB": "nightly", "BATCHRUN_STATE": "failed ok"}) == [bad]


def test_at_most_twenty_are_listed_unless_all_are_wanted(program: Program) -> None:
    for number in range(21):
        with WrittenRun(state_dir(), f"20261127-0102{number:02}-abcd") as run:
            run.end("a").finish()
    ended = program.run("runs")
    assert len(ended.out.splitlines()) == 21
    assert ended.err == "batchrun: the newest 20 of 21 runs; --all shows all of them\n"
    assert len(listed(program, "--all")) == 21
    assert len(listed(program, "--last", "3")) == 3


def test_where_nothing_is_on_record_that_is_said(program: Program) -> None:
    ended = program.run("runs")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"batchrun: no run is recorded in {state_dir()}\n"
    assert listed(program) == []
    assert not (state_dir() / "index.sqlite").exists()
    ended = program.run("show")
    assert ended.code == 64
    assert f"no run is recorded in {state_dir()}" in ended.err


def test_a_dry_run_leaves_no_record(program: Program) -> None:
    program.run(program.job(GOOD), "-n")
    program.run(program.job(GOOD), "--no-journal")
    assert listed(program) == []


def test_a_run_is_running_until_it_is_killed_and_interrupted_from_then_on(
    program: Program,
) -> None:
    run = begun(program)
    wait_until(
        lambda: [one["counts"]["ok"] for one in listed(program)] == [2], 30, "two units are seen"
    )
    (one,) = listed(program, "--state", "running")
    assert (one["state"], one["exit_code"], one["ended_at"]) == ("running", None, None)
    assert "running: 2 ok (2 changed) so far" in program.run("runs").out
    shown = program.run("show").out
    assert re.search(r"^when +since .* so far$", shown, re.MULTILINE)
    assert "2 ok (2 changed) of 2 planned" in shown

    run.send(signal.SIGKILL)
    run.end()
    (program.dir / "go").touch()
    (one,) = listed(program)
    assert (one["state"], one["exit_code"]) == ("interrupted", None)
    assert one["counts"]["ok"] == 2
    assert " -  waits  interrupted: 2 ok (2 changed)" in program.run("runs").out
    ended = program.run("show")
    assert ended.code == 0
    assert "interrupted: it was killed, or the machine went down" in ended.out
    assert ended.out.splitlines()[-1].startswith("waits: 2 ok (2 changed) of 2 planned")


def test_a_run_that_was_stopped_by_a_signal_has_its_exit_code(program: Program) -> None:
    run = begun(program)
    run.send(signal.SIGTERM)
    (program.dir / "go").touch()
    assert run.end().code == 143
    (one,) = listed(program)
    assert (one["state"], one["exit_code"]) == ("interrupted", 143)
    assert "SIGTERM" in program.run("show").out


def test_what_a_run_goes_on_with_is_said(program: Program) -> None:
    first = mixed(program)
    assert program.run("rerun", "-q").code == 2
    second = run_ids()[-1]
    assert program.run("resume", second, "-q").code == 2
    third = run_ids()[-1]
    text = program.run("runs").out
    assert f"1 failed; reruns {first}\n" in text
    assert f"1 failed; resumes {second}\n" in text
    assert [(one["previous"], one["continues"]) for one in listed(program)] == [
        (second, "resume"), (first, "rerun"), ("", ""),
    ]  # fmt: skip
    assert (
        f"chain     {first}: failed\n"
        f"          {second} (this one): failed, reruns {first}\n"
        f"          {third}: failed, resumes {second}\n"
    ) in program.run("show", second).out


# ---- records that cannot be read --------------------------------------------------------------


def test_a_damaged_record_is_a_row_and_the_others_are_listed(program: Program) -> None:
    bad = mixed(program)
    program.run(program.job(GOOD, "good.yml"))
    database(bad).write_bytes(b"nonsense" * 1000)
    for knows_it in (True, False):
        if not knows_it:
            (state_dir() / "index.sqlite").unlink()
        ended = program.run("runs")
        assert (ended.code, ended.err) == (0, "")
        assert "unreadable: the file is damaged, or is no database" in ended.out
        assert " 0  good " in ended.out
        assert [one["id"] for one in listed(program, "--state", "unreadable")] == [bad]
    for command in (["show"], ["report"], ["show", "--json"]):
        ended = program.run(*command, bad)
        assert (ended.code, ended.out) == (1, "")
        assert re.fullmatch(r"batchrun: the record .* cannot be read: .*\n", ended.err)


def test_damage_that_is_met_half_way_is_a_sentence_and_no_report_is_left(program: Program) -> None:
    job = "tasks: [{foreach: {range: [1, 2000]}, run: [/bin/echo, x], timeout: 1m}]"
    program.run(program.job(job), "-j2", "-q")
    (run_id,) = run_ids()
    size = database(run_id).stat().st_size
    with database(run_id).open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 4))
    ended = program.run("report", "--format", "json", "--to", "report.json")
    assert ended.code == 1
    assert re.fullmatch(r"batchrun: the record of run .* cannot be read: .*\n", ended.err)
    assert [path.name for path in program.dir.iterdir()] == ["job.yml"]


def test_a_record_of_a_newer_batchrun_is_named_as_such(program: Program) -> None:
    run_id = mixed(program)
    with sqlite3.connect(database(run_id)) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    assert "unreadable: it was written by a newer batchrun" in program.run("runs").out
    ended = program.run("show")
    assert ended.code == 1
    assert f"(version 99, this one knows {RECORD.version})" in ended.err


def test_looking_changes_nothing_in_a_record(program: Program) -> None:
    run_id = mixed(program)
    before = {path.name: path.read_bytes() for path in database(run_id).parent.iterdir()}
    for words in (["runs"], ["show"], ["show", "--failed"], ["report", "--format", "ndjson"]):
        assert program.run(*words).code == 0
    assert {path.name: path.read_bytes() for path in database(run_id).parent.iterdir()} == before


def test_a_state_directory_of_somebody_else_is_said_to_be_closed(
    program: Program, tmp_path: Path
) -> None:
    mixed(program)
    others = tmp_path / "others"
    others.mkdir(mode=0o755)
    others.chmod(0o755)
    closed = others / "state"
    state_dir().rename(closed)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o011)
        if path == Path("/tmp"):
            break
    for command in (["runs"], ["show"], ["runs", "prune"]):
        ended = program.run(
            *command, env={"BATCHRUN_STATE_DIR": str(closed)}, before=as_ordinary_user()
        )
        assert ended.code == 1
        assert ended.err == (
            f"batchrun: the state directory {closed} cannot be read: Permission denied\n"
        )


# ---- show -------------------------------------------------------------------------------------


def test_show_says_what_the_run_said_and_more(program: Program) -> None:
    ended = program.run(program.job(MIXED, "mixed.yml"), "-j2")
    shown = program.run("show")
    recap = ended.out[ended.out.index("nightly: ") :]
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.endswith(recap)
    details = ended.out[: ended.out.index("nightly: ")]
    assert details.startswith("FAILED  stage the exports  b\n")
    assert details in shown.out
    header = dict(line.split(maxsplit=1) for line in shown.out.split("\n\n")[0].splitlines())
    assert header["run"] == run_ids()[-1]
    assert header["job"] == f"nightly, {program.dir}/mixed.yml"
    assert header["command"] == "batchrun mixed.yml -j2"
    assert header["state"].startswith("failed (exit code 2, ")
    assert "slowest units:\n" in shown.out
    assert f"all that is kept of it: batchrun show {run_ids()[-1]} --failed --output" in shown.out


def test_a_run_is_found_by_what_people_remember_of_its_id(program: Program) -> None:
    run_id = mixed(program)
    whole = program.run("show", run_id).out
    assert program.run("show", "last").out == whole
    assert program.run("show", run_id[:-1]).out == whole
    assert program.run("show", run_id[-4:]).out == whole
    ended = program.run("show", "nope")
    assert (ended.code, ended.out) == (64, "")
    assert "no run is called nope; `batchrun runs` lists them" in ended.err


def test_failed_units_are_shown_each_by_itself(program: Program) -> None:
    job = """
    tasks:
      - foreach: {range: [1, 150]}
        run: echo {{ item }} is bad >&2; exit {{ item % 120 + 1 }}
        ignore_errors: "{{ item > 140 }}"
        timeout: 1m
    """
    job = job.replace('ignore_errors: "{{ item > 140 }}"', "retries: 0")
    program.run(program.job(job), "-j2", "-q")
    assert "more with other messages" in program.run("show").out
    shown = program.run("show", "--failed")
    numbers = re.findall(r"^FAILED .*  (\d+)  \(unit (\d+)\)$", shown.out, re.MULTILINE)
    assert sorted((int(item), int(unit)) for item, unit in numbers) == [
        (number, number) for number in range(1, 151)
    ]
    assert all(f"    | {number} is bad\n" in shown.out for number in range(1, 151))
    document = program.run("show", "--failed", "--json").document
    assert sorted(unit["item"] for unit in document["units"]) == sorted(map(str, range(1, 151)))
    assert document["counts"]["failed"] == 150


def test_when_nothing_failed_that_is_said(program: Program) -> None:
    program.run(program.job(GOOD), "-q")
    ended = program.run("show", "--failed")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"batchrun: no unit of run {run_ids()[-1]} failed\n"


def test_one_unit_is_shown_with_every_attempt_and_all_its_output(program: Program) -> None:
    mixed(program)
    shown = program.run("show", "--unit", "b").out
    assert len(re.findall(r"^unit \d+  stage the exports  b$", shown, re.MULTILINE)) == 1
    assert re.findall(r"^  attempt (\d): (.*)$", shown, re.MULTILINE) == [
        ("1", "failed: exit status 1"), ("2", "failed: exit status 1"),
    ]  # fmt: skip
    assert shown.count("      | b 1\n") == shown.count("      | b 30\n") == 2
    assert shown.count("      | err of b\n") == 2
    number = re.match(r"unit (\d+)", shown)
    assert number is not None
    assert program.run("show", "--unit", number[1]).out == shown
    assert "stage the exports  c d\n" in program.run("show", "--unit", " d").out


def test_one_unit_as_json_has_its_earlier_attempts(program: Program) -> None:
    mixed(program)
    (unit,) = program.run("show", "--unit", "b", "--json").document["units"]
    assert (unit["item"], unit["attempts"], unit["is_final"]) == ("b", 2, True)
    assert [(one["attempts"], one["outcome"]["kind"]) for one in unit["earlier"]] == [(1, "failed")]
    assert unit["stdout"] == "".join(f"b {number}\n" for number in range(1, 31))


def test_a_unit_that_never_ended_can_be_looked_at(program: Program) -> None:
    job = "tasks: [{id: t, run: 'echo tried; exit 1', retries: 1, retry_delay: 1h, timeout: 1m}]"
    run = program.start(program.job(job))
    run.until(lambda: "tried" in program.run("show", "--unit", "1").out, "the attempt is there")
    run.send(signal.SIGKILL)
    run.end()
    assert "attempt 1: failed: exit status 1" in program.run("show", "--unit", "1").out
    (unit,) = program.run("show", "--unit", "1", "--json").document["units"]
    assert (unit["is_final"], unit["stdout"]) == (False, "tried\n")
    assert program.run("show", "--unit", "1", "--output").stdout == b"tried\n"


def test_a_unit_that_is_not_there_is_a_mistake_of_the_command_line(program: Program) -> None:
    mixed(program)
    for word in ("zzz", "99", "9" * 30, ""):
        ended = program.run("show", "--unit", word)
        assert (ended.code, ended.out) == (64, "")
        assert f"has the number or the item '{word}'" in ended.err


def test_a_word_that_fits_too_many_units_is_refused(program: Program) -> None:
    job = "tasks: [{foreach: {range: [10000, 11500]}, mkdir: 'out/{{ item }}'}]"
    program.run(program.job(job), "-j1", "-q")
    ended = program.run("show", "--unit", "1")
    assert ended.code == 0, "the number of a unit comes first"
    ended = program.run("show", "--unit", "0")
    assert (ended.code, ended.out) == (64, "")
    assert "write more of it" in ended.err


def test_output_is_raw_and_on_the_stream_it_was_written_to(program: Program) -> None:
    job = r"""
    tasks:
      - foreach: [a, b]
        run: |
          printf '\0\377%s\033[2J' {{ item }}
          printf e%s {{ item }} >&2
          test {{ item }} = a
        timeout: 1m
    """
    program.run(program.job(job), "-j1", "-q")
    ended = program.run("show", "--output")
    assert (ended.code, ended.stdout, ended.stderr) == (
        0, b"\0\xffa\x1b[2J\0\xffb\x1b[2J", b"eaeb",
    )  # fmt: skip
    assert program.run("show", "--output", "--failed").stdout == b"\0\xffb\x1b[2J"
    assert program.run("show", "--output", "--unit", "a").stderr == b"ea"


def test_output_that_was_not_kept_is_said_and_not_made_up(program: Program) -> None:
    program.run(program.job("tasks: [{run: head -c 1000000 /dev/zero, timeout: 1m}]"), "-q")
    ended = program.run("show", "--output")
    kept = len(ended.stdout)
    assert 0 < kept < 1_000_000
    assert set(ended.stdout) == {0}
    left_out = f"{1_000_000 - kept:,}".replace(",", " ")
    assert ended.err == (
        f"batchrun: unit 1: {left_out} bytes in the middle of its standard output were not kept\n"
    )


def test_options_that_contradict_each_other_are_refused(program: Program) -> None:
    mixed(program)
    for words in (["--failed", "--unit", "b"], ["--output", "--json"]):
        ended = program.run("show", *words)
        assert ended.code == 64
        assert "contradict each other" in ended.err


def test_what_the_environment_says_for_other_commands_is_not_meant_for_show(
    program: Program,
) -> None:
    mixed(program)
    plain = program.run("show").out
    config = Path(os.environ["XDG_CONFIG_HOME"], "batchrun", "config.yml")
    config.parent.mkdir(parents=True)
    config.write_text("output: json\nquiet: 1\n")
    env = {"BATCHRUN_OUTPUT": "json", "BATCHRUN_UNIT": "20261122-031500-7f3a-1-1"}
    assert program.run("show", env=env).out == plain
    config.write_text("show_output: true\nlast: 1\nkeep: 5\n")
    assert program.run("show").out.startswith("a 1\n")
    assert program.run("runs", "prune", "-n").code == 0


# ---- hostile names ----------------------------------------------------------------------------


def test_hostile_names_do_nothing_to_whoever_looks(program: Program) -> None:
    item = "a\x1b[2Jb\nc\u202e"
    job = {
        "name": "evil\x1b[31m\nname",
        "tasks": [
            {"id": "t", "name": "task\x07", "foreach": [item], "run": ["sh", "-c", "exit 3"],
             "timeout": "1m"},
        ],
    }  # fmt: skip
    name = os.fsdecode(b"evil\xff.yml")
    program.run(program.job(json.dumps(job), name), "-q")
    for words in (
        ["runs"], ["show"], ["show", "--failed"], ["show", "--unit", "1"], ["report"],
        ["show", "--unit", item],
    ):  # fmt: skip
        text = program.run(*words).out
        assert text
        assert text.replace("\n", "").isprintable(), words
    (run,) = listed(program)
    assert run["job"] == "evil\x1b[31m\nname"
    assert run["job_file"].endswith("/evil\ufffd.yml")
    assert [one["id"] for one in listed(program, "--job", name)] == [run["id"]]
    assert program.run("show", "--json").document["units"][0]["item"] == item


def test_whoever_has_seen_enough_ends_it_without_a_word(program: Program) -> None:
    job = "tasks: [{foreach: {range: [1, 1500]}, run: [/bin/false], timeout: 1m}]"
    program.run(program.job(job), "-j2", "-q")
    for words in (
        "show --failed", "show --json", "report --format ndjson", "report --format json", "report",
        "runs --json", "show --output --failed", "show",
    ):  # fmt: skip
        script = f"{' '.join(COMMAND)} {words} | true; echo ${{PIPESTATUS[0]}}"
        ended = subprocess.run(
            ["bash", "-c", script], cwd=program.dir, env=program.environment(),
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert (ended.stdout, ended.stderr) == ("0\n", ""), words


# ---- report -----------------------------------------------------------------------------------


def test_a_report_is_what_the_run_would_have_written(program: Program) -> None:
    job = program.job(MIXED, "mixed.yml")
    said = program.run(job, "-j2").out
    assert program.run("report").out == said
    document = program.run(job, "--output", "json").document
    assert program.run("report", "--format", "json").document == document
    events = program.run(job, "--output", "ndjson").events
    again = program.run("report", "--format", "ndjson").events

    def ends(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one for one in events if one["type"] in ("unit_retried", "unit_ended")]

    assert ends(again) == ends(events)
    # What began is not on record; tasks are all opened before the units, and end behind them.
    kept = [one for one in events if one["type"] != "unit_started"]
    assert (again[0], again[-1]) == (events[0], events[-1])
    assert sorted(map(json.dumps, again)) == sorted(map(json.dumps, kept))


def test_messages_of_the_run_go_where_they_went(program: Program) -> None:
    job = "tasks: [{foreach: {glob: none*}, mkdir: x}, {run: echo fine, timeout: 1m}]"
    ended = program.run(program.job(job))
    again = program.run("report")
    assert (again.out, again.err) == (ended.out, ended.err)


def test_a_report_into_a_file_is_whole_or_not_there(program: Program) -> None:
    mixed(program)
    expected = program.run("report", "--format", "json").out
    ended = program.run("report", "--format", "json", "--to", "report.json")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (program.dir / "report.json").read_text() == expected
    ended = program.run("report", "--format", "json", "--to", "/dev/full")
    assert ended.code == 1
    assert "No space left on device" in ended.err
    ended = program.run("report", "--to", "none/report.txt")
    assert ended.code == 1
    assert "none/report.txt" in ended.err
    assert not list(program.dir.glob(".batchrun-*"))


def test_a_report_of_an_interrupted_run_says_so(program: Program) -> None:
    run = begun(program)
    wait_until(lambda: listed(program)[0]["counts"]["ok"] == 2, 30, "two units are on record")
    run.send(signal.SIGKILL)
    run.end()
    (program.dir / "go").touch()
    document = program.run("report", "--format", "json").document
    assert document["exit_code"] is None
    assert sorted(unit["item"] for unit in document["units"]) == ["x", "y"]
    assert "2 ok (2 changed) of 2 planned" in program.run("report").out


def test_a_page_needs_a_file_and_is_written_there(program: Program) -> None:
    mixed(program)
    ended = program.run("report", "--format", "html")
    assert ended.code == 64
    assert "--to FILE" in ended.err
    assert program.run("report", "--format", "html", "--to", "page.html").code == 0
    assert (program.dir / "page.html").read_text().lower().startswith("<!doctype html>")


# ---- prune ------------------------------------------------------------------------------------


def test_old_runs_are_thrown_away_by_number_families_together(program: Program) -> None:
    first = mixed(program)
    program.run(program.job(GOOD, "good.yml"), "-q")
    other = run_ids()[-1]
    program.run("rerun", first, "-q")
    last = run_ids()[-1]
    ended = program.run("runs", "prune", "--keep", "1", "--dry-run")
    assert ended.out.splitlines()[1].split()[0] == other
    assert re.search(r"^would throw away 1 run, [\d.]+ KiB$", ended.out, re.MULTILINE)
    assert len(run_ids()) == 3
    ended = program.run("runs", "prune", "--keep", "1")
    assert re.fullmatch(r"threw away 1 run, [\d.]+ KiB\n", ended.out)
    assert run_ids() == [first, last]
    assert [one["id"] for one in listed(program)] == [last, first]
    assert program.run("runs", "prune", "--keep", "0", "-q").out == ""
    assert run_ids() == []


def test_old_runs_are_thrown_away_by_age_and_size(program: Program) -> None:
    program.run(program.job(GOOD), "-q")
    assert program.run("runs", "prune", "--older-than", "1h").out == "threw away 0 runs, 0 B\n"
    assert program.run("runs", "prune", "--max-size", "1G").out == "threw away 0 runs, 0 B\n"
    assert program.run("runs", "prune").out == "threw away 0 runs, 0 B\n"
    assert program.run("runs", "prune", "--max-size", "1K").code == 0
    assert run_ids() == []


def test_a_run_that_goes_on_is_never_thrown_away(program: Program) -> None:
    run = begun(program)
    assert program.run("runs", "prune", "--keep", "0").out == "threw away 0 runs, 0 B\n"
    (program.dir / "go").touch()
    assert run.end().code == 0
    assert [one["state"] for one in listed(program)] == ["ok"]


def test_records_that_cannot_be_read_can_be_thrown_away(program: Program) -> None:
    database(mixed(program)).write_bytes(b"nonsense")
    assert program.run("runs", "prune", "--keep", "0").code == 0
    assert run_ids() == []


def test_options_of_runs_before_prune_are_refused(program: Program) -> None:
    mixed(program)
    ended = program.run("runs", "--job", "good", "prune", "--keep", "0")
    assert ended.code == 64
    assert "options of `runs` mean nothing before `prune`" in ended.err
    assert len(run_ids()) == 1
    assert program.run("runs", "prune", "--keep", "0", env={"BATCHRUN_JOB": "good"}).code == 0
    assert run_ids() == []


def test_at_the_end_of_a_run_old_records_go_but_not_its_own(program: Program) -> None:
    old = mixed(program)
    with sqlite3.connect(state_dir() / "index.sqlite") as index:
        index.execute("UPDATE runs SET started_at = started_at - 91 * 86400, size_bytes = 1 << 40")
    index.close()
    program.run(program.job(GOOD, "good.yml"), "-q")
    assert old not in run_ids()
    assert len(run_ids()) == 1


def test_every_word_of_a_state_is_one_that_can_be_asked_for(program: Program) -> None:
    for word in RunState:
        assert listed(program, "--state", word) == []
