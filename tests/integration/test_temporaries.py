"""What this program has half-written is nobody's source, and does not stay for ever."""

import os
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.values import Glob
from batchrun.ops.paths import expand
from batchrun.ops.tree.exclusive import rename_exclusive
from batchrun.ops.tree.temporary import is_leftover, is_temporary
from file_context import FileContext, changed, do, message_of, snapshot

TEMPORARY = ".br-20260131-120000-7f3a-12-1-3"
DAYS_S = 3 * 24 * 3600


def world(root: Path) -> Path:
    """Make a tree in which a run is at work, or has died."""
    (root / "tree/sub").mkdir(parents=True)
    for directory in ("tree", "tree/sub"):
        (root / directory / "good").write_text("good")
        (root / directory / TEMPORARY).write_text("half")
        (root / directory / f"{TEMPORARY}.conf").write_text("half")
        (root / directory / ".br-mine").write_text("a user's file")
    return root / "tree"


@pytest.fixture
def days_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + DAYS_S)


@pytest.mark.parametrize(
    "name", [".br-notes", ".br-", ".br-a-1-2", "x.br-20260131-120000-7f3a-1-1-1", f"{TEMPORARY}~"]
)
def test_a_name_that_only_begins_like_ours_is_a_user_s(name: str) -> None:
    assert not is_temporary(name)


def test_the_names_that_are_given_are_known(tmp_path: Path) -> None:
    assert is_temporary(FileContext(tmp_path).temp_name())
    assert is_temporary(TEMPORARY)


def test_no_glob_finds_a_temporary_file(tmp_path: Path) -> None:
    tree = world(tmp_path)
    for pattern in (".*", ".br-*", "**", ".*/*"):
        found = list(expand(Glob(f"{tree}/{pattern}"), hidden=True))
        assert not [path for path in found if TEMPORARY in path]
    assert f"{tree}/.br-mine" in expand(Glob(f"{tree}/.*"))


def test_no_tree_operation_takes_a_temporary_file_along(tmp_path: Path) -> None:
    tree = str(world(tmp_path))
    assert changed(do("copy", src=(tree,), dest=f"{tmp_path}/copy"))
    assert changed(do("archive", src=(tree,), dest=f"{tmp_path}/a.tar"))
    assert changed(do("checksum", src=(tree,), dest=f"{tmp_path}/sums"))
    assert changed(do("perms", path=(tree,), mode="0600", recursive=True))
    assert not [path for path in snapshot(tmp_path / "copy") if TEMPORARY in path]
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
    assert "tree/.br-mine" in names
    assert not [name for name in names if TEMPORARY in name]
    assert TEMPORARY not in (tmp_path / "sums").read_text()
    assert (tmp_path / "tree" / TEMPORARY).stat().st_mode & 0o777 != 0o600


def test_what_is_deleted_or_moved_goes_as_a_whole(tmp_path: Path) -> None:
    tree = str(world(tmp_path))
    assert changed(do("move", src=(tree,), dest=f"{tmp_path}/moved"))
    assert (tmp_path / "moved/sub" / TEMPORARY).exists()
    assert changed(do("delete", path=(f"{tmp_path}/moved",)))
    assert not (tmp_path / "moved").exists()


def test_a_copy_over_an_old_one_leaves_alone_what_is_new(tmp_path: Path) -> None:
    tree = str(world(tmp_path))
    target = tmp_path / "copy"
    assert changed(do("copy", src=(tree,), dest=str(target)))
    (target / "sub" / TEMPORARY).write_text("somebody writes this just now")
    do("copy", src=(tree,), dest=str(target))
    assert (target / "sub" / TEMPORARY).exists()


@pytest.mark.usefixtures("days_later")
def test_a_copy_over_an_old_one_removes_what_the_dead_have_left(tmp_path: Path) -> None:
    tree = str(world(tmp_path))
    target = tmp_path / "copy"
    given: dict[str, Any] = {"src": (tree,), "dest": str(target)}
    assert changed(do("copy", **given))
    for directory in (target, target / "sub"):
        (directory / TEMPORARY).write_text("half")
        (directory / ".br-mine").write_text("mine")
    (target / f"{TEMPORARY}1").mkdir()
    os.chown(target / TEMPORARY, 1, 1)
    before = snapshot(target)
    do("copy", FileContext(dry_run=True), **given)
    assert snapshot(target) == before
    do("copy", **given)
    assert not (target / "sub" / TEMPORARY).exists()
    assert (target / "sub/.br-mine").exists()
    # Another user's may be at work on a machine whose clock is wrong; a directory may be a move.
    assert (target / TEMPORARY).exists()
    assert (target / f"{TEMPORARY}1").exists()


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("copy", {"src": ("{0}/in/a",), "dest": "{0}/out/"}),
        ("copy", {"src": ("{0}/in/a",), "dest": "{0}/out/b"}),
        ("checksum", {"src": ("{0}/in/a",), "dest": "{0}/out/sums"}),
        ("compare", {"src": "{0}/in", "dest": "{0}/in2", "report": "{0}/out/list"}),
    ],
)
def test_what_runs_have_left_that_this_one_goes_on_with_is_removed(
    tmp_path: Path, operation: str, params: dict[str, Any]
) -> None:
    for name in ("in/a", "in2/a", "out/.br-r0-1-1-1", "out/.br-r0-2-0-spool", "out/.br-r7-1-1-1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    given = {
        name: tuple(one.format(tmp_path) for one in value)
        if isinstance(value, tuple)
        else value.format(tmp_path)
        for name, value in params.items()
    }
    context = FileContext()
    context.settings = replace(context.settings, past_runs=("r0",))

    do(operation, context, **given)

    left = [name for name in os.listdir(tmp_path / "out") if name.startswith(".br-")]
    assert left == [".br-r7-1-1-1"]


@pytest.mark.usefixtures("days_later")
def test_what_the_dead_have_left_does_not_keep_an_archived_tree(tmp_path: Path) -> None:
    tree = world(tmp_path)
    assert changed(do("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar", remove=True))
    assert not tree.exists()


def test_what_is_being_written_keeps_an_archived_tree(tmp_path: Path) -> None:
    tree = world(tmp_path)
    done = do("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar", remove=True)
    assert "was kept" in message_of(done)
    assert sorted(os.listdir(tree)) == [TEMPORARY, f"{TEMPORARY}.conf", "sub"]


def test_a_leftover_is_old_and_ours_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / TEMPORARY
    path.touch()
    now = path.stat().st_ctime
    assert is_leftover(TEMPORARY, path.stat(), now + DAYS_S)
    assert not is_leftover(TEMPORARY, path.stat(), now + 3600)
    assert not is_leftover("plain", path.stat(), now + DAYS_S)
    assert not is_leftover(TEMPORARY, tmp_path.stat(), now + DAYS_S)


# rename_exclusive


def test_an_exclusive_rename_replaces_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "dir").mkdir()
    for source, target in (("a", "b"), ("dir", "empty"), ("a", "empty")):
        with pytest.raises(FileExistsError):
            rename_exclusive(f"{tmp_path}/{source}", f"{tmp_path}/{target}")
    rename_exclusive(f"{tmp_path}/a", f"{tmp_path}/c")
    assert (tmp_path / "c").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        rename_exclusive(f"{tmp_path}/a", f"{tmp_path}/d")


def test_a_move_does_not_replace_what_has_just_appeared(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    target = tmp_path / "out"
    context = FileContext(tmp_path)
    asked: list[str] = []
    lstat = os.stat

    def appears(path: Any, **how: Any) -> os.stat_result:
        """Somebody makes the target at the moment after it was looked for."""
        try:
            return lstat(path, **how)
        finally:
            if path == f"{target}/a":
                asked.append(path)
                if len(asked) == 1:
                    target.mkdir(exist_ok=True)
                    (target / "a").write_text("theirs")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", appears)
        done = do("move", context, src=(f"{tmp_path}/in/a",), dest=f"{target}/")
    assert "has appeared" in message_of(done)
    assert (tmp_path / "in/a").read_text() == "a"
    assert (target / "a").read_text() == "theirs"
