"""The command line as people and scripts use it: options, streams, formats, exit codes."""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from batchrun.cli.jobflags import JobFlags
from batchrun.model.counts import Tally
from batchrun.model.exitcode import EXIT_CODES
from program import Program, path_with_batchrun

pytestmark = pytest.mark.timeout(120)

RECAP = re.compile(
    r"(?P<job>\S+): (?P<numbers>\d[\d ]* ok.*) of \d[\d ]* planned in [\d.]+ m?s"
    r"(?P<dry> \(dry run\))?   run (?P<run>\d{8}-\d{6}-[0-9a-f]{4})"
)
#: A warning, a failure with output on both streams, and units that end well.
MIXED = """
name: nightly
tasks:
  - id: good
    foreach: [a, b, c]
    run: echo out of {{ item }}; echo err of {{ item }} >&2
  - id: bad
    name: the bad one
    foreach: [x, y]
    run: |
      for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; done
      echo the reason of {{ item }} >&2
      exit 7
  - id: none
    foreach: []
    run: "true"
  - id: later
    needs: [bad]
    run: "true"
"""
GOOD = """
tasks:
  - id: make
    foreach: [a, b]
    mkdir: "made/{{ item }}"
  - id: say
    run: echo hello; echo oops >&2
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


# ---- readable output ----------------------------------------------------------------------------


def test_the_recap_has_the_shape_of_the_contract_and_comes_last(program: Program) -> None:
    ended = program.run(program.job(MIXED), "--procs", "1")
    assert ended.code == 2
    *details, head, failed, not_expanded, again = ended.out.splitlines()
    match = RECAP.fullmatch(head)
    assert match, head
    assert (match["job"], match["numbers"]) == ("nightly", "3 ok (3 changed), 2 failed")
    assert failed == "FAILED       the bad one  x, y (2): exit status 7"
    assert not_expanded == "not expanded: later (needs bad, which did not end well)"
    assert again == f"again: batchrun rerun {match['run']}"
    assert details[:2] == ["FAILED  the bad one  x", details[1]]
    assert re.fullmatch(r"  exit status 7, after \d+(\.\d)? m?s", details[1])
    assert details[2:14] == [
        "  stdout, the last 10 lines of 87 B:",
        *(f"    | line {number}" for number in range(3, 13)),
        "  stderr:",
    ]
    assert details[14] == "    | the reason of x"


def test_results_go_to_standard_output_and_messages_to_standard_error(program: Program) -> None:
    ended = program.run(program.job(MIXED))
    assert ended.err == "warning: none: its `foreach` gave no items, so there was no unit\n"
    assert "warning" not in ended.out
    assert "out of a" not in ended.out


def test_quiet_is_silent_when_all_went_well(program: Program) -> None:
    for options in (["-q"], ["-qq"], ["--quiet", "--progress", "auto"]):
        ended = program.run(program.job(GOOD), *options)
        assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_quiet_shows_what_is_needed_when_something_failed(program: Program) -> None:
    job = program.job(MIXED)
    # One worker, so that the units end in the same order each time.
    loud, quiet, silent = (program.run(job, "-j1", *how) for how in ((), ("-q",), ("-qq",)))
    assert (quiet.code, silent.code) == (2, 2)

    def without_times(text: str) -> str:
        return re.sub(r"\d+(\.\d+)? m?s\b|run \S+$", "", text, flags=re.MULTILINE)

    assert without_times(quiet.out) == without_times(silent.out) == without_times(loud.out)
    assert quiet.err == loud.err
    assert silent.err == ""


def test_quiet_still_warns_and_quiet_twice_does_not(program: Program) -> None:
    job = program.job("tasks:\n  - foreach: []\n    run: 'true'\n")
    once, twice = program.run(job, "-q"), program.run(job, "-qq")
    assert (once.code, once.out, twice.code, twice.out, twice.err) == (0, "", 0, "", "")
    assert once.err.startswith("warning: ")


def test_patterns_that_match_nothing_are_told_once_for_each_task(program: Program) -> None:
    job = program.job("""
tasks:
  - {id: logs, foreach: [a, b, c], compress: "{{ item }}/*.log"}
  - {id: modes, perms: {path: "*.csv", mode: 0600}}
""")
    for words in ([], ["-q"], ["--dry-run", "-q"]):
        ended = program.run(job, *words, "-j1")
        assert ended.code == 0
        assert sorted(ended.err.splitlines()) == [
            f"warning: logs: nothing matches {program.dir}/a/*.log (3 times alike)",
            f"warning: modes: nothing matches {program.dir}/*.csv",
        ]
    assert program.run(job, "-qq").err == ""


def test_live_output_is_tagged_and_stays_on_its_stream(program: Program) -> None:
    job = program.job(
        MIXED + "  - name: alone\n    run: printf 'no newline'; printf 'a\\nb\\n' >&2\n"
    )
    ended = program.run(job, "-v")
    out, err = ended.out.splitlines(), ended.err.splitlines()
    for item in "abc":
        assert f"{item}: out of {item}" in out
        assert f"{item}: err of {item}" in err
        assert not any(f"err of {item}" in line for line in out)
    assert [line for line in out if line.startswith("x: line")] == [
        f"x: line {number}" for number in range(1, 13)
    ]
    assert "x: failed: exit status 7" in err
    assert "alone: no newline" in out
    assert err.index("alone: a") < err.index("alone: b")


def test_live_output_comes_while_the_command_runs(program: Program) -> None:
    job = program.job(
        "tasks:\n  - run: echo first; until test -e go; do sleep 0.02; done; echo last\n"
    )
    run = program.start(job, "-v")
    run.until(lambda: "run-1: first\n" in run.out_so_far, "the first line is shown")
    (program.dir / "go").touch()
    assert "run-1: last\n" in run.end().out


def test_failures_with_different_items_are_folded(program: Program) -> None:
    job = program.job("""
tasks:
  - id: copy
    foreach: {range: [1, 2000]}
    copy: {src: "missing/{{ item }}", dest: "copied/{{ item }}"}
  - id: each
    foreach: {range: [1, 30]}
    run: exit {{ item }}
""")
    ended = program.run(job, "--procs", "2")
    lines = ended.out.splitlines()
    assert "0 ok, 2 030 failed of 2 030 planned" in lines[0]
    assert any(re.match(r"FAILED       copy  (\d+, ){3}\.\.\. \(2 000\): ", line) for line in lines)
    assert lines[-2].strip() == "and 11 more with other messages"
    assert len(lines) == 23


def test_errors_that_are_ignored_are_shown_apart_and_fail_nothing(program: Program) -> None:
    job = program.job("tasks:\n  - run: exit 4\n    ignore_errors: true\n")
    ended = program.run(job)
    assert ended.code == 0
    assert "0 ok, 1 failed (1 ignored) of 1 planned" in ended.out
    assert "IGNORED      run-1  exit status 4" in ended.out


@pytest.mark.parametrize(
    ("env", "coloured"),
    [
        ({}, False),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"CLICOLOR_FORCE": "0"}, False),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": ""}, True),
    ],
    ids=str,
)
def test_colour_is_where_it_is_wanted(
    program: Program, env: dict[str, str | None], coloured: bool
) -> None:
    neutral: dict[str, str | None] = {"NO_COLOR": None, "CLICOLOR_FORCE": None}
    ended = program.run(program.job(MIXED), "--procs", "0", env={**neutral, **env})
    assert ("\x1b[31mFAILED\x1b[0m" in ended.out) is coloured
    assert ("\x1b[33mwarning:\x1b[0m" in ended.err) is coloured
    if not coloured:
        assert "\x1b" not in ended.out + ended.err


def test_progress_in_lines_is_for_logs(program: Program) -> None:
    ended = program.run(program.job(MIXED), "--progress", "lines", "--procs", "0")
    lines = ended.err.splitlines()
    assert "\x1b" not in ended.err
    assert "\r" not in ended.err
    pattern = r"progress: the bad one has ended after \d+(\.\d)? m?s: 0 ok, 2 failed"
    assert any(re.fullmatch(pattern, line) for line in lines)


# ---- output for programs ------------------------------------------------------------------------


def test_the_json_document_is_complete(program: Program) -> None:
    ended = program.run(program.job(MIXED), "--output", "json")
    document = ended.document
    assert ended.code == document["exit_code"] == 2
    assert document["version"] == 1
    assert set(document) == {"version", "run", "tasks", "units", "counts", "exit_code"}
    assert document["run"]["job"] == "nightly"
    for at in ("started_at", "ended_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["run"][at])
    assert [task["id"] for task in document["tasks"]] == ["good", "bad", "none", "later"]
    assert [task["good"] for task in document["tasks"]] == [True, False, True, False]
    assert ended.counts == {"planned": 5, "ok": 3, "failed": 2, "changed": 3}
    by_kind = Counter(unit["outcome"]["kind"] for unit in document["units"])
    assert by_kind == {"ok": 3, "failed": 2}
    assert sorted(unit["number"] for unit in document["units"]) == [1, 2, 3, 4, 5]
    (bad,) = [unit for unit in document["units"] if unit["item"] == "x"]
    assert bad["exit_status"] == 7
    assert bad["stdout"] == "".join(f"line {number}\n" for number in range(1, 13))
    assert bad["stderr"] == "the reason of x\n"
    assert (bad["task"], bad["index"], bad["attempts"], bad["operation"]) == ("bad", 1, 1, "run")
    assert bad["duration_s"] > 0


def test_every_event_is_one_line_as_it_happens(program: Program) -> None:
    job = program.job("""
tasks:
  - id: quick
    foreach: {range: [1, 200]}
    mkdir: "made/{{ item }}"
  - id: slow
    needs: [quick]
    run: until test -e go; do sleep 0.02; done
    retries: 1
""")
    run = program.start(job, "--output", "ndjson")
    run.until(
        lambda: (
            '"type":"unit_started"' in run.out_so_far.partition('"task":"slow"')[0][-60:]
            or '"task":"slow","index":1' in run.out_so_far
        ),
        "the start of the slow one is told while it runs",
    )
    (program.dir / "go").touch()
    ended = run.end()
    types = [event["type"] for event in ended.events]
    assert (types[0], types[-1]) == ("run_started", "run_ended")
    assert Counter(types)["unit_ended"] == 201
    assert Counter(types)["task_ended"] == 2
    assert ended.events[-1]["counts"]["ok"] == 201
    assert ended.events[-1]["exit_code"] == ended.code == 0
    assert ended.err == ""


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_messages_never_mix_with_output_for_programs(program: Program, output: str) -> None:
    ended = program.run(program.job(MIXED), "--output", output, "-v", "--progress", "lines")
    assert ended.code == 2
    assert "warning: none: " in ended.err
    for line in ended.out.splitlines() if output == "ndjson" else [ended.out]:
        json.loads(line)


def test_output_for_programs_says_nothing_when_nothing_was_run(program: Program) -> None:
    job = program.job("tasks:\n  - run: {{\n")
    for output in ("json", "ndjson"):
        ended = program.run(job, "--output", output)
        assert (ended.code, ended.out) == (65, "")


# ---- help and the table of exit codes -----------------------------------------------------------


def help_text(program: Program, *command: str) -> str:
    """Return the help as one line of words, without its frames."""
    ended = program.run(*command, "--help", env={"COLUMNS": "100", "NO_COLOR": "1"})
    assert (ended.code, ended.err) == (0, "")
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", ended.out).split())


def test_the_table_of_exit_codes_is_the_same_everywhere(program: Program, root: Path) -> None:
    readme = (root / "README.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \| (.+) \|$", readme, re.MULTILINE)
    in_readme: dict[int, str] = {}
    for numbers, meaning in rows:
        codes = [int(number) for number in numbers.split(",")]
        if len(codes) == 1:
            in_readme[codes[0]] = meaning.replace("`", "")
        else:
            what, *signals = re.split(r" (?=SIG)|, ", meaning)
            in_readme |= {code: f"{what} {name}" for code, name in zip(codes, signals, strict=True)}
    assert in_readme == {int(code): meaning for code, meaning in EXIT_CODES}
    for command in ([], ["run"]):
        shown = help_text(program, *command)
        for code, meaning in EXIT_CODES:
            assert f"{int(code)} {meaning}" in shown


def test_every_long_option_and_its_environment_variable_are_in_the_help(program: Program) -> None:
    names = [field.name for field in fields(JobFlags) if field.name != "job_file"]
    shown = help_text(program, "run")
    assert len(names) >= 20
    for name in names:
        assert f"--{name.replace('_', '-')} " in shown
        assert f"BATCHRUN_{name.upper()}" in shown
    assert "Usage: batchrun run [OPTIONS]" in shown


def test_without_words_the_help_is_shown(program: Program) -> None:
    ended = program.run()
    assert ended.code == 0
    assert "Usage: batchrun" in ended.out
    assert ended.err == ""


# ---- environment --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"BATCHRUN_OUTPUT": "json", "BATCHRUN_PROCS": "0"}, []),
        ({"BATCHRUN_OUTPUT": "text", "BATCHRUN_PROCS": "3"}, ["--output", "json", "-j", "0"]),
    ],
    ids=["the environment", "the command line wins"],
)
def test_options_may_come_from_the_environment(
    program: Program, variables: dict[str, str | None], words: list[str]
) -> None:
    ended = program.run(program.job(GOOD), *words, env=variables)
    assert ended.document["run"]["procs"] == 0


def test_every_kind_of_option_may_come_from_the_environment(program: Program) -> None:
    job = program.job("""
vars: {who: nobody}
tasks:
  - {id: one, tags: [a], run: "echo {{ who }} > one; exit 1"}
  - {id: two, tags: [b], run: "echo {{ who }} > two"}
""")
    dry = program.run(job, env={"BATCHRUN_DRY_RUN": "1", "BATCHRUN_DETAILED_EXITCODE": "true"})
    assert dry.code == 3
    tagged = program.run(job, env={"BATCHRUN_TAGS": "b", "BATCHRUN_VAR": "who=me"})
    assert (tagged.code, (program.dir / "two").read_text()) == (0, "me\n")
    assert not (program.dir / "one").exists()
    task = program.run(job, env={"BATCHRUN_TASK": "two", "BATCHRUN_QUIET": "1"})
    assert (task.code, task.out) == (0, "")
    limited = program.run(job, env={"BATCHRUN_MAX_FAIL": "0", "BATCHRUN_RETRIES": "0"})
    assert limited.code == 5


def test_a_run_inside_a_command_of_a_run_is_a_run_of_its_own(program: Program) -> None:
    """Commands are told their task in BATCHRUN_TASK, which is also the variable of --task."""
    program.job(GOOD, "inner.yml")
    job = program.job("tasks:\n  - id: outer\n    run: batchrun inner.yml --procs 1\n")
    path = path_with_batchrun(program.dir / "bin")
    ended = program.run(job, "--output", "json", env={"PATH": path})
    (unit,) = ended.units
    assert ended.code == 0, unit
    assert "inner: 3 ok (3 changed) of 3 planned" in unit["stdout"]


# ---- job files ----------------------------------------------------------------------------------


def test_a_job_may_come_from_standard_input(program: Program) -> None:
    text = b"tasks:\n  - id: make\n    mkdir: made\n  - needs: [make]\n    run: cat; pwd\n"
    ended = program.run("-", "--output", "json", stdin=text)
    assert ended.code == 0
    assert ended.document["run"]["job"] == "job"
    assert (program.dir / "made").is_dir()
    assert ended.units[-1]["stdout"] == f"{program.dir}\n"
    wrong = program.run("check", "-", stdin=b"tasks:\n  - runn: x\n")
    assert (wrong.code, wrong.err.splitlines()[0][:22]) == (65, "-:2: tasks[0].runn: `r")


def test_a_job_file_may_be_a_program(program: Program) -> None:
    job = program.dir / program.job("#!/usr/bin/env batchrun\n" + GOOD, "nightly")
    job.chmod(0o755)
    env = program.environment({"PATH": path_with_batchrun(program.dir / "bin")})
    ended = subprocess.run(
        [job, "--procs", "1", "--output", "json"], cwd="/", env=env, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, b"")
    document = json.loads(ended.stdout)
    assert (document["run"]["job"], document["run"]["procs"]) == ("nightly", 1)
    assert sorted(os.listdir(program.dir / "made")) == ["a", "b"]


def test_options_may_come_before_the_file(program: Program) -> None:
    job = program.job(GOOD)
    assert program.run("--procs", "2", job, "-q").code == 0
    dry = program.run("-n", job)
    assert (dry.code, "(dry run)" in dry.out) == (0, True)
    assert program.run("-j1", "--output=json", job).document["run"]["procs"] == 1
    named = program.job(GOOD, "check")
    assert program.run(f"./{named}", "-q").code == 0
    assert program.run("run", named, "-q").code == 0


# ---- what is run --------------------------------------------------------------------------------

TAGGED = """
tasks:
  - {id: a, tags: [x], run: "echo a >> ran"}
  - {id: b, tags: [x, y], needs: [a], run: "echo b >> ran"}
  - {id: c, run: "echo c >> ran"}
"""


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        (["--tags", "x"], ["a", "b"]),
        (["--tags", "y,x"], ["a", "b"]),
        (["--skip-tags", "y"], ["a", "c"]),
        (["--tags", "x", "--skip-tags", "y"], ["a"]),
        (["--task", "b"], ["b"]),
        (["--task", "a", "--task", "c"], ["a", "c"]),
    ],
    ids=" ".join,
)
def test_a_part_of_a_job_can_be_run(program: Program, words: list[str], ran: list[str]) -> None:
    job = program.job(TAGGED)
    ended = program.run(job, *words, "--procs", "0")
    assert ended.code == 0, ended.err
    assert sorted((program.dir / "ran").read_text().split()) == ran


def test_a_dry_run_says_of_which_units_it_cannot_tell(program: Program) -> None:
    job = program.job("""
tasks:
  - {id: made, run: "echo x > made; cat made", register: M}
  - {id: told, needs: [made], foreach: [a], write: {dest: b, text: "{{ results.M.stdout }}"}}
  - {id: copy, needs: [made], copy: {src: made, dest: copied}}
""")
    ended = program.run(job, "--dry-run")
    *lines, recap = ended.out.splitlines()
    missing = f"cannot copy {program.dir}/made: No such file or directory"
    result = "it uses the result of `M`, which a dry run does not run"
    assert sorted(lines) == [
        f"cannot tell  copy  unknown until run: {missing}",
        f"cannot tell  told  a: unknown until run: {result}",
        "would change made  would run echo x > made; cat made",
    ]
    match = RECAP.fullmatch(recap)
    assert match
    assert match["numbers"] == "1 ok (1 would change), 2 skipped"
    assert program.run(job, "--dry-run", "-q").out == ""


def test_a_dry_run_says_what_would_change_and_changes_nothing(program: Program) -> None:
    (program.dir / "there").mkdir()
    (program.dir / "src").write_text("x")
    job = program.job("""
tasks:
  - {id: dirs, foreach: [there, new], mkdir: "{{ item }}"}
  - {id: copy, copy: {src: src, dest: copied}}
  - {id: command, foreach: ["a b"], run: "touch {{ item }}"}
  - {id: never, when: "false", run: "true"}
""")
    before = sorted(os.listdir(program.dir))
    ended = program.run(job, "--dry-run")
    *changes, recap = ended.out.splitlines()
    assert ended.code == 0
    assert sorted(changes) == [
        "would change command  a b: would run touch 'a b'",
        f"would change copy  {program.dir}/copied",
        "would change dirs  new",
    ]
    match = RECAP.fullmatch(recap)
    assert match
    assert (match["dry"], match["numbers"]) == (" (dry run)", "4 ok (3 would change), 1 skipped")
    assert sorted(os.listdir(program.dir)) == before
    assert program.run(job, "-n", "-q").out == ""
    assert program.run(job, "-n", "--detailed-exitcode").code == 3
    (program.dir / "new").mkdir()
    nothing = program.run(job, "-n", "--detailed-exitcode", "--task", "dirs")
    assert nothing.code == 0
    assert nothing.out.startswith("job: 2 ok of 2 planned")


def test_limits_of_the_command_line_override_those_of_the_file(program: Program) -> None:
    job = program.job("""
tasks:
  - {id: flaky, run: "echo x >> tries; exit 1", retry_delay: 0s}
  - {id: slow, run: sleep 100}
""")
    ended = program.run(job, "--retries", "2", "--timeout", "3s", "--output", "json")
    assert ended.code == 2
    assert (program.dir / "tries").read_text().count("x") == 3
    assert ended.counts == {"planned": 2, "failed": 1, "timed_out": 1, "retried": 2}


def test_check_prints_the_plan_and_runs_nothing(program: Program) -> None:
    job = program.job(MIXED)
    ended = program.run("check", job)
    assert (ended.code, ended.err) == (0, "")
    lines = [line.strip() for line in ended.out.splitlines()]
    assert "2. bad: the bad one  [run]" in lines
    assert "units   3, from a list of 3" in lines
    assert "needs   bad" in lines
    assert "warning: its `foreach` has no items, so there will be no unit" in lines
    assert lines[-1].startswith("4 tasks")
    assert os.listdir(program.dir) == [job]


def test_debug_logs_decisions_on_standard_error(program: Program) -> None:
    ended = program.run(program.job(GOOD), "--debug", "--output", "json")
    assert ended.code == 0
    assert "Order(" in ended.err
    assert ended.counts["ok"] == 3


def test_the_counts_name_every_kind(program: Program) -> None:
    ended = program.run(program.job(GOOD), "--output", "json", "--procs", "0")
    assert set(ended.document["counts"]) == set(Tally().as_dict())


# ---- what is loaded -----------------------------------------------------------------------------

HEAVY = {"typer", "yaml", "pydantic", "jinja2", "paramiko", "tqdm", "rich", "click",
         "typing_extensions", "markupsafe", "multiprocessing"}  # fmt: skip
#: Notes every module that is looked for, in a file of its process.
SITE = """
import os, sys

class Recorder:
    def find_spec(self, name, path=None, target=None):
        with open(os.path.join(os.environ["IMPORTS"], str(os.getpid())), "a") as file:
            file.write(name + "\\n")

sys.meta_path.insert(0, Recorder())
"""


def imports(program: Program, *words: str) -> tuple[int, dict[int, set[str]]]:
    """Run, and return the process id and every module that each process has looked for."""
    for name in ("site", "imports"):
        (program.dir / name).mkdir()
    (program.dir / "site" / "sitecustomize.py").write_text(SITE)
    env = {"PYTHONPATH": str(program.dir / "site"), "IMPORTS": str(program.dir / "imports")}
    run = program.start(*words, env=env)
    assert run.end().code == 0
    files = (program.dir / "imports").iterdir()
    return run.pid, {int(path.name): set(path.read_text().split()) for path in files}


def test_the_version_is_told_without_loading_anything_heavy(program: Program) -> None:
    pid, found = imports(program, "--version")
    assert list(found) == [pid]
    assert "batchrun" in found[pid]
    assert {name.partition(".")[0] for name in found[pid]} & HEAVY == set()
    assert not {name for name in found[pid] if name.startswith("batchrun.cli")}


def test_workers_load_nothing_that_only_the_parent_needs(program: Program) -> None:
    job = program.job("""
tasks:
  - {id: a, run: "true"}
  - {id: b, write: {dest: tree/f, text: x}}
  - {id: c, needs: [b], copy: {src: tree, dest: copied}}
  - {id: d, needs: [c], archive: {src: copied, dest: a.tar.gz}}
  - {id: e, needs: [d], checksum: {src: copied, dest: sums}}
  - {id: f, needs: [e], delete: copied}
""")
    pid, found = imports(program, job, "--procs", "1", "-q")
    workers = [names for one, names in found.items() if one != pid and "batchrun.ops" in names]
    assert len(workers) == 1
    assert "batchrun.ops.command" in workers[0]
    forbidden = HEAVY - {"multiprocessing"}
    assert {name.partition(".")[0] for name in workers[0]} & forbidden == set()
    for package in ("batchrun.cli", "batchrun.api", "batchrun.jobfile", "batchrun.report"):
        assert not {name for name in workers[0] if name.startswith(package)}
    assert "yaml" in found[pid]
    assert "tqdm" not in found[pid]
