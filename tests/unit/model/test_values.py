"""How durations, sizes and file modes are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.model.values import apply_mode, parse_duration, parse_mode, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        ("45", 45.0),
        ("0.25", 0.25),
        ("0", 0.0),
        (" 5s ", 5.0),
    ],
)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "1h30", "-5s", "1h 30m", "1e3", "5S", "nan", "."])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write it like 90s, 10m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1K", 1024),
        ("1k", 1024),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("10M", 10 * 1024**2),
        ("10MB", 10 * 1000**2),
        ("2G", 2 * 1024**3),
        ("1T", 1024**4),
        ("1.5 GB", 1_500_000_000),
    ],
)
def test_a_size_is_a_number_of_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "5X", "-1", "1KK", "1iB", "0x10", "10%"])
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write it like 512, 64K"):
        parse_size(text)


@given(st.integers(0, 2**50))
def test_a_plain_number_of_bytes_is_exact(size: int) -> None:
    assert parse_size(str(size)) == size


@pytest.mark.parametrize("text", ["0640", "640", "0o640", "00640"])
def test_octal_modes_are_numbers_however_they_are_written(text: str) -> None:
    assert parse_mode(text) == 0o640


@pytest.mark.parametrize("text", ["u=rw,g=r", "a+X", "+x", "go-w", "u+rwx-s", "g=", "a=rwxst"])
def test_symbolic_modes_are_relative(text: str) -> None:
    assert parse_mode(text) is None


@pytest.mark.parametrize("text", ["", "8", "0888", "12345", "rw-r--r--", "u", "u=q", "u=g", "x=r"])
def test_what_is_no_mode_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a file mode; write it like 0640 or u=rw,g=r"):
        parse_mode(text)


@given(st.integers(0, 0o7777), st.integers(0, 0o7777), st.booleans())
def test_an_octal_mode_is_exact_whatever_was_there(wanted: int, current: int, is_dir: bool) -> None:
    assert apply_mode(f"{wanted:04o}", current, is_dir=is_dir) == wanted


#: Mode, before, and after for a file and for a directory, as `chmod` of GNU coreutils 9.1 has it.
CHMOD = [
    ("u=rw,go=r", 0o777, 0o644, 0o644),
    ("+x", 0o644, 0o755, 0o755),
    ("a-w", 0o666, 0o444, 0o444),
    ("a+X", 0o644, 0o644, 0o755),
    ("a+X", 0o744, 0o755, 0o755),
    ("u+x,a+X", 0o600, 0o711, 0o711),
    ("u=rwx-w+s", 0o000, 0o4500, 0o4500),
    ("ug+s", 0o755, 0o6755, 0o6755),
    ("o+s", 0o755, 0o755, 0o755),
    ("u+t", 0o755, 0o755, 0o755),
    ("+t", 0o755, 0o1755, 0o1755),
    ("u-t", 0o1777, 0o1777, 0o1777),
    ("o=rx", 0o1777, 0o775, 0o775),
    ("a=rx", 0o7777, 0o555, 0o6555),
    ("u=rwx", 0o4755, 0o755, 0o4755),
    ("g=rx", 0o2775, 0o755, 0o2755),
    ("g=rxs", 0o755, 0o2755, 0o2755),
    ("u=rwxs", 0o6755, 0o6755, 0o6755),
    ("u-s", 0o4755, 0o755, 0o755),
    ("g=", 0o2775, 0o705, 0o2705),
]


@pytest.mark.parametrize(("text", "before", "of_file", "of_dir"), CHMOD)
def test_a_symbolic_mode_means_what_it_means_to_chmod(
    text: str, before: int, of_file: int, of_dir: int
) -> None:
    assert apply_mode(text, before, is_dir=False) == of_file
    assert apply_mode(text, before, is_dir=True) == of_dir


@given(
    st.from_regex(r"[ugoa]{0,3}([-+=][rwxXst]{0,4}){1,3}(,[ugoa]([-+=][rwxXst]{0,4})){0,2}",
                  fullmatch=True),
    st.integers(0, 0o7777),
    st.booleans(),
)  # fmt: skip
def test_a_symbolic_mode_stays_within_the_bits_of_a_mode_and_applying_it_is_idempotent_for_equals(
    text: str, current: int, is_dir: bool
) -> None:
    once = apply_mode(text, current, is_dir=is_dir)
    assert 0 <= once <= 0o7777
    if "X" not in text and "," not in text and text.count("=") == 1 and "+" not in text:
        assert apply_mode(text, once, is_dir=is_dir) == once
