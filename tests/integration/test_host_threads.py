"""Units on hosts in threads: connecting, stopping, and threads that do not come back."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NoReturn

import pytest

from batchrun.engine.hostattempt import Patience
from batchrun.engine.inprocess import LocalControl
from batchrun.engine.threads import SshThreads
from batchrun.errors import UnreachableError
from batchrun.model.event import UnitStaged
from batchrun.model.host import Host
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.outcome import Cancelled, Failed, Ok, Report, TimedOut, Unreachable
from batchrun.model.ports import RunnerEvent, Silent, Started
from batchrun.model.session import HostContext, Stage
from batchrun.model.unit import Order, RunSettings, Unit
from host_doubles import FakeConnector, refuse
from support import wait_until

pytestmark = pytest.mark.timeout(60)

SETTINGS = RunSettings(run_id="threads", base_dir="/", kill_grace_s=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No parameters."""


class Hall:
    """Operations that meet each other, and a runner for them."""

    def __init__(self, connector: FakeConnector | None = None, *, fanout: int = 4) -> None:
        self.connector = connector or FakeConnector()
        self.events: SimpleQueue[RunnerEvent] = SimpleQueue()
        self.seen: list[RunnerEvent] = []
        self.gate = threading.Event()
        self.inside: list[int] = []
        functions = (self.look, self.enter, self.wait, self.deaf, self.defect, self.patient)
        table = {
            function.__name__: Operation(
                name=function.__name__,
                summary="",
                params=Nothing,
                function=function,
                main="",
            )
            for function in functions
        }
        self.runner = SshThreads(SETTINGS, self.events, table, self.connector, fanout)
        self.runner.patience = Patience(spare_s=0.2, insisted_s=0.2)

    # ---- operations ----

    def look(self, _params: Nothing, context: HostContext) -> Done:
        """Be connected, and say how much time is left."""
        assert context.session is context.session
        context.stage("looking")
        left = None if context.deadline is None else context.deadline - time.monotonic()
        return Done.changed(f"{context.host.name} {left}")

    def enter(self, _params: Nothing, context: HostContext) -> Done:
        """Be connected, and stay until the gate opens."""
        _ = context.session
        self.inside.append(context.number)
        while not self.gate.wait(0.01):
            context.check()
        return Done.unchanged()

    def wait(self, _params: Nothing, context: HostContext) -> NoReturn:
        """Wait for a stop, or the end of the time."""
        _ = context.session
        self.inside.append(context.number)
        while not self.gate.wait(0.01):
            context.check()
        raise AssertionError

    def patient(self, _params: Nothing, context: HostContext) -> Done:
        """Wait until it was told to stop twice."""
        self.inside.append(context.number)
        wait_until(lambda: context.insisted, 30, "told twice")
        return Done(outcome=Cancelled(was_running=True))

    def deaf(self, _params: Nothing, context: HostContext) -> Done:
        """Never look up until the gate opens."""
        self.inside.append(context.number)
        self.gate.wait(50)
        return Done.changed("too late")

    def defect(self, _params: Nothing, context: HostContext) -> Done:
        _ = context.session
        raise ZeroDivisionError

    # ---- what a test does ----

    def submit(
        self, number: int, operation: str, host: str = "h1", timeout_s: float | None = None
    ) -> None:
        unit = Unit(
            task_id="t",
            index=number,
            operation=operation,
            host=host,
            place=Host(name=host),
            timeout_s=timeout_s,
        )
        self.runner.submit(Order(number=number, attempt=1, unit=unit))

    def report(self, number: int) -> Report:
        """Wait for the report of a unit; what else comes is kept in `seen`."""
        while True:
            found = [one for one in self.seen if isinstance(one, Report) and one.number == number]
            if found:
                return found[0]
            self.seen.append(self.events.get(timeout=30))

    def enough_inside(self, count: int) -> None:
        wait_until(lambda: len(self.inside) >= count, 30, f"{count} units have begun")


@pytest.fixture
def hall() -> Iterator[Hall]:
    hall = Hall()
    yield hall
    hall.gate.set()
    hall.runner.kill()


def with_hurdle(hurdle: "Hurdle") -> Hall:
    return Hall(FakeConnector(hurdle))


class Hurdle:
    """Connections that take until the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.reached: list[str] = []
        self.deadlines: list[float | None] = []

    def __call__(self, host: Host, context: Context, stage: Stage) -> None:
        self.deadlines.append(context.deadline)
        self.reached.append(host.name)
        stage("authenticating")
        while not self.gate.wait(0.01):
            context.check()


# ---- connecting ---------------------------------------------------------------------------------


def test_a_unit_connects_once_and_gives_the_connection_back(hall: Hall) -> None:
    hall.submit(1, "look")
    assert hall.report(1).outcome == Ok(changed=True, note="h1 None")
    assert hall.connector.connected == ["h1"]
    assert hall.connector.held["h1"] == 0


def test_a_defect_gives_the_connection_back(hall: Hall) -> None:
    hall.submit(1, "defect")
    assert isinstance(hall.report(1).outcome, Failed)
    assert hall.connector.held["h1"] == 0


def test_who_runs_a_unit_is_its_host_and_each_stage_is_told(hall: Hall) -> None:
    hall.submit(1, "look", "web1")
    assert hall.report(1).worker == "web1"
    assert [one.worker for one in hall.seen if isinstance(one, Started)] == ["web1"]
    stages = [one.stage for one in hall.seen if isinstance(one, UnitStaged)]
    assert stages == ["connecting", "running", "looking"]


def test_without_a_session_the_unit_is_unreachable() -> None:
    hall = Hall(FakeConnector(refuse))
    hall.submit(1, "look")
    assert hall.report(1).outcome == Unreachable(message="h1: connection refused")
    hall.runner.kill()


def test_whether_another_attempt_may_help_is_passed_on() -> None:
    def wrong_key(_host: Host, _context: Context, _stage: Stage) -> None:
        message = "the host key is another one"
        raise UnreachableError(message, retryable=False)

    hall = Hall(FakeConnector(wrong_key))
    hall.submit(1, "look")
    ending = Unreachable(message="the host key is another one", retryable=False)
    assert hall.report(1).outcome == ending
    hall.runner.kill()


def test_connecting_is_not_the_time_of_the_unit() -> None:
    hurdle = Hurdle()
    hall = with_hurdle(hurdle)
    hall.submit(1, "look", timeout_s=0.3)
    wait_until(lambda: hurdle.reached, 30, "it connects")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 0.5, 30, "its limit has passed")
    hurdle.gate.set()
    outcome = hall.report(1).outcome
    assert isinstance(outcome, Ok)
    assert hurdle.deadlines == [None]
    assert 0.0 < float(outcome.note.split()[1]) <= 0.3
    hall.runner.kill()


def test_a_unit_that_connects_can_be_stopped() -> None:
    hurdle = Hurdle()
    hall = with_hurdle(hurdle)
    hall.submit(1, "look")
    wait_until(lambda: hurdle.reached, 30, "it connects")
    hall.runner.stop(1)
    assert hall.report(1).outcome == Cancelled(was_running=True)
    assert hall.connector.held["h1"] == 0
    hall.runner.kill()


def test_two_units_at_the_same_host_do_not_wait_for_each_other_for_ever() -> None:
    # As `delegate_to` does, and with a connector that lets only one of them in at a time.
    turn = threading.Semaphore()

    class OneAtATime(FakeConnector):
        def release(self, session: object) -> None:  # noqa: ARG002 - any of them
            turn.release()

    def take_turn(_host: Host, _context: Context, _stage: Stage) -> None:
        turn.acquire()

    hall = Hall(OneAtATime(take_turn), fanout=4)
    for number in range(1, 21):
        hall.submit(number, "look", "lb1")
    assert {hall.report(number).outcome.kind for number in range(1, 21)} == {"ok"}
    hall.runner.kill()


# ---- threads ------------------------------------------------------------------------------------


def test_threads_are_started_as_work_arrives_and_no_more_than_fanout(hall: Hall) -> None:
    def threads() -> int:
        names = [thread.name for thread in threading.enumerate()]
        return sum(name.startswith("batchrun-ssh-") and name[-1].isdigit() for name in names)

    before = threads()
    hall.submit(1, "look")
    hall.report(1)
    assert threads() - before == 1
    for number in range(2, 9):
        hall.submit(number, "enter", f"h{number}")
    hall.enough_inside(4)
    assert threads() - before == 4
    assert len(hall.inside) == 4
    hall.gate.set()
    assert {hall.report(number).outcome.kind for number in range(2, 9)} == {"ok"}


def test_a_second_stop_tells_the_operation_that_there_is_no_grace(hall: Hall) -> None:
    hall.runner.patience = Patience(spare_s=30, insisted_s=30)
    hall.submit(1, "patient")
    hall.enough_inside(1)
    hall.runner.stop(1)
    hall.runner.stop(1)
    assert hall.report(1).outcome == Cancelled(was_running=True)


def test_a_thread_that_does_not_come_back_from_a_stop_is_given_up(hall: Hall) -> None:
    hall.submit(1, "deaf")
    hall.enough_inside(1)
    hall.runner.stop(1)
    report = hall.report(1)
    assert report.outcome == Cancelled(was_running=True)
    assert report.worker == "h1"


def test_a_thread_that_does_not_heed_its_time_limit_is_given_up(hall: Hall) -> None:
    hall.submit(1, "deaf", timeout_s=0.05)
    assert hall.report(1).outcome == TimedOut(limit_s=0.05, stuck=True)


def test_another_thread_takes_the_place_of_one_that_was_given_up() -> None:
    hall = Hall(fanout=1)
    hall.submit(1, "deaf", timeout_s=0.05)
    hall.submit(2, "look")
    assert hall.report(2).outcome == Ok(changed=True, note="h1 None")
    assert hall.report(1).outcome == TimedOut(limit_s=0.05, stuck=True)
    hall.gate.set()
    hall.runner.kill()
    assert hall.events.empty()


def test_what_a_thread_says_that_was_given_up_is_not_passed_on(hall: Hall) -> None:
    hall.submit(1, "deaf", timeout_s=0.05)
    hall.report(1)
    hall.gate.set()
    hall.submit(2, "look")
    hall.report(2)
    hall.runner.close()
    reports = [one.number for one in hall.seen if isinstance(one, Report)]
    assert reports == [1, 2]
    assert hall.events.empty()


def test_a_unit_that_goes_beyond_its_time_ends_by_itself(hall: Hall) -> None:
    hall.submit(1, "wait", timeout_s=0.05)
    assert hall.report(1).outcome == TimedOut(limit_s=0.05)


def test_kill_does_not_wait_for_threads_that_do_not_come_back(hall: Hall) -> None:
    for number in range(1, 4):
        hall.submit(number, "deaf", f"h{number}")
    hall.enough_inside(3)
    hall.runner.kill()
    assert hall.connector.closed == 1


def test_connections_are_closed_once(hall: Hall) -> None:
    hall.submit(1, "look")
    hall.report(1)
    hall.runner.close()
    hall.runner.close()
    hall.runner.kill()
    assert hall.connector.closed == 1


def test_a_host_of_which_nothing_is_heard_is_named_again_and_again(hall: Hall) -> None:
    hall.runner.patience = Patience(silent_s=0.05)
    hall.submit(1, "wait")
    hall.enough_inside(1)
    silent: list[Silent] = []
    while len(silent) < 2:
        event = hall.events.get(timeout=30)
        silent += [event] if isinstance(event, Silent) else []
    assert [(one.number, one.stage) for one in silent] == [(1, "running")] * 2
    assert silent[0].silent_s < silent[1].silent_s


def test_a_unit_for_which_no_descriptor_is_left_fails_and_the_others_go_on(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    makes = iter([OSError(24, "Too many open files"), None])

    class Scarce(LocalControl):
        def __init__(self) -> None:
            error = next(makes)
            if error is not None:
                raise error
            super().__init__()

    monkeypatch.setattr("batchrun.engine.hostattempt.LocalControl", Scarce)
    hall.submit(1, "look")
    outcome = hall.report(1).outcome
    assert isinstance(outcome, Failed)
    assert "Too many open files" in outcome.message
    hall.submit(2, "look")
    assert isinstance(hall.report(2).outcome, Ok)


def test_a_connection_that_cannot_be_given_back_costs_no_unit_and_no_thread() -> None:
    class Broken(FakeConnector):
        def release(self, session: object) -> None:
            raise ZeroDivisionError(session)

    hall = Hall(Broken(), fanout=1)
    for number in (1, 2):
        hall.submit(number, "look")
        report = hall.report(number)
        assert isinstance(report.outcome, Ok)
        assert "cannot be given back" in report.warnings[0]
    hall.runner.kill()
