"""The record of a run as it is written: from its first moment, and when the disk has enough."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batchrun.errors import JournalError
from batchrun.journal.places import StateDir
from batchrun.journal.recorded import Recorded
from batchrun.journal.sink import JournalSink
from batchrun.model.outcome import Captured, Ok, Output
from written_runs import WrittenRun, run_record

RUN = "20260101-000000-0001"


def test_what_is_known_of_a_run_is_on_record_before_it_begins(tmp_path: Path) -> None:
    record = run_record(
        RUN,
        job_file=os.fsdecode(b"/jobs/caf\xe9.yml"),
        base_dir=os.fsdecode(b"/jobs/\xff"),
        text=b"tasks: []\n\xff",
        variables={"day": "monday", "n": {"number": "1.10"}, "odd": "\udcff \ud800"},
        options={"load": {"retries": 2}},
        command_line=("x.yml", os.fsdecode(b"\xff")),
        previous="20251231-000000-0001",
        continues="rerun",
        host="h\udcff",
        user="u\udcfe",
        pid=7,
        version="1.0",
        python="3.11",
    )
    sink = JournalSink(StateDir(tmp_path), record)
    sink.close()
    with Recorded(sink.run) as recorded:
        assert recorded.record == record
        assert recorded.ended is None
        assert not recorded.knows_tasks


def test_a_run_is_recorded_once(tmp_path: Path) -> None:
    with WrittenRun(tmp_path, RUN) as run:
        run.end("a")
        with pytest.raises(FileExistsError):
            JournalSink(StateDir(tmp_path), run_record(RUN))
    with run.recorded() as recorded:
        assert len(list(recorded.units())) == 1


def test_a_run_that_cannot_be_recorded_leaves_nothing_behind(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with pytest.raises(JournalError, match="set BATCHRUN_STATE_DIR to another directory"):
        JournalSink(state, run_record("x" * 100 + "/none"))
    assert state.run_ids() == []


def test_files_and_directories_are_for_their_owner_only_whatever_the_umask(
    tmp_path: Path,
) -> None:
    before = os.umask(0)
    try:
        with WrittenRun(tmp_path / "state", RUN) as run:
            run.end("a")
            run.sink.settle()
            places = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
            modes = {str(one): one.stat().st_mode & 0o777 for one in places}
            kinds = {str(one): 0o700 if one.is_dir() else 0o600 for one in places}
    finally:
        os.umask(before)
    assert len(modes) > 6
    assert modes == kinds


def test_a_record_that_is_closed_is_one_plain_file(tmp_path: Path) -> None:
    with WrittenRun(tmp_path, RUN) as run:
        run.end("a").end_task().finish()
    names = {path.name for path in run.sink.run.path.iterdir()}
    assert names == {"journal.sqlite", "lock"}


def test_closing_again_does_nothing(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, RUN)
    run.sink.close()
    before = sorted(path.name for path in run.sink.run.path.iterdir())
    run.sink.close()
    assert sorted(path.name for path in run.sink.run.path.iterdir()) == before


def test_a_record_that_is_removed_while_it_is_written_is_told(tmp_path: Path) -> None:
    with WrittenRun(tmp_path, RUN) as run:
        run.end("a")
        run.sink.run.database.unlink()
        with pytest.raises(OSError, match="the record of this run was removed while it ran"):
            run.sink.settle()
        assert run.sink.is_broken


def test_a_record_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    with WrittenRun(tmp_path, RUN) as run:
        with closing(sqlite3.connect(run.sink.run.database)) as other:
            other.execute("DROP TABLE attempts")
            other.commit()
        run.end("a")
        with pytest.raises(OSError, match=rf"the record of this run in .*{RUN} cannot be written"):
            run.sink.settle()
        with pytest.raises(OSError, match="cannot be written"):
            run.end("b")
        assert run.sink.is_broken


def test_the_beginning_and_the_end_of_long_output_are_kept_and_what_is_missing_is_counted(
    tmp_path: Path,
) -> None:
    stream = Captured(head=b"b" * 65_536, tail=b"e" * 196_608, omitted_bytes=12_345)
    with WrittenRun(tmp_path, RUN) as run:
        run.end("a", Ok(changed=True), output=Output(stdout=stream, stderr=stream))
    with run.recorded() as recorded:
        (unit,) = recorded.units()
        assert unit.report.output == Output(stdout=stream, stderr=stream)
