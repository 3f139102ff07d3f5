"""Commands as they are: real processes, their environment, their output, their endings."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.model.operation import Done
from batchrun.model.outcome import Failed, Ok
from batchrun.model.unit import RunSettings
from batchrun.ops.command import Run, Script, run, script
from command_context import RUN_ID, CommandContext, command_context, when

pytestmark = pytest.mark.timeout(120)

HOSTILE = b"caf\xe9\xff \n'\"$(x) -rf;*"


@pytest.fixture(params=["elsewhere", "in place"])
def context(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandContext]:
    """Both ways of starting: with a working directory of its own, and in ours."""
    if request.param == "in place":
        monkeypatch.chdir(tmp_path)
    with command_context(tmp_path) as made:
        yield made
        assert made.survivors() == []


def stdout_of(done: Done) -> bytes:
    assert done.output.stdout.tail == b""
    return done.output.stdout.head


def environment_of(done: Done) -> dict[bytes, bytes]:
    entries = stdout_of(done).split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if entry)


def test_a_text_runs_by_sh_and_gives_its_output_and_status(context: CommandContext) -> None:
    done = run(Run(command="echo out; echo err >&2"), context)
    assert done.outcome == Ok(changed=True, exit_status=0)
    assert (done.output.stdout.head, done.output.stderr.head) == (b"out\n", b"err\n")
    assert done.warnings == ()
    assert len(context.pids) == 1


def test_a_list_runs_without_a_shell(context: CommandContext) -> None:
    done = run(Run(command=("printf", "%s|", "$HOME", "a  b", "*")), context)
    assert stdout_of(done) == b"$HOME|a  b|*|"


def test_a_text_that_looks_like_an_option_is_still_a_command(context: CommandContext) -> None:
    outcome = run(Run(command="-x"), context).outcome
    assert isinstance(outcome, Failed)
    assert outcome.exit_status == 127


def test_the_shell_is_found_by_name_in_the_path_of_the_command(
    context: CommandContext, tmp_path: Path
) -> None:
    tool = tmp_path / "bin" / "mysh"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho mine: $2\n")
    tool.chmod(0o755)
    path = f"/none:bin:{os.environ['PATH']}"
    done = run(Run(command="hello", shell="mysh", env={"PATH": path}), context)
    assert stdout_of(done) == b"mine: hello\n"
    bash = run(Run(command="echo ${BASH_VERSION:+bash}", shell="bash"), context)
    assert stdout_of(bash) == b"bash\n"


def test_an_exit_status_fails_unless_it_is_allowed(context: CommandContext) -> None:
    refused = run(Run(command="echo why; exit 3"), context)
    allowed = run(Run(command="exit 3", ok_codes=(0, 3)), context)
    assert refused.outcome == Failed(message="exit status 3", exit_status=3)
    assert refused.output.stdout.head == b"why\n"
    assert allowed.outcome == Ok(changed=True, exit_status=3)


def test_a_signal_is_told_from_an_exit_status(context: CommandContext) -> None:
    killed = run(Run(command="echo before; kill -9 $$"), context)
    unnamed = run(Run(command=("bash", "-c", "kill -40 $$")), context)
    assert killed.outcome == Failed(message="killed by signal 9 (SIGKILL)", signal=9)
    assert killed.output.stdout.head == b"before\n"
    assert unnamed.outcome == Failed(message="killed by signal 40", signal=40)


def test_the_environment_is_ours_plus_the_given_plus_batchruns(
    context: CommandContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "1")
    monkeypatch.setenv("CHANGED", "old")
    monkeypatch.setenv("BATCHRUN_ITEM", "of an outer run")
    context.attempt = 3
    given_env = {"CHANGED": "new", "EMPTY": "", "BATCHRUN_UNIT": "forged"}
    seen = environment_of(run(Run(command=("env", "-0"), env=given_env), context))
    assert seen[b"INHERITED"] == b"1"
    assert seen[b"CHANGED"] == b"new"
    assert seen[b"EMPTY"] == b""
    assert seen[b"BATCHRUN_RUN"] == os.fsencode(RUN_ID)
    assert seen[b"BATCHRUN_TASK"] == b"task"
    assert seen[b"BATCHRUN_ATTEMPT"] == b"3"
    assert seen[b"BATCHRUN_UNIT"] == os.fsencode(f"{RUN_ID}-{context.number}-3")
    assert b"BATCHRUN_ITEM" not in seen
    monkeypatch.setenv("INHERITED", "2")
    again = environment_of(run(Run(command=("env", "-0")), context))
    assert again[b"INHERITED"] == b"2"


def test_names_that_are_not_utf8_pass_unharmed(context: CommandContext, tmp_path: Path) -> None:
    name = os.fsdecode(HOSTILE)
    (tmp_path / name).mkdir()
    context.label = name
    code = 'printf "%s\\0" "$1" "$NAME" "$BATCHRUN_ITEM"; pwd | tr -d "\\0"; cat'
    params = Run(
        command=("sh", "-c", code, "sh", name),
        env={"NAME": name, os.fsdecode(b"N\xff"): "x"},
        cwd=name,
        stdin=name,
    )
    where = os.fsencode(tmp_path) + b"/" + HOSTILE + b"\n"
    assert stdout_of(run(params, context)) == (HOSTILE + b"\0") * 3 + where + HOSTILE


def test_the_working_directory_is_relative_to_the_job_files(
    context: CommandContext, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    here = run(Run(command=("pwd", "-P")), context)
    below = run(Run(command=("pwd", "-P"), cwd="sub"), context)
    absolute = run(Run(command=("pwd", "-P"), cwd="/"), context)
    assert stdout_of(here) == os.fsencode(f"{tmp_path}\n")
    assert stdout_of(below) == os.fsencode(f"{tmp_path}/sub\n")
    assert stdout_of(absolute) == b"/\n"


def test_a_relative_program_is_the_one_in_its_working_directory(
    context: CommandContext, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    tool = tmp_path / "sub" / "tool"
    tool.write_text("#!/bin/sh\necho $0\n")
    tool.chmod(0o755)
    done = run(Run(command=("./tool",), cwd="sub"), context)
    assert stdout_of(done) == b"./tool\n"


def test_standard_input_is_empty_unless_given(context: CommandContext) -> None:
    assert stdout_of(run(Run(command="cat; readlink /proc/self/fd/0"), context)) == b"/dev/null\n"
    assert stdout_of(run(Run(command="cat", stdin="a\0b\n"), context)) == b"a\0b\n"
    assert stdout_of(run(Run(command="wc -c", stdin=""), context)).strip() == b"0"
    assert stdout_of(run(Run(command="read x; cat", stdin="1\n2\n3\n"), context)) == b"2\n3\n"


def test_a_program_that_is_a_text_without_an_interpreter_runs_by_the_shell(
    context: CommandContext, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    tool.write_text("echo plain $1\n")
    tool.chmod(0o755)
    assert stdout_of(run(Run(command=("./tool", "x y")), context)) == b"plain x y\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#!/no/such/interpreter\n", "interpreter that it asks for is not there"),
        (b"\x7fELF\0\0\0garbage\0", "not a program for this machine"),
    ],
)
def test_a_program_that_cannot_start_says_why(
    context: CommandContext, tmp_path: Path, content: bytes, words: str
) -> None:
    tool = tmp_path / "tool"
    tool.write_bytes(content)
    tool.chmod(0o755)
    outcome = run(Run(command=("./tool",)), context).outcome
    assert isinstance(outcome, Failed)
    assert "'./tool'" in outcome.message
    assert words in outcome.message
    assert not outcome.retryable


def test_arguments_too_large_for_the_system_are_a_clear_failure(context: CommandContext) -> None:
    outcome = run(Run(command=("true", "x" * 3_000_000)), context).outcome
    assert isinstance(outcome, Failed)
    assert "larger than the system takes" in outcome.message


def test_a_script_runs_itself_when_executable_and_by_the_shell_when_not(
    context: CommandContext, tmp_path: Path
) -> None:
    path = tmp_path / "tools" / "job.sh"
    path.parent.mkdir()
    path.write_text('#!/usr/bin/env bash\necho "${BASH_VERSION:+bash} $1 $PWD"\n')
    by_shell = script(Script(file="tools/job.sh", args=("a b",)), context)
    path.chmod(0o755)
    by_itself = script(Script(file="tools/job.sh", args=("a b",), cwd="tools"), context)
    named = script(Script(file=str(path), args=("c",)), context)
    assert stdout_of(by_shell) == os.fsencode(f" a b {tmp_path}\n")
    assert stdout_of(by_itself) == os.fsencode(f"bash a b {tmp_path}/tools\n")
    assert stdout_of(named) == os.fsencode(f"bash c {tmp_path}\n")


def test_a_command_has_default_signals_an_empty_mask_and_its_own_session(
    context: CommandContext,
) -> None:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        done = run(Run(command=("cat", "/proc/self/status", "/proc/self/stat")), context)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    lines = stdout_of(done).splitlines()
    status = dict(line.split(b":\t", 1) for line in lines[:-1] if b":\t" in line)
    ignored = int(status[b"SigIgn"], 16)
    assert int(status[b"SigBlk"], 16) == 0
    assert int(status[b"SigCgt"], 16) == 0
    assert not ignored & 1 << (signal.SIGPIPE - 1)
    assert not ignored & 1 << (signal.SIGXFSZ - 1)
    leader = context.pids[0]
    group, session = lines[-1].rpartition(b")")[2].split()[2:4]
    assert (int(group), int(session)) == (leader, leader)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == old


def test_a_command_inherits_no_descriptor_of_ours(context: CommandContext, tmp_path: Path) -> None:
    # What was open and inheritable before Python started (a shell's `3>file`) stays so.
    from_outside = [fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_inherited(fd)]
    with (tmp_path / "ours").open("w"):
        done = run(Run(command=("ls", "-l", "/proc/self/fd"), stdin="x"), context)
    targets = [line.rpartition(b"-> ")[2] for line in stdout_of(done).splitlines() if b"->" in line]
    # Three streams, and the directory that ls reads.
    assert len(targets) == 4 + len(from_outside)
    assert os.fsencode(tmp_path / "ours") not in targets


def _is_inherited(fd: int) -> bool:
    try:
        return fd > 2 and os.get_inheritable(fd)
    except OSError:
        return False


def test_writing_to_both_streams_in_turn_loses_nothing(context: CommandContext) -> None:
    code = "i=0; while [ $i -lt 3000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done"
    done = run(Run(command=code), context)
    assert done.output.stdout.head.splitlines() == [b"out%d" % i for i in range(3000)]
    assert done.output.stderr.head.splitlines() == [b"err%d" % i for i in range(3000)]


def test_a_command_may_close_its_output_and_go_on(context: CommandContext, tmp_path: Path) -> None:
    done = run(Run(command="echo first; exec >&- 2>&-; sleep 0.1; : > late; exit 5"), context)
    assert done.outcome == Failed(message="exit status 5", exit_status=5)
    assert done.output.stdout.head == b"first\n"
    assert (tmp_path / "late").exists()


def test_live_output_is_passed_on_in_order_while_the_command_runs(tmp_path: Path) -> None:
    settings_ = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), live_output=True)
    with command_context(tmp_path, settings=settings_) as context:
        code = "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two >&2"
        with when(lambda: context.shown, (tmp_path / "go").touch):
            done = run(Run(command=code), context)
    assert context.shown == [("stdout", b"one\n"), ("stderr", b"two\n")]
    assert done.output.stdout.head == b"one\n"


def test_a_reader_that_has_had_enough_holds_the_command_until_it_is_ready(tmp_path: Path) -> None:
    settings_ = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), live_output=True)
    with command_context(tmp_path, settings=settings_) as context:
        context.welcome = 1
        code = "yes | head -c 5000000; : > finished"

        def resume() -> None:
            assert not (tmp_path / "finished").exists()
            context.welcome = None
            context.wake()

        with when(lambda: context.welcome == 0, resume):
            done = run(Run(command=code), context)
    assert sum(len(data) for _, data in context.shown) == 5_000_000
    assert done.output.stdout.size_bytes == 5_000_000


def test_what_a_paused_reader_has_not_seen_at_the_end_is_still_kept(tmp_path: Path) -> None:
    settings_ = RunSettings(run_id=RUN_ID, base_dir=str(tmp_path), live_output=True)
    with command_context(tmp_path, settings=settings_) as context:
        context.welcome = 1
        code = "echo a; while [ ! -e go ]; do sleep 0.01; done; echo b"
        with when(lambda: context.welcome == 0, (tmp_path / "go").touch):
            done = run(Run(command=code), context)
    assert done.outcome == Ok(changed=True, exit_status=0)
    assert done.output.stdout.head == b"a\nb\n"
    assert done.warnings == ()


_WORDS = st.binary(max_size=60).map(lambda data: data.replace(b"\0", b""))


@settings(max_examples=60, deadline=None)
@given(arguments=st.lists(_WORDS, max_size=5))
def test_arguments_of_any_bytes_arrive_as_they_are(arguments: list[bytes]) -> None:
    printf = shutil.which("printf")
    assert printf is not None
    with command_context(Path("/")) as context:
        command = (printf, "%s\\0", *map(os.fsdecode, arguments))
        done = run(Run(command=command), context)
    expected = b"".join(word + b"\0" for word in arguments) or b"\0"
    assert stdout_of(done) == expected


@settings(max_examples=60, deadline=None)
@given(values=st.dictionaries(st.integers(0, 9), _WORDS, max_size=5), name=_WORDS)
def test_variables_of_any_bytes_arrive_as_they_are(values: dict[int, bytes], name: bytes) -> None:
    expected = {b"V%d" % key: value for key, value in values.items()}
    expected[b"N" + name.replace(b"=", b"")] = b"named"
    env = {os.fsdecode(key): os.fsdecode(value) for key, value in expected.items()}
    with command_context(Path("/")) as context:
        done = run(Run(command=("env", "-0"), env=env), context)
    assert expected.items() <= environment_of(done).items()


def test_a_command_gets_its_streams_also_when_ours_are_closed(tmp_path: Path) -> None:
    code = """
import os
from pathlib import Path
from batchrun.ops.command import Run, run
from command_context import command_context
with command_context(Path(os.getcwd())) as context:
    done = run(Run(command="cat; echo err >&2", stdin="in"), context)
Path("seen").write_bytes(done.output.stdout.head + b"|" + done.output.stderr.head)
"""
    ended = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert ended.returncode == 0
    assert (tmp_path / "seen").read_bytes() == b"in|err\n"
