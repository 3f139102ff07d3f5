"""Runs are found by what people type, put in order, read back, and thrown away."""

from pathlib import Path

import pytest

from batchrun.errors import JournalError, UsageError
from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from batchrun.model.outcome import Failed
from written_runs import BEGAN_AT, WrittenRun

MONDAY, TUESDAY = "20260105-031500-7f3a", "20260106-031500-01bc"
#: They began in the same second, in this order.
QUICK = ("20260107-031500-ffff", "20260107-031500-0001", "20260107-031500-8000")


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


def write(state: StateDir, run_id: str, previous: str = "", started_at: float = BEGAN_AT) -> None:
    """Record a run that went well."""
    continues = "resume" if previous else ""
    with WrittenRun(
        state.path, run_id, previous=previous, continues=continues, started_at=started_at
    ) as run:
        run.end("x").end_task().finish()


def find(state: StateDir, words: str) -> str:
    with History(state) as history:
        return history.find(words)


def refused(state: StateDir, words: str) -> str:
    with pytest.raises(UsageError) as caught:
        find(state, words)
    return str(caught.value)


# ---- finding --------------------------------------------------------------------------------


def test_a_run_is_found_by_its_id_and_by_how_that_begins_or_ends(state: StateDir) -> None:
    write(state, MONDAY)
    write(state, TUESDAY)
    assert [find(state, words) for words in (MONDAY, "20260105", "7f3a", "01bc")] == [
        MONDAY,
        MONDAY,
        MONDAY,
        TUESDAY,
    ]


def test_what_may_mean_several_runs_is_refused_with_some_of_them(state: StateDir) -> None:
    write(state, MONDAY)
    write(state, TUESDAY)
    assert refused(state, "202601") == (
        f"202601 may mean 2 runs, such as {MONDAY}, {TUESDAY}; write more of the id"
    )


def test_an_id_that_begins_like_another_one_means_itself(state: StateDir) -> None:
    write(state, "nightly")
    write(state, "nightly-2")
    assert find(state, "nightly") == "nightly"


def test_what_no_run_is_called_is_refused_with_what_to_do(state: StateDir) -> None:
    write(state, MONDAY)
    assert refused(state, "x") == "no run is called x; `batchrun runs` lists them"


def test_where_no_run_is_recorded_that_is_said(state: StateDir) -> None:
    assert refused(state, "last") == f"no run is recorded in {state.path}"


def test_the_last_run_is_the_one_that_began_last_whatever_its_id(state: StateDir) -> None:
    for at, run_id in enumerate(QUICK):
        write(state, run_id, started_at=BEGAN_AT + at / 10)
    assert find(state, "last") == QUICK[2]


def test_a_run_that_goes_on_with_another_came_after_it_though_the_clock_was_set_back(
    state: StateDir,
) -> None:
    write(state, MONDAY, started_at=BEGAN_AT)
    write(state, TUESDAY, MONDAY, started_at=BEGAN_AT - 3_600.0)
    assert find(state, "last") == TUESDAY


def test_a_directory_in_which_nothing_was_begun_is_no_run(state: StateDir) -> None:
    write(state, MONDAY)
    state.make(TUESDAY)
    state.run(QUICK[0]).path.mkdir()
    state.run(QUICK[0]).database.touch()
    assert find(state, "last") == MONDAY
    assert "no run is called 01bc" in refused(state, "01bc")


# ---- families -------------------------------------------------------------------------------


def family(state: StateDir, run_id: str) -> list[str]:
    with History(state) as history:
        return history.family(run_id)


def test_a_family_is_all_runs_that_go_on_with_each_other_the_first_one_first(
    state: StateDir,
) -> None:
    write(state, MONDAY)
    for at, run_id in enumerate(QUICK):
        write(state, run_id, QUICK[at - 1] if at else "", started_at=BEGAN_AT + at / 10)
    write(state, TUESDAY, QUICK[0], started_at=BEGAN_AT + 9)
    for run_id in (*QUICK, TUESDAY):
        assert family(state, run_id) == [*QUICK, TUESDAY]
    assert family(state, MONDAY) == [MONDAY]


def test_a_family_whose_first_run_is_gone_begins_with_the_next_one(state: StateDir) -> None:
    write(state, MONDAY)
    write(state, TUESDAY, MONDAY, started_at=BEGAN_AT + 1)
    with History(state) as history:
        history.remove([MONDAY])
    assert family(state, TUESDAY) == [TUESDAY]


# ---- rows -----------------------------------------------------------------------------------


def test_the_row_of_a_run_says_how_it_stands(state: StateDir) -> None:
    write(state, MONDAY, started_at=BEGAN_AT)
    with WrittenRun(
        state.path, TUESDAY, previous=MONDAY, continues="resume", started_at=2e9
    ) as run:
        run.end("a").end("b", Failed(message="no"), at=2e9 + 30.0)
        run.sink.settle()
        with History(state) as history:
            running, ended = history.rows()
    with History(state) as history:
        killed = history.rows()[0]

    assert (ended.run_id, ended.state, ended.exit_code, ended.duration_s) == (MONDAY, "ok", 0, 60.0)
    assert (running.state, running.exit_code, running.counts.done) == ("running", None, 2)
    assert (killed.state, killed.exit_code, killed.duration_s) == ("interrupted", None, 30.0)
    assert killed.counts.as_dict()["failed"] == 1
    assert (killed.previous, killed.continues) == (MONDAY, "resume")
    assert killed.size_bytes is not None
    assert killed.size_bytes > 4_096


def test_a_record_that_cannot_be_read_is_a_row_and_harms_no_other(state: StateDir) -> None:
    write(state, MONDAY)
    with WrittenRun(state.path, TUESDAY, started_at=2e9):
        pass
    state.index.unlink()
    state.run(TUESDAY).database.write_bytes(b"x" * 5_000)
    with History(state) as history:
        rows = history.rows()
        assert [(row.run_id, row.state) for row in rows] == [
            (MONDAY, "ok"),
            (TUESDAY, "unreadable"),
        ]
        with pytest.raises(JournalError, match="the file is damaged"):
            history.open(TUESDAY)


# ---- throwing away --------------------------------------------------------------------------


def test_a_removed_run_is_gone_from_disk_and_index_and_its_size_is_told(state: StateDir) -> None:
    write(state, MONDAY)
    write(state, TUESDAY)
    size = sum(path.stat().st_size for path in state.run(MONDAY).path.iterdir())
    with History(state) as history:
        assert history.remove([MONDAY]) == size
        assert [row.run_id for row in history.rows()] == [TUESDAY]
    assert [path.name for path in state.runs.iterdir()] == [TUESDAY]


def test_a_run_that_goes_on_and_one_that_is_gone_are_passed_over(state: StateDir) -> None:
    with WrittenRun(state.path, MONDAY) as run, History(state) as history:
        history.remove([MONDAY, TUESDAY])
        assert run.sink.run.database.exists()


def test_what_was_half_removed_is_no_run_and_is_swept_away(state: StateDir) -> None:
    write(state, MONDAY)
    write(state, TUESDAY)
    state.run(MONDAY).path.rename(state.hidden(MONDAY))
    with History(state) as history:
        rows = history.rows()
        assert [row.run_id for row in rows] == [TUESDAY]
        history.sweep(rows, BEGAN_AT)
    assert [path.name for path in state.runs.iterdir()] == [TUESDAY]
