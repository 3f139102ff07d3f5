"""What is left of a run: which units are settled, what they had registered, what is uncertain."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import SourceError
from batchrun.journal.earlier import EarlierRuns, Tickets, left_over, rerun, resume
from batchrun.journal.recorded import Recorded
from batchrun.model.event import Kept
from batchrun.model.outcome import (
    Aborted,
    Cancelled,
    Failed,
    Lost,
    Ok,
    Outcome,
    Skipped,
    TimedOut,
    Unreachable,
)
from written_runs import BEGAN_AT, WrittenRun, identity_of

OK = Ok(changed=True)
FAILED = Failed(message="no")
SKIPPED = Skipped(because="a guard held")
NOT_WELL: tuple[Outcome, ...] = (
    FAILED,
    TimedOut(limit_s=1.0),
    Unreachable(message="no"),
    Lost(message="killed"),
    Cancelled(),
    Aborted(because="a fail limit"),
)
FIRST, SECOND, THIRD = "20260101-000000-0001", "20260102-000000-0001", "20260103-000000-0001"


class Runs:
    """A state directory with runs that go on with each other."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._leaving = ExitStack()

    def close(self) -> None:
        self._leaving.close()

    def write(self, run_id: str, previous: str = "", **fields: object) -> WrittenRun:
        """Begin a run; it is closed by whoever reads the family."""
        continues = "resume" if previous else ""
        run = WrittenRun(self.state, run_id, previous=previous, continues=continues, **fields)  # type: ignore[arg-type]  # tasks, or fields of its record
        self._leaving.callback(run.sink.close)
        return run

    def family(self, *runs: WrittenRun) -> list[Recorded]:
        """Open the records of runs, the oldest first."""
        for run in runs:
            run.sink.close()
        return [self._leaving.enter_context(run.recorded()) for run in runs]

    def resumed(self, *runs: WrittenRun, boot_id: str = "this-boot") -> EarlierRuns:
        """Find out what is left of the last run."""
        return resume(
            runs[-1].run_id,
            self.family(*runs),
            boot_id=boot_id,
            is_command=lambda operation: operation in ("run", "steps"),
        )

    def rerun(self, *runs: WrittenRun, of: str = "", kinds: Sequence[str] = ()) -> EarlierRuns:
        """Find out what did not end ok in one of the runs, the last one unless it is said."""
        return rerun(of or runs[-1].run_id, self.family(*runs), kinds)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path / "state")
    yield made
    made.close()


def is_left(earlier: EarlierRuns, label: str, task_id: str = "a") -> bool:
    """Plan a unit; say whether it is to be run."""
    found = earlier.settled(task_id, identity_of(label, task_id), keeps=False, register="")
    return found is None


def left(earlier: EarlierRuns, labels: str, task_id: str = "a") -> str:
    """Plan units, each a letter; return those that are to be run."""
    return "".join(one for one in labels if is_left(earlier, one, task_id))


# ---- tickets --------------------------------------------------------------------------------

KEYS = st.sampled_from([b"a", b"b", b"c"])


@given(steps=st.lists(st.tuples(st.sampled_from(["add", "take", "drop"]), KEYS), max_size=40))
def test_tickets_count_as_a_multiset_does(steps: list[tuple[str, bytes]]) -> None:
    tickets, model = Tickets(), Counter[bytes]()
    for what, key in steps:
        if what == "add":
            tickets.add(key)
            model[key] += 1
        elif what == "take":
            assert tickets.take(key) == (model[key] > 0)
            model[key] -= model[key] > 0
        else:
            tickets.drop(key)
            model[key] = 0
        assert {one: tickets.count(one) for one in (b"a", b"b", b"c")} == {
            one: model[one] for one in (b"a", b"b", b"c")
        }
        assert [one in tickets for one in (b"a", b"b")] == [model[b"a"] > 0, model[b"b"] > 0]
        assert len(tickets) == model.total()


# ---- resume ---------------------------------------------------------------------------------


def test_a_resume_runs_what_never_ended_and_what_did_not_end_ok(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a").end("b", FAILED).end("c", SKIPPED)
    assert left(runs.resumed(first), "abcd") == "bcd"


@pytest.mark.parametrize("outcome", NOT_WELL, ids=lambda one: one.kind)
def test_no_other_ending_than_ok_settles_a_unit(runs: Runs, outcome: Outcome) -> None:
    first = runs.write(FIRST)
    first.end("a", outcome)
    assert left(runs.resumed(first), "a") == "a"


def test_of_equal_units_as_many_are_left_as_did_not_end_ok_wherever_they_stand(
    runs: Runs,
) -> None:
    first = runs.write(FIRST)
    first.end("x").end("x").end("x", FAILED).end("y")
    earlier = runs.resumed(first)
    assert left(earlier, "yxzxxx") == "zxx"


def test_what_any_run_of_the_chain_has_ended_well_is_done(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a").end("b", FAILED).end("c", FAILED)
    second = runs.write(SECOND, FIRST)
    second.end("b").end("c", FAILED)
    assert left(runs.resumed(first, second), "abc") == "c"


def test_the_same_item_in_another_task_is_another_unit(runs: Runs) -> None:
    first = runs.write(FIRST, tasks=("a", "b"))
    first.end("x", task_id="a")
    earlier = runs.resumed(first)
    assert is_left(earlier, "x", "b")
    assert not is_left(earlier, "x", "a")


def test_a_unit_that_is_settled_says_in_which_run_it_was_done(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a")
    found = runs.resumed(first).settled("a", identity_of("a"), keeps=False, register="")
    assert found is not None
    assert found.because == f"done in run {FIRST}"


# ---- rerun ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", NOT_WELL, ids=lambda one: one.kind)
def test_a_rerun_runs_whatever_did_not_end_well(runs: Runs, outcome: Outcome) -> None:
    first = runs.write(FIRST)
    first.end("a", outcome).end("b").end("c", SKIPPED).end_task().finish(2)
    assert left(runs.rerun(first), "abc") == "a"


def test_a_rerun_does_not_run_what_is_new_in_a_list(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", FAILED).end_task().finish(2)
    earlier = runs.rerun(first)
    assert left(earlier, "xaax") == "a"
    found = earlier.settled("a", identity_of("x"), keeps=False, register="")
    assert found is not None
    assert found.because == f"not among what is repeated of run {FIRST}"


def test_a_rerun_of_some_kinds_runs_these_only(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", FAILED).end("b", Unreachable(message="no")).end("c", TimedOut(limit_s=1.0))
    first.end_task(not_expanded="a fail limit").finish(5)
    assert left(runs.rerun(first, kinds=("unreachable",)), "abcd") == "b"
    assert left(runs.rerun(first, kinds=("failed", "timed_out", "lost")), "abcd") == "ac"


def test_a_rerun_opens_a_task_again_that_was_not_drawn_to_its_end(runs: Runs) -> None:
    first = runs.write(FIRST, tasks=("a", "b"))
    first.end("x", FAILED, task_id="a").end("y", task_id="a")
    first.end_task("a", not_expanded="more than 0 failures").end("x", task_id="b").end_task("b")
    first.finish(5)
    earlier = runs.rerun(first)
    assert left(earlier, "xyz", "a") == "xz"
    assert left(earlier, "xyz", "b") == ""


def test_a_rerun_of_a_run_that_was_killed_opens_what_had_not_ended(runs: Runs) -> None:
    first = runs.write(FIRST, tasks=("a", "b", "c"))
    first.end("x", task_id="a").end_task("a").end("x", task_id="b")
    earlier = runs.rerun(first)
    assert left(earlier, "xy", "a") == ""
    assert left(earlier, "xy", "b") == "y"
    assert left(earlier, "xy", "c") == "xy"


def test_what_a_later_run_has_ended_well_is_not_run_again(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", FAILED).end("b", FAILED).end("b", FAILED).end_task().finish(2)
    second = runs.write(SECOND, FIRST)
    second.end("a").end("b").end("b", FAILED).end_task().finish(2)
    assert left(runs.rerun(first, second, of=FIRST), "abb") == "b"
    assert left(runs.rerun(first, second, of=SECOND), "abb") == "b"


def test_what_an_earlier_run_had_ended_well_does_not_count_for_a_later_failure(
    runs: Runs,
) -> None:
    # A unit whose result could not be restored was run again, and failed.
    first = runs.write(FIRST)
    first.end("a").end_task().finish(0)
    second = runs.write(SECOND, FIRST)
    second.end("a", FAILED).end_task().finish(2)
    assert left(runs.rerun(first, second), "a") == "a"


def test_which_run_came_later_is_not_read_from_their_ids(runs: Runs) -> None:
    first = runs.write("20260101-000000-ffff")
    first.end("a", FAILED).end_task().finish(2)
    second = runs.write("20260101-000000-0000", first.run_id)
    second.end("a").end_task().finish(0)
    assert left(runs.rerun(first, second, of=first.run_id), "a") == ""


# ---- what units have registered -------------------------------------------------------------


def kept(data: bytes, name: str = "version", **fields: object) -> Kept:
    return Kept(name=name, outcome=OK, data=data, **fields)  # type: ignore[arg-type]  # fields of it


def restored(
    earlier: EarlierRuns, label: str = "a", register: str = "version"
) -> tuple[Kept, ...] | None:
    """Plan a unit of a task that registers; return what is restored; None: it is run."""
    found = earlier.settled("a", identity_of(label), keeps=True, register=register)
    return None if found is None else found.kept


def test_what_a_settled_unit_had_registered_is_restored(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", kept=[kept(b"1.2\n")]).end("b", kept=[kept(b"1.3\n")])
    earlier = runs.resumed(first)
    assert restored(earlier, "b") == (kept(b"1.3\n"),)
    assert restored(earlier, "a") == (kept(b"1.2\n"),)


def test_each_of_several_equal_units_gets_a_result_of_its_own(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", kept=[kept(b"1")]).end("a", kept=[kept(b"2")])
    earlier = runs.resumed(first)
    assert {restored(earlier), restored(earlier)} == {(kept(b"1"),), (kept(b"2"),)}
    assert restored(earlier) is None


def test_a_result_that_held_a_secret_makes_its_unit_run_again(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", kept=[kept(b"", hidden=True)])
    earlier = runs.resumed(first)
    assert restored(earlier) is None
    assert len(earlier.ok) == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_so_does_one_of_several_whatever_the_order(runs: Runs, order: tuple[int, int]) -> None:
    both = [kept(b"", "token", hidden=True), kept(b"1.2", "version")]
    first = runs.write(FIRST)
    first.end("a", kept=[both[at] for at in order])
    assert restored(runs.resumed(first), register="") is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_step_that_was_skipped_or_failed_and_was_rescued_is_restored_as_such(
    runs: Runs, order: tuple[int, int]
) -> None:
    both = [Kept(name="one", outcome=SKIPPED), Kept(name="two", outcome=FAILED, data=b"x")]
    first = runs.write(FIRST)
    first.end("a", kept=[both[at] for at in order])
    found = restored(runs.resumed(first), register="")
    assert found is not None
    assert sorted(found, key=lambda one: one.name) == both


def test_a_unit_that_ran_again_stands_for_itself_afterwards(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", kept=[kept(b"", hidden=True)])
    second = runs.write(SECOND, FIRST)
    second.end("a", kept=[kept(b"1.2")])
    assert restored(runs.resumed(first, second)) == (kept(b"1.2"),)


def test_of_equal_units_one_that_was_skipped_does_not_stand_for_one_that_was_ok(
    runs: Runs,
) -> None:
    first = runs.write(FIRST)
    first.end("a", kept=[kept(b"1")])
    first.end("a", SKIPPED, kept=[Kept(name="version", outcome=SKIPPED)])
    second = runs.write(SECOND, FIRST)
    second.end("a", kept=[kept(b"2")])
    second.end("a", SKIPPED, kept=[Kept(name="version", outcome=SKIPPED)])
    earlier = runs.resumed(first, second)
    assert {restored(earlier), restored(earlier)} == {(kept(b"1"),), (kept(b"2"),)}


def test_what_failed_and_then_went_well_is_restored_as_it_went_well(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", FAILED, kept=[Kept(name="version", outcome=FAILED, data=b"old")])
    second = runs.write(SECOND, FIRST)
    second.end("a", kept=[kept(b"new")])
    assert restored(runs.resumed(first, second)) == (kept(b"new"),)


def test_a_unit_that_had_not_registered_what_is_wanted_now_runs_again(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a").end("b", kept=[kept(b"1.2", "old_name")])
    assert restored(runs.resumed(first), "a") is None
    assert restored(runs.resumed(first), "b", register="new_name") is None
    assert restored(runs.rerun(first), "a") is None


def test_a_rerun_runs_nothing_just_because_it_had_registered_a_failure(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", FAILED, kept=[Kept(name="version", outcome=FAILED)])
    first.end("b", SKIPPED, kept=[Kept(name="version", outcome=SKIPPED)])
    first.end("c", kept=[kept(b"1.2")])
    first.end_task().finish(2)
    assert restored(runs.rerun(first, kinds=("unreachable",)), "a") == ()
    assert restored(runs.rerun(first), "b") == (Kept(name="version", outcome=SKIPPED),)
    assert restored(runs.rerun(first), "c") == (kept(b"1.2"),)


def test_a_record_that_vanishes_before_its_results_are_read_fails_the_task(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a", kept=[kept(b"1.2")])
    earlier = runs.resumed(first)
    first.sink.run.database.unlink()
    with pytest.raises(SourceError, match=r"registered before cannot be restored: .* no such file"):
        restored(earlier)


# ---- after a power cut ----------------------------------------------------------------------


def cut_by_power(runs: Runs, *units: tuple[str, str, float]) -> WrittenRun:
    """Write a run that the machine went down with: item, operation, seconds before the end."""
    run = runs.write(FIRST, boot_id="boot-before")
    for label, operation, before_s in units:
        run.end(label, operation=operation, at=BEGAN_AT + 1_000.0 - before_s)
    return run


def test_file_operations_of_the_last_minute_are_repeated_after_a_power_cut(runs: Runs) -> None:
    first = cut_by_power(runs, ("a", "copy", 61.0), ("b", "copy", 59.0), ("c", "copy", 0.0))
    earlier = runs.resumed(first, boot_id="boot-after")
    assert left(earlier, "abc") == "bc"
    assert earlier.warnings == []


def test_commands_of_the_last_minute_are_named_and_not_repeated(runs: Runs) -> None:
    units = [(label, "run", 10.0) for label in "abcde"]
    first = cut_by_power(runs, ("old", "run", 100.0), *units, ("s", "steps", 0.0))
    earlier = runs.resumed(first, boot_id="boot-after")
    assert left(earlier, "abcdes") == ""
    (warning,) = earlier.warnings
    assert warning == (
        f"the machine went down during run {FIRST}; what these commands wrote in the last 60 s "
        "before that may not have reached the disk, and they are not run again: a, b, c and 3 more"
    )


@pytest.mark.parametrize(("before", "after"), [("boot", "boot"), ("", "boot"), ("boot", "")])
def test_nothing_is_uncertain_in_the_same_boot_or_where_it_is_not_known(
    runs: Runs, before: str, after: str
) -> None:
    first = runs.write(FIRST, boot_id=before)
    first.end("a", operation="copy")
    assert left(runs.resumed(first, boot_id=after), "a") == ""


def test_nothing_is_uncertain_of_a_run_that_had_ended(runs: Runs) -> None:
    first = runs.write(FIRST, boot_id="boot-before")
    first.end("a", operation="copy").end("b", FAILED).end_task().finish(2)
    assert left(runs.resumed(first, boot_id="boot-after"), "ab") == "b"


def test_what_was_repeated_once_is_certain(runs: Runs) -> None:
    first = cut_by_power(runs, ("a", "copy", 0.0), ("b", "copy", 0.0))
    second = runs.write(SECOND, FIRST, boot_id="boot-after")
    second.end("a", operation="copy")
    assert left(runs.resumed(first, second, boot_id="boot-after"), "ab") == "b"


# ---- what is no longer planned --------------------------------------------------------------


def sentence(
    runs: Runs, *written: WrittenRun, planned: str, task_ids: Sequence[str] = ("a",)
) -> str:
    earlier = runs.resumed(*written)
    left(earlier, planned)
    earlier.planned("a")
    return left_over(earlier, runs.family(*written), task_ids)


def test_units_that_are_no_longer_planned_are_counted_and_named(runs: Runs) -> None:
    first = runs.write(FIRST)
    for label in "abcde":
        first.end(label)
    assert sentence(runs, first, planned="abcde") == ""
    assert sentence(runs, first, planned="abcd") == ("1 unit that ended ok is no longer planned: e")
    assert sentence(runs, first, planned="") == (
        "5 units that ended ok are no longer planned: a, b, c, ..."
    )


def test_each_of_several_equal_units_counts_and_their_item_is_named_once(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("a").end("a").end("b")
    second = runs.write(SECOND, FIRST)
    second.end("a")
    assert sentence(runs, first, second, planned="ba") == (
        "2 units that ended ok are no longer planned: a"
    )


def test_of_a_task_that_was_not_drawn_to_its_end_nobody_knows_what_is_planned(
    runs: Runs,
) -> None:
    first = runs.write(FIRST, tasks=("a", "b", "gone"))
    first.end("x", task_id="a").end("y", task_id="b").end("z", task_id="gone")
    earlier = runs.resumed(first)
    earlier.planned("b")
    assert left_over(earlier, runs.family(first), ["a", "b"]) == (
        "2 units that ended ok are no longer planned: y, z"
    )


def test_a_unit_without_an_item_is_named_by_its_command(runs: Runs) -> None:
    first = runs.write(FIRST)
    first.end("")
    assert sentence(runs, first, planned="x") == ("1 unit that ended ok is no longer planned: do ")


def test_three_runs_count_each_unit_that_one_of_them_ended(runs: Runs) -> None:
    first, second = runs.write(FIRST), runs.write(SECOND, FIRST)
    third = runs.write(THIRD, SECOND)
    first.end("a")
    second.end("b")
    third.end("c", FAILED)
    assert left(runs.resumed(first, second, third), "abc") == "c"
