"""Workers die, stop, and misbehave: only the call that they held is lost, and nothing is left."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

import pool_operations as functions
from batchrun.engine.pool.pool import WorkerPool
from batchrun.engine.pool.process import WorkerProcess
from batchrun.errors import WorkerLostError, WorkerTaskError
from batchrun.model.outcome import Cancelled, Failed, Lost, Ok, Outcome, Report, TimedOut
from batchrun.model.ports import Returned, RunnerEvent, Started
from batchrun.model.unit import Order, RunSettings, Unit
from support import freeze, processes_with_environ, wait_until

pytestmark = pytest.mark.timeout(120)

HERE = Path(__file__).resolve().parent
RUN_ID = f"fault{os.getpid()}"
SETTINGS = RunSettings(run_id=RUN_ID, base_dir="/", kill_grace_s=0.2)
#: Longer than any test: whoever waits for it is killed.
FOREVER_S = 3600.0


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """Return a pool of two workers."""
    with WorkerPool(2, settings=SETTINGS, table=functions.TABLE) as pool:
        yield pool
    assert processes_with_environ(f"BATCHRUN_UNIT={RUN_ID}-") == []


def order(number: int, operation: str, text: str = "", timeout_s: float | None = None) -> Order:
    """Make an order of unknown length."""
    params = {"text": text}
    unit = Unit(task_id="t", index=number, operation=operation, params=params, timeout_s=timeout_s)
    return Order(number=number, attempt=1, unit=unit)


def ending(pool: WorkerPool) -> Report:
    """Wait for the next Report."""
    while True:
        event = pool.events.get(timeout=60)
        if isinstance(event, Report):
            return event


def is_alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def read_pid(path: Path) -> int:
    """Wait for a process id in a file."""
    wait_until(lambda: path.exists() and path.read_text(), 30, f"{path} is written")
    return int(path.read_text())


# A worker dies.


def test_a_worker_killed_while_idle_costs_nothing(pool: WorkerPool) -> None:
    pid = pool.apply(os.getpid)
    os.kill(pid, signal.SIGKILL)
    assert [pool.apply(functions.double, (n,)) for n in range(20)] == [2 * n for n in range(20)]


def test_a_worker_killed_while_busy_loses_only_its_own_call(
    pool: WorkerPool, tmp_path: Path
) -> None:
    busy = pool.apply_async(functions.mark_and_sleep, (str(tmp_path / "pid"), FOREVER_S))
    others = [pool.apply_async(functions.double, (n,)) for n in range(100)]
    os.kill(read_pid(tmp_path / "pid"), signal.SIGKILL)
    with pytest.raises(WorkerLostError, match=r"killed by signal 9 \(SIGKILL\)"):
        busy.get(30)
    assert [other.get(30) for other in others] == [2 * n for n in range(100)]


def test_all_workers_killed_at_once_lose_what_they_ran_and_nothing_else(
    pool: WorkerPool, tmp_path: Path
) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    busy = [pool.apply_async(functions.mark_and_sleep, (str(p), FOREVER_S)) for p in paths]
    others = [pool.apply_async(functions.double, (n,)) for n in range(50)]
    for pid in [read_pid(path) for path in paths]:
        os.kill(pid, signal.SIGKILL)
    for result in busy:
        with pytest.raises(WorkerLostError):
            result.get(30)
    assert [other.get(30) for other in others] == [2 * n for n in range(50)]


def test_a_call_that_kills_its_worker_every_time_is_lost_every_time(pool: WorkerPool) -> None:
    results = [pool.apply_async(os.kill, (0, 0))]  # a plain call in between
    results += [pool.apply_async(os._exit, (7,)) for _ in range(10)]
    assert results[0].get(30) is None
    for result in results[1:]:
        with pytest.raises(WorkerLostError, match="ended with exit status 7"):
            result.get(30)
    assert pool.apply(functions.double, (4,)) == 8


def test_a_segmentation_fault_is_named(pool: WorkerPool) -> None:
    with pytest.raises(WorkerLostError, match="SIGSEGV"):
        pool.apply_async(functions.segfault).get(30)


def test_a_dead_worker_ends_its_command_and_the_report_says_lost(pool: WorkerPool) -> None:
    pid = pool.apply(os.getpid)
    pool.submit(order(1, "command", "sleep 986 & (setsid sleep 986 &); sleep 986"))
    marker = f"BATCHRUN_UNIT={RUN_ID}-1-1"
    wait_until(lambda: len(processes_with_environ(marker)) >= 3, 30, "the command runs")
    os.kill(pid, signal.SIGKILL)
    outcome = ending(pool).outcome
    assert isinstance(outcome, Lost)
    assert "SIGKILL" in outcome.message
    assert processes_with_environ(marker) == []


def test_a_worker_that_is_asked_to_terminate_ends_its_command_itself(pool: WorkerPool) -> None:
    pid = pool.apply(os.getpid)
    pool.submit(order(1, "command", "sleep 986"))
    marker = f"BATCHRUN_UNIT={RUN_ID}-1-1"
    wait_until(lambda: processes_with_environ(marker), 30, "the command runs")
    os.kill(pid, signal.SIGTERM)
    outcome = ending(pool).outcome
    assert isinstance(outcome, Lost)
    assert "SIGTERM" in outcome.message
    assert processes_with_environ(marker) == []


# A worker does not answer.


def test_a_stopped_worker_keeps_nobody_waiting_for_what_it_has_not_read(
    pool: WorkerPool, tmp_path: Path
) -> None:
    busy = pool.apply_async(functions.mark_and_sleep, (str(tmp_path / "pid"), 0.0))
    pid = busy.get(30)
    freeze(pid)
    results = [pool.apply_async(functions.double, (n,)) for n in range(200)]
    assert [result.get(30) for result in results] == [2 * n for n in range(200)]
    os.kill(pid, signal.SIGCONT)


def test_a_unit_that_ignores_its_limit_loses_its_worker(pool: WorkerPool) -> None:
    pool.submit(order(1, "deaf", timeout_s=0.1))
    assert ending(pool).outcome == TimedOut(limit_s=0.1)
    pool.submit(order(2, "note"))
    assert isinstance(ending(pool).outcome, Ok)


def test_a_unit_that_ignores_a_stop_loses_its_worker(pool: WorkerPool, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    pool.submit(order(1, "deaf", str(begun)))
    wait_until(begun.exists, 30, "the unit has begun")
    pool.stop(1)
    assert ending(pool).outcome == Cancelled(was_running=True)


def test_a_second_stop_kills_at_once(pool: WorkerPool, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    pool.submit(order(1, "deaf", str(begun)))
    wait_until(begun.exists, 30, "the unit has begun")
    pool.stop(1)
    pool.stop(1)
    assert ending(pool).outcome == Cancelled(was_running=True)


def test_a_worker_that_cannot_be_killed_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """State D cannot be had on demand: here the kernel's part, not dying, is played by us."""

    def pretend(worker: WorkerProcess, now: float) -> None:
        worker.leaving = True
        worker.killed_at = now

    pid_file = tmp_path / "pid"
    pool = WorkerPool(1, settings=SETTINGS, table=functions.TABLE)
    pid = pool.apply(functions.mark_and_sleep, (str(pid_file), 0.0))
    with monkeypatch.context() as patch:
        patch.setattr(WorkerProcess, "kill", pretend)
        pool.submit(order(1, "deaf", timeout_s=0.1))
        assert ending(pool).outcome == TimedOut(limit_s=0.1, stuck=True)
    pool.submit(order(2, "note"))
    assert isinstance(ending(pool).outcome, Ok)
    pool.close()
    pool.join()
    # Its link is closed, so it takes its parent for dead and goes on its own.
    wait_until(lambda: not is_alive(pid), 30, "the left-behind worker has gone")


# What cannot travel.


def test_an_exception_that_cannot_be_unpickled_comes_as_text(pool: WorkerPool) -> None:
    with pytest.raises(WorkerTaskError, match="KeywordOnlyError: only by keyword") as caught:
        pool.apply(functions.raise_keyword_only)
    assert "raise_keyword_only" in caught.value.traceback_text
    assert pool.apply(functions.double, (1,)) == 2


def test_an_ordinary_exception_comes_as_itself_with_the_remote_traceback(
    pool: WorkerPool,
) -> None:
    with pytest.raises(ValueError, match=r"^text$") as caught:
        pool.apply(functions.raise_value_error, ("text",))
    assert "raise_value_error" in str(caught.value.__cause__)


def test_sys_exit_in_a_function_ends_neither_worker_nor_caller(pool: WorkerPool) -> None:
    pid = pool.apply(os.getpid)
    with pytest.raises(WorkerTaskError, match="SystemExit: 3"):
        pool.apply(sys.exit, (3,))
    assert pool.apply(os.getpid) == pid


def test_a_result_that_cannot_be_pickled_fails_its_call_only(pool: WorkerPool) -> None:
    with pytest.raises(WorkerTaskError, match="cannot be pickled"):
        pool.apply(functions.make_lambda)
    assert pool.apply(functions.double, (1,)) == 2


def test_a_report_that_cannot_be_pickled_fails_its_unit_only(pool: WorkerPool) -> None:
    pool.submit(order(1, "fail", "lambda"))
    outcome = ending(pool).outcome
    assert isinstance(outcome, Failed)
    assert "cannot be pickled" in outcome.message


def test_arguments_that_cannot_be_pickled_fail_their_call_only(pool: WorkerPool) -> None:
    result = pool.apply_async(functions.length, (threading.Lock(),))
    with pytest.raises(TypeError, match="pickle"):
        result.get(30)
    assert pool.apply(functions.double, (1,)) == 2


def test_parameters_that_cannot_be_pickled_fail_their_unit_only(pool: WorkerPool) -> None:
    unit = Unit(task_id="t", index=1, operation="note", params={"text": threading.Lock()})
    pool.submit(Order(number=1, attempt=1, unit=unit))
    outcome = ending(pool).outcome
    assert isinstance(outcome, Failed)
    assert not outcome.retryable


def test_results_of_fifty_megabytes_arrive_whole(pool: WorkerPool) -> None:
    size = 50_000_000
    results = [pool.apply_async(functions.make_bytes, (size + n,)) for n in range(3)]
    assert [len(result.get(60)) for result in results] == [size, size + 1, size + 2]


@pytest.mark.parametrize("size", [60_000, 102_300, 102_400, 102_500, 300_000, 20_000_000])
def test_arguments_of_any_size_arrive_whole(pool: WorkerPool, size: int) -> None:
    assert pool.apply(functions.length, (b"a" * size,), {"plus": 1}) == size + 1


def test_a_call_with_a_long_argument_survives_the_stop_of_its_worker(
    pool: WorkerPool,
) -> None:
    pid = pool.apply(os.getpid)
    freeze(pid)
    results = [pool.apply_async(functions.length, (b"a" * 500_000,)) for _ in range(6)]
    assert [result.get(30) for result in results] == [500_000] * 6
    os.kill(pid, signal.SIGKILL)


def test_long_arguments_leave_no_file_behind(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert pool.apply(functions.length, (b"a" * 500_000,)) == 500_000
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_a_long_argument_fails_its_call_only(pool: WorkerPool) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, usual[1]))
    try:
        with pytest.raises(WorkerLostError, match="File too large"):
            pool.apply(functions.length, (b"a" * 500_000,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert pool.apply(functions.double, (1,)) == 2


# What a worker is given.


def test_no_worker_holds_anything_of_another(pool: WorkerPool, tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    busy = [pool.apply_async(functions.mark_and_sleep, (str(p), 0.3)) for p in paths]
    assert len({result.get(30) for result in busy}) == 2
    by_worker: set[frozenset[str]] = set()
    while len(by_worker) < 2:
        pair = [pool.apply_async(functions.mark_and_sleep, (str(p), 0.05)) for p in paths]
        looks = [pool.apply_async(functions.open_descriptors) for _ in range(8)]
        pids = [pool.apply_async(os.getpid) for _ in range(2)]
        for result in [*pair, *pids]:
            result.get(30)
        for look in looks:
            sockets = frozenset(
                name for name in look.get(30).values() if name.startswith("socket:")
            )
            by_worker.add(sockets)
    assert all(len(sockets) == 2 for sockets in by_worker)
    first, second = list(by_worker)[:2]
    assert not first & second


def test_commands_of_a_worker_inherit_nothing(pool: WorkerPool) -> None:
    assert pool.apply(functions.inheritable_descriptors) == []


def test_a_worker_blocks_no_signals_and_ignores_none(pool: WorkerPool) -> None:
    blocked, ignored = pool.apply(functions.signal_state)
    assert blocked == set()
    assert ignored == [False] * 4


def test_a_worker_does_not_end_by_the_signals_of_a_terminal(pool: WorkerPool) -> None:
    pid = pool.apply(os.getpid)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(pid, number)
    assert pool.apply(os.getpid) == pid


def test_a_worker_imports_no_library_of_the_outer_layers(pool: WorkerPool) -> None:
    pool.submit(order(1, "note"))
    ending(pool)
    heavy = {"typer", "tqdm", "pydantic", "jinja2", "yaml", "paramiko", "sqlite3", "asyncio"}
    assert heavy & set(pool.apply(functions.imported_modules)) == set()


# The contract of multiprocessing.Pool.


def test_callbacks_get_values_and_errors_before_the_result_is_ready(pool: WorkerPool) -> None:
    seen: list[object] = []
    good = pool.apply_async(functions.double, (4,), callback=lambda v: seen.append((v, good)))
    good.wait(30)
    bad = pool.apply_async(functions.raise_value_error, ("no",), error_callback=seen.append)
    bad.wait(30)
    assert seen[0] == (8, good)
    assert isinstance(seen[1], ValueError)
    assert (good.successful(), bad.successful()) == (True, False)


def test_a_callback_that_raises_is_reported_and_hurts_nobody(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))
    result = pool.apply_async(functions.double, (1,), callback=lambda value: value / 0)
    assert result.get(30) == 2
    assert reported == [ZeroDivisionError]
    assert pool.apply(functions.double, (2,)) == 4


def test_a_closed_pool_finishes_what_it_has_and_takes_no_more(pool: WorkerPool) -> None:
    results = [pool.apply_async(functions.slow_double, (n,)) for n in range(20)]
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply_async(functions.double, (1,))
    with pytest.raises(ValueError, match="not running"):
        pool.__enter__()
    pool.join()
    assert [result.get(0) for result in results] == [2 * n for n in range(20)]


def test_close_and_terminate_from_a_callback_do_not_hang(pool: WorkerPool) -> None:
    pool.apply_async(functions.double, (1,), callback=lambda _: pool.close()).wait(30)
    pool.terminate()
    pool.join()


def test_a_pool_without_processes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        WorkerPool(0)


def test_a_pool_in_a_worker_is_refused(pool: WorkerPool) -> None:
    with pytest.raises(RuntimeError, match="cannot have workers"):
        pool.apply(WorkerPool, (1,))


def test_a_dropped_pool_still_answers_and_then_goes(tmp_path: Path) -> None:
    result = WorkerPool(1).apply_async(functions.mark_and_sleep, (str(tmp_path / "pid"), 0.1))
    pid = result.get(30)
    wait_until(lambda: not is_alive(pid), 30, "the worker of the collected pool has gone")


# The whole thing ends.


PARENT = """
import os, sys, time
import pool_operations as functions
from batchrun.engine.pool.pool import WorkerPool
from batchrun.model.unit import Order, RunSettings, Unit

if __name__ == "__main__":
    what, run_id, directory = sys.argv[1:]
    settings = RunSettings(run_id=run_id, base_dir="/", kill_grace_s=0.2)
    pool = WorkerPool(2, settings=settings, table=functions.TABLE)
    if what == "command":
        unit = Unit(task_id="t", index=1, operation="command", params={"text": "sleep 985"})
        pool.submit(Order(number=1, attempt=1, unit=unit))
    for name in "ab"[what == "command":]:
        pool.apply_async(functions.mark_and_sleep, (f"{directory}/{name}", 3600.0))
    while len(os.listdir(directory)) < 2 - (what == "command"):
        time.sleep(0.01)
    print("busy", flush=True)
    if what == "forget":
        sys.exit(0)
    time.sleep(3600)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a program that keeps a pool busy; return it when it is."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    (tmp_path / "pids").mkdir()
    started: list[subprocess.Popen[bytes]] = []

    def start(what: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "MARK": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, str(script), what, RUN_ID, str(tmp_path / "pids")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"busy\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    wait_until(
        lambda: not processes_with_environ(f"MARK={tmp_path}"), 30, "no process of it is left"
    )


@pytest.mark.parametrize("what", ["functions", "command"])
def test_a_killed_parent_leaves_no_worker_and_no_command(
    parent: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path, what: str
) -> None:
    process = parent(what)
    if what == "command":
        marker = f"BATCHRUN_UNIT={RUN_ID}-1-1"
        wait_until(lambda: processes_with_environ(marker), 30, "the command runs")
    process.send_signal(signal.SIGKILL)
    wait_until(
        lambda: not processes_with_environ(f"MARK={tmp_path}"), 30, "no process of it is left"
    )


def test_a_forgotten_pool_does_not_keep_its_program_from_ending(
    parent: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = parent("forget")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")
    wait_until(
        lambda: not processes_with_environ(f"MARK={tmp_path}"), 30, "no process of it is left"
    )


def test_interrupting_the_whole_group_prints_nothing_from_workers(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import signal, sys, time\n"
        "from batchrun.engine.pool.pool import WorkerPool\n"
        "import pool_operations as functions\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))\n"
        "    pool = WorkerPool(4)\n"
        "    results = [pool.apply_async(time.sleep, (3600,)) for _ in range(4)]\n"
        "    print('going', flush=True)\n"
        "    results[0].get()\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"going\n"
    os.killpg(process.pid, signal.SIGINT)  # while the workers start
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_a_main_module_without_a_guard_gets_a_sentence_and_no_endless_loop(
    tmp_path: Path,
) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from batchrun.engine.pool.pool import WorkerPool\nimport os\n"
        "print(WorkerPool(1).apply(os.getpid))\n"
    )
    process = subprocess.run(
        [sys.executable, str(script)], capture_output=True, timeout=80, check=False
    )
    assert process.returncode == 1
    assert b"__name__ == '__main__'" in process.stderr


def test_terminate_answers_what_it_cuts_off(pool: WorkerPool, tmp_path: Path) -> None:
    busy = pool.apply_async(functions.mark_and_sleep, (str(tmp_path / "pid"), FOREVER_S))
    queued = [pool.apply_async(time.sleep, (FOREVER_S,)) for _ in range(5)]
    read_pid(tmp_path / "pid")
    pool.terminate()
    pool.join()
    for result in [busy, *queued]:
        with pytest.raises(WorkerLostError):
            result.get(0)


def test_close_lets_a_stopped_idle_worker_not_hold_it_up(pool: WorkerPool) -> None:
    pid = pool.apply(os.getpid)
    freeze(pid)
    pool.close()
    pool.join()
    assert not is_alive(pid)


def test_units_and_calls_lost_with_a_worker_that_another_holds_are_run(
    pool: WorkerPool,
) -> None:
    events: SimpleQueue[RunnerEvent] = pool.events
    for number in range(1, 301):
        unit = Unit(task_id="t", index=number, operation="note", params={"text": "x"})
        pool.submit(Order(number=number, attempt=1, unit=unit, expected_s=0.0001))
    pool.submit(order(301, "die", str(int(signal.SIGKILL))))
    outcomes: dict[int, Outcome] = {}
    while len(outcomes) < 301:
        event = events.get(timeout=60)
        assert not isinstance(event, Returned)
        if not isinstance(event, Started):
            assert isinstance(event, Report)
            assert event.number not in outcomes
            outcomes[event.number] = event.outcome
    assert isinstance(outcomes.pop(301), Lost)
    assert all(isinstance(outcome, Ok) for outcome in outcomes.values())


@pytest.mark.timeout(1800)
def test_rounds_of_kills_and_stops_lose_no_answer_and_leave_no_process(tmp_path: Path) -> None:
    # Hundreds of workers are started: they need not compile everything anew each time.
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONPYCACHEPREFIX": str(tmp_path)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    rounds = os.environ.get("BATCHRUN_KILL_ROUNDS", "250")  # `make soak` asks for more
    process = subprocess.run(
        [sys.executable, str(HERE / "pool_harness.py"), rounds, "20261122"],
        env=env,
        capture_output=True,
        check=False,
    )
    assert process.stderr == b""
    summary = json.loads(process.stdout)
    assert summary["calls"] > 0
    assert summary["units"] > 0
    left = ("more_than_once", "wrong", "workers_left", "commands_left", "threads_left")
    assert {name: summary[name] for name in left if summary[name]} == {}
    assert summary["never"] == 0
