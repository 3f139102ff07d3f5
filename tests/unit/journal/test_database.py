"""Databases are opened, brought up to date, or refused in a sentence that says why."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchrun.errors import JournalError
from batchrun.journal.database import Schema, open_for_reading, open_for_writing, seal

FIRST = "CREATE TABLE fruit(name TEXT NOT NULL);\nINSERT INTO fruit VALUES ('fig;');\n"
SECOND = "ALTER TABLE fruit ADD COLUMN colour TEXT;\nUPDATE fruit SET colour = 'green';\n"
OLD = Schema(name="basket", application_id=0x1234, steps=(FIRST,))
NEW = Schema(name="basket", application_id=0x1234, steps=(FIRST, SECOND))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "basket.sqlite"


@pytest.fixture
def old(path: Path) -> Path:
    """Give a database of the older schema."""
    open_for_writing(path, OLD).close()
    return path


def fruit(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    with closing(connection):
        return connection.execute("SELECT * FROM fruit").fetchall()


def version(path: Path) -> tuple[int, int]:
    """Return the marks in the head of a file, as SQLite alone sees them."""
    with closing(sqlite3.connect(path)) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (user,) = connection.execute("PRAGMA user_version").fetchone()
    return application, user


# ---- making and upgrading -------------------------------------------------------------------


def test_a_new_database_gets_its_tables_and_its_marks(path: Path) -> None:
    assert fruit(open_for_writing(path, NEW)) == [("fig;", "green")]
    assert version(path) == (0x1234, 2)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_is_for_its_owner_only_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with closing(open_for_writing(path, NEW)) as connection:
            connection.execute("INSERT INTO fruit VALUES ('plum', 'blue')")
            modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.name in modes
    assert set(modes.values()) == {0o600}


def test_an_older_database_is_brought_up_to_date_when_it_is_written(old: Path) -> None:
    assert fruit(open_for_writing(old, NEW)) == [("fig;", "green")]
    assert version(old) == (0x1234, 2)


def test_it_is_brought_up_to_date_once(old: Path) -> None:
    open_for_writing(old, NEW).close()
    assert fruit(open_for_writing(old, NEW)) == [("fig;", "green")]


def test_two_that_bring_it_up_to_date_at_once_do_it_once(path: Path) -> None:
    connections = [open_for_writing(path, NEW) for _ in range(2)]
    assert [fruit(one) for one in connections] == [[("fig;", "green")]] * 2


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(old: Path) -> None:
    broken = Schema(
        name="basket", application_id=0x1234, steps=(FIRST, "DELETE FROM fruit;\nOOPS;\n")
    )
    with pytest.raises(sqlite3.OperationalError, match="OOPS"):
        open_for_writing(old, broken)
    assert version(old) == (0x1234, 1)
    assert fruit(open_for_reading(old, OLD)) == [("fig;",)]


def test_an_older_database_is_read_as_a_new_one_and_stays_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    assert fruit(open_for_reading(old, NEW)) == [("fig;", "green")]
    assert old.read_bytes() == before
    assert version(old) == (0x1234, 1)


def test_reading_sees_what_somebody_writes_at_the_same_time(path: Path) -> None:
    with closing(open_for_writing(path, NEW)) as writer:
        with closing(open_for_reading(path, NEW)) as reader:
            writer.execute("INSERT INTO fruit VALUES ('plum', 'blue')")
            assert ("plum", "blue") in fruit(reader)
        with (
            closing(open_for_reading(path, NEW)) as reader,
            pytest.raises(sqlite3.OperationalError, match="readonly"),
        ):
            reader.execute("DELETE FROM fruit")


def test_a_sealed_database_is_one_file_and_reading_leaves_none_beside_it(path: Path) -> None:
    with closing(open_for_writing(path, NEW)) as connection:
        connection.execute("INSERT INTO fruit VALUES ('plum', 'blue')")
        seal(connection)
    assert fruit(open_for_reading(path, NEW)) == [("fig;", "green"), ("plum", "blue")]
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["a b?c#d%41", os.fsdecode(b"caf\xe9"), "ü"])
def test_directories_may_have_any_name(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    open_for_writing(directory / "x.sqlite", NEW).close()
    assert fruit(open_for_reading(directory / "x.sqlite", NEW)) == [("fig;", "green")]


# ---- what is refused ------------------------------------------------------------------------


def refused_both_ways(path: Path, schema: Schema) -> Iterator[str]:
    for open_ in (open_for_writing, open_for_reading):
        with pytest.raises(JournalError) as caught:
            open_(path, schema)
        yield str(caught.value)


def test_a_newer_database_is_refused_by_name_and_not_touched(path: Path) -> None:
    open_for_writing(path, NEW).close()
    before = path.read_bytes()
    for message in refused_both_ways(path, OLD):
        assert message == (
            f"the basket {path} was written by a newer batchrun (version 2, this one knows 1); "
            "use that one to read it"
        )
    assert path.read_bytes() == before


@pytest.mark.parametrize("marks", ["", "PRAGMA user_version=1", "PRAGMA application_id=7"])
def test_the_database_of_another_program_is_refused_and_not_touched(path: Path, marks: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks(url)")
        other.execute(marks)
        other.commit()
    before = path.read_bytes()
    for message in refused_both_ways(path, NEW):
        assert message == f"{path} is not a basket of batchrun"
    assert path.read_bytes() == before


def test_what_is_no_database_is_damage_to_a_reader(path: Path) -> None:
    path.write_bytes(b"shopping list\n" * 100)
    with pytest.raises(JournalError) as caught:
        open_for_reading(path, NEW)
    assert str(caught.value) == (
        f"the basket {path} cannot be read: the file is damaged, or is no database"
    )


def test_a_database_that_was_cut_short_is_damage_to_a_reader(path: Path) -> None:
    open_for_writing(path, NEW).close()
    with path.open("r+b") as file:
        file.truncate(3_000)
    with pytest.raises(JournalError, match=r"cannot be read: the file is damaged"):
        open_for_reading(path, NEW)


def test_a_database_that_is_not_there_is_not_made_by_a_reader(path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read: there is no such file"):
        open_for_reading(path, NEW)
    assert not path.exists()


def test_a_place_where_no_file_can_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_for_writing(tmp_path / "no" / "x.sqlite", NEW)
    with pytest.raises(IsADirectoryError):
        open_for_writing(tmp_path, NEW)
