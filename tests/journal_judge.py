"""Records of runs, read with the sqlite3 module alone: a judge that shares no code with batchrun.

A record is copied before it is read, so that looking changes nothing of what a dead run has left.
"""

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "KINDS",
    "endings",
    "facts",
    "integrity",
    "is_begun",
    "number_ended",
    "ok_units",
    "records",
    "rows",
    "state_dir",
]

#: Numbers in the column `kind`, as records on people's disks have them.
KINDS = ("ok", "failed", "timed_out", "unreachable", "lost", "cancelled", "aborted", "skipped")


def state_dir() -> Path:
    """Return where the runs of this test are recorded."""
    return Path(os.environ["BATCHRUN_STATE_DIR"])


def records(state: Path | None = None) -> list[Path]:
    """Return the directories of all runs that have begun a record, oldest first.

    Names alone do not do: they tell the second only.
    """
    begun = [path for path in (state or state_dir()).glob("runs/2*") if is_begun(path)]
    return sorted(begun, key=lambda path: (_began_at(path), path.name))


def _began_at(run: Path) -> float:
    (row,) = rows(run, "SELECT started_at FROM run")
    return float(row[0])


def is_begun(run: Path) -> bool:
    """Say whether a run got so far that it is on record."""
    try:
        return bool(rows(run, "SELECT id FROM run"))
    except sqlite3.Error:
        return False


def rows(run: Path, statement: str, *values: Any) -> list[sqlite3.Row]:
    """Ask a record."""
    with _opened(run) as connection:
        return connection.execute(statement, values).fetchall()


@contextmanager
def _opened(run: Path) -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory() as place:
        # The log first: what is moved from it into the database meanwhile is then in both.
        for name in ("journal.sqlite-wal", "journal.sqlite-journal", "journal.sqlite"):
            if (run / name).exists():
                shutil.copy(run / name, place)
        database = Path(place, "journal.sqlite")
        with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection


def facts(run: Path) -> dict[str, Any]:
    """Return the one row that says what a run was, and how it ended."""
    (row,) = rows(run, "SELECT * FROM run")
    return dict(row)


def endings(run: Path) -> list[tuple[str, str, str]]:
    """Return task, item and outcome of every unit that has ended, in their order."""
    found = rows(
        run,
        "SELECT t.id, a.label, a.kind FROM attempts a JOIN tasks t ON t.position = a.task "
        "WHERE a.is_final ORDER BY a.seq",
    )
    return [(row["id"], row["label"], KINDS[row["kind"]]) for row in found]


def ok_units(run: Path) -> Counter[tuple[str, str]]:
    """Count the units that ended ok, by task and item."""
    return Counter((task, item) for task, item, kind in endings(run) if kind == "ok")


def number_ended(run: Path) -> int:
    """Return how many units are on record."""
    return len(endings(run))


def integrity(run: Path) -> str:
    """Return what SQLite says of the state of a record: `ok`, or what is wrong with it."""
    return str(rows(run, "PRAGMA integrity_check")[0][0])
