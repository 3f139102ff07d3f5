"""Hosts in the record of a run."""

import sqlite3
from contextlib import closing
from pathlib import Path

from batchrun.journal.attempts import UnitFilter
from batchrun.journal.database import Schema, open_for_writing
from batchrun.journal.recorded import Recorded
from batchrun.journal.schema import RECORD
from batchrun.model.outcome import Failed, Unreachable
from written_runs import WrittenRun

FIRST = Schema(
    name=RECORD.name, application_id=RECORD.application_id, steps=RECORD.steps[:1]
)  # fmt: skip


def written(state: Path) -> Recorded:
    with WrittenRun(state, "20261122-031500-0001") as run:
        run.end("a", host="web1").end("b", host="web2").end("c")
        run.end("d", Failed(message="no"), host="web2")
        run.end("e", Unreachable(message="no route"), host="db1")
        run.finish(2)
        return run.recorded()


def test_a_record_knows_its_hosts_and_the_units_for_each(tmp_path: Path) -> None:
    with written(tmp_path) as recorded:
        assert recorded.hosts() == ["db1", "web1", "web2"]
        of_web2 = UnitFilter(hosts=("web2",))
        assert [event.unit.label for event in recorded.units(of_web2)] == ["b", "d"]
        assert [event.unit.host for event in recorded.units()] == [
            "web1", "web2", "", "web2", "db1",
        ]  # fmt: skip


def test_failures_of_some_hosts_only(tmp_path: Path) -> None:
    with written(tmp_path) as recorded:
        which = UnitFilter(hosts=("web1", "db1"))
        assert [event.unit.label for event in recorded.unwell(which)] == ["e"]


def test_of_no_host_there_is_no_unit(tmp_path: Path) -> None:
    with written(tmp_path) as recorded:
        assert list(recorded.units(UnitFilter(hosts=()))) == []


def test_more_hosts_than_a_statement_takes_values_are_looked_for(tmp_path: Path) -> None:
    with written(tmp_path) as recorded:
        many = UnitFilter(hosts=(*(f"n{at}" for at in range(300_000)), "web1"))
        assert [event.unit.label for event in recorded.units(many)] == ["a"]


def test_a_record_from_before_there_were_hosts_is_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    open_for_writing(path, FIRST).close()
    with closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(attempts)")]
        assert "host" not in columns
    open_for_writing(path, RECORD).close()
    with closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(attempts)")]
        assert columns[-1] == "host"
