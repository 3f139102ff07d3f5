"""Defaults of options from files, below the environment and the command line."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Program

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


@pytest.fixture
def config() -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"], "batchrun", "config.yml")
    path.parent.mkdir(parents=True)
    return path


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    program: Program, config: Path
) -> None:
    config.write_text("procs: 3\noutput: json\nmax_fail: 10%\n")
    words = ["do", "mkdir", "x"]
    assert program.run(*words).document["run"]["procs"] == 3
    env = {"BATCHRUN_PROCS": "2"}
    assert program.run(*words, env=env).document["run"]["procs"] == 2
    assert program.run(*words, "-j1", env=env).document["run"]["procs"] == 1


def test_without_xdg_it_is_below_home(program: Program) -> None:
    directory = program.dir / "home" / ".config" / "batchrun"
    directory.mkdir(parents=True)
    (directory / "config.yml").write_text("dry-run: true\n")
    env = {"XDG_CONFIG_HOME": None, "HOME": str(program.dir / "home")}
    assert "(dry run)" in program.run("do", "mkdir", "x", env=env).out
    assert not (program.dir / "x").exists()


def test_options_of_any_command_may_be_set_and_lists_where_they_make_sense(
    program: Program, config: Path
) -> None:
    config.write_text("# mine\ntags: [a, b]\ntag: true\nquiet: 1\nretries: 0\n")
    assert program.run("each", "echo", ":::", "x").out == "x\tx\n"
    job = program.job(
        "tasks:\n  - {run: touch ran, tags: [a, b]}\n  - {run: touch not, tags: [c]}\n"
    )
    assert program.run(job).code == 0
    assert (program.dir / "ran").exists()
    assert not (program.dir / "not").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nproc: 2\n", ":2: proc: there is no such option; did you mean `procs`?"),
        ("procs: many\n", ":1: procs: "),
        ("timeout: soon\n", ":1: timeout: 'soon' is not a duration"),
        ("grace: 1m\nmax-fail: some\n", ":2: max-fail: 'some' is not a number"),
        ("output: xml\n", "'ndjson'"),
        ("procs: [1, 2]\n", ":1: procs: takes one value, not a list"),
        ("procs:\n", ":1: procs: write a value"),
        ("procs: {a: b}\n", ":1: procs: write a value"),
        ("- procs\n", "write `NAME: VALUE` lines"),
        ("a: [\n", "this is not YAML"),
        ("procs: 1\nprocs: 2\n", "`procs` is given twice"),
    ],
    ids=ascii,
)
def test_a_mistake_in_it_is_told_with_its_line(
    program: Program, config: Path, text: str, said: str
) -> None:
    config.write_text(text)
    ended = program.run("do", "mkdir", "x")
    assert (ended.code, ended.out) == (64, "")
    assert ended.err.startswith(f"batchrun: {config}")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not (program.dir / "x").exists()


def test_an_empty_file_and_one_that_is_a_directory_are_told_apart(
    program: Program, config: Path
) -> None:
    config.write_text("")
    assert program.run("do", "mkdir", "x", "-q").code == 0
    config.unlink()
    config.mkdir()
    ended = program.run("do", "mkdir", "y")
    assert (ended.code, "cannot be read: Is a directory" in ended.err) == (64, True)


def test_help_and_version_do_not_depend_on_it(program: Program, config: Path) -> None:
    config.write_text("a: [\n")
    assert program.run("--help").code == 0
    assert program.run("--version").code == 0
