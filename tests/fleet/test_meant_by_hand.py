"""`delete` and `perms` on a host made by hand: what patterns leave alone, and the trash."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.values import Glob
from file_context import HOSTILE_NAMES, FileContext, changed, do, message_of
from local_host import LocalHost, local_host

NAMES = pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        yield made


def tree_of(host: LocalHost) -> None:
    """Make a tree with logs, something to keep, and a directory of either."""
    for name in ("a.log", "keep.log", "b.txt", "deep/c.log", "safe/d.log", "all/e.log"):
        path = host.home / "t" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def relative(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def modes_in(root: Path) -> dict[str, int]:
    return {name: stat.S_IMODE((root / name).lstat().st_mode) for name in [".", *relative(root)]}


PATTERNS = pytest.mark.parametrize(
    "patterns",
    [
        {"exclude": ("keep.log", "/safe/")},
        {"include": ("*.log",)},
        {"include": ("*.log", "all/"), "exclude": ("keep.log",)},
        {"exclude": ("*.none",)},
        {"include": ("*.none",)},
        {"exclude": ("deep/*",)},
    ],
)


@PATTERNS
def test_delete_leaves_what_patterns_do_not_mean_as_here(
    host: LocalHost, patterns: dict[str, tuple[str, ...]], tmp_path: Path
) -> None:
    tree_of(host)
    judge = tmp_path / "judge"
    shutil.copytree(host.home / "t", judge)
    expected = do("delete", FileContext(tmp_path), path=(str(judge),), **patterns)
    assert host.rehearse("delete", path=("t",), **patterns) == changed(expected)
    assert changed(host.do("delete", path=("t",), **patterns)) == changed(expected)
    assert relative(host.home / "t") == relative(judge)
    assert not changed(host.do("delete", path=("t",), **patterns))


def test_delete_by_a_glob_leaves_what_patterns_do_not_mean(host: LocalHost) -> None:
    tree_of(host)
    (host.home / "t/to-etc.log").symlink_to("/etc")
    assert changed(host.do("delete", path=(Glob("t/*"),), exclude=("keep.log", "safe", "deep")))
    assert relative(host.home / "t") == ["deep", "deep/c.log", "keep.log", "safe", "safe/d.log"]
    assert os.path.exists("/etc/passwd")


def test_delete_counts_what_patterns_mean_before_anything_goes(host: LocalHost) -> None:
    tree_of(host)
    before = relative(host.home / "t")
    message = message_of(host.do("delete", path=("t",), include=("*.log",), max_delete=4))
    assert "5 of" in message
    assert relative(host.home / "t") == before
    assert changed(host.do("delete", path=("t",), include=("*.log",), max_delete=5))


@NAMES
def test_delete_into_a_trash_keeps_it_under_a_name_of_its_own(host: LocalHost, name: str) -> None:
    for _ in range(2):
        (host.home / name).mkdir()
        (host.home / name / "f").write_text("x")
        assert host.rehearse("delete", path=(name,), trash="bin/old")
        assert changed(host.do("delete", path=(name,), trash="bin/old"))
    kept = sorted((host.home / "bin/old").iterdir())
    assert [(each / "f").read_text() for each in kept] == ["x", "x"]
    assert all(each.name.startswith(f"{name}.") for each in kept)
    assert not changed(host.do("delete", path=(name,), trash="bin/old"))


def test_a_trash_that_would_go_itself_is_refused(host: LocalHost) -> None:
    (host.home / "t/bin").mkdir(parents=True)
    (host.home / "elsewhere").symlink_to("t/bin")
    for trash in ("t/bin", "t", "elsewhere"):
        assert "the trash" in message_of(host.do("delete", path=("t",), trash=trash))
    assert (host.home / "t/bin").is_dir()
    both = host.do("delete", path=("t",), trash="bin", exclude=("x",))
    assert "cannot be given with" in message_of(both)


@PATTERNS
def test_perms_changes_what_patterns_mean_as_here(
    host: LocalHost, patterns: dict[str, tuple[str, ...]], tmp_path: Path
) -> None:
    tree_of(host)
    judge = tmp_path / "judge"
    shutil.copytree(host.home / "t", judge)
    given: dict[str, Any] = {"mode": "u=rwX,g=rX,o=", "recursive": True, **patterns}
    expected = do("perms", FileContext(tmp_path), path=(str(judge),), **given)
    assert host.rehearse("perms", path=("t",), **given) == changed(expected)
    assert changed(host.do("perms", path=("t",), **given)) == changed(expected)
    assert modes_in(host.home / "t") == modes_in(judge)
    assert not changed(host.do("perms", path=("t",), **given))
