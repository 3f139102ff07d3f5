"""Job files that are written for a command line: read back, they say what was meant."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrun.cli.jobtext import job_text, literal, scalar_word
from batchrun.errors import UsageError
from batchrun.jobfile.document import parse
from batchrun.jobfile.scalars import resolve, text_of
from batchrun.jobfile.template import split, text_renderer
from batchrun.jobfile.variables import new_scope

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    TEXTS | st.integers(-9, 9999) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3)
    ),
    max_leaves=8,
)


def read_back(text: str) -> Any:
    document = parse(text, "job.yml")
    document.problems.raise_if_any()
    return plain(document.data)


def plain(value: Any) -> Any:
    """Return what a reader of YAML sees."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else resolve(value)


@given(st.dictionaries(st.sampled_from(["a", "on", "1", "a: b"]), VALUES, min_size=1))
@example({"a": "one\n two\n"})
@example({"a": "one\n\n"})
@example({"a": "one\ntwo \n"})
@example({"a": "\n"})
@example({"a": " one\ntwo"})
@example({"a": "#\n: x"})
@example({"a": ["- x", "1e3", "0o17", "~", "=", "<<", "*a", "é", "\x85", "\ufeff", "\U0001f600"]})
@example({"a": {"b": ["x" * 99, {"c": "d"}, [], {}, ""]}})
@example({"a": [{"b": "c\nd", "e": ["f" * 120]}]})
def test_what_is_written_is_read_back_as_it_was(job: dict[str, Any]) -> None:
    assert read_back(job_text(job, about="a test\nof two lines")) == job


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("3", 3), ("null", None), ("yes", "yes"), ("a b", "a b"), ("'x'", "'x'")],
)
def test_words_of_the_command_line_are_yaml_scalars(word: str, value: object) -> None:
    assert read_back(job_text({"a": scalar_word(word)}, about="")) == {"a": value}


@pytest.mark.parametrize("word", ["0640", "1.10", "007", "1_000", "10%", "5m", "2K", "1e3"])
def test_where_text_is_wanted_the_characters_count(word: str) -> None:
    document = parse(job_text({"a": scalar_word(word)}, about=""), "job.yml")
    assert text_of(document.data["a"]) == word


@given(TEXTS | st.text("{} '", max_size=12))
def test_literal_text_is_no_template(text: str) -> None:
    assert text_renderer(split(literal(text)))(new_scope({}, {})) == text


def test_a_text_that_no_file_can_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="not valid UTF-8"):
        job_text({"a": ["caf\udce9"]}, about="")
