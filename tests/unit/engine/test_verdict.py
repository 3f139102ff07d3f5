"""The exit code, and what wins when several apply."""

from typing import Any

import pytest

from batchrun.engine.stops import Stop, StopKind
from batchrun.engine.verdict import Trouble, exit_code
from batchrun.model.counts import Tally
from batchrun.model.exitcode import ExitCode, outcome_word

#: What may be wrong with a run, in the order in which one wins over the next.
PRECEDENCE = (
    (StopKind.INTERRUPT, ExitCode.INTERRUPTED),
    (StopKind.DEADLINE, ExitCode.DEADLINE),
    ("broken", ExitCode.INTERNAL),
    ("limit", ExitCode.FAIL_LIMIT),
    ("failed", ExitCode.FAILED),
    ("unreachable", ExitCode.UNREACHABLE),
    ("nothing", ExitCode.OK),
)


def tally(**ended: int) -> Tally:
    made = Tally()
    made.ended.update(ended)
    made.planned = made.done
    return made


def code(total: Tally, stop: StopKind | None = None, **trouble: Any) -> ExitCode:
    made = None if stop is None else Stop(kind=stop)
    return exit_code(total, stop=made, trouble=Trouble(**trouble))


@pytest.mark.parametrize("first", range(len(PRECEDENCE)), ids=lambda n: str(PRECEDENCE[n][0]))
def test_of_several_codes_signal_deadline_1_5_2_4_win_in_this_order(first: int) -> None:
    wrong = {what for what, _ in PRECEDENCE[first:]}
    signals = [what for what, _ in PRECEDENCE[first:] if isinstance(what, StopKind)]
    total = tally(ok=1, failed="failed" in wrong, unreachable="unreachable" in wrong)
    found = code(
        total,
        signals[0] if signals else None,
        broken="broken" in wrong,
        limit_hit="limit" in wrong,
    )
    assert found is PRECEDENCE[first][1]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(StopKind.INTERRUPT, 130), (StopKind.TERMINATE, 143), (StopKind.HANGUP, 129),
     (StopKind.DEADLINE, 124)],
)  # fmt: skip
def test_a_stop_gives_its_own_code_however_well_the_units_ended(
    kind: StopKind, expected: int
) -> None:
    assert code(tally(ok=3), kind) == expected


@pytest.mark.parametrize("kind", ["failed", "timed_out", "lost", "cancelled", "aborted"])
def test_a_unit_that_did_not_end_well_makes_it_2(kind: str) -> None:
    assert code(tally(ok=5, unreachable=1, **{kind: 1})) == 2


def test_unreachable_hosts_and_nothing_else_wrong_make_it_4() -> None:
    assert code(tally(ok=5, unreachable=1)) == 4


def test_skipped_and_ok_units_make_it_0() -> None:
    assert code(tally(ok=5, skipped=2)) == 0
    assert code(Tally()) == 0


def test_ignored_units_count_for_nothing() -> None:
    total = tally(failed=2, unreachable=1)
    total.excused.update(failed=2, unreachable=1)
    assert code(total) == 0


def test_a_source_that_failed_makes_it_2() -> None:
    assert code(tally(ok=5), source_failed=True) == 2


@pytest.mark.parametrize("planned", [4, 6])
def test_accounts_that_do_not_add_up_make_it_1(planned: int) -> None:
    total = tally(ok=3, failed=2)
    total.planned = planned
    assert code(total) == 1


def test_a_fail_limit_of_the_job_is_5() -> None:
    assert code(tally(failed=2, aborted=9), StopKind.FAIL_LIMIT, limit_hit=True) == 5


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (StopKind.FAIL_LIMIT, StopKind.DEADLINE, StopKind.DEADLINE),
        (StopKind.DEADLINE, StopKind.FAIL_LIMIT, StopKind.DEADLINE),
        (StopKind.DEADLINE, StopKind.TERMINATE, StopKind.TERMINATE),
        (StopKind.TERMINATE, StopKind.DEADLINE, StopKind.TERMINATE),
        (StopKind.HANGUP, StopKind.INSIST, StopKind.HANGUP),
    ],
)
def test_the_stop_of_the_highest_rank_stays(
    first: StopKind, second: StopKind, expected: StopKind
) -> None:
    stop = Stop(kind=first).then(second)
    assert (stop.kind, stop.insisted) == (expected, second is StopKind.INSIST)


@pytest.mark.parametrize(
    ("given", "word"),
    [(0, "ok"), (1, "failed"), (2, "failed"), (4, "unreachable"), (5, "stopped"),
     (124, "deadline"), (129, "interrupted"), (130, "interrupted"), (143, "interrupted")],
)  # fmt: skip
def test_finally_tasks_are_told_in_one_word_how_it_went(given: int, word: str) -> None:
    assert outcome_word(ExitCode(given)) == word
