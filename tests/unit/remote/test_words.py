"""Words and paths for the shell of a host."""

import pytest

from batchrun.errors import OperationError
from batchrun.remote.words import path_word, quote, rooted


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/var/log/", b"/var/log"),
        ("a b", b"'./a b'"),
        ("-rf", b"./-rf"),
        ("~", b"."),
        ("~/x y", b"'./x y'"),
        ("~bob", b"~bob"),
        ("~bob/x y", b"~bob'/x y'"),
        ("./~x", b"'./~x'"),
        ("it's", b"'./it'\\''s'"),
        ("/", b"/"),
        ("caf\udce9", b"'./caf\xe9'"),
    ],
)
def test_a_path_is_one_word(path: str, word: bytes) -> None:
    assert path_word(path) == word


@pytest.mark.parametrize("path", ["", "~$(id)/x", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(OperationError):
        path_word(path)


def test_quoting_leaves_plain_words_alone() -> None:
    assert quote(b"a-b_c/d.e") == b"a-b_c/d.e"
    assert quote(b"") == b"''"
    assert quote(b"$x") == b"'$x'"


def test_a_path_and_where_to_enter_for_it() -> None:
    assert rooted("/a/b") == ("/", "a/b")
    assert rooted(".//a") == (".", "a")
    assert rooted("~bob/a") == ("~bob", "a")
