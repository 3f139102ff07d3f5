"""Whole runs with hosts, over a runner that pretends to reach them."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import pytest

from batchrun.engine.hostattempt import Patience
from batchrun.engine.interrupt import SignalArrived
from batchrun.engine.messages import Message
from batchrun.engine.routing import Routing
from batchrun.engine.run import Run, RunOptions, RunResult
from batchrun.engine.serial import SerialRunner
from batchrun.engine.threads import SshThreads
from batchrun.errors import UnreachableError
from batchrun.model.event import Event, Note, UnitEnded, UnitStaged, UnitStarted
from batchrun.model.exitcode import ExitCode
from batchrun.model.host import Host
from batchrun.model.job import Batch, Job, RetryPolicy, Task, WaveSize
from batchrun.model.operation import Context, Done, Operation
from batchrun.model.outcome import Cancelled, Ok, Outcome, Unreachable
from batchrun.model.session import HostContext, Stage
from batchrun.model.unit import RunSettings, Unit
from doubles import ListSource, Plan, RecordingSink, task
from host_doubles import FakeConnector, wait_for_stop
from step_doubles import ListProgram, planned, unit_with

pytestmark = pytest.mark.timeout(60)

SETTINGS = RunSettings(run_id="hosts", base_dir="/", kill_grace_s=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word, for whatever an operation makes of it."""

    text: str = ""


@dataclass(slots=True)
class Site:
    """Hosts, and what was done on them and here."""

    down: frozenset[str] = frozenset()
    done: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    connector: FakeConnector = field(init=False)

    def __post_init__(self) -> None:
        self.connector = FakeConnector(self._reach)

    def _reach(self, host: Host, _context: Context, _stage: Stage) -> None:
        if host.name in self.down:
            message = f"{host.name}: connection refused"
            raise UnreachableError(message)

    def there(self, params: Word, context: HostContext) -> Done:
        """Do something on a host."""
        self.done.append(f"{context.session.host.name}:{params.text}")
        return Done.changed()

    def here(self, params: Word, _context: Context) -> Done:
        """Do something on this machine."""
        self.done.append(f"here:{params.text}")
        return Done.changed()

    def hang(self, _params: Word, context: HostContext) -> Done:
        """Be connected, and wait for a stop."""
        wait_for_stop(context)
        return Done.unchanged()

    def deaf(self, _params: Word, _context: HostContext) -> Done:
        """Never look up."""
        self.gate.wait(50)
        return Done.unchanged()

    def hush(self, _params: Word, context: HostContext) -> Done:
        """Say nothing until told to end, or long enough."""
        _ = context.session
        threading.Event().wait(1.5)
        return Done.unchanged()


def table(**functions: Callable[..., Done]) -> Mapping[str, Operation]:
    return {
        name: Operation(name=name, summary="", params=Word, function=function, main="text")
        for name, function in functions.items()
    }


def execute(
    site: Site,
    *tasks: Task,
    plans: Mapping[str, Plan],
    patience: Patience | None = None,
    interrupt_at: int = 0,
    **job: Any,
) -> tuple[RunResult, RecordingSink]:
    """Run a job over a site; somebody presses Ctrl-C twice when so many units have started."""
    queue: SimpleQueue[Any] = SimpleQueue()
    there = table(there=site.there, hush=site.hush, hang=site.hang, deaf=site.deaf)
    threads = SshThreads(SETTINGS, queue, there, site.connector, job.get("fanout", 64))
    threads.patience = patience or Patience()
    serial = SerialRunner(SETTINGS, queue, table(here=site.here))
    routing = Routing(lambda: serial, 1, lambda: threads)
    sink = RecordingSink()
    sink.on_event = Impatient(queue, interrupt_at)
    options = RunOptions(run_id="r", procs=1, sinks=(sink,), forget=routing.forget)
    run = Run(Job(name="j", tasks=tasks, **job), ListSource(plans), routing, _typed(queue), options)
    return run.execute(), sink


class Impatient:
    """Presses Ctrl-C twice when so many units have started; 0: never."""

    def __init__(self, queue: SimpleQueue[Any], interrupt_at: int) -> None:
        self.queue = queue
        self.left = interrupt_at

    def __call__(self, event: Event) -> None:
        if isinstance(event, UnitStarted):
            self.left -= 1
            if self.left == 0:
                self.queue.put(SignalArrived(signal.SIGINT))
                self.queue.put(SignalArrived(signal.SIGINT))


def _typed(queue: SimpleQueue[Any]) -> SimpleQueue[Message]:
    return queue


def on_hosts(name: str, *needs: str, **modifiers: Any) -> Task:
    return task(name, *needs, on_hosts=True, **modifiers)


def there(task_id: str, *hosts: str, **fields: Any) -> list[Unit]:
    """Make one unit for each host."""
    return [
        Unit(
            task_id=task_id,
            index=index,
            label=f"{task_id}.{host}",
            operation=fields.get("operation", "there"),
            host=host,
            place=Host(name=host),
            params={"text": task_id},
        )
        for index, host in enumerate(hosts, 1)
    ]


def steps_for(task_id: str, *hosts: str) -> list[Unit]:
    """Make one unit for each host: drain here, restart there, undrain at the load balancer."""
    balancer = Host(name="lb1")
    return [
        unit_with(
            ListProgram(
                [
                    planned("drain", operation="here", params={"text": f"drain {host}"}),
                    planned("restart", operation="there", place=Host(name=host)),
                    planned(
                        "undrain",
                        operation="there",
                        place=balancer,
                        params={"text": f"undrain {host}"},
                    ),
                ]
            ),
            task_id=task_id,
            index=index,
            label=f"{task_id}.{host}",
            host=host,
            place=Host(name=host),
        )
        for index, host in enumerate(hosts, 1)
    ]


def outcomes(sink: RecordingSink) -> dict[str, Outcome]:
    ended = [event for event in sink.events if isinstance(event, UnitEnded)]
    return {event.unit.label: event.report.outcome for event in ended}


def names(count: int) -> list[str]:
    return [f"h{number}" for number in range(1, count + 1)]


def test_each_unit_runs_where_its_place_is() -> None:
    site = Site()
    plans: dict[str, Plan] = {
        "a": there("a", "h1", "h2"),
        "b": [Unit(task_id="b", index=1, label="b", operation="here", params={"text": "b"})],
    }
    result, sink = execute(site, on_hosts("a"), task("b"), plans=plans)
    assert sorted(site.done) == ["h1:a", "h2:a", "here:b"]
    assert result.exit_code is ExitCode.OK
    started = [event.worker for event in sink.events if isinstance(event, UnitStarted)]
    assert sorted(started) == ["h1", "h2", "serial"]
    stages = [event.stage for event in sink.events if isinstance(event, UnitStaged)]
    assert sorted(stages) == ["connecting", "connecting", "running", "running"]


def test_unreachable_hosts_alone_give_4() -> None:
    site = Site(down=frozenset({"h2"}))
    result, sink = execute(site, on_hosts("a"), plans={"a": there("a", "h1", "h2")})
    assert result.exit_code is ExitCode.UNREACHABLE
    assert outcomes(sink)["a.h2"] == Unreachable(message="h2: connection refused")


def test_what_is_aborted_only_because_a_host_is_unreachable_is_no_other_failure() -> None:
    site = Site(down=frozenset({"h2"}))
    plans = {name: there(name, "h1", "h2") for name in "abc"}
    tasks = on_hosts("a"), on_hosts("b", "a"), on_hosts("c", "b")
    result, _ = execute(site, *tasks, plans=plans)
    assert result.counts.total.ended["aborted"] == 2
    assert result.exit_code is ExitCode.UNREACHABLE


def test_what_is_aborted_because_of_a_failure_is_one() -> None:
    site = Site(down=frozenset({"h2"}))
    plans = {"a": [*there("a", "h1", operation="no such"), *there("a", "h2")],
             "b": there("b", "h1", "h2")}  # fmt: skip
    result, _ = execute(site, on_hosts("a"), on_hosts("b", "a"), plans=plans)
    assert result.counts.total.ended["aborted"] == 2
    assert result.exit_code is ExitCode.FAILED


def test_many_hosts_are_each_worked_on_once_and_let_go() -> None:
    site = Site()
    hosts = names(300)
    plans = {"a": there("a", *hosts), "b": there("b", *hosts), "c": there("c", *hosts)}
    tasks = on_hosts("a"), on_hosts("b", "a"), on_hosts("c")
    result, _ = execute(site, *tasks, plans=plans, fanout=16)
    assert result.exit_code is ExitCode.OK
    assert sorted(site.done) == sorted(f"{host}:{name}" for host in hosts for name in "abc")
    assert max(site.connector.most_held.values()) == 1
    assert sorted(site.connector.forgotten) == sorted(hosts)
    assert site.connector.closed == 1


def test_a_host_that_cannot_be_reached_is_never_drained() -> None:
    site = Site(down=frozenset({"h2"}))
    plans = {"a": steps_for("a", "h1", "h2")}
    result, sink = execute(site, on_hosts("a", operation="steps"), plans=plans)
    assert site.done == ["here:drain h1", "h1:", "lb1:undrain h1"]
    assert outcomes(sink)["a.h2"] == Unreachable(message="h2: connection refused")
    assert result.exit_code is ExitCode.UNREACHABLE


def test_many_units_with_steps_meet_at_one_delegate() -> None:
    site = Site()
    hosts = names(40)
    plans = {"a": steps_for("a", *hosts)}
    result, sink = execute(site, on_hosts("a", operation="steps"), plans=plans, fanout=8)
    assert set(outcomes(sink).values()) == {Ok(changed=True)}
    assert sorted(one for one in site.done if one.startswith("lb1")) == sorted(
        f"lb1:undrain {host}" for host in hosts
    )
    assert result.counts.total.planned == 40


def test_a_delegate_that_cannot_be_reached_ends_the_unit_and_names_the_step() -> None:
    site = Site(down=frozenset({"lb1"}))
    plans = {"a": steps_for("a", "h1")}
    _, sink = execute(site, on_hosts("a", operation="steps"), plans=plans)
    message = "step `undrain`: lb1: connection refused"
    assert outcomes(sink)["a.h1"] == Unreachable(message=message)


def test_waves_stop_at_a_canary_that_cannot_be_reached() -> None:
    site = Site(down=frozenset({"h1"}))
    batch = Batch(sizes=(WaveSize(count=1), WaveSize(count=5)))
    plans = {"a": there("a", *names(5))}
    result, _ = execute(site, on_hosts("a", batch=batch), plans=plans)
    assert site.done == []
    assert result.exit_code is ExitCode.FAIL_LIMIT


def test_a_host_that_comes_back_is_reached_by_a_retry() -> None:
    tries: list[str] = []

    def reach(host: Host, _context: Context, _stage: Stage) -> None:
        tries.append(host.name)
        if len(tries) < 3:
            message = "not yet"
            raise UnreachableError(message)

    site = Site()
    site.connector.hurdle = reach
    retry = RetryPolicy(retries=2, delay_s=0.01)
    result, _ = execute(site, on_hosts("a", retry=retry), plans={"a": there("a", "h1")})
    assert tries == ["h1"] * 3
    assert result.exit_code is ExitCode.OK


def test_a_host_of_which_nothing_is_heard_is_named_with_its_stage() -> None:
    site = Site()
    plans = {"a": there("a", "h1", operation="hush")}
    _, sink = execute(site, on_hosts("a"), plans=plans, patience=Patience(silent_s=0.1))
    notes = [event.message for event in sink.events if isinstance(event, Note)]
    assert "h1 (a.h1): nothing was heard for 0 minutes; stage: running" in notes


def test_a_second_interrupt_ends_what_runs_on_hosts() -> None:
    site = Site()
    plans = {"a": there("a", *names(9), operation="hang")}
    result, sink = execute(site, on_hosts("a"), plans=plans, interrupt_at=4, fanout=4)
    assert result.exit_code is ExitCode.INTERRUPTED
    ended = outcomes(sink)
    assert [ended[f"a.h{number}"] for number in range(1, 5)] == [Cancelled(was_running=True)] * 4
    assert set(list(ended.values())[-5:]) <= {Cancelled(was_running=flag) for flag in (True, False)}
    assert result.counts.total.accounted
    assert any("4 units may finish" in note for note in sink.notes)


def test_a_host_that_heeds_nothing_does_not_keep_a_run_from_ending() -> None:
    site = Site()
    plans = {"a": there("a", "h1", operation="deaf")}
    patience = Patience(spare_s=0.2, insisted_s=0.2)
    result, sink = execute(site, on_hosts("a"), plans=plans, patience=patience, interrupt_at=1)
    assert result.exit_code is ExitCode.INTERRUPTED
    assert outcomes(sink) == {"a.h1": Cancelled(was_running=True)}
    site.gate.set()


def test_a_job_without_hosts_imports_nothing_for_them() -> None:
    code = (
        "import sys, threading, batchrun.api as api; "
        "loaded = api.load_text('tasks: [{run: \"true\"}]', file='j', base_dir='/'); "
        "result = api.run(loaded, procs=0, config=api.RunConfig(journal=False)); "
        "print(result.ok, 'paramiko' in sys.modules, 'batchrun.remote.fleet' in sys.modules,"
        " [t.name for t in threading.enumerate() if 'ssh' in t.name])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "True False False []\n"
