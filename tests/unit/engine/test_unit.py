"""Every ending of an operation becomes a Report; a context stops, times out and counts."""

import time
from collections import deque
from collections.abc import Callable

import pytest

from batchrun.engine.context import ACKNOWLEDGE, STOP, UnitContext
from batchrun.engine.unit import (
    Raised,
    find,
    guarded,
    run_unit,
)
from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.outcome import Cancelled, Failed, Ok, Outcome, TimedOut
from batchrun.model.unit import Order, RunSettings, Unit
from pool_operations import OPERATIONS, Text

SETTINGS = RunSettings(run_id="run", base_dir="/")


class Script:
    """Control messages and the way up, in memory."""

    def __init__(self, *messages: tuple[int, int, int]) -> None:
        self.messages = deque(messages)
        self.parent_gone = False
        self.said: list[object] = []

    def fileno(self) -> int:
        return 99

    def next(self) -> tuple[int, int, int] | None:
        return self.messages.popleft() if self.messages else None

    def command_started(self, pid: int) -> None:
        self.said.append(pid)

    def live_output(self, stream: str, data: bytes) -> None:
        self.said.append((stream, len(data)))

    def progress(self, bytes_done: int) -> None:
        self.said.append(bytes_done)


def context_of(script: Script, timeout_s: float | None = None) -> UnitContext:
    unit = Unit(task_id="t", index=1, label="l", operation="o", timeout_s=timeout_s)
    return UnitContext(Order(number=5, attempt=2, unit=unit), SETTINGS, script, script)


def outcome_of(function: Callable[[Text, Context], Done], **params: object) -> Outcome:
    table = {"o": Operation(name="o", summary="", params=Text, function=function, main="text")}
    unit = Unit(task_id="t", index=1, operation="o", params=params, timeout_s=4.0)
    return run_unit(Order(number=5, attempt=2, unit=unit), context_of(Script()), table).outcome


def raising(error: BaseException) -> Callable[[Text, Context], Done]:
    def function(_params: Text, _context: Context) -> Done:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OperationError("no", errno=1, retryable=False),
         Failed(message="no", errno=1, retryable=False)),
        (OSError(28, "No space left on device", b"/a\xff", None, "b\n"),
         Failed(message="/a\\xff -> b\\n: No space left on device", errno=28)),
        (OSError(5, "Input/output error"), Failed(message="Input/output error", errno=5)),
        (OSError("odd"), Failed(message="odd")),
        (UnitStoppedError(timed_out=True), TimedOut(limit_s=4.0)),
        (UnitStoppedError(timed_out=False), Cancelled(was_running=True)),
    ],
)  # fmt: skip
def test_an_exception_becomes_the_outcome_it_stands_for(
    error: BaseException, outcome: Outcome
) -> None:
    assert outcome_of(raising(error)) == outcome


class NastyError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [KeyError("k"), MemoryError(), NastyError(), SystemExit(3)])
def test_anything_else_is_a_defect_of_the_operation(error: BaseException) -> None:
    outcome = outcome_of(raising(error))
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("this is a defect of the operation `o`: ")
    assert type(error).__name__ in outcome.message
    assert "raise error" in outcome.traceback
    assert not outcome.retryable


def test_parameters_that_do_not_fit_are_a_defect() -> None:
    outcome = outcome_of(lambda _params, _context: Done.unchanged(), colour="red")
    assert isinstance(outcome, Failed)
    assert "colour" in outcome.message


def test_an_answer_that_is_no_answer_is_a_defect() -> None:
    outcome = outcome_of(lambda _params, _context: None)  # type: ignore[arg-type,return-value]
    assert isinstance(outcome, Failed)
    assert "NoneType instead of a Done" in outcome.message


def test_at_most_twenty_warnings_are_kept() -> None:
    unit = Unit(task_id="t", index=1, operation="o")
    done = Done(outcome=Ok(changed=True), warnings=tuple(map(str, range(30))))
    table = {
        "o": Operation(name="o", summary="", params=Text, function=lambda *_: done, main="text")
    }
    report = run_unit(Order(number=1, attempt=1, unit=unit), context_of(Script()), table)
    assert report.warnings == tuple(map(str, range(20)))


def test_a_table_is_found_by_its_name() -> None:
    assert find("pool_operations:OPERATIONS") is OPERATIONS


def test_guarded_returns_values_and_catches_everything() -> None:
    assert guarded(divmod, (7, 2)) == (3, 1)
    assert isinstance(guarded(divmod, (7, 0)), Raised)
    assert isinstance(guarded(exit), Raised)


def test_a_stop_for_this_unit_is_raised_at_every_check_from_then_on() -> None:
    context = context_of(Script((STOP, 5, 0)))
    for _ in range(2):
        with pytest.raises(UnitStoppedError) as caught:
            context.check()
        assert not caught.value.timed_out


def test_a_stop_for_an_earlier_unit_is_dropped() -> None:
    script = Script((STOP, 4, 0))
    context_of(script).check()
    assert not script.messages


def test_a_dead_parent_stops_the_unit() -> None:
    script = Script()
    script.parent_gone = True
    with pytest.raises(UnitStoppedError):
        context_of(script).check()


def test_a_passed_deadline_is_raised_as_such() -> None:
    context = context_of(Script(), timeout_s=0.0)
    assert context.deadline is not None
    assert context.deadline <= time.monotonic()
    with pytest.raises(UnitStoppedError) as caught:
        context.check()
    assert caught.value.timed_out


def test_live_output_stops_at_its_window_and_goes_on_after_an_acknowledgement() -> None:
    script = Script()
    context = context_of(script)
    assert context.live_output("stdout", bytes(1024 * 1024 - 1))
    assert not context.live_output("stderr", b"x")
    script.messages.append((ACKNOWLEDGE, 5, 1000))
    assert context.live_output("stderr", b"x")
    assert script.said[-1] == ("stderr", 1)


def test_progress_is_not_told_more_often_than_anybody_can_read() -> None:
    script = Script()
    context = context_of(script)
    for done in range(1000):
        context.progress(done)
    assert script.said[0] == 0
    assert len(script.said) < 100


def test_temporary_names_differ_within_an_attempt_and_between_attempts() -> None:
    context = context_of(Script())
    assert [context.temp_name(), context.temp_name()] == [".br-run-5-2-1", ".br-run-5-2-2"]
