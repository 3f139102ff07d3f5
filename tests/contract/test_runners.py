"""What every runner promises: exactly one Report or Returned per order, and nothing left over."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from batchrun.engine.pool.pool import WorkerPool
from batchrun.engine.routing import Routing
from batchrun.engine.serial import DryRunner, SerialRunner
from batchrun.engine.threads import SshThreads
from batchrun.model.event import UnitOutput, UnitProgress
from batchrun.model.host import Host
from batchrun.model.outcome import Cancelled, Failed, Ok, Report, TimedOut
from batchrun.model.ports import Returned, Runner, RunnerEvent, Started
from batchrun.model.unit import Order, RunSettings, Unit
from host_doubles import FakeConnector
from pool_operations import TABLE
from support import processes_with_environ, wait_until

pytestmark = pytest.mark.timeout(60)

RUN_ID = f"contract{os.getpid()}"
SETTINGS = RunSettings(run_id=RUN_ID, base_dir="/", kill_grace_s=0.2, live_output=True)


class Bench:
    """A runner with its queue, and a record of what came out of it."""

    def __init__(self, runner: Runner, events: SimpleQueue[RunnerEvent]) -> None:
        self.runner = runner
        self.place = None if isinstance(runner, WorkerPool | SerialRunner) else Host(name="web1")
        self.events = events
        self.seen: list[RunnerEvent] = []

    def submit(self, number: int, operation: str, text: str = "", **more: float) -> None:
        """Submit one order; `timeout_s` and `expected_s` may be given."""
        unit = Unit(
            task_id="task",
            index=number,
            operation=operation,
            params={"text": text},
            timeout_s=more.get("timeout_s"),
            place=self.place,
        )
        order = Order(number=number, attempt=1, unit=unit, expected_s=more.get("expected_s"))
        self.runner.submit(order)

    def endings(self, count: int) -> dict[int, Report | Returned]:
        """Wait for so many endings in all."""
        while len(ended := [e for e in self.seen if isinstance(e, Report | Returned)]) < count:
            self.seen.append(self.events.get(timeout=40))
        assert len({ending.number for ending in ended}) == len(ended)
        return {ending.number: ending for ending in ended}

    def outcome(self, number: int, count: int = 1) -> object:
        """Wait for so many endings, and return this unit's outcome."""
        report = self.endings(count)[number]
        assert isinstance(report, Report)
        return report.outcome

    def nothing_more(self) -> bool:
        """Whether the queue is empty."""
        return self.events.empty()


def _pool(events: SimpleQueue[RunnerEvent]) -> Runner:
    return WorkerPool(2, settings=SETTINGS, events=events, table=TABLE)


def _serial(events: SimpleQueue[RunnerEvent]) -> Runner:
    return SerialRunner(SETTINGS, events, TABLE)


def _dry(events: SimpleQueue[RunnerEvent]) -> Runner:
    return DryRunner(SETTINGS, events, TABLE)


def _threads(events: SimpleQueue[RunnerEvent]) -> Runner:
    return SshThreads(SETTINGS, events, TABLE, FakeConnector(), 2)


def _routed(events: SimpleQueue[RunnerEvent]) -> Runner:
    threads = SshThreads(SETTINGS, events, TABLE, FakeConnector(), 1)
    return Routing(lambda: SerialRunner(SETTINGS, events, TABLE), 1, lambda: threads)


@pytest.fixture(
    params=[_pool, _serial, _dry, _threads, _routed],
    ids=["pool", "serial", "dry", "threads", "routed"],
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Return one runner of each kind."""
    make: Callable[[SimpleQueue[RunnerEvent]], Runner] = request.param
    events: SimpleQueue[RunnerEvent] = SimpleQueue()
    bench = Bench(make(events), events)
    yield bench
    bench.runner.kill()
    assert processes_with_environ(f"BATCHRUN_UNIT={RUN_ID}-") == []


def test_each_order_is_answered_once_with_what_the_operation_said(bench: Bench) -> None:
    for number in range(1, 201):
        bench.submit(number, "note", f"n{number}", expected_s=0.0001)
    endings = bench.endings(200)
    assert sorted(endings) == list(range(1, 201))
    for number, ending in endings.items():
        assert isinstance(ending, Report)
        assert isinstance(ending.outcome, Ok)
        assert ending.outcome.note.split()[0] == f"n{number}"
        assert ending.worker
        assert ending.started_at > 0
    assert bench.nothing_more()


def test_only_the_dry_runner_runs_dry(bench: Bench) -> None:
    bench.submit(1, "note", "text")
    note = "text dry" if isinstance(bench.runner, DryRunner) else "text"
    assert bench.outcome(1) == Ok(changed=True, note=note)


def test_a_unit_is_started_before_it_ends_and_short_ones_are_not_announced(bench: Bench) -> None:
    bench.submit(1, "note", "a")
    bench.submit(2, "note", "b", expected_s=0.0001)
    bench.endings(2)
    started = [event.number for event in bench.seen if isinstance(event, Started)]
    assert started == [1]
    of_first = [type(event) for event in bench.seen if getattr(event, "number", 0) == 1]
    assert of_first == [Started, Report]


@pytest.mark.parametrize(
    ("text", "message", "errno", "retryable"),
    [
        ("operation", "it said no", 13, False),
        ("system", "/nonexistent/\\xff\\n: No such file or directory", 2, True),
    ],
)
def test_a_failure_names_its_reason(
    bench: Bench, text: str, message: str, errno: int, retryable: bool
) -> None:
    bench.submit(1, "fail", text)
    assert bench.outcome(1) == Failed(message=message, errno=errno, retryable=retryable)


@pytest.mark.parametrize("text", ["defect", "exit"])
def test_a_defect_fails_its_unit_with_a_traceback(bench: Bench, text: str) -> None:
    bench.submit(1, "fail", text)
    bench.submit(2, "note")
    outcome = bench.outcome(1, 2)
    assert isinstance(outcome, Failed)
    assert "defect of the operation `fail`" in outcome.message
    assert not outcome.retryable
    assert "Traceback" in outcome.traceback


def test_an_unknown_operation_fails_its_unit(bench: Bench) -> None:
    bench.submit(1, "nothing-like-it")
    outcome = bench.outcome(1)
    assert isinstance(outcome, Failed)
    assert "nothing-like-it" in outcome.message


def test_a_stopped_unit_is_cancelled(bench: Bench, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    bench.submit(1, "wait", str(begun))
    wait_until(begun.exists, 20, "the unit has begun")
    bench.runner.stop(1)
    assert bench.outcome(1) == Cancelled(was_running=True)


def test_a_queued_unit_that_is_stopped_never_begins(bench: Bench, tmp_path: Path) -> None:
    for number in (1, 2):
        bench.submit(number, "wait", str(tmp_path / f"begun{number}"))
    bench.submit(3, "wait", str(tmp_path / "begun3"))
    wait_until((tmp_path / "begun1").exists, 20, "the first has begun")
    bench.runner.stop(3)
    assert bench.outcome(3) == Cancelled(was_running=False)
    assert not (tmp_path / "begun3").exists()


def test_a_unit_past_its_limit_is_timed_out(bench: Bench) -> None:
    bench.submit(1, "wait", timeout_s=0.1)
    assert bench.outcome(1) == TimedOut(limit_s=0.1)


def test_a_stopped_command_leaves_no_process(bench: Bench) -> None:
    bench.submit(1, "command", "sleep 987 & (setsid sleep 987 &) ; sleep 987")
    marker = f"BATCHRUN_UNIT={RUN_ID}-1-1"
    wait_until(lambda: len(processes_with_environ(marker)) >= 3, 20, "the command runs")
    bench.runner.stop(1)
    assert bench.outcome(1) == Cancelled(was_running=True)
    assert processes_with_environ(marker) == []


def test_a_second_stop_gives_no_grace(bench: Bench, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    bench.submit(1, "command", f"trap '' TERM; touch {begun}; while :; do sleep 1; done")
    wait_until(begun.exists, 20, "the command ignores TERM")
    bench.runner.stop(1)
    bench.runner.stop(1)
    assert bench.outcome(1) == Cancelled(was_running=True)
    assert processes_with_environ(f"BATCHRUN_UNIT={RUN_ID}-1-1") == []


def test_withdraw_gives_back_what_has_not_begun(bench: Bench, tmp_path: Path) -> None:
    slots = bench.runner.slots
    for number in range(1, slots + 1):
        bench.submit(number, "wait", str(tmp_path / f"begun{number}"))
    wait_until(lambda: len(list(tmp_path.iterdir())) == slots, 20, "all slots are taken")
    for number in range(10, 20):
        bench.submit(number, "note")
    bench.runner.withdraw()
    for number in range(1, slots + 1):
        bench.runner.stop(number)
    endings = bench.endings(slots + 10)
    given_back = [n for n, ending in endings.items() if isinstance(ending, Returned)]
    assert sorted(given_back) == list(range(10, 20))


def test_orders_after_a_withdraw_are_run(bench: Bench) -> None:
    bench.runner.withdraw()
    bench.submit(1, "note")
    assert isinstance(bench.outcome(1), Ok)


def test_live_output_waits_for_its_acknowledgement(bench: Bench) -> None:
    bench.submit(1, "talk", "5000000")
    size = 0
    while not any(isinstance(event, Report) for event in bench.seen):
        event = bench.events.get(timeout=40)
        bench.seen.append(event)
        if isinstance(event, UnitOutput):
            size += len(event.data)
            bench.runner.acknowledge(1, len(event.data))
    assert size == 5_000_000
    assert [e.bytes_done for e in bench.seen if isinstance(e, UnitProgress)] == [5_000_000]


def test_unacknowledged_output_holds_the_unit_up_until_it_is_stopped(bench: Bench) -> None:
    bench.submit(1, "talk", "5000000")
    size = 0
    while size < 1024 * 1024:
        event = bench.events.get(timeout=40)
        size += len(event.data) if isinstance(event, UnitOutput) else 0
    bench.runner.stop(1)
    assert bench.outcome(1) == Cancelled(was_running=True)


def test_kill_ends_commands_and_silences_the_runner(bench: Bench) -> None:
    bench.submit(1, "command", "sleep 987")
    bench.submit(2, "command", "sleep 987")
    bench.submit(3, "note")
    marker = f"BATCHRUN_UNIT={RUN_ID}-1-1"
    wait_until(lambda: processes_with_environ(marker), 20, "the command runs")
    bench.runner.kill()
    assert processes_with_environ(f"BATCHRUN_UNIT={RUN_ID}-") == []
    while not bench.events.empty():
        assert isinstance(bench.events.get(), Started)


def test_close_and_kill_may_be_repeated_in_any_order(bench: Bench) -> None:
    bench.submit(1, "note")
    bench.endings(1)
    bench.runner.close()
    bench.runner.close()
    bench.runner.kill()
    bench.runner.kill()
    bench.runner.close()
    assert bench.nothing_more()


def test_a_closed_runner_leaves_no_thread_and_takes_no_orders(bench: Bench) -> None:
    bench.submit(1, "note")
    bench.endings(1)
    bench.runner.close()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("batchrun-")]
    with pytest.raises(ValueError, match=r"closed|not running"):
        bench.submit(2, "note")


def test_calls_for_units_that_do_not_exist_are_harmless(bench: Bench) -> None:
    bench.runner.stop(99)
    bench.runner.acknowledge(99, 1)
    bench.submit(1, "note")
    assert isinstance(bench.outcome(1), Ok)
    bench.runner.stop(1)
    bench.runner.stop(1)
    bench.submit(2, "note")
    assert isinstance(bench.outcome(2, 2), Ok)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
