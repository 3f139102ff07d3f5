"""The mistakes that people make in job files, and what they are told: line, place, advice.

`mistakes*.txt`, beside this file, are the manual of them: broken files with what is said of each.
"""

import os
from pathlib import Path

import pytest

from batchrun.jobfile import LoadOptions
from small_jobs import mistakes

MANUALS = sorted(Path(__file__).parent.glob("mistakes*.txt"))


def manual() -> list[tuple[str, list[str]]]:
    """Read the broken files, each with the lines that are said about it."""
    texts = [manual.read_text(encoding="utf-8") for manual in MANUALS]
    sections = [section for text in texts for section in text.split("\n====\n")[1:]]
    pairs = [section.split("\n----\n") for section in sections]
    return [
        (text + "\n", [line for line in told.splitlines() if line.startswith("job.yml")])
        for text, told in pairs
    ]


def test_the_manual_has_mistakes_in_it() -> None:
    assert len(manual()) > 40


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_an_empty_file_is_a_mistake(text: str) -> None:
    assert mistakes(text) == ["job.yml: the file is empty; a job file is a mapping with `tasks:`"]


def test_a_control_character_is_told_with_its_line() -> None:
    assert mistakes("tasks:\n- run: \x01\n") == [
        "job.yml:2: there is a control character in the file; write it as an escape inside quotes"
    ]


@pytest.mark.parametrize(("text", "told"), manual())
def test_every_mistake_is_told_with_its_line_and_what_to_write(text: str, told: list[str]) -> None:
    assert [_as_everywhere(line) for line in mistakes(text)] == told


def _as_everywhere(line: str) -> str:
    """Put the names of variables for the directories that this test was given."""
    for name in ("XDG_CONFIG_HOME", "CLUSTERSHELL_CFGDIR"):
        line = line.replace(os.environ[name], f"${name}")
    return line


def test_mistakes_of_all_kinds_come_together_in_the_order_of_their_lines() -> None:
    text = (
        "vars: {a: '{{ b }}'}\ntasks:\n- {run: 'x', bogus: 1, needs: nobody}\n- delete:\nfoo: 1\n"
    )

    lines = [told.split(":")[1] for told in mistakes(text)]

    assert lines == ["1", "3", "3", "4", "5"]


def test_bytes_that_are_not_utf8_are_named_with_their_line() -> None:
    assert mistakes(b"tasks:\n- run: caf\xe9\n") == [
        "job.yml:2: the file is not UTF-8 text; save it as UTF-8"
    ]


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    told = mistakes("\n".join(lines))

    assert told == ["job.yml:6: aliases expand to more than 200000 values; write it out"]


@pytest.mark.parametrize("text", ["[" * 100_000, "x: " + "{a: " * 50_000, "- " * 20_000])
def test_bottomless_nesting_is_refused(text: str) -> None:
    assert mistakes(text) == ["job.yml:1: nested more than 64 levels deep"]


def test_a_line_of_a_merged_key_is_that_of_the_anchor() -> None:
    text = "x-base: &base\n  retries: many\ntasks:\n- <<: *base\n  run: a\n"

    assert mistakes(text) == ["job.yml:2: tasks[0].retries: write a whole number, not 'many'"]


def test_json_has_lines_too() -> None:
    text = '{\n "tasks": [\n  {"run": "a",\n   "foo": 1}]}'

    assert mistakes(text) == ["job.yml:4: tasks[0].foo: `foo` is not a key here"]


def test_a_variable_that_must_be_given_can_be_given() -> None:
    text = "vars: {must: null}\ntasks: [{run: 'echo {{ must }}'}]\n"

    assert mistakes(text, LoadOptions(variables={"must": "x"})) == []
