"""The engine below trees: patterns, steps, and what may be kept open."""

import os
from pathlib import Path

import pytest

from batchrun.errors import OperationError
from batchrun.ops.acls import acl_from_text, acl_text
from batchrun.ops.patterns import split_braces
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.walking import walk


def _raise(error: OperationError) -> None:
    raise error


def steps(root: Path, **options: object) -> list[str]:
    with Folders(Place(None, str(root))) as folders:
        return [
            step.relative + ("/" if step.is_dir else "") + ("." if step.left else "")
            for step in walk(folders, _raise, **options)  # type: ignore[arg-type] # of many kinds
        ]


def test_a_directory_comes_before_and_after_what_is_in_it(tmp_path: Path) -> None:
    for name in ("b/c/d", "b.x", "b-x", "a"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = steps(tmp_path, ordered=True)
    assert found == ["a", "b-x", "b.x", "b/", "b/c/", "b/c/d", "b/c/.", "b/."]
    assert sorted(steps(tmp_path)) == sorted(found)


def test_patterns_are_those_of_gitignore(tmp_path: Path) -> None:
    for name in ("keep", "a.tmp", "build/x", "sub/build/y", "sub/important.tmp", "top/z"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    chosen = selection(("*.tmp", "!important.tmp", "build/", "/top"), ())
    found = steps(tmp_path, selection=chosen, ordered=True)
    assert found == ["keep", "sub/", "sub/important.tmp", "sub/."]
    assert selection((), ()) is None


def test_descriptors_do_not_grow_with_the_depth(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["d"] * 300)
    deep.mkdir(parents=True)
    most = 0
    with Folders(Place(None, str(tmp_path))) as folders:
        for _ in walk(folders, _raise):
            most = max(most, len(os.listdir("/proc/self/fd")))
    assert most < 150


def test_a_directory_that_was_moved_away_meanwhile_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "/".join(["d"] * 60)).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()

    def move_while_walking() -> None:
        with Folders(Place(None, str(tmp_path / "d"))) as folders:
            for step in walk(folders, _raise):
                if step.relative.count("/") == 58 and step.left:
                    (tmp_path / "d/d/d/d").rename(tmp_path / "elsewhere/d")

    with pytest.raises(OperationError, match="moved away"):
        move_while_walking()


def test_a_symlink_is_never_entered(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with Folders(Place(None, str(tmp_path))) as folders, pytest.raises(NotADirectoryError):
        folders.enter("link")
    with pytest.raises(NotADirectoryError):
        Folders(Place(None, str(tmp_path / "link")))


def test_an_acl_reads_as_it_is_written() -> None:
    text = "user::rwx,user:7:r-x,group::r--,group:9:---,mask::rwx,other::--x"
    assert acl_text(acl_from_text(text)) == text
    assert acl_from_text("u::rwx\nu:root:r--:7\ng::r--\nm::rwx\no::---") == acl_from_text(
        "other::---,mask::rwx,group::r--,user:7:r--,user::rwx"
    )
    for broken in ("nonsense", "user:x", "user:no such user here:rwx"):
        with pytest.raises(OperationError):
            acl_from_text(broken)


def test_braces_with_a_slash_are_written_out() -> None:
    assert sorted(split_braces("{a/b,c}/{x,y}")) == ["a/b/{x,y}", "c/{x,y}"]
    assert split_braces("[{]a/b,c}") == ["[{]a/b,c}"]
