"""`batchrun each`: one command for many items, as hands that know GNU parallel expect it."""

import os
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import COMMAND, Ended, Program

pytestmark = pytest.mark.timeout(120)

HOSTILE = [b"a b", b"new\nline", b"-n", b"'q'\"", b"$(touch hit)", b"`touch hit`", b"*", b"",
           b"caf\xe9", "ü".encode(), b"{{ x }}", b"{}", b"a;b", b"\\", b"~"]  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def each(program: Program, *words: str, stdin: bytes = b"") -> Ended:
    """Run with one process, so that the order is that of the items."""
    return program.run("each", "-j1", *words, stdin=stdin)


def test_without_a_group_of_items_they_are_read(program: Program) -> None:
    (program.dir / "list").write_text("a\nb c\n\n'd'\n")
    assert each(program, "-a", "list", "echo").out == "a\nb c\n'd'\n"
    assert each(program, "echo", stdin=b"x\ny\n").out == "x\ny\n"
    assert each(program, "-0", "echo", stdin=b"x\0y\nz\0").out == "x\ny\nz\n"
    assert each(program, "-a", "-", "echo", stdin=b"x\n").out == "x\n"


def test_items_are_taken_while_they_come(program: Program) -> None:
    read, write = os.pipe()
    run = program.start("each", "-j1", "touch {}", stdin=read)
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as items:
        items.write(b"first\n")
        run.until((program.dir / "first").exists, "the first item is worked on")
        items.write(b"second\n")
    assert run.end().code == 0
    assert (program.dir / "second").exists()


@pytest.mark.parametrize(
    ("command", "source"),
    [
        ("printf %s", "arguments"),
        ("printf %s", "standard input"),
        ("printf %s '{}'", "standard input"),
        ('printf %s "" "{}"', "standard input"),
        ('printf %s "$(printf %s {})x"', "standard input"),
    ],
)
def test_no_name_is_ever_read_by_the_shell(program: Program, command: str, source: str) -> None:
    (program.dir / "bystander").touch()
    words = ["each", "-j1", "-0", "--tag", command]
    if source == "arguments":
        words = ["each", "-j1", "--tag", command, ":::", *map(os.fsdecode, HOSTILE)]
    items = [item for item in HOSTILE if item or source == "arguments"]
    ended = program.run(*words, stdin=b"".join(item + b"\0" for item in items))
    assert ended.code == 0, ended.err
    assert not (program.dir / "hit").exists()
    tail = b"x" if "$(" in command else b""
    expected = b"".join(
        b"\n".join(
            item.replace(b"\n", b"\\n") + b"\t" + line for line in (item + tail).split(b"\n")
        )
        for item in items
        if item + tail
    )
    assert ended.stdout == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sh -c 'echo {}'", ":::", "a"], "{} is inside single quotes"),
        (["echo", "it's", ":::", "a"], "the command ends inside quotes"),
        (["cat <<E\n{}\nE", ":::", "a"], 'write "$BATCHRUN_ITEM" there'),
        (["echo", "{2}", ":::", "a"], "{2} means nothing here: each command gets one item"),
        (["-N2", "echo", "{3}", ":::", "a"], "{3} means nothing here: each command gets 2 items"),
        (["--argv", "echo", "{%}", ":::", "a"], "{%} needs a shell"),
        (["--argv", "-N2", "echo", ":::", "a"], "name them {1} {2}"),
        (["-a", "x", "echo", ":::", "a"], "contradict each other"),
        (["-0", "echo", ":::", "a"], "-0 is for items that are read"),
        (["-N2", "echo", ":::", "a", ":::", "b"], "contradict each other"),
        (["--tag", "-v", "echo", ":::", "a"], "leave -v"),
        (["--argv", ":::", "a"], "there is no command"),
        (["-q", "-v", "echo", ":::", "a"], "-v and -q"),
        (["--timeout", "soon", "echo"], "'soon' is not a duration"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(
    program: Program, words: list[str], said: str
) -> None:
    ended = each(program, *words)
    assert (ended.code, ended.out) == (64, "")
    assert said in ended.err
    assert ended.err.endswith("; see `batchrun each --help`\n")
    assert ended.err.count("\n") == 1


# ---- output -------------------------------------------------------------------------------------


def test_output_comes_in_one_piece_for_each_item_on_the_stream_it_was_written_to(
    program: Program,
) -> None:
    command = "echo o{}1; echo e{} >&2; sleep 0.0{}; echo o{}2"
    ended = program.run("each", "-j3", "-q", command, ":::", "1", "2", "3")
    assert sorted(re.findall(r"o(.)1\no(?:\1)2\n", ended.out)) == ["1", "2", "3"]
    assert len(ended.out) == 4 * 6
    assert sorted(ended.err.split()) == ["e1", "e2", "e3"]


def test_a_tag_stands_before_each_line_of_both_streams(program: Program) -> None:
    ended = each(program, "-q", "--tag", "printf 'a\\n\\nb'; echo e{} >&2", ":::", "x")
    assert (ended.out, ended.err) == ("x\ta\nx\t\nx\tb", "x\tex\n")


def test_order_is_kept_however_long_the_first_takes(program: Program) -> None:
    wait = "test {} != 0 || until test -e last; do sleep 0.01; done"
    command = f"{wait}; test {{}} != 9 || touch last; seq {{}} 20000"
    ended = program.run("each", "-j2", "-q", "--keep-order", command, ":::", *map(str, range(10)))
    assert ended.code == 0
    numbers = [line.split() for line in re.split(r"(?<=\b20000)\n", ended.out) if line]
    assert [int(block[0]) for block in numbers] == list(range(10))
    assert [len(block) for block in numbers] == [20001 - first for first in range(10)]


def test_binary_output_is_not_touched(program: Program) -> None:
    data = bytes(range(256)) * 40
    (program.dir / "data").write_bytes(data)
    assert each(program, "-q", "cat", ":::", "data").stdout == data


def test_very_long_output_is_complete_and_leaves_no_file_behind(program: Program) -> None:
    (program.dir / "tmp").mkdir()
    env = {"TMPDIR": str(program.dir / "tmp")}
    words = ["each", "-j2", "-q", "--keep-order", "seq {} 400000", ":::", "1", "2"]
    ended = program.run(*words, env=env)
    whole = "".join(f"{number}\n" for number in range(1, 400001))
    assert ended.out == whole + whole.removeprefix("1\n")
    assert os.listdir(program.dir / "tmp") == []


def test_the_recap_goes_to_standard_error_and_not_at_all_when_all_is_well_and_quiet(
    program: Program,
) -> None:
    well = each(program, "echo", ":::", "a")
    assert well.err.startswith("each: 1 ok (1 changed) of 1 planned")
    assert each(program, "-q", "echo", ":::", "a").err == ""
    failed = each(program, "-q", "echo {}; exit 3", ":::", "a")
    assert (failed.code, failed.out) == (2, "a\n")
    assert "FAILED       echo {}; exit 3  a: exit status 3" in failed.err


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_programs_read_the_same_as_from_run(program: Program, output: str) -> None:
    ended = each(program, "--output", output, "echo {}; exit {}", ":::", "0", "1")
    records = (
        ended.document["units"]
        if output == "json"
        else [event for event in ended.events if event["type"] == "unit_ended"]
    )
    assert [(unit["item"], unit["stdout"], unit["exit_status"]) for unit in records] == [
        ("0", "0\n", 0),
        ("1", "1\n", 1),
    ]
    assert ended.code == 2


def test_live_output_is_tagged(program: Program) -> None:
    ended = each(program, "-v", "echo {}; echo e >&2", ":::", "a")
    assert "a: a\n" in ended.out
    assert "a: e\n" in ended.err


def test_a_dry_run_shows_the_commands(program: Program) -> None:
    ended = each(program, "-n", "touch {}", ":::", "a b")
    assert (ended.code, ended.out) == (0, "would change touch {}  a b: would run touch 'a b'\n")
    assert os.listdir(program.dir) == []
    assert each(program, "-n", "--detailed-exitcode", "touch", ":::", "a").code == 3


def test_no_items_are_no_failure_but_a_warning(program: Program) -> None:
    for words in (["echo", ":::"], ["echo"]):
        ended = each(program, *words)
        assert (ended.code, ended.out) == (0, "")
        assert "warning: echo: " in ended.err


def test_a_reader_that_has_seen_enough_is_no_error(program: Program) -> None:
    read, write = os.pipe()
    run = program.start("each", "-j1", "-q", "echo {}; touch {}", ":::", "1", "2", stdout=write)
    os.close(write)
    os.close(read)
    ended = run.end()
    assert (ended.code, ended.err) == (0, "")
    assert (program.dir / "2").exists()


def test_closed_streams_do_no_harm(program: Program) -> None:
    words = ["each", "-j1", "touch {}", ":::", "a"]
    ended = program.run(*words, before=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    assert ended.code == 0
    assert (program.dir / "a").exists()


# ---- limits and endings -------------------------------------------------------------------------


def test_run_options_mean_the_same(program: Program) -> None:
    retried = each(program, "--retries", "1", "echo x >> tries; exit 1", ":::", "a")
    assert (retried.code, (program.dir / "tries").read_text()) == (2, "x\nx\n")
    assert retried.out == ""
    late = each(program, "-u", "200ms", "sleep 60; :", ":::", "a")
    assert (late.code, "TIMED OUT" in late.err) == (2, True)
    limited = each(program, "--max-fail", "0", "exit 1; :", ":::", *map(str, range(50)))
    assert limited.code == 5
    assert program.run("each", "--deadline", "300ms", "sleep 60; :", ":::", "a").code == 124


def test_the_first_signal_lets_running_commands_finish_the_second_does_not(
    program: Program,
) -> None:
    command = "touch began-{}; until test -e go; do sleep 0.02; done; touch done-{}"
    run = program.start("each", "-j1", command, ":::", "a", "b")
    run.until((program.dir / "began-a").exists, "the first command runs")
    run.send(signal.SIGINT)
    run.until(lambda: "1 unit may finish" in run.err_so_far, "it says that it waits")
    (program.dir / "go").touch()
    assert run.end().code == 130
    assert (program.dir / "done-a").exists()
    assert not (program.dir / "began-b").exists()
    (program.dir / "go").unlink()
    run = program.start("each", "-j1", command, ":::", "c")
    run.until((program.dir / "began-c").exists, "the command runs")
    run.send(signal.SIGINT)
    run.until(lambda: "1 unit may finish" in run.err_so_far, "it says that it waits")
    run.send(signal.SIGINT)
    assert run.end().code == 130
    assert not (program.dir / "done-c").exists()


def test_output_that_waits_for_its_turn_is_not_lost_when_it_does_not_fit_in_memory(
    program: Program,
) -> None:
    wait = "test {} != 1 || until test -e go; do sleep 0.05; done"
    command = (
        f"{wait}; head -c 50000 /dev/zero | tr '\\0' x; echo {{}}; test {{}} != 400 || touch go"
    )
    ended = program.run("each", "-j2", "-q", "--keep-order", command, stdin=_numbers(400))
    assert ended.code == 0
    assert ended.stdout == b"".join(b"x" * 50000 + b"%d\n" % number for number in range(1, 401))


def _numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


# ---- the equivalent job file --------------------------------------------------------------------

SAVED = [
    ["echo {}; exit {}", ":::", "0", "3"],
    ["echo \"<{}>\" '{{' {%}", ":::", "a b", "it's", "{{ x }}", "tab\there", "é"],
    ["echo {2} {1}", ":::", "a", "b", ":::", "1", "2"],
    ["--argv", "echo", "$x {}", ":::", "1e3", "0o17", "true", "null", "- a"],
    ["-a", "list", "-N2", "--retries", "1", "--max-fail", "9", "-u", "1m", "cat"],
    ["echo one\necho two {}", ":::", os.fsdecode(b"caf\xe9"), "x"],
]


@pytest.mark.parametrize("words", SAVED, ids=[ascii(" ".join(words)) for words in SAVED])
def test_the_saved_job_file_runs_the_same_from_anywhere(
    program: Program, tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    (program.dir / "list").write_text("list\nlist\nnone\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    saved = str(elsewhere / "saved.yml")
    first = program.run("each", "-j1", "--save", saved, *words)
    again = program.run(saved, "--output", "json", cwd=elsewhere)
    assert first.code == again.code, again.err
    for stream in ("stdout", "stderr"):
        raw = first.stdout if stream == "stdout" else first.stderr.partition(b"each: ")[0]
        whole = "".join(unit[stream] for unit in again.units)
        assert whole == raw.decode(errors="replace")
    assert again.document["run"]["procs"] == 1
    assert Path(saved).read_text().startswith("# Written by `batchrun each --save`.\n")


def test_the_saved_job_file_can_be_checked_and_shows_what_its_commands_write(
    program: Program,
) -> None:
    assert each(program, "--save", "saved.yml", "echo", ":::", "a").code == 0
    assert "1. each: echo  [run]" in program.run("check", "saved.yml").out
    assert program.run("saved.yml").out.startswith("OUTPUT  echo  a\n    a\n")


def test_a_file_that_was_written_by_hand_is_not_replaced(program: Program) -> None:
    (program.dir / "mine.yml").write_text("tasks: []\n")
    ended = each(program, "--save", "mine.yml", "echo", ":::", "a")
    assert (ended.code, ended.out) == (64, "")
    assert "mine.yml exists already" in ended.err
    assert (program.dir / "mine.yml").read_text() == "tasks: []\n"
    for item in ("a", "b"):
        assert each(program, "--save", "made.yml", "echo", ":::", item).code == 0
    assert "foreach: [b]" in (program.dir / "made.yml").read_text()
    assert stat.S_IMODE((program.dir / "made.yml").stat().st_mode) & 0o022 == 0


def test_items_typed_at_a_terminal_are_asked_for(program: Program) -> None:
    command = ["each", "-j1", "-q", "echo"]
    script = subprocess.run(
        ["script", "-qec", shlex.join([*COMMAND, *command]), "/dev/null"],
        input=b"typed\n\x04", cwd=program.dir, env=program.environment(), capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert b"reading the items from the terminal; Ctrl-D ends them" in script.stdout
    assert script.stdout.replace(b"\r", b"").endswith(b"typed\n")
