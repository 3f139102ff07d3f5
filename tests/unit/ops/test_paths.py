"""Globs find what they say, in bytewise order; names are shown safely."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.model.values import Glob
from batchrun.ops.paths import escape, expand, has_magic, shown


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tree, with the process standing in it."""
    for name in [
        "a/b",
        "a.b",
        "a/c/d.txt",
        ".h/x",
        "a/.y",
        "z*",
        "we{ird",
        "x1",
        "x2",
        "s/t/e.txt",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "broken").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["a", "a.b", "broken", "link", "s", "we{ird", "x1", "x2", "z*"]),
        ("*/", ["a", "link", "s"]),
        ("x?", ["x1", "x2"]),
        ("x[12]", ["x1", "x2"]),
        ("x[!1]", ["x2"]),
        ("x[0-1]", ["x1"]),
        ("{a,x}*", ["a", "a.b", "x1", "x2"]),
        ("{x{1,2},a.b}", ["a.b", "x1", "x2"]),
        ("{a/c,s/t}/*", ["a/c/d.txt", "s/t/e.txt"]),
        ("{a,a}/b", ["a/b"]),
        ("**/*.txt", ["a/c/d.txt", "s/t/e.txt"]),
        ("a/**", ["a/b", "a/c", "a/c/d.txt"]),
        ("**/b", ["a/b"]),
        ("*/b", ["a/b", "link/b"]),
        (".*", [".h"]),
        ("a/.*", ["a/.y"]),
        ("[.]h", []),
        ("z[*]", ["z*"]),
        ("we[{]ird", ["we{ird"]),
        ("we{ird", ["we{ird"]),
        ("bro*", ["broken"]),
        ("nope*", []),
        ("nope/*", []),
        ("a.b/*", []),
        ("x1", ["x1"]),
        ("[", []),
    ],
)
def test_a_pattern_finds(tree: Path, pattern: str, found: list[str]) -> None:
    assert list(expand(Glob(pattern))) == found
    absolute = f"{escape(str(tree))}/{pattern}"
    assert list(expand(Glob(absolute))) == [f"{tree}/{name}" for name in found]


@pytest.mark.usefixtures("tree")
def test_hidden_names_are_found_on_request_only() -> None:
    assert ".h/x" in list(expand(Glob("**"), hidden=True))
    assert "a/.y" in list(expand(Glob("*/*"), hidden=True))
    assert not [path for path in expand(Glob("**")) if "/." in f"/{path}"]


def test_two_stars_never_follow_a_link_to_a_directory(tree: Path) -> None:
    (tree / "loop").symlink_to(".")
    assert not [path for path in expand(Glob("**")) if path.startswith(("loop/", "link/"))]


def test_the_order_is_that_of_whole_paths(tmp_path: Path) -> None:
    for name in [b"d/x", b"d.e", b"d-e", b"d0", b"\xff", b"\xc3\xa9", b"d/\xf0\x9f\x92\xa9"]:
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT))
    found = [os.fsencode(path) for path in expand(Glob(f"{tmp_path}/**"))]
    assert found == sorted(found)
    assert len(found) == 8


@pytest.mark.usefixtures("tree")
def test_too_many_alternatives_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1000 alternatives"):
        list(expand(Glob("{a,b}" * 20)))


def test_a_pattern_of_many_stars_ends_soon(tmp_path: Path) -> None:
    (tmp_path / ("a" * 200)).touch()
    assert list(expand(Glob(f"{tmp_path}/{'*a' * 60}*b"))) == []


@given(st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name)))
def test_an_escaped_name_finds_itself_only(name: bytes) -> None:
    from tempfile import TemporaryDirectory

    if name in {b".", b".."}:
        return
    with TemporaryDirectory() as directory:
        path = os.path.join(os.fsencode(directory), name)
        os.close(os.open(path, os.O_CREAT))
        os.close(os.open(os.path.join(directory, "other"), os.O_CREAT))
        pattern = f"{escape(directory)}/{escape(os.fsdecode(name))}"
        assert list(expand(Glob(pattern))) == [os.fsdecode(path)]


@pytest.mark.parametrize(
    ("text", "magic"),
    [("*", True), ("a?", True), ("[", True), ("{a,b}", True), ("{a}", False), ("a,b", False)],
)
def test_magic_is_what_has_to_be_looked_up(text: str, magic: bool) -> None:
    assert has_magic(text) is magic


@given(st.text())
def test_a_shown_path_is_printable(text: str) -> None:
    assert shown(text).isprintable()


def test_bytes_that_are_not_text_are_shown_as_such() -> None:
    assert shown(os.fsdecode(b"caf\xe9\n\x1b")) == r"caf\xe9\n\x1b"
