"""The README's table of what a copy keeps: every row is looked at, and every one is a yes."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from batchrun.model.outcome import Ok
from tree_runs import in_process, spread


@pytest.fixture(scope="module")
def preserved() -> ModuleType:
    """Return the script that measured the table."""
    place = Path(__file__).parents[2] / "bench" / "preserved.py"
    spec = importlib.util.spec_from_file_location("preserved", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_names_all_that_is_looked_at(root: Path, preserved: ModuleType) -> None:
    lines = (root / "README.md").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| kept |"))
    rows = lines[first + 2 : first + 2 + len(preserved.CHECKS)]
    assert [row.split("|")[1].strip() for row in rows] == list(preserved.CHECKS)
    assert {row.split("|")[2].strip() for row in rows} == {"yes"}
    assert lines[first + 2 + len(rows)] == ""


@pytest.mark.parametrize("operation", ["copy", "sync"])
def test_everything_in_the_table_is_kept(
    tmp_path: Path, preserved: ModuleType, operation: str
) -> None:
    src, copy = tmp_path / "src", tmp_path / "copy"
    preserved.make_tree(src)
    given = (str(src),) if operation == "copy" else str(src)

    report = spread(operation, make=in_process, src=given, dest=str(copy))

    assert isinstance(report.outcome, Ok), report
    checks: dict[str, Callable[[Path, Path], bool]] = preserved.CHECKS
    assert [name for name, check in checks.items() if not check(src, copy)] == []
    lost = [name for name, check in checks.items() if check(src, tmp_path)]
    assert lost == [], "these checks cannot fail"
