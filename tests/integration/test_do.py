"""`batchrun do`: any operation of the language, from the command line."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Program

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def test_keys_are_parameters_and_words_the_main_one(program: Program) -> None:
    (program.dir / "a").write_text("a")
    (program.dir / "b").write_text("b")
    ended = program.run("do", "copy", "a", "b", "dest=into/", "mode=0640", "-j0")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("copy: 1 ok (1 changed) of 1 planned")
    assert sorted(os.listdir(program.dir / "into")) == ["a", "b"]
    assert stat.S_IMODE((program.dir / "into" / "a").stat().st_mode) == 0o640
    again = program.run("do", "copy", "src=a", "src=b", "dest=into/", "mode=0640", "-j0")
    assert again.out.startswith("copy: 1 ok of 1 planned")


def test_a_name_that_the_shell_has_expanded_is_no_pattern(program: Program) -> None:
    for name in ("[ab]", "a", "{{ x }}"):
        (program.dir / name).touch()
    assert program.run("do", "delete", "[ab]", "{{ x }}", "-j0").code == 0
    assert os.listdir(program.dir) == ["a"]
    (program.dir / "b").touch()
    assert program.run("do", "delete", "path=[ab]", "-j0").code == 0
    assert os.listdir(program.dir) == []


def test_modifiers_are_keys_as_well(program: Program) -> None:
    ended = program.run("do", "run", "sleep 60; :", "timeout=200ms")
    assert (ended.code, "TIMED OUT" in ended.err) == (2, True)
    skipped = program.run("do", "touch", "x", "when=false", "-j0", "--output", "json")
    assert skipped.counts == {"planned": 1, "skipped": 1}


def test_the_output_of_a_command_is_what_it_was_run_for(program: Program) -> None:
    ended = program.run("do", "run", "echo $A; echo oops >&2; exit 3", "env=A=b", "-j1")
    assert (ended.code, ended.out) == (2, "b\n")
    assert ended.err.startswith("oops\n")
    assert "exit status 3" in ended.err
    plain = program.run("do", "-q", "run", "--", "printf", "%s|", "a b", "$c")
    assert (plain.out, plain.err) == ("a b|$c|", "")


def test_a_dry_run_says_what_would_change_and_with_diff_in_which_lines(program: Program) -> None:
    (program.dir / "f").write_text("one\ntwo\n")
    words = ["do", "write", "f", "text=one\nthree\n", "--diff"]
    dry = program.run(*words, "-n", "--detailed-exitcode")
    assert dry.code == 3
    assert dry.out.startswith(f"would change write-1  {program.dir}/f\n")
    assert "\n  -two\n  +three\n" in dry.out
    assert (program.dir / "f").read_text() == "one\ntwo\n"
    real = program.run(*words)
    assert "changed write-1\n" in real.out
    assert "\n  -two\n  +three\n" in real.out
    assert program.run(*words, "-q").out == ""


def test_the_diff_is_a_field_for_programs(program: Program) -> None:
    (program.dir / "f").write_text("one\n")
    ended = program.run("do", "write", "f", "text=two\n", "--diff", "--output", "json")
    (unit,) = ended.units
    assert "-one\n+two\n" in unit["diff"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["copz", "a"], "there is no operation `copz`; did you mean `copy`?"),
        (["copy", "a", "dst=b"], "`copy` has no `dst`; did you mean `dest`?"),
        (["copy", "a"], "`copy` needs dest=..."),
        (["copy", "a", "dest=b", "mode=rwx"], "'rwx' is not a file mode"),
        (["mkdir", "a", "timeout=soon"], "'soon' is not a duration"),
        (
            ["copy", "a", "dest=b", "-w", "web1"],
            "`copy` works on this machine, not on hosts",
        ),
        (["upload", "a", "dest=b"], "`upload` is for hosts; name them with -w"),
        (["mkdir", "a", "--sudo"], "--sudo is for operations on hosts; name them with -w"),
        (["mkdir"], "`mkdir` needs path=..."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_exist_is_refused_with_what_may_be_meant(
    program: Program, words: list[str], said: str
) -> None:
    ended = program.run("do", *words)
    assert (ended.code, ended.out) == (64, "")
    assert said in ended.err
    assert ended.err.endswith("; see `batchrun do --help`\n")
    assert os.listdir(program.dir) == []


def test_the_saved_job_file_means_the_same_files_from_anywhere(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (program.dir / "a b").write_text("x")
    saved = str(tmp_path_factory.mktemp("elsewhere") / "saved.yml")
    ended = program.run("do", "copy", "a b", "dest=sub/", "if=checksum", "--save", saved)
    assert ended.code == 0
    assert (program.dir / "sub" / "a b").read_text() == "x"
    again = program.run(saved, cwd="/")
    assert again.out.startswith("copy: 1 ok of 1 planned")
    text = Path(saved).read_text()
    assert f"src: '{program.dir}/a b'" in text
    assert "if: checksum" in text
