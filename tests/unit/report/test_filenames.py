"""Names of files that are made of anything."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.report.filenames import clean_name, directory_names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/data/in/a.csv", "data_in_a.csv"),
        ("two words", "two_words"),
        ("../../etc/passwd", "etc_passwd"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a\nb\tc", "a_b_c"),
        ("größe-日本", "größe-日本"),
        (os.fsdecode(b"caf\xe9.txt"), "caf_.txt"),
        ("$(rm -rf ~) `x` 'y'", "rm_-rf_~___x___y"),
        ("..", ""),
        ("", ""),
    ],
)
def test_a_name_keeps_what_is_harmless(text: str, name: str) -> None:
    assert clean_name(text) == name


def test_of_a_long_name_the_end_stays() -> None:
    name = clean_name("/very/long" * 50 + "/the-end.csv")
    assert name.endswith("the-end.csv")
    assert len(name) <= 120


@given(st.text(st.characters()))
def test_a_name_is_harmless_and_short_whatever_the_text_is(text: str) -> None:
    name = clean_name(text)
    assert "/" not in name
    assert "\0" not in name
    assert name not in (".", "..")
    assert not name.startswith((".", "-"))
    assert name.isprintable()
    assert len(os.fsencode(name)) <= 120


@given(st.lists(st.text(st.characters(), max_size=5), unique=True))
def test_every_task_has_a_directory_of_its_own(task_ids: list[str]) -> None:
    names = directory_names(task_ids)
    assert list(names) == task_ids
    assert len(set(names.values())) == len(task_ids)
    assert all(names.values())


def test_a_name_that_looks_like_one_that_was_made_is_still_another() -> None:
    names = directory_names(["a/b", "a b", "a_b-2"])
    assert list(names.values()) == ["a_b", "a_b-2", "a_b-2-2"]
