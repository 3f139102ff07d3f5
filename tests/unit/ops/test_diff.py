"""What changes in a file is said as diff(1) and patch(1) understand it, and never too much."""

import subprocess
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batchrun.ops.diff import (
    MOST_COMPARED,
    MOST_KEPT,
    Diffs,
    content_diff,
    facts_diff,
    file_diff,
    hidden_diff,
)

lines = st.lists(st.sampled_from(["a", "b", "", "  c", "-", "@@ -1 +1 @@", "\r"]), max_size=30)
texts = st.tuples(lines, st.booleans()).map(lambda one: "\n".join(one[0]) + "\n" * one[1])


def patched(old: bytes, diff: str) -> bytes:
    """Let patch(1) make the new file from the old one and the diff."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "f")
        path.write_bytes(old)
        command = ["patch", "-s", "--posix", str(path)]
        subprocess.run(command, input=diff.encode(), check=True, timeout=60, capture_output=True)
        return path.read_bytes() if path.exists() else b""


@given(old=texts, new=texts)
def test_patch_makes_the_new_file_from_the_old_one(old: str, new: str) -> None:
    diff = content_diff("f", old.encode(), new.encode())
    if old == new:
        assert diff == ""
    else:
        assert patched(old.encode(), diff) == new.encode()


def test_a_change_among_equal_lines_leaves_the_last_ones_where_they_are() -> None:
    old, new = b"a\n" * 7 + b"a", b"a\na\na\nb\na\na\na\na"
    assert patched(old, content_diff("f", old, new)) == new


def test_patch_understands_a_file_that_was_replaced_as_a_whole() -> None:
    old = "first\n" + "".join(f"old {number}\n" for number in range(3000)) + "last\n"
    new = "first\n" + "".join(f"new {number}\n" for number in range(3000)) + "last\n"
    assert patched(old.encode(), content_diff("f", old.encode(), new.encode())) == new.encode()


def test_a_change_far_down_has_its_own_line_numbers() -> None:
    old = [f"{number}\n" for number in range(1000)]
    new = [*old[:900], "more\n", *old[900:]]
    diff = content_diff("f", "".join(old).encode(), "".join(new).encode())
    assert diff == "--- f\n+++ f\n@@ -898,6 +898,7 @@\n 897\n 898\n 899\n+more\n 900\n 901\n 902\n"


def test_a_new_file_is_compared_with_nothing() -> None:
    diff = content_diff("/x/f", None, b"one\ntwo")
    head = "--- /dev/null\n+++ /x/f\n@@ -0,0 +1,2 @@\n"
    assert diff == head + "+one\n+two\n\\ No newline at end of file\n"


def test_what_is_no_text_is_not_shown() -> None:
    for data in (b"a\0b", b"caf\xe9"):
        assert content_diff("f", b"text", data) == "--- f\n+++ f\nbinary files differ\n"


def test_a_big_file_is_not_compared() -> None:
    diff = content_diff("f", b"", b"x" * (MOST_COMPARED + 1))
    assert diff == "--- f\n+++ f\nfiles differ; they are too big to be shown\n"


def test_a_name_with_a_line_break_stays_on_its_line() -> None:
    assert content_diff("a\nb", b"1\n", b"2\n").startswith("--- a\\nb\n+++ a\\nb\n@@")


def test_a_secret_is_never_shown() -> None:
    said = "--- f\n+++ f\ncontent hidden: it holds a secret\n"
    assert hidden_diff("f", is_new=False) == said


def test_facts_are_lines_before_and_after() -> None:
    said = "--- f\n+++ f\n-mode 0644\n+mode 0600\n"
    assert facts_diff("f", ["mode 0644"], ["mode 0600"]) == said


def test_an_old_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").mkdir()
    (tmp_path / "file").write_text("old")
    stat = (tmp_path / "file").lstat()
    assert "content not shown: " in file_diff(f"{tmp_path}/old", stat, f"{tmp_path}/new")


@given(parts=st.lists(st.text(alphabet="ab\n", max_size=9000), max_size=20))
def test_all_that_is_kept_is_bounded_and_the_rest_counted(parts: list[str]) -> None:
    diffs = Diffs()
    for part in parts:
        diffs.add(part)
    whole, kept = "".join(parts), diffs.text()
    if len(whole) <= MOST_KEPT:
        assert kept == whole
    else:
        body, _, end = kept.rpartition("... ")
        assert whole.startswith(body)
        assert len(body) <= MOST_KEPT
        assert int(end.removesuffix(" more lines\n")) > 0
