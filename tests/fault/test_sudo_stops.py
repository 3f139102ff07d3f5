"""What runs under sudo ends when it has to, also where we may not signal it ourselves."""

import contextlib
import json
import os
import secrets
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from program import Started
from sudo_users import Person, person, pids_with_argument
from support import wait_until

pytestmark = pytest.mark.timeout(120)

#: A family: one that ignores TERM, one in its group, one that has left it.
FAMILY = """trap '' TERM; (setsid sleep 1000.MARK &); sleep 1000.MARK &
while [ ! -e /tmp/never ]; do sleep 1000.MARK; done"""
WITH = {"password": "secrets.pw"}


@pytest.fixture(scope="module")
def asked() -> Iterator[Person]:
    """A user whom sudo asks for his password."""
    with person() as made:
        yield made


@pytest.fixture(scope="module")
def trusted() -> Iterator[Person]:
    """A user whom sudo asks for nothing."""
    with person("ALL=(ALL:ALL) NOPASSWD: ALL") as made:
        yield made


@pytest.fixture
def mark() -> Iterator[str]:
    """What the processes of one test are known by; at the end none may be left."""
    made = str(secrets.randbelow(10**9))
    try:
        yield made
        left = pids_with_argument(f"1000.{made}")
        assert left == []
    finally:
        for pid in pids_with_argument(f"1000.{made}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def family(mark: str, sudo: Any, **more: Any) -> str:
    one = {"run": FAMILY.replace("MARK", mark), "sudo": sudo, **more}
    return f"tasks: {json.dumps([one])}\n"


def until_it_runs(run: Started, mark: str) -> None:
    run.until(lambda: len(pids_with_argument(f"sleep\0001000.{mark}")) == 3, "the family runs")


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_timeout_ends_all_of_it_with_the_password(asked: Person, mark: str, user: str) -> None:
    sudo = {"user": user, "password": "secrets.pw"}
    unit = asked.unit(family(mark, sudo, timeout="2s"), "--grace", "1s")
    assert unit["outcome"]["kind"] == "timed_out"
    assert not unit["outcome"]["stuck"]
    assert unit["warnings"] == []


@pytest.mark.parametrize("user", [True, "nobody"])
def test_a_timeout_ends_all_of_it_without_one(trusted: Person, mark: str, user: Any) -> None:
    unit = trusted.unit(family(mark, user, timeout="2s"), "--grace", "1s")
    assert unit["outcome"]["kind"] == "timed_out"
    assert unit["warnings"] == []


def test_a_command_that_calls_sudo_itself_ends_as_well(trusted: Person, mark: str) -> None:
    code = f"sudo sh -c 'sleep 1000.{mark} & sleep 1000.{mark}; :'"
    job = f"tasks: {json.dumps([{'run': code, 'timeout': '2s'}])}\n"
    assert trusted.unit(job, "--grace", "1s")["outcome"]["kind"] == "timed_out"


def test_a_command_has_its_grace(asked: Person, mark: str) -> None:
    done = asked.dir / "cleaned-up"
    code = f"trap 'touch {done}; exit 0' TERM; sleep 1000.{mark} & wait"
    job = f"tasks: {json.dumps([{'run': code, 'sudo': WITH, 'timeout': '5s'}])}\n"
    assert asked.unit(job)["outcome"]["kind"] == "timed_out"
    assert done.exists()
    done.unlink()


@pytest.mark.parametrize("procs", ["0", "2"])
def test_a_signal_ends_all_of_it(asked: Person, mark: str, procs: str) -> None:
    run = asked.start(family(mark, WITH), "--grace", "1s", "-j", procs)
    until_it_runs(run, mark)
    run.send(signal.SIGTERM)
    assert run.end().code == 143


def test_it_ends_when_its_worker_is_killed(asked: Person, mark: str) -> None:
    run = asked.start(family(mark, WITH), "--grace", "1s", "-j", "1", "--output", "json")
    until_it_runs(run, mark)
    (worker,) = run.workers()
    os.kill(worker, signal.SIGKILL)
    (unit,) = run.end().units
    assert unit["outcome"]["kind"] == "lost"


def test_it_ends_when_batchrun_is_killed(asked: Person, mark: str) -> None:
    run = asked.start(family(mark, WITH), "-j", "1")
    until_it_runs(run, mark)
    run.send(signal.SIGKILL)
    run.end()
    wait_until(lambda: not pids_with_argument(f"1000.{mark}"), 30, "nothing of it is left")


def test_what_sudo_does_not_let_us_end_is_told() -> None:
    with person() as former:
        mark = str(secrets.randbelow(10**9))
        job = family(mark, WITH, timeout="6s")
        run = former.start(job, "--grace", "1s", "--output", "json")
        until_it_runs(run, mark)
        with former.may("!root_sudo, requiretty"):
            (unit,) = run.end().units
        left = pids_with_argument(f"1000.{mark}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert left
    assert unit["outcome"]["kind"] == "timed_out"
    assert unit["warnings"] == [
        "Not all that it has started could be ended; some of it may still run."
    ]
