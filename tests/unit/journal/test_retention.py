"""Old records are thrown away by age, number and size; runs of one family together."""

from pathlib import Path

from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from batchrun.journal.retention import DEFAULT, Retention, superfluous, tidy
from batchrun.model.record import RunRow, RunState
from written_runs import WrittenRun

DAY_S = 86_400.0
NOW = 1_000 * DAY_S


def row(name: str, days: float, *, previous: str = "", size: int = 10, state: str = "ok") -> RunRow:
    """Make the row of a run that began so many days ago."""
    return RunRow(
        run_id=name,
        started_at=NOW - days * DAY_S,
        previous=previous,
        size_bytes=size,
        state=RunState(state),
    )


def gone(*rows: RunRow, policy: Retention, spared: tuple[str, ...] = ()) -> set[str]:
    return {one.run_id for one in superfluous(rows, policy, NOW, spared)}


def test_without_a_limit_everything_is_kept() -> None:
    assert gone(row("a", 1), row("b", 999), policy=Retention()) == set()


def test_the_newest_are_kept_by_number() -> None:
    rows = [row(name, at) for at, name in enumerate("abcd")]
    assert gone(*rows, policy=Retention(count=2)) == {"c", "d"}


def test_the_youngest_are_kept_by_age() -> None:
    rows = [row("a", 1), row("b", 30), row("c", 30.1)]
    assert gone(*rows, policy=Retention(age_s=30 * DAY_S)) == {"c"}


def test_as_many_of_the_newest_are_kept_as_fit() -> None:
    rows = [row("a", 1, size=40), row("b", 2, size=60), row("c", 3, size=1)]
    assert gone(*rows, policy=Retention(size_bytes=100)) == {"c"}


def test_one_that_is_too_big_does_not_push_the_others_out() -> None:
    rows = [row("a", 1, size=40), row("b", 2, size=1_000), row("c", 3, size=50)]
    assert gone(*rows, policy=Retention(size_bytes=100)) == {"b"}


def test_the_limits_hold_together() -> None:
    rows = [row("a", 1), row("b", 2, size=500), row("c", 3), row("d", 40), row("e", 4)]
    policy = Retention(count=2, age_s=30 * DAY_S, size_bytes=100)
    assert gone(*rows, policy=policy) == {"b", "d", "e"}


def test_runs_that_go_on_with_each_other_stay_or_go_together() -> None:
    chain = [row("c", 1, previous="b"), row("b", 50, previous="a"), row("a", 200)]
    lone = row("x", 60)
    assert gone(*chain, lone, policy=Retention(age_s=30 * DAY_S)) == {"x"}
    old = [row("c", 31, previous="b"), row("b", 50, previous="a"), row("a", 200)]
    assert gone(*old, policy=Retention(age_s=30 * DAY_S)) == {"a", "b", "c"}


def test_a_run_that_goes_on_is_never_thrown_away_nor_what_it_goes_on_with() -> None:
    rows = [row("b", 300, previous="a", state="running"), row("a", 400), row("x", 500)]
    assert gone(*rows, policy=Retention(count=0)) == {"x"}


def test_the_run_that_has_just_ended_is_spared_however_big_it_is() -> None:
    rows = [row("b", 0, size=10**12), row("a", 1)]
    assert gone(*rows, policy=DEFAULT, spared=("b",)) == set()


def test_unless_told_otherwise_runs_are_kept_for_90_days() -> None:
    assert gone(row("a", 89), row("b", 91), policy=DEFAULT) == {"b"}


def test_tidying_up_removes_the_records_and_returns_which(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    for at, run_id in enumerate(("one", "two", "three")):
        with WrittenRun(state.path, run_id, started_at=NOW - 100 * DAY_S + at) as run:
            run.end_task().finish()
    with History(state) as history:
        assert tidy(history, NOW, spared=("two",)) == ["three", "one"]
        assert [one.run_id for one in history.rows()] == ["two"]
    assert [path.name for path in state.runs.iterdir()] == ["two"]
