"""How things are written for people."""

import io
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.report.text import (
    PLAIN,
    Palette,
    count,
    decode,
    duration,
    measure,
    shorten,
    size,
    visible,
    wants_colour,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain / text", "plain / text"),
        ("日本 café 👩‍👩‍👧", "日本 café 👩‍👩‍👧"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b31m\x7f\x00", "\\x9b31m\\x7f\\x00"),
        ("\udce9", "\\xe9"),
        ("\ud800", "\\ud800"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_no_control_surrogate_or_separator_is_ever_shown_as_it_is() -> None:
    for category in ("Cc", "Cs", "Zl", "Zp"):
        chars = [chr(c) for c in range(0x2_0000) if unicodedata.category(chr(c)) == category]
        assert chars
        assert [char for char in chars if visible(char) == char] == []


def test_only_format_characters_that_scripts_need_are_shown_as_they_are() -> None:
    kept = [
        chr(c)
        for c in range(sys.maxunicode + 1)
        if unicodedata.category(chr(c)) == "Cf" and visible(chr(c)) == chr(c)
    ]

    assert {"\u200c", "\u200d"} <= set(kept)
    assert not any(unicodedata.bidirectional(c) in {"RLE", "RLO", "LRE", "LRO"} for c in kept)


@given(st.text(st.characters()))
def test_what_is_shown_is_shown_the_same_when_shown_again(text: str) -> None:
    assert visible(visible(text)) == visible(text)


def test_a_line_of_output_keeps_its_tabs_and_shows_bytes_that_are_not_utf8() -> None:
    assert decode(b"a\tb\xff\x1b[0m\r") == "a\tb\\xff\\x1b[0m"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (-1.0, "0 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (1, "1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (86399, "1 d 00 h"),
        (1e6, "11 d 14 h"),
        (float("inf"), "for ever"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (3 * 1024**4, "3.0 TiB"),
        (2**63, "8.0 EiB"),
    ],
)
def test_sizes_are_in_powers_of_1024(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


def test_thousands_are_apart() -> None:
    assert count(1_234_567) == "1 234 567"


@given(st.text(), st.integers(0, 20), st.booleans())
def test_a_shortened_text_never_takes_more_columns_than_there_are(
    text: str, columns: int, keep_end: bool
) -> None:
    assert measure(shorten(visible(text), columns, keep_end=keep_end)) <= columns


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert (measure("日本"), measure("e\u0301"), measure("abc")) == (4, 1, 3)
    assert shorten("日本語日本語", 8) == "日本..."
    assert shorten("日本語日本語", 8, keep_end=True) == "...本語"


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "on_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colour_is_for_terminals_and_the_user_has_the_last_word(
    environ: dict[str, str], on_terminal: bool, elsewhere: bool
) -> None:
    assert wants_colour(Screen(), environ) is on_terminal
    assert wants_colour(io.StringIO(), environ) is elsewhere


def test_a_palette_that_is_off_changes_nothing() -> None:
    assert PLAIN.red("x") == "x"
    assert Palette(enabled=True).red("x") == "\x1b[31mx\x1b[0m"
