"""`prune`: what goes by age, size and name, and what rules of retention keep."""

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from file_context import FileContext, changed, do, message_of, snapshot
from tree_runs import rehearsed, spread

pytestmark = pytest.mark.timeout(120)

DAY_S = 86400.0


def aged(path: Path, days: float, size: int = 0) -> Path:
    """Make a file that was changed so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))
    return path


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_all_conditions_must_hold(tmp_path: Path) -> None:
    aged(tmp_path / "old.log", 40, 100)
    aged(tmp_path / "old small.log", 40, 1)
    aged(tmp_path / "new.log", 1, 100)
    aged(tmp_path / "old.txt", 40, 100)
    aged(tmp_path / "below" / "old.log", 40, 100)

    assert changed(
        do("prune", path=(str(tmp_path),), older_than=30 * DAY_S, larger_than=10, name=("*.log",))
    )

    assert names(tmp_path) == {"old small.log", "new.log", "old.txt", "below/old.log"}


@pytest.mark.parametrize("run", [do, spread], ids=["alone", "by many"])
def test_directories_below_are_pruned_and_those_that_are_empty_go(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    for number in range(20):
        aged(tmp_path / "tree" / f"d{number}" / "deep" / "file", number)
    (tmp_path / "tree" / "new and empty").mkdir()
    (tmp_path / "tree" / "link").symlink_to("d1")

    params: dict[str, Any] = {
        "path": (f"{tmp_path}/tree",),
        "older_than": 9.5 * DAY_S,
        "recursive": True,
    }
    run("prune", **params, empty_dirs=True, exclude=("d19",))

    assert names(tmp_path / "tree") == {
        "d19/deep/file", *(f"d{number}/deep/file" for number in range(10)),
    }  # fmt: skip
    assert not (tmp_path / "tree" / "d15").exists()
    assert (tmp_path / "tree" / "new and empty").exists()


def test_the_newest_are_kept_in_each_directory(tmp_path: Path) -> None:
    for number in range(30):
        aged(tmp_path / f"d{number % 3}" / f"{number}", number)

    assert changed(spread("prune", path=(str(tmp_path),), keep=2, recursive=True))  # type: ignore[arg-type]  # a report has an outcome, too

    assert names(tmp_path) == {f"d{number % 3}/{number}" for number in range(6)}


def test_the_newest_of_each_day_week_and_month_is_kept(tmp_path: Path) -> None:
    noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)
    days = {}
    for number in range(1, 100):
        for hour in (0, 3):
            when = noon - timedelta(days=number, hours=-hour)
            path = tmp_path / f"{number}-{hour}"
            path.touch()
            os.utime(path, (when.timestamp(), when.timestamp()))
            days[path.name] = when

    assert changed(do("prune", path=(str(tmp_path),), keep_daily=7, keep_weekly=4, keep_monthly=2))

    left = {name: days[name] for name in names(tmp_path)}
    assert {f"{number}-3" for number in range(1, 8)} <= left.keys()
    assert not any(name.endswith("-0") for name in left)
    weeks = sorted({when.strftime("%G-%V") for when in days.values()})[-4:]
    assert set(weeks) <= {when.strftime("%G-%V") for when in left.values()}
    assert len(left) <= 7 + 4 + 2
    assert not changed(
        do("prune", path=(str(tmp_path),), keep_daily=7, keep_weekly=4, keep_monthly=2)
    )


def test_groups_are_counted_by_themselves_and_other_names_are_kept(tmp_path: Path) -> None:
    for number in range(1, 5):
        aged(tmp_path / f"web-{number}.gz", number)
        aged(tmp_path / f"db-{number}.gz", number)
    aged(tmp_path / "README", 100)

    assert changed(do("prune", path=(str(tmp_path),), keep=1, group_by=r"^(\w+)-\d"))

    assert names(tmp_path) == {"web-1.gz", "db-1.gz", "README"}


def test_whole_directories_are_kept_or_deleted(tmp_path: Path) -> None:
    for number in range(5):
        aged(tmp_path / "backups" / f"b{number}" / "deep" / "file", 0)
        then = time.time() - number * DAY_S
        os.utime(tmp_path / "backups" / f"b{number}", (then, then))
    aged(tmp_path / "backups" / "log", 100)

    params: dict[str, Any] = {"path": (f"{tmp_path}/backups",), "type": "directory", "keep": 2}
    before = snapshot(tmp_path)
    assert changed(do("prune", FileContext(dry_run=True), **params))
    spread("prune", make=rehearsed, **params)
    assert snapshot(tmp_path) == before
    spread("prune", **params)

    assert names(tmp_path) == {"backups/log", "backups/b0/deep/file", "backups/b1/deep/file"}


def test_what_would_delete_all_or_means_nothing_is_refused(tmp_path: Path) -> None:
    aged(tmp_path / "file", 1)
    assert "`delete` deletes all" in message_of(do("prune", path=(str(tmp_path),)))
    assert "group" in message_of(do("prune", path=(str(tmp_path),), keep=1, group_by="x"))
    assert "size" in message_of(
        do("prune", path=(str(tmp_path),), type="directory", keep=1, larger_than=1)
    )
    assert "root" in message_of(do("prune", path=("/",), older_than=DAY_S))
    assert not changed(do("prune", path=(f"{tmp_path}/missing",), older_than=DAY_S))
    assert names(tmp_path) == {"file"}
