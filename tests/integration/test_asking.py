"""Questions to the person at the terminal, and what happens where there is none."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from on_terminal import on_terminal
from program import Program

pytestmark = pytest.mark.timeout(120)

SECRET = """
secrets: {token: {prompt: "The token"}}
tasks:
  - id: use
    run: test "$TOKEN" = s3cret-value && echo "got $TOKEN"
    env: {TOKEN: "{{ secrets.token }}"}
    print: always
"""
WAVES = """
tasks:
  - id: deploy
    foreach: [a, b, c]
    batch: [1, 2]
    pause: ask
    touch: "{{ item }}"
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def test_a_secret_is_asked_for_before_anything_starts_and_not_shown(program: Program) -> None:
    job = program.job(SECRET)
    code, shown = on_terminal(program, [("The token: ", "s3cret-value\n")], job, "-j1")
    assert code == 0, shown
    assert "got ***" in shown
    assert "s3cret-value" not in shown


def test_a_secret_too_short_to_be_hidden_is_asked_for_again_and_an_end_of_input_is_told(
    program: Program,
) -> None:
    job = program.job(SECRET)
    answers = [("The token: ", "abc\n"), ("The token: ", "\x04")]
    code, shown = on_terminal(program, answers, job, "-j1")
    assert code == 65
    assert shown.count("The token: ") == 2
    assert "the input ended" in shown


@pytest.mark.parametrize(("text", "why"), [(SECRET, "`token`"), (WAVES, "`deploy` asks")])
def test_without_a_terminal_nothing_is_run(program: Program, text: str, why: str) -> None:
    job = program.job(text)
    ended = program.run(job, stdin=b"y\ny\n")
    assert (ended.code, ended.out) == (65, "")
    assert why in ended.err
    assert "and there is no terminal; run it where somebody can answer" in ended.err
    assert os.listdir(program.dir) == [job]


@pytest.mark.parametrize(("answer", "made"), [("y", ["a", "b", "c"]), ("n", ["a"])])
def test_before_each_wave_somebody_is_asked(program: Program, answer: str, made: list[str]) -> None:
    job = program.job(WAVES)
    code, shown = on_terminal(program, [("[y/n] ", "what?\n"), ("[y/n] ", f"{answer}\n")], job)
    assert sorted(set(os.listdir(program.dir)) - {job}) == made, shown
    assert (code == 0) is (answer == "y")
