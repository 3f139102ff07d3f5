"""Commands on a host made by hand: what the wrapper, the reading and the ending do."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from batchrun.model.operation import Done, Terms
from batchrun.model.outcome import Cancelled, Failed, Lost, Ok, TimedOut
from batchrun.model.secret import Mask
from batchrun.model.unit import RunSettings
from batchrun.remote.launch import mark_of
from command_context import when
from local_host import LocalHost, local_host
from support import processes_with_environ, wait_until

HOSTILE = 'it\'s "q" $HOME `id` \\ ! * \n-x\tü ' + os.fsdecode(b"\xff\xfe")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        yield made


def stdout(done: Done) -> bytes:
    assert isinstance(done.outcome, Ok), (done.outcome, done.output)
    return done.output.stdout.head


def assert_nothing_runs(host: LocalHost) -> None:
    assert processes_with_environ(mark_of(host)) == []


def test_a_text_runs_in_the_login_directory(host: LocalHost) -> None:
    done = host.do("run", command="pwd; echo oops >&2; exit 3", ok_codes=(3,))
    assert done.outcome == Ok(changed=True, exit_status=3)
    assert done.output.stdout.head == os.fsencode(host.home) + b"\n"
    assert done.output.stderr.head == b"oops\n"


def test_an_exit_status_that_is_not_ok_fails(host: LocalHost) -> None:
    outcome = host.do("run", command="exit 9").outcome
    assert outcome == Failed(message="exit status 9", exit_status=9)


def test_a_signal_on_the_host_is_told_apart_from_an_exit_status(host: LocalHost) -> None:
    outcome = host.do("run", command="kill -KILL $$").outcome
    assert outcome == Failed(message="killed by signal 9 (SIGKILL)", signal=9)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "busybox sh", "fish", "tcsh", "csh"])
def test_hostile_words_arrive_whole_whatever_the_login_shell(host: LocalHost, shell: str) -> None:
    program, *more = shell.split()
    assert shutil.which(program), f"{program} is missing; `make test` installs it"
    host.session.shell = (program, *more)
    words = ("printf", "%s|", HOSTILE, "", "-n", "a b")
    done = host.do("run", command=words, env={"X": HOSTILE}, stdin=HOSTILE)
    assert stdout(done) == os.fsencode(HOSTILE) + b"||-n|a b|"
    done = host.do("run", command='printf %s "$X"; cat', env={"X": HOSTILE}, stdin=HOSTILE)
    assert stdout(done) == 2 * os.fsencode(HOSTILE)


def test_what_files_of_the_login_shell_print_is_dropped(host: LocalHost) -> None:
    host.session.noise = "echo Welcome; echo Beware >&2; printf 'no line end'; printf x >&2"
    done = host.do("run", command="echo out; echo err >&2")
    assert stdout(done) == b"out\n"
    assert done.output.stderr.head == b"err\n"


def test_nothing_of_the_environment_is_in_the_arguments_of_a_process(host: LocalHost) -> None:
    look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c ZQ[X]9 || :"
    assert stdout(host.do("run", command=look, env={"A": "ZQX9"}, stdin="ZQX9")) == b"0\n"
    assert not any("ZQX9" in text for text in host.session.texts)


def test_a_command_knows_its_run_task_item_host_and_attempt(host: LocalHost) -> None:
    host.label, host.attempt = "a b", 2
    done = host.do("run", command="env | grep ^BATCHRUN_ | sort")
    assert stdout(done).decode().splitlines() == [
        "BATCHRUN_ATTEMPT=2",
        "BATCHRUN_HOST=web1",
        "BATCHRUN_ITEM=a b",
        f"BATCHRUN_RUN={host.settings.run_id}",
        "BATCHRUN_TASK=task",
        f"BATCHRUN_UNIT={host.settings.run_id}-1-2",
    ]


def test_cwd_is_entered_there(host: LocalHost) -> None:
    (host.home / "-in it's").mkdir()
    assert stdout(host.do("run", command="pwd", cwd="-in it's")).endswith(b"/-in it's\n")
    assert stdout(host.do("run", command="pwd", cwd="~")) == os.fsencode(host.home) + b"\n"
    assert stdout(host.do("run", command="pwd", cwd="/")) == b"/\n"


def test_a_cwd_that_is_not_there_begins_nothing_and_says_so(host: LocalHost) -> None:
    outcome = host.do("run", command="touch begun", cwd="/no/such").outcome
    assert isinstance(outcome, Failed)
    assert "not begun" in outcome.message
    assert "/no/such" in outcome.message
    assert not outcome.retryable
    assert not (host.home / "begun").exists()


def test_without_stdin_a_command_reads_nothing(host: LocalHost) -> None:
    assert stdout(host.do("run", command="cat; echo end")) == b"end\n"


def test_a_command_that_does_not_read_what_it_is_given_ends_well(host: LocalHost) -> None:
    assert stdout(host.do("run", command="echo end", stdin="x" * 1_000_000)) == b"end\n"


def test_a_host_without_a_shell_is_said_to_have_none(host: LocalHost) -> None:
    host.session.shell = ("/bin/sh", "-c", "echo This account is not available.; exit 1")
    outcome = host.do("run", command="true").outcome
    assert isinstance(outcome, Failed)
    assert "This account is not available" in outcome.message


def test_much_on_one_stream_while_the_other_is_silent(host: LocalHost) -> None:
    done = host.do("run", command="head -c 4194304 /dev/zero | tr '\\0' x >&2; echo end")
    assert stdout(done) == b"end\n"
    assert done.output.stderr.size_bytes == 4_194_304


def test_a_daemon_that_keeps_standard_output_open_does_not_hold_the_unit(host: LocalHost) -> None:
    began = time.monotonic()
    done = host.do("run", command="sleep 60 & echo $!")
    assert time.monotonic() - began < 30
    assert any("still holds its standard output" in warning for warning in done.warnings)
    os.kill(int(stdout(done)), 9)


def test_a_command_has_the_priorities_of_its_unit(host: LocalHost) -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    host.terms = Terms(nice=5, ionice=("best-effort", 6))
    look = "/usr/bin/nice; /usr/bin/ionice -p $$"
    # Whatever PATH the command is given: what sets them is not the command's.
    done = host.do("run", command=look, env={"PATH": "/none"})
    assert stdout(done) == b"%d\nbest-effort: prio 6\n" % (usual + 5)
    host.terms = Terms(ionice=("idle", 7))
    assert stdout(host.do("run", command=look)) == b"%d\nidle\n" % usual


def test_a_niceness_ends_where_there_is_none_beyond(host: LocalHost) -> None:
    host.terms = Terms(nice=19)
    assert stdout(host.do("run", command="nice -n 3 nice")) == b"19\n"


@pytest.mark.parametrize(
    ("name", "terms"),
    [("renice", Terms(nice=4)), ("ionice", Terms(ionice=("idle", 7)))],
)
def test_a_priority_that_the_host_does_not_give_keeps_the_command_from_running(
    name: str, terms: Terms, host: LocalHost
) -> None:
    programs = host.home / "bin"
    programs.mkdir()
    refusing = programs / name
    refusing.write_text("#!/bin/sh\necho not for you >&2\nexit 1\n")
    refusing.chmod(0o755)
    host.session.noise = f"PATH={programs}:$PATH"
    host.terms = terms
    done = host.do("run", command="touch ran")
    assert isinstance(done.outcome, Failed)
    assert f"`{name.removeprefix('re')}: " in done.outcome.message
    assert "cannot be had on this host: not for you; ask for less" in done.outcome.message
    assert not (host.home / "ran").exists()


@pytest.mark.timeout(60)
def test_a_timeout_leaves_no_process_on_the_host(tmp_path: Path) -> None:
    with local_host(tmp_path, timeout_s=1.0, kill_grace_s=0.3) as host:
        text = "trap '' TERM; setsid sleep 61 & sleep 62 & echo begun; wait; sleep 63"
        done = host.do("run", command=text)
        assert done.outcome == TimedOut(limit_s=1.0)
        assert done.output.stdout.head == b"begun\n"
        assert_nothing_runs(host)


@pytest.mark.timeout(60)
def test_endless_output_ends_at_the_timeout(tmp_path: Path) -> None:
    with local_host(tmp_path, timeout_s=1.0) as host:
        done = host.do("run", command="yes; echo never")
        assert done.outcome == TimedOut(limit_s=1.0)
        assert done.output.stdout.omitted_bytes > 0
        assert_nothing_runs(host)


@pytest.mark.timeout(60)
def test_silence_ends_a_command_with_idle_timeout(host: LocalHost) -> None:
    done = host.do("run", command="echo a; sleep 60", idle_timeout=0.5)
    assert done.outcome == TimedOut(limit_s=0.5, idle=True)
    assert_nothing_runs(host)


@pytest.mark.timeout(60)
def test_a_stop_leaves_no_process_on_the_host(host: LocalHost) -> None:
    with when((host.home / "begun").exists, host.stop):
        done = host.do("run", command="touch begun; sleep 60")
    assert done.outcome == Cancelled(was_running=True)
    assert_nothing_runs(host)


@pytest.mark.timeout(60)
def test_a_stop_without_a_second_channel_says_what_it_knows(host: LocalHost) -> None:
    host.session.refuses_after = 1
    host.settings = RunSettings(run_id="r", base_dir="/", kill_grace_s=0.3)
    with when((host.home / "begun").exists, host.stop):
        done = host.do("run", command="trap '' TERM; touch begun; while :; do sleep 1; done")
    assert done.outcome == Cancelled(was_running=True)
    assert done.warnings == ()
    # Seen was the end of the shell; its child got the same signal, and needs a moment of its own.
    wait_until(lambda: not processes_with_environ(mark_of(host)), 20, "its child has ended, too")


@pytest.mark.timeout(60)
def test_a_connection_that_breaks_while_a_command_runs_is_lost(host: LocalHost) -> None:
    with when((host.home / "begun").exists, partial(host.session.cut, 0)):
        done = host.do("run", command="echo so far; touch begun; sleep 60")
    assert isinstance(done.outcome, Lost)
    assert "the connection" in done.outcome.message
    assert "web1" in done.outcome.message
    assert done.output.stdout.head == b"so far\n"


def test_a_dry_run_runs_only_what_changes_nothing(host: LocalHost) -> None:
    host.settings = replace(host.settings, dry_run=True)
    done = host.do("run", command="touch ran")
    assert done.outcome == Ok(changed=True, note="would run touch ran")
    assert not (host.home / "ran").exists()
    done = host.do("run", command="echo looked", readonly=True)
    assert done.outcome == Ok(changed=False, exit_status=0)
    assert done.output.stdout.head == b"looked\n"


def test_changed_codes_tell_changes(host: LocalHost) -> None:
    codes = {"ok_codes": (0,), "changed_codes": (2,)}
    assert host.do("run", command="exit 2", **codes).outcome == Ok(changed=True, exit_status=2)
    assert host.do("run", command="exit 0", **codes).outcome == Ok(changed=False, exit_status=0)


def test_live_output_waits_for_who_reads_it(host: LocalHost) -> None:
    host.settings = replace(host.settings, live_output=True)
    host.welcome = 1
    text = "for i in 1 2 3; do echo $i; sleep 0.05; done; head -c 1000000 /dev/zero | tr '\\0' x"
    done = host.do("run", command=text)
    assert isinstance(done.outcome, Ok)
    shown = b"".join(data for name, data in host.shown if name == "stdout")
    assert shown == b"1\n2\n3\n" + b"x" * 1_000_000
    assert done.output.stdout.size_bytes == len(shown)


def test_secrets_are_hidden_in_what_a_command_writes(host: LocalHost) -> None:
    host.terms = Terms(mask=Mask(["s3cret-value"]))
    text = "printf 's3cret'; sleep 0.1; echo '-value'; echo \"$S\" >&2"
    done = host.do("run", command=text, env={"S": "s3cret-value"})
    assert (stdout(done), done.output.stderr.head) == (b"***\n", b"***\n")


def test_output_that_is_too_long_is_kept_in_a_file(host: LocalHost, tmp_path: Path) -> None:
    host.settings = replace(host.settings, head_bytes=10, tail_bytes=10, spool_dir=str(tmp_path))
    done = host.do("run", command="seq 1000")
    kept = done.output.stdout
    assert kept.head == b"1\n2\n3\n4\n5\n"
    assert Path(kept.spool).read_text().splitlines()[-1] == "1000"


@pytest.mark.timeout(60)
def test_a_second_stop_gives_no_grace(host: LocalHost) -> None:
    host.settings = replace(host.settings, kill_grace_s=100.0)
    host.insisted = True
    with when((host.home / "begun").exists, host.stop):
        done = host.do("run", command="trap '' TERM; touch begun; sleep 60; sleep 60")
    assert done.outcome == Cancelled(was_running=True)
    assert_nothing_runs(host)
