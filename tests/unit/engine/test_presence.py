"""The presence file of a run, as far as one process can tell; who dies is tested in `fault`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine import presence as module
from batchrun.engine.presence import Presence, alive, holders, presence_path, remove_dead


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return presence_path(tmp_path / "state", "20260102-030405-a1b2")


@pytest.fixture
def present(path: Path) -> Iterator[Presence]:
    made = Presence(path)
    yield made
    made.close()


def left(path: Path) -> Path:
    """Make what a killed run leaves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@given(st.text(max_size=300))
def test_any_id_gives_one_plain_short_file_name(run_id: str) -> None:
    made = presence_path(Path("/state"), run_id)
    assert made.parent == Path("/state/presence")
    assert made.name.isascii()
    assert 0 < len(made.name) <= 100
    assert not made.name.startswith(".")


def test_a_run_is_alive_until_it_is_over(path: Path) -> None:
    assert not alive(path)
    present = Presence(path)
    assert alive(path)
    present.close()
    assert not alive(path)
    assert os.listdir(path.parent) == []


def test_any_number_may_look(path: Path, present: Presence) -> None:
    assert present.path == path
    assert [alive(path) for _ in range(3)] == [True] * 3
    assert not alive(left(path.with_name("dead")))


def test_file_and_directories_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        present = Presence(path)
        modes = [one.stat().st_mode & 0o777 for one in (path.parent.parent, path.parent, path)]
        present.close()
    finally:
        os.umask(before)
    assert modes == [0o700, 0o700, 0o600]


def test_what_dead_runs_have_left_goes_and_what_lives_stays(path: Path, present: Presence) -> None:
    left(path.with_name("dead"))
    other = Presence(path.with_name("other"))
    assert sorted(os.listdir(path.parent)) == [path.name, "other"]
    other.close()
    for name in (path.name, "gone"):
        remove_dead(path.with_name(name))
    assert os.listdir(path.parent) == [path.name]
    assert alive(present.path)


def test_the_file_of_a_dead_run_of_the_same_id_is_as_good_as_a_new_one(path: Path) -> None:
    left(path)
    present = Presence(path)
    assert alive(path)
    present.close()


def test_no_two_runs_that_live_have_the_same_id(
    path: Path, present: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TRY_S", 0.0)
    with pytest.raises(OSError, match="another run with the same id is running") as caught:
        Presence(path)
    assert caught.value.filename == os.fspath(path)
    assert alive(present.path)


def test_a_file_that_somebody_else_has_put_there_meanwhile_is_left_alone(path: Path) -> None:
    present = Presence(path)
    path.unlink()
    left(path)
    present.close()
    assert path.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "below a file"])
def test_what_is_no_file_of_a_run_holds_nobody_up_and_stays(
    path: Path, tmp_path: Path, kind: str
) -> None:
    path.parent.mkdir(parents=True)
    precious = left(tmp_path / "precious")
    if kind == "link":
        path.symlink_to(precious)
        assert not alive(path)
    elif kind == "pipe":
        os.mkfifo(path)
        assert not alive(path)
    elif kind == "directory":
        path.mkdir()
        assert not alive(path)
    else:
        assert not alive(precious / "presence" / "x")
    remove_dead(path)
    assert precious.exists()


def test_a_file_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    path = presence_path(tmp_path / "state", "x")
    with pytest.raises(FileExistsError) as caught:
        Presence(path)
    assert caught.value.filename == os.fspath(path.parent.parent)


def test_who_holds_a_file_is_told_and_who_only_looks_is_not(path: Path, present: Presence) -> None:
    with path.open("rb"):
        assert holders(path) == [os.getpid()]
    dead = left(path.with_name("dead"))
    with dead.open("rb"):
        assert holders(dead) == []
    assert holders(path.with_name("gone")) == []
    assert holders(present.path) == [os.getpid()]
