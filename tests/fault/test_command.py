"""Commands that resist, escape, flood, stop and hang: what is left of them is nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.operation import Terms
from batchrun.model.outcome import Cancelled, Ok, TimedOut
from batchrun.model.unit import RunSettings
from batchrun.ops.command import Run, run
from batchrun.ops.processes import cookie, end_command
from command_context import RUN_ID, CommandContext, command_context, when
from support import environ_of, processes_with_environ, wait_until

pytestmark = pytest.mark.timeout(120)

#: Ignores TERM, as do its child and grandchild; says so when all three are there.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(2):
    if os.fork():
        break
open(f"here-{os.getpid()}", "w").close()
os.write(1, b"here\\n")
time.sleep(1000)
"""


def stubborn() -> Run:
    return Run(command=(sys.executable, "-S", "-c", STUBBORN))


def short_grace(base_dir: Path) -> RunSettings:
    return RunSettings(run_id=RUN_ID, base_dir=str(base_dir), kill_grace_s=0.2)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[CommandContext]:
    with command_context(tmp_path, settings=short_grace(tmp_path)) as made:
        yield made
        assert made.survivors() == []


def is_there(pid: int) -> bool:
    """Whether a process exists, zombies included."""
    return Path(f"/proc/{pid}").exists()


def test_a_stop_kills_a_family_that_ignores_term(context: CommandContext, tmp_path: Path) -> None:
    with when(lambda: len(list(tmp_path.glob("here-*"))) == 3, context.stop):
        done = run(stubborn(), context)
    assert done.outcome == Cancelled(was_running=True)
    assert done.output.stdout.head.startswith(b"here\n")
    assert not is_there(context.pids[0])


def test_a_timeout_kills_a_family_that_ignores_term(
    context: CommandContext, tmp_path: Path
) -> None:
    context.deadline = time.monotonic() + 4.0
    context.terms = Terms(timeout_s=4.5)
    done = run(stubborn(), context)
    assert done.outcome == TimedOut(limit_s=4.5)
    assert len(list(tmp_path.glob("here-*"))) == 3
    assert done.output.stdout.head == b"here\n" * 3


def test_term_comes_first_and_what_is_said_then_is_kept(tmp_path: Path) -> None:
    settings = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), kill_grace_s=20)
    with command_context(tmp_path, settings=settings) as context:
        # More than a pipe holds: it can only end within the grace when somebody reads.
        code = "trap 'head -c 300000 /dev/zero; echo bye >&2; exit' TERM; : > ready; "
        code += "while :; do sleep 0.01; done"
        with when((tmp_path / "ready").exists, context.stop):
            done = run(Run(command=code), context)
    assert done.outcome == Cancelled(was_running=True)
    assert done.output.stdout.size_bytes == 300_000
    assert done.output.stderr.head.endswith(b"bye\n")


def test_what_called_setsid_is_found_by_its_cookie(context: CommandContext, tmp_path: Path) -> None:
    code = "setsid sh -c ': > escaped; exec sleep 1000' & (setsid sleep 1000 &) ; wait; sleep 1000"
    with when((tmp_path / "escaped").exists, context.stop):
        done = run(Run(command=code), context)
    assert done.outcome == Cancelled(was_running=True)


def test_an_escapee_that_ignores_term_is_killed_too(
    context: CommandContext, tmp_path: Path
) -> None:
    code = "setsid sh -c 'trap \"\" TERM; : > escaped; while :; do sleep 1; done' & sleep 1000"
    with when((tmp_path / "escaped").exists, context.stop):
        done = run(Run(command=code), context)
    assert done.outcome == Cancelled(was_running=True)


def test_a_stopped_command_ends_at_its_timeout(context: CommandContext) -> None:
    context.deadline = time.monotonic() + 1.5
    done = run(Run(command="echo before; kill -STOP $$; echo after"), context)
    assert isinstance(done.outcome, TimedOut)
    assert done.output.stdout.head == b"before\n"


def test_a_stopped_command_gets_its_term_before_it_is_killed(tmp_path: Path) -> None:
    settings = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), kill_grace_s=20)
    with command_context(tmp_path, settings=settings, timeout_s=1.5) as context:
        code = "trap 'echo tidied; exit' TERM; kill -STOP $$; while :; do sleep 0.01; done"
        done = run(Run(command=code), context)
    assert isinstance(done.outcome, TimedOut)
    assert done.output.stdout.head == b"tidied\n"


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_run(tmp_path: Path) -> None:
    with command_context(tmp_path) as context:
        done = run(Run(command="echo started; sleep 1000 & echo $! > pid"), context)
        daemon = int((tmp_path / "pid").read_text())
        try:
            assert done.outcome == Ok(changed=True, exit_status=0)
            assert done.output.stdout.head == b"started\n"
            assert [("standard output" in w, "standard error" in w) for w in done.warnings] == [
                (True, False),
                (False, True),
            ]
            assert environ_of(daemon)
        finally:
            os.kill(daemon, signal.SIGKILL)


def test_what_was_left_in_the_background_quietly_is_left_alone(tmp_path: Path) -> None:
    with command_context(tmp_path) as context:
        code = "sleep 1000 < /dev/null > /dev/null 2>&1 & echo $! > pid"
        done = run(Run(command=code), context)
        daemon = int((tmp_path / "pid").read_text())
        try:
            assert done.outcome == Ok(changed=True, exit_status=0)
            assert done.warnings == ()
            assert environ_of(daemon)
        finally:
            os.kill(daemon, signal.SIGKILL)


def test_fifty_megabytes_are_counted_to_the_byte(context: CommandContext) -> None:
    done = run(Run(command="seq -f %09.0f 1 5000000; echo end; seq 300000 >&2"), context)
    stdout, stderr = done.output.stdout, done.output.stderr
    kept = context.settings.head_bytes + context.settings.tail_bytes
    assert done.outcome == Ok(changed=True, exit_status=0)
    assert stdout.size_bytes == 50_000_004
    assert stdout.omitted_bytes == 50_000_004 - kept
    assert stdout.head.startswith(b"000000001\n000000002\n")
    assert len(stdout.head) == context.settings.head_bytes
    assert stdout.tail.endswith(b"005000000\nend\n")
    assert stderr.tail.endswith(b"\n299999\n300000\n")
    assert stderr.size_bytes == sum(len(str(i)) + 1 for i in range(1, 300_001))


def _peak_rss_kib() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition("VmHWM:")[2].split()[0])


def test_an_endless_flood_is_stopped_and_memory_stays_flat(context: CommandContext) -> None:
    run(Run(command="head -c 3000000 /dev/zero"), context)
    # Makes the high-water mark start again: proc(5), /proc/pid/clear_refs.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _peak_rss_kib()
    context.deadline = time.monotonic() + 2.0
    done = run(Run(command="yes & yes >&2 & wait"), context)
    assert isinstance(done.outcome, TimedOut)
    assert done.output.stdout.size_bytes > 50_000_000
    assert _peak_rss_kib() - before < 4096


def test_a_flood_from_the_background_does_not_hold_the_run(tmp_path: Path) -> None:
    with command_context(tmp_path) as context:
        done = run(Run(command="yes & :"), context)
        assert done.outcome == Ok(changed=True, exit_status=0)
        assert len(done.warnings) == 2
        # Its pipe is closed now, so it ends by itself.
        wait_until(lambda: not context.survivors(), 20, "yes has ended")


def test_a_large_standard_input_that_nobody_reads_holds_nothing_up(
    context: CommandContext,
) -> None:
    done = run(Run(command="true", stdin="x" * 20_000_000), context)
    assert done.outcome == Ok(changed=True, exit_status=0)


def test_a_large_standard_input_comes_back_whole_while_output_flows(
    context: CommandContext,
) -> None:
    done = run(Run(command="cat; cat >&2", stdin="0123456789" * 1_000_000), context)
    assert done.output.stdout.size_bytes == 10_000_000
    assert not done.output.stderr


def test_a_stop_while_the_reader_of_live_output_pauses_still_ends_it(tmp_path: Path) -> None:
    settings = RunSettings(
        run_id=RUN_ID, base_dir=str(tmp_path), kill_grace_s=0.5, live_output=True
    )
    with command_context(tmp_path, settings=settings) as context:
        context.welcome = 3
        with when(lambda: context.welcome == 0, context.stop):
            done = run(Run(command="trap '' TERM; yes"), context)
        assert context.survivors() == []
    assert done.outcome == Cancelled(was_running=True)
    assert len(context.shown) == 3
    assert done.output.stdout.size_bytes > sum(len(data) for _, data in context.shown)


def test_an_error_of_the_world_around_leaves_no_command_behind(tmp_path: Path) -> None:
    class Broken(CommandContext):
        def live_output(self, stream: str, data: bytes) -> bool:
            raise OSError(f"no room for {len(data)} bytes of {stream}")

    settings = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), live_output=True)
    context = Broken(settings=settings)
    with pytest.raises(OSError, match="2 bytes of stdout"):
        run(Run(command="echo x; sleep 1000"), context)
    assert context.survivors() == []
    assert not is_there(context.pids[0])


# What the parent of a dead worker does: it is not the command's parent.


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Start a command by a process in between, that waits until it may die."""
    mark = cookie(RUN_ID, 900, 1)
    code = "setsid sh -c 'sleep 1000 & echo $$ > leader; wait' & wait"
    name, _, value = mark.partition("=")
    between = subprocess.Popen(
        ["sh", "-c", code], cwd=tmp_path, env={**os.environ, name: value}, start_new_session=True
    )
    leader = tmp_path / "leader"
    wait_until(lambda: leader.exists() and leader.read_text().strip(), 20, "the leader is there")
    wait_until(lambda: len(processes_with_environ(mark)) == 3, 20, "all three are there")
    yield int(leader.read_text()), mark
    between.wait()
    assert processes_with_environ(mark) == []


def test_somebody_elses_command_is_ended_by_id_and_cookie(orphan: tuple[int, str]) -> None:
    pid, mark = orphan
    end_command(pid, mark, 5.0)
    assert processes_with_environ(mark) == []


def test_a_command_whose_id_is_not_known_is_ended_by_its_cookie(orphan: tuple[int, str]) -> None:
    _, mark = orphan
    end_command(None, mark, 5.0)
    assert processes_with_environ(mark) == []


def test_an_id_that_now_belongs_to_another_is_not_touched(orphan: tuple[int, str]) -> None:
    pid, mark = orphan
    end_command(pid, cookie(RUN_ID, 901, 1), 0.0)
    end_command(pid, mark[:-1], 0.0)
    end_command(pid, mark + "0", 0.0)
    assert len(processes_with_environ(mark)) == 3
    end_command(pid, mark, 1.0)


def test_an_id_that_does_not_exist_and_our_own_are_no_target() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    mark = cookie(RUN_ID, 902, 1)
    for pid in (gone.pid, os.getpid(), os.getpgrp(), 0, -1, 1):
        end_command(pid, mark, 0.0)
    assert is_there(os.getpid())


def test_our_child_is_reaped_only_after_its_group_is_dead(tmp_path: Path) -> None:
    mark = cookie(RUN_ID, 903, 1)
    # The leader ends at once and stays a zombie; its child carries no cookie, only the group.
    child = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", f"env -i sleep 1000 & echo $! > {tmp_path}/member"],
        {"PATH": os.environ["PATH"]},
        setsid=True,
    )
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    member = int((tmp_path / "member").read_text())
    wait_until(lambda: environ_of(member) == b"", 20, "env has become sleep")
    end_command(child, mark, 1.0)
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
    stat = Path(f"/proc/{member}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_starts_itself_again_on_term_is_ended(tmp_path: Path) -> None:
    mark = cookie(RUN_ID, 904, 1)
    name, _, value = mark.partition("=")
    code = f"""
import os, signal, time
def again(*_):
    if os.fork():
        os._exit(0)
    os.setsid()
signal.signal(signal.SIGTERM, again)
open("{tmp_path}/ready", "w").close()
while True:
    time.sleep(1000)
"""
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, name: value},
        start_new_session=True,
    )
    wait_until((tmp_path / "ready").exists, 20, "it runs")
    reaper = threading.Thread(target=child.wait)
    reaper.start()
    end_command(None, mark, 2.0)
    reaper.join()
    assert processes_with_environ(mark) == []
