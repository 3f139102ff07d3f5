"""What stands around a command: guards, codes, priorities, slots, limits on silence."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.around import Around, OutputFile
from batchrun.model.outcome import Cancelled, Failed, Ok, Outcome, Skipped, TimedOut
from batchrun.model.unit import RunSettings
from batchrun.ops.command import Run, run
from command_context import RUN_ID, CommandContext, command_context
from support import processes_with_environ, wait_until
from unit_runs import MakeRunner, Units, in_process, in_workers, rehearsed, units

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=[in_workers, in_process], ids=["workers", "in process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Units]:
    make: MakeRunner = request.param
    with units(tmp_path, make) as made:
        yield made


@pytest.fixture
def dry(tmp_path: Path) -> Iterator[Units]:
    with units(tmp_path, rehearsed) as made:
        yield made


@pytest.fixture
def context(tmp_path: Path) -> Iterator[CommandContext]:
    with command_context(tmp_path) as made:
        yield made


def guarded(**around: Any) -> dict[str, Any]:
    """A unit that leaves a file, behind guards."""
    return {"command": ": > ran", "around": Around(**around)}


# Guards.


def test_unless_skips_when_its_command_succeeds(bench: Units, tmp_path: Path) -> None:
    skipped = bench.run("run", **guarded(unless="test -d  /proc")).outcome
    assert skipped == Skipped(because="unless: test -d /proc succeeded")
    assert not (tmp_path / "ran").exists()
    assert bench.run("run", **guarded(unless=("test", "-d", "/x"))).outcome.kind == "ok"
    assert (tmp_path / "ran").exists()


def test_onlyif_skips_unless_its_command_succeeds(bench: Units, tmp_path: Path) -> None:
    skipped = bench.run("run", **guarded(onlyif=("sh", "-c", "exit 125"))).outcome
    assert skipped == Skipped(because="onlyif: sh -c 'exit 125' ended with exit status 125")
    assert bench.run("run", **guarded(onlyif="echo noise; echo more >&2")).outcome.kind == "ok"
    assert (tmp_path / "ran").exists()


def test_a_guard_runs_in_the_environment_and_directory_of_its_unit(
    bench: Units, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    command = {"env": {"A": "1"}, "cwd": "sub", "shell": "bash"}
    text = f"[[ $A = 1 && $PWD = {tmp_path}/sub && -n $BATCHRUN_UNIT ]]"
    assert bench.run("run", **guarded(onlyif=text, command=command)).outcome.kind == "ok"


@pytest.mark.parametrize(
    ("command", "words", "retryable"),
    [
        ("no-such-program", "`no-such-program` ended with exit status 127", True),
        ("echo why >&2; exit 126", "ended with exit status 126; correct it, 1 to 125 mean no (why)",
         True),
        ("kill -9 $$", "was killed by signal 9 (SIGKILL)", True),
        (("no-such-program",), "`onlyif` could not be run: The program 'no-such-program' was not",
         False),
    ],
)  # fmt: skip
def test_a_guard_that_cannot_answer_fails_the_unit(
    bench: Units, tmp_path: Path, command: str | tuple[str, ...], words: str, retryable: bool
) -> None:
    outcome = bench.run("run", **guarded(onlyif=command)).outcome
    assert isinstance(outcome, Failed)
    assert words in outcome.message
    assert outcome.retryable is retryable
    assert not (tmp_path / "ran").exists()


def test_a_guard_shares_the_time_of_its_unit_and_is_ended_with_it(bench: Units) -> None:
    number = bench.submit("run", timeout_s=0.5, **guarded(onlyif="sleep 1000 & sleep 1000"))
    assert bench.report().outcome == TimedOut(limit_s=0.5)
    assert processes_with_environ(bench.cookie(number)) == []


def test_a_stop_ends_the_group_of_a_guard(bench: Units, tmp_path: Path) -> None:
    guard = "trap '' TERM; (setsid sleep 1000 &); : > asked; while :; do sleep 1; done"
    number = bench.submit("run", **guarded(unless=guard))
    wait_until((tmp_path / "asked").exists, 30, "the guard runs")
    bench.runner.stop(number)
    assert bench.report().outcome == Cancelled(was_running=True)
    assert processes_with_environ(bench.cookie(number)) == []
    assert not (tmp_path / "ran").exists()


def test_operations_on_files_have_guards_too(bench: Units, tmp_path: Path) -> None:
    around = Around(onlyif="test -e go")
    assert (
        bench.run("mkdir", path=(str(tmp_path / "made"),), around=around).outcome.kind == "skipped"
    )
    (tmp_path / "go").touch()
    assert bench.run("mkdir", path=(str(tmp_path / "made"),), around=around).outcome.kind == "ok"
    assert (tmp_path / "made").is_dir()


def test_a_flood_from_a_guard_is_dropped(bench: Units) -> None:
    report = bench.run("run", **guarded(unless="head -c 3000000 /dev/zero; exit 1"))
    assert report.outcome.kind == "ok"
    assert report.output.stdout.size_bytes == 0


# Dry runs.


def test_a_dry_run_asks_the_guards(dry: Units, tmp_path: Path) -> None:
    assert dry.run("run", **guarded(unless="true")).outcome.kind == "skipped"
    outcome = dry.run("run", **guarded(unless="false")).outcome
    assert outcome == Ok(changed=True, note="would run : > ran")
    assert not (tmp_path / "ran").exists()


def test_a_dry_run_runs_what_only_reads(dry: Units) -> None:
    report = dry.run("run", command="echo seen; exit 4", readonly=True, ok_codes=(4,))
    assert report.outcome == Ok(changed=False, exit_status=4)
    assert report.output.stdout.head == b"seen\n"


def test_what_only_reads_can_be_timed_out_and_stopped_in_a_dry_run(
    dry: Units, tmp_path: Path
) -> None:
    timed_out = dry.run("run", command="sleep 1000", readonly=True, timeout_s=0.2)
    assert timed_out.outcome == TimedOut(limit_s=0.2)
    number = dry.submit("run", command=": > begun; sleep 1000", readonly=True)
    wait_until((tmp_path / "begun").exists, 30, "the command runs")
    dry.runner.stop(number)
    assert dry.report().outcome == Cancelled(was_running=True)


def test_a_dry_run_runs_a_script_that_only_reads(dry: Units, tmp_path: Path) -> None:
    (tmp_path / "look.sh").write_text("echo $1")
    report = dry.run("script", file="look.sh", args=("around",), readonly=True)
    assert report.output.stdout.head == b"around\n"
    assert dry.run("script", file="look.sh").outcome.kind == "ok"


# Exit statuses.


@pytest.mark.parametrize(
    ("params", "status", "outcome"),
    [
        ({}, 0, Ok(changed=True, exit_status=0)),
        ({"readonly": True}, 0, Ok(changed=False, exit_status=0)),
        ({"changed_codes": (2,)}, 0, Ok(changed=False, exit_status=0)),
        ({"changed_codes": (2,)}, 2, Ok(changed=True, exit_status=2)),
        ({"changed_codes": (0,), "ok_codes": (0, 3)}, 0, Ok(changed=True, exit_status=0)),
        ({"changed_codes": (0,), "ok_codes": (0, 3)}, 3, Ok(changed=False, exit_status=3)),
        ({"changed_codes": (2,)}, 3, Failed(message="exit status 3", exit_status=3)),
    ],
)
def test_exit_statuses_say_whether_something_changed(
    context: CommandContext, params: dict[str, Any], status: int, outcome: Outcome
) -> None:
    assert run(Run(command=f"exit {status}", **params), context).outcome == outcome


# Silence.


def test_a_command_that_falls_silent_is_timed_out(context: CommandContext) -> None:
    done = run(Run(command="echo begun; sleep 1000", idle_timeout=1.5), context)
    assert done.outcome == TimedOut(limit_s=1.5, idle=True)
    assert done.output.stdout.head == b"begun\n"
    assert context.survivors() == []


def test_a_command_that_goes_on_talking_may_take_longer(context: CommandContext) -> None:
    code = "for i in 1 2 3 4 5 6 7 8; do echo $i >&2; sleep 0.5; done"
    assert run(Run(command=code, idle_timeout=3.0), context).outcome.kind == "ok"


def test_the_other_limit_still_holds(tmp_path: Path) -> None:
    with command_context(tmp_path, timeout_s=0.3) as context:
        done = run(Run(command="while :; do echo x; sleep 0.01; done", idle_timeout=60.0), context)
    assert done.outcome == TimedOut(limit_s=0.3)


def test_a_reader_that_does_not_read_is_no_silence(tmp_path: Path) -> None:
    live = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), live_output=True)
    with command_context(tmp_path, settings=live, timeout_s=1.0) as context:
        context.welcome = 1
        code = "while :; do echo x; sleep 0.05; done"
        done = run(Run(command=code, idle_timeout=0.4), context)
    assert done.outcome == TimedOut(limit_s=1.0)


# The environment.


def test_variables_that_hold_secrets_are_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "abcdefgh")
    monkeypatch.setenv("OTHER", "1")
    held = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), withheld_env=("TOKEN", "UNSET"))
    with command_context(tmp_path, settings=held) as context:
        code = 'echo "${TOKEN-none} $OTHER"'
        assert run(Run(command=code), context).output.stdout.head == b"none 1\n"
        given = run(Run(command=code, env={"TOKEN": "given"}), context)
        assert given.output.stdout.head == b"given 1\n"


def test_commands_that_run_at_the_same_time_have_different_slots(tmp_path: Path) -> None:
    with units(tmp_path, in_workers) as bench:
        for _ in range(20):
            # The directory is the slot: two at once could not both make it.
            bench.submit("run", command="mkdir slot$BATCHRUN_SLOT && rmdir slot$BATCHRUN_SLOT")
        assert {bench.report().outcome.kind for _ in range(20)} == {"ok"}
        seen = {bench.run("run", command="echo $BATCHRUN_SLOT").output.stdout.head}
        assert seen <= {b"1\n", b"2\n"}


def test_without_workers_the_slot_is_the_first(tmp_path: Path) -> None:
    with units(tmp_path, in_process) as bench:
        assert bench.run("run", command="echo $BATCHRUN_SLOT").output.stdout.head == b"1\n"


# Priorities.


def test_a_command_is_as_nice_as_asked_and_its_worker_stays_as_it_was(bench: Units) -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    look = "cut -d' ' -f19 /proc/self/stat; cut -d' ' -f19 /proc/$PPID/stat; ionice -p $$"
    around = Around(nice=5, ionice=("best-effort", 6))
    lines = bench.run("run", command=look, around=around).output.stdout.head.splitlines()
    assert lines == [b"%d" % (usual + 5), b"%d" % usual, b"best-effort: prio 6"]
    plain = bench.run("run", command=look).output.stdout.head.splitlines()
    assert plain[0] == b"%d" % usual
    assert plain[2] != b"best-effort: prio 6"


def test_a_command_may_have_the_disk_when_nobody_else_wants_it(bench: Units) -> None:
    around = Around(ionice=("idle", 7))
    report = bench.run("run", command="ionice -p $$", around=around)
    assert report.output.stdout.head.startswith(b"idle")


def test_guards_are_as_nice_as_their_unit(bench: Units) -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    guard = f"test $(cut -d' ' -f19 /proc/self/stat) = {usual + 3}"
    assert bench.run("run", **guarded(onlyif=guard, nice=3)).outcome.kind == "ok"


def test_file_operations_run_with_priorities_and_answer_as_ever(
    bench: Units, tmp_path: Path
) -> None:
    around = Around(nice=1, ionice=("idle", 7))
    assert bench.run("mkdir", path=(str(tmp_path / "made"),), around=around).outcome == Ok(
        changed=True
    )
    assert (tmp_path / "made").is_dir()
    failed = bench.run(
        "copy", src=(str(tmp_path / "missing"),), dest=f"{tmp_path}/made/", around=around
    ).outcome
    assert isinstance(failed, Failed)
    assert failed.errno == 2


def test_a_nice_command_can_be_stopped_and_timed_out(bench: Units, tmp_path: Path) -> None:
    nice = Around(nice=1)
    assert bench.run("run", command="sleep 1000", timeout_s=0.2, around=nice).outcome == TimedOut(
        limit_s=0.2
    )
    number = bench.submit("run", command=": > begun; sleep 1000", around=nice)
    wait_until((tmp_path / "begun").exists, 30, "the command runs")
    bench.runner.stop(number)
    assert bench.report().outcome == Cancelled(was_running=True)


# The file that a command makes.


def made(tmp_path: Path) -> Around:
    path = str(tmp_path / "out" / "result.txt")
    return Around(output=OutputFile(path=path, temporary=f"{tmp_path}/out/.br-result.txt"))


def test_an_output_file_appears_whole_or_not_at_all(bench: Units, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code = "echo half > out/.br-result.txt; exit 1"
    assert bench.run("run", command=code, around=made(tmp_path)).outcome.kind == "failed"
    assert os.listdir(folder) == []
    code = "echo half > out/.br-result.txt; sleep 1000"
    late = bench.run("run", command=code, timeout_s=0.3, around=made(tmp_path))
    assert late.outcome == TimedOut(limit_s=0.3)
    assert os.listdir(folder) == []
    whole = bench.run("run", command="echo whole > out/.br-result.txt", around=made(tmp_path))
    assert whole.outcome == Ok(changed=True, exit_status=0)
    assert os.listdir(folder) == ["result.txt"]
    assert bench.run("run", command="exit 1", around=made(tmp_path)).outcome.kind == "skipped"


def test_priorities_and_guards_need_nothing_on_the_path_of_the_command(bench: Units) -> None:
    around = Around(ionice=("idle", 7), onlyif=("/bin/true",))
    report = bench.run("run", command=("/bin/echo", "x"), env={"PATH": "/none"}, around=around)
    assert report.outcome.kind == "ok"


def test_the_kernel_is_asked_as_ionice_would() -> None:
    code = """
import os, subprocess
from batchrun.ops import priority
look = ["ionice", "-p", str(os.getpid())]
priority._set_by_program(2, 3)
first = subprocess.run(look, capture_output=True).stdout
priority.set_priority(None, ("best-effort", 1))
os.write(1, first + subprocess.run(look, capture_output=True).stdout)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ended.stdout.splitlines() == [b"best-effort: prio 3", b"best-effort: prio 1"]
