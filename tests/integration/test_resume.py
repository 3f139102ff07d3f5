"""`resume` and `rerun` as people use them; the record is read by sqlite3 alone."""

import json
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from journal_judge import endings, facts, ok_units, records, rows, state_dir
from program import Ended, Program, as_ordinary_user
from support import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "here"
    directory.mkdir()
    with Program(directory) as made:
        yield made


@pytest.fixture
def as_nobody() -> Iterator[Program]:
    """Make a program in a directory that everybody may enter."""
    top = Path("/var/tmp") / f"batchrun-test-{secrets.token_hex(4)}"
    (top / "here").mkdir(parents=True)
    try:
        for path in (top, top / "here"):
            path.chmod(0o755)
        with Program(top / "here") as made:
            yield made
    finally:
        shutil.rmtree(top)


def lines(program: Program, name: str = "log") -> list[str]:
    """Return what units have written to a file, a line each."""
    path = program.dir / name
    return path.read_text().splitlines() if path.exists() else []


def log(text: str) -> str:
    """Write a command that notes something, and fails while there is no file `go`."""
    return f"printf '%s\\n' {text} >> log; test -e go"


def let_go(program: Program) -> None:
    """Let everything succeed from now on."""
    (program.dir / "go").touch()


def said(ended: Ended) -> str:
    return ended.out + ended.err


# ---- what is done, and what is left ---------------------------------------------------------

FEW = """
tasks:
- id: good
  foreach: [a, b]
  run: "echo {{ item }} >> log"
- id: bad
  foreach: [c, d]
  run: "echo {{ item }} >> log; test -e go"
"""


def test_a_resume_does_what_failed_and_says_which_run_it_goes_on_with(program: Program) -> None:
    job = program.job(FEW)
    assert program.run(job).code == 2
    let_go(program)
    assert program.run("resume").code == 0
    assert sorted(lines(program)) == ["a", "b", "c", "c", "d", "d"]
    first, second = (facts(run) for run in records())
    assert (second["previous"], second["continues"]) == (first["id"], "resume")
    assert sorted(endings(records()[1])) == [("bad", "c", "ok"), ("bad", "d", "ok")]


def test_of_a_run_in_which_everything_went_well_nothing_is_left(program: Program) -> None:
    job = program.job(FEW)
    let_go(program)
    assert program.run(job).code == 0
    resumed = program.run("resume")
    assert resumed.code == 0
    assert "4 done before" in resumed.out
    assert len(lines(program)) == 4


def test_a_list_that_was_reordered_and_grew_and_shrank_is_done_once(program: Program) -> None:
    text = 'tasks:\n- id: all\n  foreach: {lines: items}\n  run: "%s"\n'
    job = program.job(text % log("{{ item }}").replace("\\", "\\\\"))
    (program.dir / "items").write_text("a\nb\nb\nc\n")
    let_go(program)
    assert program.run(job).code == 0
    (program.dir / "items").write_text("new\nb\nc\nb\nb\n")
    resumed = program.run("resume")
    assert resumed.code == 0
    assert sorted(lines(program)) == ["a", "b", "b", "b", "c", "new"]
    assert "warning: 1 unit that ended ok is no longer planned: a" in resumed.err


def test_finally_runs_each_time_and_is_not_counted_as_missing(program: Program) -> None:
    job = program.job(FEW + "finally:\n- id: last\n  run: echo last >> log\n")
    assert program.run(job).code == 2
    let_go(program)
    resumed = program.run("resume")
    assert lines(program).count("last") == 2
    assert "no longer planned" not in said(resumed)


def test_what_a_resume_does_not_come_to_is_not_taken_for_no_longer_planned(
    program: Program,
) -> None:
    text = (
        "tasks:\n- id: first\n  run: echo %s\n"
        "- id: then\n  needs: [first]\n  foreach: [a, b]\n  run: echo {{ item }}\n"
    )
    assert program.run(program.job(text % "well")).code == 0
    program.job(text % "not well; exit 1")
    resumed = program.run("resume")
    assert resumed.code == 2
    assert "1 unit that ended ok is no longer planned: echo well" in resumed.err


def test_waves_that_are_shares_of_the_units_are_as_big_as_the_first_time(
    program: Program,
) -> None:
    job = program.job(
        "tasks:\n- id: t\n  foreach: {range: [1, 20]}\n  batch: 50%\n  max_fail: 100%\n"
        '  run: "test {{ item }} -lt 15 || test -e go"\n'
    )
    assert program.run(job, "-j2").code == 2
    let_go(program)
    resumed = program.run("resume", "--output", "ndjson")
    waves = [one["message"] for one in resumed.events if "wave" in one.get("message", "")]
    assert resumed.code == 0
    assert waves == ["wave 1 of 2 (10 units)"]


# ---- the job as it was, and as it is --------------------------------------------------------

VARIABLES = """
vars:
  stamp: "{{ now('%Y-%m-%d %H:%M:%S') }} {{ now('%f') }}"
  who: nobody
  count: 1
  list: [a, b]
  must: null
tasks:
- id: t
  foreach: [x, y]
  run: "printf '%s\\n'
    {{ stamp }}@{{ who }}@{{ count }}@{{ list | join(',') }}@{{ must }}@{{ run.id }} >> log;
    test -e go"
"""


def test_time_variables_and_run_id_are_those_of_the_first_run(program: Program) -> None:
    job = program.job(VARIABLES)
    (program.dir / "vars.yml").write_text("who: somebody\nlist: [c, 'd e']\n")
    words = (job, "--vars-file", "vars.yml", "-e", "count=007", "-e", "must=it's $(given)")
    assert program.run(*words).code == 2
    (program.dir / "vars.yml").unlink()
    assert program.run("resume").code == 2
    let_go(program)
    assert program.run("rerun").code == 0

    found = lines(program)
    assert len(found) == 6
    assert len(set(found)) == 1
    _, who, count, listed, must, run_id = found[0].split("@")
    assert (who, count, listed, must) == ("somebody", "007", "c,d e", "it's $(given)")
    assert run_id == facts(records()[0])["id"]


def test_a_changed_job_file_is_read_anew_and_that_is_said(program: Program) -> None:
    job = program.job("tasks:\n- id: t\n  run: echo old >> log; test -e go\n")
    assert program.run(job).code == 2
    program.job("tasks:\n- id: t\n  run: echo new >> log\n")
    resumed = program.run("resume")
    assert resumed.code == 0
    run_id = facts(records()[0])["id"]
    assert f"{program.dir / job} has changed since run {run_id}" in resumed.err
    assert lines(program) == ["old", "new"]

    again = program.run("resume", run_id, "--recorded")
    assert again.code == 2
    assert "has changed" not in again.err
    assert lines(program) == ["old", "new", "old"]


def test_an_unchanged_job_file_is_no_news(program: Program) -> None:
    job = program.job(FEW)
    program.run(job)
    let_go(program)
    assert "has changed" not in program.run("resume").err


@pytest.mark.parametrize("command", ["resume", "rerun"])
def test_a_job_file_that_is_gone_is_refused_with_what_to_do(program: Program, command: str) -> None:
    job = program.job(FEW)
    program.run(job)
    before = lines(program)
    (program.dir / job).unlink()
    refused = program.run(command)
    run_id = facts(records()[0])["id"]
    assert refused.code == 64
    assert (
        f"the job file {program.dir / job} is not there any more; `batchrun {command} {run_id} "
        "--recorded` uses its text as it was"
    ) in refused.err
    assert lines(program) == before

    let_go(program)
    assert program.run(command, run_id, "--recorded").code == 0
    assert sorted(lines(program)) == sorted([*before, "c", "d"])


def test_a_job_file_with_a_mistake_is_told_and_nothing_is_run(program: Program) -> None:
    job = program.job(FEW)
    program.run(job)
    before = lines(program)
    program.job(FEW.replace("foreach", "foreech"))
    refused = program.run("resume")
    assert refused.code == 65
    assert "nothing was run" in refused.err
    assert (lines(program), len(records())) == (before, 1)


def test_a_job_from_standard_input_is_resumed_from_its_record(program: Program) -> None:
    assert program.run("-", stdin=FEW.encode()).code == 2
    let_go(program)
    elsewhere = program.dir / "elsewhere"
    elsewhere.mkdir()
    assert program.run("resume", cwd=elsewhere).code == 0
    assert sorted(lines(program)) == ["a", "b", "c", "c", "d", "d"]


def test_what_was_selected_the_first_time_is_selected_again(program: Program) -> None:
    job = program.job(FEW)
    assert program.run(job, "--task", "bad").code == 2
    let_go(program)
    assert program.run("resume").code == 0
    assert sorted(lines(program)) == ["c", "c", "d", "d"]


def test_a_resume_may_give_more_time_and_more_attempts(program: Program) -> None:
    job = program.job("tasks:\n- id: t\n  run: echo x >> log; test -e go || exec sleep 30\n")
    assert program.run(job, "--timeout", "2").code == 2
    program.job("tasks:\n- id: t\n  run: echo x >> log; test -e go\n  retry_delay: 0.1\n")
    assert program.run("resume", "--retries", "2", "--timeout", "5").code == 2
    assert len(lines(program)) == 4
    let_go(program)
    assert program.run("resume", "--timeout", "1m").code == 0
    options = [json.loads(facts(run)["options"])["load"] for run in records()]
    assert [(one["timeout_s"], one["retries"]) for one in options] == [
        (2.0, None),
        (5.0, 2),
        (60.0, 2),
    ]


def test_a_resume_holds_the_lock_of_its_job(program: Program) -> None:
    job = program.job("lock: true\ntasks:\n- id: t\n  run: touch began; test -e go\n")
    assert program.run(job).code == 2
    run_id = facts(records()[0])["id"]
    program.job(
        "lock: true\ntasks:\n- id: t\n  run: touch other; until test -e go; do sleep 0.1; done\n"
    )
    other = program.start(job)
    other.until((program.dir / "other").exists, "another run of the same job goes on")
    refused = program.run("resume", run_id)
    let_go(program)
    assert refused.code == 75
    assert "is being run by process" in refused.err
    assert other.end().code == 0


# ---- each and do ----------------------------------------------------------------------------


def test_each_goes_on_by_item_and_not_by_line(program: Program) -> None:
    items = program.dir / "items"
    items.write_text("a\nb\nc\n")
    command = "echo {} >> log; test {} = b || test -e go"
    assert program.run("each", "-a", "items", command).code == 2
    items.write_text("new\nc\nb\na\n")
    let_go(program)
    resumed = program.run("resume")
    assert resumed.code == 0
    assert sorted(lines(program)) == ["a", "a", "b", "c", "c", "new"]


def test_each_with_items_of_any_bytes_on_the_command_line_goes_on(program: Program) -> None:
    names = [os.fsdecode(b"caf\xe9"), "plain"]
    assert program.run("each", "echo {} >> log; test -e go", ":::", *names).code == 2
    let_go(program)
    assert program.run("resume").code == 0
    assert sorted((program.dir / "log").read_bytes().split()) == [
        *[b"caf\xe9"] * 2,
        *[b"plain"] * 2,
    ]


def test_each_shows_after_a_resume_what_it_showed_before(program: Program) -> None:
    command = "echo of {}; test {} = a || test -e go"
    first = program.run("each", "-j1", "--tag", command, ":::", "a", "b")
    assert first.out == "a\tof a\nb\tof b\n"
    let_go(program)
    assert program.run("resume").out == "b\tof b\n"


def test_do_goes_on_as_well(program: Program) -> None:
    assert program.run("do", "run", "echo x >> log; test -e go").code == 2
    let_go(program)
    elsewhere = program.dir / "elsewhere"
    elsewhere.mkdir()
    assert program.run("resume", cwd=elsewhere).code == 0
    assert lines(program) == ["x", "x"]


# ---- results --------------------------------------------------------------------------------


def test_results_are_those_of_the_run_that_made_them(program: Program) -> None:
    job = program.job(
        "tasks:\n"
        "- id: name\n"
        "  foreach: [a, b]\n"
        "  run: echo name >> log; echo {{ item }}-$$\n"
        "  register: name\n"
        "- id: use\n"
        "  foreach: [a, b]\n"
        "  needs: [{task: name, per: item}]\n"
        "  run: echo {{ mine.name.stdout }} >> used; test -e go\n"
        "- id: sum\n"
        "  needs: [name, use]\n"
        "  run: echo {{ results.name.units | map(attribute='stdout') | join(' ') }} > sum\n"
    )
    assert program.run(job).code == 2
    first = sorted(lines(program, "used"))
    let_go(program)
    assert program.run("resume").code == 0
    assert lines(program) == ["name", "name"]
    assert sorted(lines(program, "used")) == sorted(first * 2)
    assert sorted(lines(program, "sum")[0].split()) == first


def test_a_result_that_showed_a_secret_makes_its_unit_run_again(program: Program) -> None:
    # It began before the secret was read, so that only the end of its output is hidden.
    secret = "open-sesame"
    (program.dir / "secret").write_text(secret)
    job = program.job(
        "secrets: {word: {file: secret}}\n"
        "tasks:\n"
        "- id: shows\n"
        "  run: echo x >> log; touch began; until test -e read; do sleep 0.05; done; cat secret\n"
        "  register: word\n"
        "- id: reads\n"
        "  env: {WORD: '{{ secrets.word }}'}\n"
        "  run: until test -e began; do sleep 0.05; done; touch read\n"
        "- id: uses\n"
        "  needs: [shows]\n"
        "  run: test -e go\n"
        "  env: {WORD: '{{ results.word.stdout }}'}\n"
    )
    assert program.run(job, "-j2").code == 2
    first = records()[0]
    assert [row["hidden"] for row in rows(first, "SELECT hidden FROM results")] == [1]
    assert secret.encode() not in (first / "journal.sqlite").read_bytes()
    let_go(program)
    assert program.run("resume").code == 0
    assert lines(program) == ["x", "x"]


def test_more_than_a_mebibyte_cannot_be_registered_and_the_unit_fails(program: Program) -> None:
    job = program.job(
        "tasks:\n"
        "- id: fits\n"
        "  run: head -c 1048576 /dev/zero | tr '\\0' x\n"
        "  register: fits\n"
        "- id: big\n"
        "  run: head -c 1048577 /dev/zero | tr '\\0' x\n"
        "  register: big\n"
        "- id: use\n"
        "  needs: [fits]\n"
        "  run: [sh, -c, 'wc -c > size; test -e go']\n"
        "  stdin: '{{ results.fits.stdout }}'\n"
    )
    ended = program.run(job)
    assert ended.code == 2
    assert "it wrote more output than a result can have (1 MiB)" in ended.out
    (kept,) = rows(records()[0], "SELECT name, length(data) AS size FROM results")
    assert (kept["name"], kept["size"]) == ("fits", 1_048_576)
    let_go(program)
    assert program.run("resume").code == 2
    assert (program.dir / "size").read_text().strip() == "1048576"
    assert dict(ok_units(records()[1])) == {("use", ""): 1}


# ---- rerun ----------------------------------------------------------------------------------

KINDS = """
tasks:
- id: kinds
  foreach: [ok, failed, timed_out]
  timeout: 2
  run: "echo {{ item }} >> log; test -e go && exit 0; case {{ item }} in failed) exit 1;;
    timed_out) sleep 30;; esac"
- id: aborted
  needs: [kinds]
  run: echo aborted >> log
"""


def test_a_rerun_runs_what_did_not_end_ok_and_what_was_never_begun(program: Program) -> None:
    job = program.job(KINDS)
    assert program.run(job).code == 2
    let_go(program)
    (program.dir / "log").unlink()
    program.job(KINDS.replace("[ok,", "[ok, new,"))
    assert program.run("rerun").code == 0
    assert sorted(lines(program)) == ["aborted", "failed", "timed_out"]
    first, second = (facts(run) for run in records())
    assert (second["previous"], second["continues"]) == (first["id"], "rerun")


def test_a_rerun_of_failures_runs_these_only(program: Program) -> None:
    job = program.job(KINDS)
    assert program.run(job).code == 2
    let_go(program)
    (program.dir / "log").unlink()
    assert program.run("rerun", "--failed").code == 0
    assert sorted(lines(program)) == ["failed", "timed_out"]


def test_a_rerun_of_what_was_unreachable_runs_nothing_that_only_failed(program: Program) -> None:
    job = program.job(KINDS.replace("  timeout", "  register: kinds\n  timeout"))
    assert program.run(job).code == 2
    (program.dir / "log").unlink()
    ended = program.run("rerun", "--unreachable")
    assert ended.code == 0
    assert lines(program) == []
    # The record says which was: here as if one host had not answered.
    database = records()[0] / "journal.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            'UPDATE attempts SET kind = 3, exit_status = NULL, detail = \'{"message": "no"}\' '
            "WHERE label = 'failed'"
        )
        connection.commit()
    let_go(program)
    run_id = facts(records()[0])["id"]
    assert program.run("rerun", run_id, "--unreachable").code == 0
    assert lines(program) == ["failed"]


def test_a_rerun_of_a_rerun_runs_what_is_still_not_ok(program: Program) -> None:
    job = program.job(FEW)
    assert program.run(job).code == 2
    program.job(FEW.replace("test -e go", "test {{ item }} = c"))
    assert program.run("rerun", "--recorded").code == 2
    let_go(program)
    (program.dir / "log").unlink()
    assert program.run("rerun", "--recorded").code == 0
    assert sorted(lines(program)) == ["c", "d"]


# ---- which run is meant ---------------------------------------------------------------------


def test_the_run_may_be_shortened_and_none_is_refused(program: Program) -> None:
    assert "no run is recorded in" in program.run("resume").err
    job = program.job(FEW)
    program.run(job)
    run_id = facts(records()[0])["id"]
    assert program.run("resume", run_id[-4:]).code == 2
    refused = program.run("resume", "20000101")
    assert refused.code == 64
    assert "no run is called 20000101; `batchrun runs` lists them" in refused.err


def test_a_run_that_goes_on_is_not_resumed(program: Program) -> None:
    job = program.job("tasks:\n- id: t\n  run: touch began; until test -e go; do sleep 0.1; done\n")
    run = program.start(job)
    run.until((program.dir / "began").exists, "the run has begun")
    refused = program.run("resume")
    let_go(program)
    assert run.end().code == 0
    assert refused.code == 75
    assert "is still running (process" in refused.err
    assert len(records()) == 1


# ---- without a record, and where it cannot be made ------------------------------------------


def test_without_a_journal_nothing_is_recorded(program: Program) -> None:
    job = program.job(FEW)
    assert program.run(job, "--no-journal").code == 2
    assert program.run(job, "--dry-run").code == 0
    assert not (state_dir() / "runs").exists()
    assert program.run("resume").code == 64


def test_a_resume_may_be_rehearsed_and_that_is_not_recorded(program: Program) -> None:
    job = program.job(FEW)
    assert program.run(job).code == 2
    before = lines(program)
    rehearsed = program.run("resume", "--dry-run", "--output", "json")
    assert rehearsed.code == 0
    assert [unit["item"] for unit in rehearsed.units] == ["c", "d"]
    assert (lines(program), len(records())) == (before, 1)


def test_where_a_run_cannot_be_recorded_nothing_is_run(program: Program) -> None:
    job = program.job(FEW)
    place = program.dir / "file"
    place.touch()
    ended = program.run(job, env={"BATCHRUN_STATE_DIR": str(place)})
    assert ended.code == 1
    assert ended.out == ""
    assert re.fullmatch(
        rf"batchrun: the run cannot be recorded in {place}: [A-Za-z ]+; set BATCHRUN_STATE_DIR to "
        r"another directory, or give --no-journal to run without a record\n",
        ended.err,
    )
    assert lines(program) == []


@pytest.mark.parametrize("number", ["65534", "54321"])
def test_whoever_has_no_home_is_told_what_to_do(as_nobody: Program, number: str) -> None:
    program = as_nobody
    job = program.job("tasks:\n- id: t\n  run: echo hello\n")
    no_home = {"HOME": None, "XDG_STATE_HOME": None, "XDG_CONFIG_HOME": None}
    before = [
        word.replace("65534", number) if os.geteuid() == 0 else word for word in as_ordinary_user()
    ]
    ordinary: dict[str, Any] = {"before": before, "cwd": "/"}
    job = str(program.dir / job)
    refused = program.run(job, env={**no_home, "BATCHRUN_STATE_DIR": None}, **ordinary)
    assert (refused.code, refused.out) == (1, "")
    assert "/.local/state/batchrun: Permission denied; set BATCHRUN_STATE_DIR" in refused.err
    assert program.run(job, "--no-journal", env=no_home, **ordinary).code == 0


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_everything_in_the_state_directory_is_for_its_owner_only(
    program: Program, umask: int
) -> None:
    job = program.job(
        "tasks:\n- id: t\n  foreach: {lines: '-'}\n  run: echo {{ item }}\n  lock: x\n"
    )
    state = program.dir / "state"
    before = os.umask(umask)
    try:
        ended = program.run(job, stdin=b"a\nb\n", env={"BATCHRUN_STATE_DIR": str(state)})
    finally:
        os.umask(before)
    assert ended.code == 0
    modes = {str(path): path.stat().st_mode & 0o777 for path in (state, *state.rglob("*"))}
    assert modes == {name: 0o700 if Path(name).is_dir() else 0o600 for name in modes}
    assert len(list(state.rglob("items/*"))) == 1


def test_a_state_directory_may_have_any_name(program: Program) -> None:
    job = program.job(FEW)
    env = {"BATCHRUN_STATE_DIR": os.fsdecode(os.fsencode(program.dir) + b"/st%41te ?#\xff")}
    assert program.run(job, env=env).code == 2
    let_go(program)
    assert program.run("resume", env=env).code == 0


def test_whoever_has_a_name_of_any_bytes_can_run_jobs(program: Program) -> None:
    job = program.job(FEW)
    odd = os.fsdecode(b"ann\xff")
    assert program.run(job, env={"LOGNAME": odd, "USER": odd}).code == 2
    assert facts(records()[0])["user"] == b"ann\xff"


# ---- what is on record ----------------------------------------------------------------------


def test_no_line_for_programs_is_ahead_of_the_record(program: Program) -> None:
    job = program.job(
        "tasks:\n"
        "- id: t\n  foreach: {range: [1, 300]}\n  write: {dest: 'out/{{ item }}', text: x}\n"
        "- id: s\n  foreach: {range: [1, 10]}\n  run: sleep 0.05\n"
    )
    read, write = os.pipe()
    run = program.start(job, "--output", "ndjson", "-j2", stdout=write)
    os.close(write)
    ended = 0
    with os.fdopen(read, "rb") as output:
        for line in output:
            event = json.loads(line)
            if event["type"] in ("unit_ended", "run_ended"):
                ended += event["type"] == "unit_ended"
                with closing(sqlite3.connect(records_now() / "journal.sqlite")) as connection:
                    (number,) = connection.execute("SELECT count(*) FROM attempts").fetchone()
                    (code,) = connection.execute("SELECT exit_code FROM run").fetchone()
                assert number >= ended
                assert event["type"] != "run_ended" or code == event["exit_code"]
    assert run.end().code == 0
    assert ended == 310


def records_now() -> Path:
    """Return the directory of the only run, which goes on."""
    (found,) = (state_dir() / "runs").iterdir()
    return found


@pytest.mark.parametrize("how", ["job", "each"])
def test_of_long_output_the_beginning_and_the_end_are_on_record_and_what_is_missing_is_counted(
    program: Program, how: str
) -> None:
    command = "seq 1 200000; seq 1 200000 >&2"
    if how == "job":
        assert program.run(program.job(f"tasks:\n- id: t\n  run: {command}\n")).code == 0
    else:
        assert program.run("each", f"{command}; true {{}}", ":::", "x").code == 0
    whole = "".join(f"{number}\n" for number in range(1, 200_001)).encode()
    found = rows(records()[0], "SELECT * FROM outputs ORDER BY stream")
    assert [row["stream"] for row in found] == [0, 1]
    for row in found:
        head, tail = row["head"], row["tail"]
        assert (len(head), len(tail)) == (64 * 1024, 192 * 1024)
        assert whole.startswith(head)
        assert whole.endswith(tail)
        assert len(head) + row["omitted_bytes"] + len(tail) == len(whole)


def test_many_runs_that_begin_in_the_same_second_are_all_recorded(program: Program) -> None:
    job = program.job("tasks:\n- id: t\n  run: 'true'\n")
    runs = [program.start(job, "-j1") for _ in range(6)]
    assert [run.end().code for run in runs] == [0] * 6
    assert len(records()) == 6
    with closing(sqlite3.connect(state_dir() / "index.sqlite")) as index:
        found = index.execute("SELECT id, exit_code FROM runs").fetchall()
    assert sorted(found) == sorted((run.name, 0) for run in records())
    wait_until(lambda: not program.left(), 10, "all of them are gone")
