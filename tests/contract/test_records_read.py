"""What is read back from the record of a run is what was put in, also before the run has ended."""

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from batchrun.errors import JournalError
from batchrun.journal.attempts import UnitFilter
from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from batchrun.model.event import Note, RunEnded, RunStarted, TaskEnded, UnitEnded, UnitRetried
from batchrun.model.outcome import KINDS, Aborted, Lost, Ok, Skipped, TimedOut
from batchrun.model.record import RunState
from recorded_runs import FAILED, OK, Recording, at, record_run, said

MIXED = (OK, FAILED, Ok(changed=False), TimedOut(limit_s=2), Lost(message="died"),
         Skipped(because="exists"), Aborted(because="fail limit"))  # fmt: skip


def record_many(recording: Recording, units: int = 700) -> None:
    """Record units of every kind in two tasks, some of them after another attempt."""
    for number in range(units):
        outcome = MIXED[number % len(MIXED)]
        recording.end(
            outcome,
            f"item {number}",
            task=("stage", "load")[number % 2],
            earlier=(FAILED,) if number % 5 == 0 else (),
            ignored=outcome is FAILED and number % 3 == 0,
            duration_s=float(number * 37 % 101),
            output=said(b"out\n" * number),
        )


@pytest.mark.parametrize("is_over", [True, False])
def test_the_numbers_are_those_of_the_units_whether_the_run_has_ended_or_was_killed(
    tmp_path: Path, is_over: bool
) -> None:
    recording = record_run(tmp_path, tasks=("stage", "load"))
    record_many(recording)
    recording.finish(2) if is_over else recording.die()

    run = StateDir(tmp_path).run(recording.record.run_id)
    with History(StateDir(tmp_path)) as history, history.open(run.run_id) as recorded:
        counts = recorded.counts
    with sqlite3.connect(run.database) as judge:
        ended = Counter(
            {
                (task, KINDS[kind]): number
                for task, kind, number in judge.execute(
                    "SELECT t.id, kind, count(*) FROM attempts JOIN tasks t ON task = t.position "
                    "WHERE is_final GROUP BY 1, 2"
                )
            }
        )
        ignored, changed, retried = judge.execute(
            "SELECT sum(is_final AND ignored), sum(is_final AND changed), sum(NOT is_final) "
            "FROM attempts"
        ).fetchone()
    judge.close()
    assert {
        (task, kind): number
        for task, tally in counts.tasks.items()
        for kind, number in tally.ended.items()
        if number
    } == ended
    total = counts.total
    assert (total.ignored, total.changed, total.retried) == (ignored, changed, retried)
    assert total.planned == (700 if is_over else 0)


def test_the_ten_slowest_units_are_known_without_reading_all_the_slowest_first(
    tmp_path: Path,
) -> None:
    recording = record_run(tmp_path)
    times = [float(number * 37 % 1009) for number in range(1000)]
    for number, took in enumerate(times):
        recording.end(label=str(number), duration_s=took)
    recording.finish()
    with History(StateDir(tmp_path)) as history, history.open("20261122-031500-7f3a") as recorded:
        slowest = [event.report.duration_s for event in recorded.slowest()]
    assert slowest == sorted(times, reverse=True)[:10]


def test_a_unit_that_never_began_is_none_of_the_slowest(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.end(Aborted(because="fail limit"), started_at=0.0, duration_s=0.0)
    recording.end(label="b")
    recording.finish(5)
    with History(StateDir(tmp_path)) as history, history.open("20261122-031500-7f3a") as recorded:
        assert [event.unit.label for event in recorded.slowest()] == ["b"]


def test_what_did_not_end_well_is_found_in_order_with_its_output(tmp_path: Path) -> None:
    recording = record_run(tmp_path, tasks=("stage", "load"))
    record_many(recording)
    recording.finish(2)
    with History(StateDir(tmp_path)) as history, history.open(recording.record.run_id) as recorded:
        found = list(recorded.unwell())
        expected = [
            event
            for event in recorded.units()
            if event.report.outcome.kind not in ("ok", "skipped")
        ]
    assert found == expected
    assert len(found) == 400
    assert found[0].report.output.stdout.head == b"out\n"


def test_events_come_once_more_in_their_order(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.play(Note(message="before"))
    recording.end(OK, "a", earlier=(FAILED,))
    recording.play(Note(message="between", level="info", task_id="stage"))
    recording.end(FAILED, "b", output=said(b"o", b"e"))
    recording.finish(2)
    with History(StateDir(tmp_path)) as history, history.open(recording.record.run_id) as recorded:
        events = list(recorded.events())
    assert [type(event).__name__ for event in events] == [
        "RunStarted", "TaskOpened", "Note", "UnitRetried", "UnitEnded", "Note", "UnitEnded",
        "TaskEnded", "RunEnded",
    ]  # fmt: skip
    last = events[6]
    assert isinstance(last, UnitEnded)
    assert (last.report.output.stdout.head, last.report.output.stderr.head) == (b"o", b"e")


def test_an_interrupted_run_has_neither_an_end_nor_ends_of_tasks(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.end(label="a")
    recording.die()
    with History(StateDir(tmp_path)) as history, history.open(recording.record.run_id) as recorded:
        kinds = {type(event) for event in recorded.events()}
        assert (recorded.state, recorded.ended, recorded.tasks()) == (
            RunState.INTERRUPTED, None, [],
        )  # fmt: skip
    assert kinds.isdisjoint({RunEnded, TaskEnded})
    assert RunStarted in kinds


def test_attempts_of_units_are_found_by_number_item_and_part_of_one(tmp_path: Path) -> None:
    recording = record_run(tmp_path, tasks=("stage", "load"))
    recording.end(OK, "/data/b.csv", earlier=(FAILED, FAILED))
    recording.end(OK, "/data/b.csv.gz")
    recording.end(OK, "/data/b.csv", task="load")
    recording.retry(FAILED, "caf\udce9")
    recording.die()
    with History(StateDir(tmp_path)) as history, history.open(recording.record.run_id) as recorded:

        def found(which: UnitFilter) -> list[tuple[int, int]]:
            attempts = recorded.attempts(recorded.places(which, 100))
            return [
                (event.report.number, event.report.attempt)
                for event in attempts
                if isinstance(event, UnitEnded | UnitRetried)
            ]

        assert found(UnitFilter(number=1)) == [(1, 1), (1, 2), (1, 3)]
        assert found(UnitFilter(item="/data/b.csv")) == [(1, 1), (1, 2), (1, 3), (3, 1)]
        assert found(UnitFilter(item_part="b.csv.")) == [(2, 1)]
        assert found(UnitFilter(item="caf\udce9")) == [(4, 1)]
        assert found(UnitFilter(item_part="\udce9")) == [(4, 1)]
        assert found(UnitFilter(task_id="load")) == [(3, 1)]
        assert len(recorded.places(UnitFilter(), 4)) == 4


def test_a_reader_that_pauses_holds_up_nobody_who_writes(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    for number in range(250):
        recording.end(label=str(number))
    recording.sink.settle()
    run = StateDir(tmp_path).run(recording.record.run_id)
    with sqlite3.connect(run.database) as writer:  # as where there is no write-ahead log
        recording.die()
        writer.execute("PRAGMA journal_mode=DELETE")
    with History(StateDir(tmp_path)) as history, history.open(run.run_id) as recorded:
        events = recorded.events()
        for _ in range(10):
            next(events)
        writer.execute("PRAGMA busy_timeout=0")
        writer.execute("UPDATE run SET pid = 1")
        writer.commit()
        assert sum(isinstance(event, UnitEnded) for event in events) == 250 - 8
    writer.close()


def test_what_went_wrong_with_each_file_is_kept(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.end(FAILED, errors=("a: no", "b: no"), warnings=("c: odd",))
    recording.finish(2)
    with History(StateDir(tmp_path)) as history, history.open(recording.record.run_id) as recorded:
        (event,) = recorded.unwell()
    assert (event.report.errors, event.report.warnings) == (("a: no", "b: no"), ("c: odd",))


# ---- all runs ---------------------------------------------------------------------------------


def test_every_run_is_a_row_the_newest_first(tmp_path: Path) -> None:
    good = record_run(tmp_path, 0, job_name="first")
    good.end()
    good.finish()
    bad = record_run(tmp_path, 1, job_name="caf\udce9", job_file="/x/caf\udce9.yml")
    bad.end(FAILED, ignored=True)
    bad.finish(5, stopped="fail limit \udce9")
    dead = record_run(tmp_path, 2)
    dead.end(duration_s=3.0)
    dead.die()
    alive = record_run(tmp_path, 3, previous=dead.record.run_id, continues="resume")
    alive.end()
    alive.sink.settle()
    with History(StateDir(tmp_path)) as history:
        rows = history.rows()
    alive.die()
    assert [(row.started_at, row.state, row.exit_code) for row in rows] == [
        (at(3), RunState.RUNNING, None),
        (at(2), RunState.INTERRUPTED, None),
        (at(1), RunState.STOPPED, 5),
        (at(0), RunState.OK, 0),
    ]
    assert rows[0].counts.ended["ok"] == 1
    assert (rows[0].previous, rows[0].continues) == (dead.record.run_id, "resume")
    assert rows[1].duration_s == 4.0  # its unit began a second after it
    assert (rows[2].job, rows[2].job_file) == ("caf\udce9", "/x/caf\udce9.yml")
    assert rows[2].stopped == "fail limit \udce9"
    assert (rows[2].counts.planned, rows[2].counts.excused["failed"]) == (1, 1)
    assert rows[3].duration_s == 41.2


def test_the_index_is_made_again_from_the_records_the_same_as_it_was(tmp_path: Path) -> None:
    for hours in range(3):
        recording = record_run(tmp_path, hours)
        recording.end(FAILED)
        recording.finish(2) if hours else recording.die()
    state = StateDir(tmp_path)
    with History(state) as history:
        before = history.rows()
    for damaged in (b"", b"no database" * 999):
        for path in tmp_path.glob("index.sqlite*"):
            path.unlink()
        if damaged:
            state.index.write_bytes(damaged)
        with History(state) as history:
            assert history.rows() == before
        with History(state) as history:
            assert history.rows() == before


def test_an_index_that_cannot_be_written_keeps_nobody_from_looking(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.finish()
    state = StateDir(tmp_path)
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    state.index.mkdir()
    with History(state) as history:
        assert [row.state for row in history.rows()] == [RunState.OK]


def test_a_run_whose_end_the_index_has_missed_is_not_taken_for_interrupted(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.finish()
    with sqlite3.connect(StateDir(tmp_path).index) as index:
        index.execute("UPDATE runs SET exit_code = NULL, counts = NULL, ended_at = NULL")
    index.close()
    with History(StateDir(tmp_path)) as history:
        assert [row.state for row in history.rows()] == [RunState.OK]


def test_a_record_that_cannot_be_read_is_a_row_that_says_why(tmp_path: Path) -> None:
    for hours in range(4):
        recording = record_run(tmp_path, hours)
        recording.end()
        recording.finish()
    state = StateDir(tmp_path)
    files = [state.run(run_id).database for run_id in state.run_ids()]
    files[0].write_bytes(b"\0" * 8192)
    files[1].write_bytes(files[1].read_bytes()[:-4096])
    with sqlite3.connect(files[2]) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    for knows_them in (True, False):
        if not knows_them:
            state.index.unlink()
        with History(state) as history:
            rows = [history.checked(row) for row in history.rows()]
        assert [(row.state, row.problem) for row in rows] == [
            (RunState.OK, ""),
            (RunState.UNREADABLE, "it was written by a newer batchrun"),
            (RunState.UNREADABLE, "the file is damaged"),
            (RunState.UNREADABLE, "the file is damaged, or is no database"),
        ]
        assert [row.started_at for row in rows] == [at(3), at(2), at(1), at(0)]
    with History(state) as history, pytest.raises(JournalError, match="newer batchrun"):
        history.open(state.run_ids()[2])


def test_only_directories_with_a_record_are_runs(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.finish()
    state = StateDir(tmp_path)
    (state.runs / "lost+found").mkdir()
    (state.runs / "zzz").write_text("a file")
    with History(state) as history:
        assert [row.run_id for row in history.rows()] == [recording.record.run_id]
        assert history.find("last") == recording.record.run_id


def test_runs_that_go_on_with_each_other_are_a_family(tmp_path: Path) -> None:
    first = record_run(tmp_path, 0)
    first.die()
    other = record_run(tmp_path, 1)
    other.finish()
    second = record_run(tmp_path, 2, previous=first.record.run_id, continues="resume")
    second.die()
    third = record_run(tmp_path, 3, previous=second.record.run_id, continues="rerun")
    third.finish()
    ids = [one.record.run_id for one in (first, second, third)]
    with History(StateDir(tmp_path)) as history:
        for run_id in ids:
            assert history.family(run_id) == ids
        assert history.family(other.record.run_id) == [other.record.run_id]


def test_runs_that_began_in_the_same_second_are_told_apart_by_their_time(tmp_path: Path) -> None:
    second = 1 / 3600
    first = record_run(tmp_path, 0, run_id="20261122-031500-ffff")
    first.die()
    last = record_run(
        tmp_path,
        second / 2,
        run_id="20261122-031500-0000",
        previous=first.record.run_id,
        continues="resume",
    )
    last.finish()
    with History(StateDir(tmp_path)) as history:
        assert history.find("last") == "20261122-031500-0000"
        assert history.family("20261122-031500-0000") == [
            "20261122-031500-ffff", "20261122-031500-0000",
        ]  # fmt: skip
        assert [row.run_id for row in history.rows()] == [
            "20261122-031500-0000", "20261122-031500-ffff",
        ]  # fmt: skip


# ---- throwing away ----------------------------------------------------------------------------


def test_a_record_is_removed_whole_but_not_that_of_a_run_that_goes_on(tmp_path: Path) -> None:
    gone = record_run(tmp_path, 0)
    gone.finish()
    alive = record_run(tmp_path, 1)
    state = StateDir(tmp_path)
    items = state.run(gone.record.run_id).items
    items.mkdir()
    (items / "stage").write_bytes(b"x" * 10_000)
    with History(state) as history:
        freed = history.remove([gone.record.run_id, alive.record.run_id])
        assert [row.run_id for row in history.rows()] == [alive.record.run_id]
    alive.finish()
    assert freed > 10_000
    assert [path.name for path in state.runs.iterdir()] == [alive.record.run_id]


def test_a_removal_that_was_cut_short_is_completed_later(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.finish()
    state = StateDir(tmp_path)
    run = state.run(recording.record.run_id)
    run.path.rename(state.hidden(run.run_id))
    with History(state) as history:
        assert history.rows() == []
        history.sweep([], 0.0)
    assert list(state.runs.iterdir()) == []


def test_a_record_that_somebody_else_has_removed_meanwhile_is_no_error(tmp_path: Path) -> None:
    recording = record_run(tmp_path)
    recording.finish()
    with History(StateDir(tmp_path)) as history:
        history.remove([recording.record.run_id])
        assert history.remove([recording.record.run_id]) == 0
