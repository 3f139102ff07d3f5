"""A tally stays small and says the first of what it counted."""

import errno

import pytest

from batchrun.errors import OperationError
from batchrun.model.outcome import Failed, Ok
from batchrun.ops.failures import Tally, failure


def test_nothing_done_is_ok_and_unchanged() -> None:
    assert Tally().done().outcome == Ok(changed=False)


def test_bytes_read_without_a_change_are_no_change() -> None:
    tally = Tally()
    tally.bytes_done = 10
    done = tally.done()
    assert (done.outcome, done.bytes_done) == (Ok(changed=False), 10)


def test_one_error_is_told_as_it_is() -> None:
    tally = Tally()
    tally.fail(failure(OSError(errno.EACCES, "x"), "read", "/a\nb"))
    outcome = tally.done().outcome
    assert outcome == Failed(message=r"cannot read /a\nb: Permission denied", errno=errno.EACCES)


def test_a_million_errors_are_counted_and_five_are_told() -> None:
    tally = Tally()
    for number in range(1_000_000):
        tally.fail(OperationError(f"e{number}", retryable=False))
    outcome = tally.done().outcome
    assert isinstance(outcome, Failed)
    assert outcome.message == "1000000 errors: e0; e1; e2; e3; e4; and 999995 more"
    assert not outcome.retryable


@pytest.mark.parametrize(("count", "last"), [(20, "w19"), (21, "and 2 more"), (99, "and 80 more")])
def test_at_most_twenty_warnings_are_kept(count: int, last: str) -> None:
    tally = Tally()
    for number in range(count):
        tally.warn(f"w{number}")
    warnings = tally.done().warnings
    assert len(warnings) == 20
    assert warnings[-1] == last


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_would_fail_for_every_file_stops_at_once(number: int) -> None:
    error = failure(OSError(number, "x"), "write", "/a")
    with pytest.raises(OperationError) as raised:
        Tally().fail(error)
    assert raised.value is error
