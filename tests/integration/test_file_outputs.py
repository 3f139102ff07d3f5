"""The files that a run leaves behind, judged by the programs that they are written for."""

import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

from batchrun.model.exitcode import ExitCode
from junit_reader import JunitFile, read_junit
from program import Program
from published_schemas import problems_of_document, problems_of_event

#: Every kind of ending that one machine can give, hostile names among them.
JOB = """
name: nightly "job"
tasks:
  - {id: good, foreach: [a, "two words", "-rf", "../../etc", "new\\nline", "café"],
     run: "printf '%s' {{ item }}", timeout: 1m}
  - {id: bad, foreach: [1, 2], run: "echo out; echo err >&2; exit {{ item }}", timeout: 1m}
  - {id: flaky, run: "test -e made || { touch made; exit 7; }", retries: 2, retry_delay: 0s,
     timeout: 1m}
  - {id: slow, run: "echo before; sleep 60", timeout: 300ms}
  - {id: left_out, when: 1 > 2, run: "true", timeout: 1m}
  - {id: excused, run: "exit 9", ignore_errors: true, timeout: 1m}
  - {id: after, needs: [bad], mkdir: never}
  - {id: made, mkdir: [x, y/z]}
  - {id: missing, copy: {src: no-such-file, dest: there}}
  - {id: stepwise, timeout: 1m, steps: [{run: echo one}, {run: "echo two; exit 4"}]}
  - {id: killed, run: "kill -9 $$", timeout: 1m}
  - {id: unplanned, foreach: {lines: no-such-list}, run: "true", timeout: 1m}
"""
KINDS = {"ok", "failed", "timed_out", "skipped"}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "here"
    directory.mkdir()
    with Program(directory) as program:
        yield program


def parallel(*words: str, cwd: Path, stdin: bytes = b"") -> None:
    subprocess.run(
        ["parallel", "--will-cite", *words], cwd=cwd, input=stdin, capture_output=True,
        check=False, timeout=60, env={**os.environ, "SHELL": "/bin/sh"},
    )  # fmt: skip


def columns(path: Path) -> list[list[bytes]]:
    """Return the lines of a job log without the times, in the order of the commands."""
    header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    rows = sorted((line.split(b"\t", 8) for line in lines), key=lambda row: int(row[0]))
    for row in rows:
        # Their form is the same, too: milliseconds, and a runtime of ten characters.
        assert re.fullmatch(rb"\d{10}\.\d{3}", row[2])
        assert re.fullmatch(rb" *\d+\.\d{3}", row[3])
        assert len(row[3]) == 10
        row[2:4] = [b"START", b"TIME"]
    return [header.split(b"\t"), *rows]


# ---- GNU parallel -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "items"),
    [
        ("sh -c {}", ["echo a", "exit 3", "printf 'x\ty'; sleep 0.1", "echo 'one\ntwo' >&2"]),
        ("printf %s {}", ["it's", "$HOME `id` \\ *", "über"]),
        ("sleep 0.{} && kill -9 $$", ["0"]),
    ],
)
def test_the_job_log_is_that_of_parallel_but_for_the_times(
    program: Program, command: str, items: list[str]
) -> None:
    stdin = "\0".join(items).encode() + b"\0"
    words = ("-j1", "-0", "--joblog")
    parallel(*words, "theirs", command, cwd=program.dir, stdin=stdin)
    program.run("each", *words, "ours", command, stdin=stdin)
    ours, theirs = columns(program.dir / "ours"), columns(program.dir / "theirs")
    assert unquoted(ours) == unquoted(theirs)
    assert len(ours) == len(items) + 1


def unquoted(rows: list[list[bytes]]) -> list[list[bytes]]:
    """Quoting differs in form, not in meaning: of the command its words are compared."""
    return [[*row[:8], re.sub(rb"[\\'\"]", b"", row[8])] for row in rows]


def test_a_command_that_ran_too_long_is_logged_as_by_parallel(program: Program) -> None:
    parallel("--timeout", "1", "--joblog", "theirs", "sleep", ":::", "30", cwd=program.dir)
    program.run("each", "--timeout", "1s", "--joblog", "ours", "sleep", ":::", "30")
    ours, theirs = columns(program.dir / "ours"), columns(program.dir / "theirs")
    assert unquoted(ours) == unquoted(theirs)
    assert ours[1][6:8] == [b"-1", b"15"]


def test_retries_give_one_line_as_with_parallel(program: Program) -> None:
    parallel("--retries", "3", "--joblog", "theirs", "exit", ":::", "5", cwd=program.dir)
    program.run("each", "--retries", "2", "--joblog", "ours", "exit", ":::", "5")
    ours, theirs = columns(program.dir / "ours"), columns(program.dir / "theirs")
    assert unquoted(ours) == unquoted(theirs)
    assert len(ours) == 2


def test_parallel_runs_again_what_failed_by_our_job_log(program: Program) -> None:
    command = "test -e {} || { echo {} >> tried; exit 1; }"
    program.run("each", "-j1", "--joblog", "log", command, ":::", "/", "/no such", "/nor this")
    (program.dir / "tried").unlink()
    parallel("-j1", "--retry-failed", "--joblog", "log", cwd=program.dir)
    assert (program.dir / "tried").read_text().splitlines() == ["/no such", "/nor this"]


# ---- Prometheus ---------------------------------------------------------------------------------


def promtool_says(path: Path) -> str:
    """Return what promtool finds wrong with a file, its style included."""
    with path.open("rb") as file:
        checked = subprocess.run(
            ["promtool", "check", "metrics"], stdin=file, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
        )  # fmt: skip
    return checked.stdout or ("" if checked.returncode == 0 else f"exit {checked.returncode}")


@pytest.mark.parametrize("name", ["nightly", 'a "b"\\ {c="d"}', "café\tx"])
def test_promtool_finds_nothing_wrong_with_the_metrics(program: Program, name: str) -> None:
    quoted = "'" + name.replace("'", "''") + "'"
    program.job(f"name: {quoted}\ntasks:\n  - {{run: 'test ! -e bad', timeout: 1m}}\n")
    path = program.dir / "batchrun.prom"
    assert program.run("job.yml", "--metrics", "batchrun.prom").code == ExitCode.OK
    assert promtool_says(path) == ""
    (program.dir / "bad").touch()
    assert program.run("job.yml", "--metrics", "batchrun.prom").code == ExitCode.FAILED
    assert promtool_says(path) == ""
    assert "\nbatchrun_success_timestamp_seconds{" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_promtool_does_find_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "wrong.prom"
    path.write_text("batchrun_units_total{job=nightly} 1\n")
    assert promtool_says(path) != ""


# ---- build servers ------------------------------------------------------------------------------


def junit_of(program: Program) -> JunitFile:
    return read_junit(program.dir / "out.xml")


def test_the_junit_xml_of_every_kind_of_ending_is_what_build_servers_read(
    program: Program,
) -> None:
    program.job(JOB)
    ended = program.run("job.yml", "--junit", "out.xml", "--output", "json")
    assert ended.code == ExitCode.FAILED
    assert {unit["outcome"]["kind"] for unit in ended.units} >= KINDS
    junit = junit_of(program)
    # One for each unit, and one for the list that cannot be read.
    assert len(junit.cases) == ended.counts["planned"] + 1
    theirs = JUnitXml.fromfile(str(program.dir / "out.xml"))
    assert [suite.name for suite in theirs] == [task["name"] for task in ended.document["tasks"]]
    for suite, task in zip(theirs, ended.document["tasks"], strict=True):
        counts = task["counts"]
        assert suite.tests == counts["planned"] + (task["id"] == "unplanned")
        excused = task["id"] == "excused"
        assert suite.failures == (0 if excused else counts["failed"])
    texts = {case.attrib["name"]: case.findtext("system-out") for case in junit.cases}
    assert texts["new\nline"] == "new\nline"
    assert junit.properties()["run_id"] == ended.document["run"]["id"]


def test_a_run_that_is_interrupted_leaves_junit_xml_of_what_it_came_to(program: Program) -> None:
    command = "test {} = a || { touch began; sleep 60; }"
    run = program.start("each", "-j1", "--junit", "out.xml", command, ":::", "a", "b", "c")
    run.until((program.dir / "began").exists, "the second command has begun")
    run.send(signal.SIGINT)
    run.until(lambda: "interrupted: " in run.err_so_far, "the first signal was taken")
    run.send(signal.SIGINT)
    assert run.end().code == ExitCode.INTERRUPTED
    junit = junit_of(program)
    assert sorted(junit.names) == ["a", "b", "c"]
    assert junit.case("b").find("error") is not None
    assert junit.case("c").find("skipped") is not None


# ---- complete output ----------------------------------------------------------------------------


def output_files(program: Program) -> dict[str, Path]:
    (run,) = (program.dir / "out").iterdir()
    return {str(path.relative_to(run)): path for path in run.glob("*/*")}


@pytest.mark.parametrize("more", [(), ("-v",), ("--keep-order",), ("--output", "json")])
def test_every_byte_of_every_unit_is_kept(program: Program, more: tuple[str, ...]) -> None:
    command = "seq {}; seq {} >&2; exit 3"
    ended = program.run("each", "--output-dir", "out", *more, command, ":::", "3", "200000")
    assert ended.code == ExitCode.FAILED
    expected = {number: b"".join(b"%d\n" % one for one in range(1, number + 1))
                for number in (3, 200_000)}  # fmt: skip
    assert {name: path.read_bytes() for name, path in output_files(program).items()} == {
        "each/000001-3.out": expected[3],
        "each/000001-3.err": expected[3],
        "each/000002-200000.out": expected[200_000],
        "each/000002-200000.err": expected[200_000],
    }
    # The files in which long output waited are gone with their directory.
    assert len(os.listdir(program.dir / "out")) == 1


def test_all_steps_of_a_unit_are_kept_also_of_one_that_failed(program: Program) -> None:
    program.job("""
tasks:
  - id: both
    foreach: [0, 4]
    timeout: 1m
    steps:
      - run: seq 100000
      - run: "echo then; exit {{ item }}"
    always: [{run: seq 100000}]
""")
    assert program.run("job.yml", "--output-dir", "out").code == ExitCode.FAILED
    long = b"".join(b"%d\n" % one for one in range(1, 100_001))
    assert {name: path.read_bytes() for name, path in output_files(program).items()} == {
        "both/000001-0.out": long + b"then\n" + long,
        "both/000002-4.out": long + b"then\n" + long,
    }


def test_a_registered_output_is_kept_too(program: Program) -> None:
    program.job("tasks: [{id: a, run: seq 100000, register: numbers, timeout: 1m}]")
    assert program.run("job.yml", "--output-dir", "out").code == ExitCode.OK
    (path,) = output_files(program).values()
    assert path.read_bytes().endswith(b"\n99999\n100000\n")


def test_secrets_stay_hidden_in_all_files(program: Program) -> None:
    program.job("""
secrets: {pw: {env: PW}}
tasks:
  - {id: a, foreach: [1, 300000], env: {PW: "{{ secrets.pw }}"}, timeout: 1m,
     run: "seq {{ item }}; echo $PW; seq {{ item }}; exit 1"}
""")
    options = ("--output-dir", "out", "--joblog", "log", "--junit", "out.xml", "--metrics", "m")
    program.run("job.yml", *options, env={"PW": "hunter2-hunter2"})
    written = [path for path in program.dir.rglob("*") if path.is_file()]
    assert len(written) == 7
    assert [path for path in written if b"hunter2" in path.read_bytes()] == []
    for path in output_files(program).values():
        assert b"\n***\n" in path.read_bytes()


def test_long_output_waits_elsewhere_when_others_could_exchange_it(program: Program) -> None:
    (program.dir / "out").mkdir()
    (program.dir / "out").chmod(0o777)
    look = "seq 100000; ls -A out > seen-{}"
    for item in ("others", "ours"):
        assert program.run("each", "--output-dir", "out", look, ":::", item).code == ExitCode.OK
        (program.dir / "out").chmod(0o755)
    kept = [path.read_bytes() for path in (program.dir / "out").glob("*/*/*.out")]
    assert [len(data) for data in kept] == [588_895, 588_895]
    assert ".batchrun-" not in (program.dir / "seen-others").read_text()
    assert ".batchrun-" in (program.dir / "seen-ours").read_text()


def test_two_runs_do_not_mix(program: Program) -> None:
    for item in ("a", "b"):
        program.run("each", "--output-dir", "out", "echo", ":::", item)
    # In no order: the ids of runs that begin in the same second say nothing of it.
    written = [
        {one.name: one.read_text() for one in (run / "each").iterdir()}
        for run in (program.dir / "out").iterdir()
    ]
    assert sorted(written, key=str) == [{"000001-a.out": "a\n"}, {"000001-b.out": "b\n"}]


# ---- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "each", "do"])
def test_every_command_that_runs_something_takes_them(program: Program, command: str) -> None:
    program.job("tasks: [{run: echo x, timeout: 1m}]")
    words = {"run": ("job.yml",), "each": ("echo", ":::", "x"), "do": ("run", "echo x")}[command]
    options = ("--output-dir", "out", "--joblog", "log", "--junit", "out.xml", "--metrics", "m")
    assert program.run(command, *options, *words).code == ExitCode.OK
    assert len(columns(program.dir / "log")) == 2
    assert len(junit_of(program).cases) == 1
    assert len(output_files(program)) == 1
    assert promtool_says(program.dir / "m") == ""


def test_they_may_come_from_the_environment(program: Program) -> None:
    env = {"BATCHRUN_JOBLOG": "log", "BATCHRUN_OUTPUT_DIR": "out"}
    assert program.run("each", "echo", ":::", "a", env=env).code == ExitCode.OK
    assert len(columns(program.dir / "log")) == 2
    assert len(output_files(program)) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--joblog", "no/log"), "--joblog: no/log: there is no directory "),
        (("--junit", "no/out.xml"), "--junit: no/out.xml: there is no directory "),
        (("--metrics", "no/m.prom"), "--metrics: no/m.prom: there is no directory "),
        (("--output-dir", "no/out"), "--output-dir: no/out: there is no directory "),
        (("--junit", "."), "--junit: .: that is a directory; name a file in it"),
        (("--output-dir", "plain"), "--output-dir: plain: that is no directory; name one"),
        (("--joblog", "-"), "--joblog: -: that would be a file of this name; write /dev/stdout"),
        (("--junit", "x" * 300), f"--junit: {'x' * 300}: it cannot be written: File name too long"),
        (("--metrics", "plain/m.prom"), "--metrics: plain/m.prom: it cannot be written: Not a dir"),
        (("--output-dir", "plain/o"), "--output-dir: plain/o: nothing can be made in it: Not a d"),
        (("--joblog", "f", "--junit", "./f"), "--junit: f: --joblog writes it too"),
        (("--output-dir", "/proc/out"), "--output-dir: /proc/out: it cannot be made: "),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_run(
    program: Program, words: tuple[str, ...], sentence: str
) -> None:
    (program.dir / "plain").touch()
    ended = program.run("each", *words, "touch", ":::", "ran")
    assert ended.code == ExitCode.USAGE
    assert ended.err.startswith(f"batchrun: {sentence}")
    assert os.listdir(program.dir) == ["plain"]


def test_a_device_is_written_to_and_stays(program: Program) -> None:
    options = ("--joblog", "/dev/stdout", "--junit", "/dev/null", "--metrics", "/dev/null")
    ended = program.run("each", *options, "true", ":::", "a")
    assert ended.code == ExitCode.OK
    assert ended.out.startswith("Seq\tHost\t")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_dry_run_writes_none_of_them_and_says_so(program: Program) -> None:
    options = ("--output-dir", "out", "--joblog", "log", "--junit", "out.xml", "--metrics", "m")
    ended = program.run("each", "-n", *options, "touch", ":::", "a")
    assert ended.code == ExitCode.OK
    assert ended.err.startswith(
        "a dry run writes no files: --joblog, --junit, --metrics, --output-dir not written\n"
    )
    assert os.listdir(program.dir) == []
    assert "dry run writes" not in program.run("each", "-n", "-q", *options, "true", ":::", "a").err


def test_where_the_rest_of_a_long_output_is_is_said_with_the_failure(program: Program) -> None:
    program.job("tasks: [{run: 'seq 1000; exit 1', timeout: 1m}]")
    ended = program.run("job.yml", "--output-dir", "out")
    assert ", all of it in out:" in ended.out


# ---- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--dry-run", "--diff"), ("-v",), ("--procs", "0")])
def test_what_a_real_run_writes_as_json_is_as_the_schemas_say(
    program: Program, more: tuple[str, ...]
) -> None:
    program.job(JOB)
    document = program.run("job.yml", "--output", "json", *more).document
    assert problems_of_document(document) == []
    assert len(document["units"]) == document["counts"]["planned"] > 10
    events: list[dict[str, Any]] = program.run("job.yml", "--output", "ndjson", *more).events
    assert [problem for event in events for problem in problems_of_event(event)] == []
    assert events[-1]["type"] == "run_ended"
