"""Commands as another user, by the real sudo: the tests run as root, or with NOPASSWD."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.around import Around
from batchrun.model.outcome import Cancelled, Failed, Ok, TimedOut
from batchrun.ops import processes
from batchrun.ops.command import Run, Script, run, script
from command_context import CommandContext, command_context, when
from support import wait_until
from unit_runs import in_workers, units

pytestmark = pytest.mark.timeout(120)

NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def context() -> Iterator[CommandContext]:
    """In a directory that everybody may enter."""
    with command_context(Path("/")) as made:
        yield made
        assert made.survivors() == []


def test_true_means_root_and_a_name_means_that_user(context: CommandContext) -> None:
    root = run(Run(command=("id", "-u"), sudo=True), context)
    nobody = run(Run(command="id -un", sudo="nobody"), context)
    number = run(Run(command="id -un", sudo=f"#{NOBODY}"), context)
    assert root.outcome == Ok(changed=True, exit_status=0)
    assert [done.output.stdout.head for done in (root, nobody, number)] == [
        b"0\n",
        b"nobody\n",
        b"nobody\n",
    ]


def test_env_and_ours_arrive_byte_by_byte(context: CommandContext) -> None:
    value = 'it\'s\n two  "$HOME" `id` \\ ' + os.fsdecode(bytes(range(1, 256))) + "\n\n"
    env = {"V": value, "EMPTY": "", "_x9": "'"}
    done = run(Run(command=("env", "-0"), env=env, sudo="nobody"), context)
    entries = done.output.stdout.head.split(b"\0")
    seen = dict(entry.split(b"=", 1) for entry in entries if entry)
    assert seen[b"V"] == os.fsencode(value)
    assert (seen[b"EMPTY"], seen[b"_x9"]) == (b"", b"'")
    assert os.fsdecode(b"BATCHRUN_UNIT=" + seen[b"BATCHRUN_UNIT"]) == context.cookie
    assert (seen[b"BATCHRUN_TASK"], seen[b"BATCHRUN_SLOT"]) == (b"task", b"1")


def test_the_command_reads_its_own_standard_input_only(context: CommandContext) -> None:
    given = run(Run(command="cat", stdin="a\0b\n" * 9000, env={"A": "x"}, sudo="nobody"), context)
    empty = run(Run(command="cat", sudo="nobody"), context)
    assert given.output.stdout.head == b"a\0b\n" * 9000
    assert empty.output.stdout.head == b""
    assert empty.outcome == Ok(changed=True, exit_status=0)


def test_arguments_pass_unharmed(context: CommandContext) -> None:
    words = ("a  b", "", "*", "-n", "$HOME", os.fsdecode(b"caf\xe9\n'\""))
    done = run(Run(command=("printf", "%s\\0", *words), sudo="nobody"), context)
    assert done.output.stdout.head == b"".join(os.fsencode(word) + b"\0" for word in words)


def test_the_directory_is_entered_as_that_user(context: CommandContext, tmp_path: Path) -> None:
    private = tmp_path / "-private dir"
    private.mkdir(mode=0o700)
    mine = run(Run(command=("pwd",), cwd=str(private), sudo=True), context)
    assert mine.output.stdout.head == os.fsencode(f"{private}\n")
    others = run(Run(command=("pwd",), cwd=str(private), sudo="nobody"), context)
    assert others.outcome == Failed(message="exit status 126", exit_status=126)


def test_a_script_runs_as_that_user(context: CommandContext, tmp_path: Path) -> None:
    path = tmp_path / "who.sh"
    path.write_text("id -u; echo $1")
    done = script(Script(file=str(path), args=("x y",), sudo=True), context)
    assert done.output.stdout.head == b"0\nx y\n"


def test_nothing_of_env_is_in_any_process_list(context: CommandContext) -> None:
    code = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    done = run(Run(command=code, env={"T": "sw0rd-fish"}, sudo="nobody"), context)
    assert b"sudo" in done.output.stdout.head + done.output.stdout.tail
    assert b"sw0rd-fish" not in done.output.stdout.head + done.output.stdout.tail


def test_what_sudo_refuses_is_told_from_what_fails(context: CommandContext) -> None:
    refused = run(Run(command="echo never", sudo="no-such-user"), context).outcome
    assert isinstance(refused, Failed)
    assert refused.message.startswith("sudo would not run it as no-such-user: unknown user")
    assert "NOPASSWD" in refused.message
    assert not refused.retryable
    code = "echo sudo: a password is required >&2; exit 1"
    failed = run(Run(command=code, sudo=True), context).outcome
    assert failed == Failed(message="exit status 1", exit_status=1)


def test_without_sudo_on_the_path_the_message_says_what_to_do(
    context: CommandContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/none")
    outcome = run(Run(command="id", sudo=True), context).outcome
    assert isinstance(outcome, Failed)
    assert "install it, or run batchrun as that user" in outcome.message


def test_a_name_that_no_shell_knows_is_refused(context: CommandContext) -> None:
    outcome = run(Run(command="id", env={"A-B": "x"}, sudo=True), context).outcome
    assert isinstance(outcome, Failed)
    assert "'A-B'" in outcome.message


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_timeout_ends_all_that_sudo_has_started(user: str) -> None:
    with command_context(Path("/"), timeout_s=1.0) as context:
        code = "trap '' TERM; (setsid sleep 1000 &); sleep 1000 & while :; do sleep 1; done"
        done = run(Run(command=code, sudo=user), context)
        assert done.outcome == TimedOut(limit_s=1.0)
        assert context.survivors() == []


def test_a_stop_ends_all_that_sudo_has_started(tmp_path: Path) -> None:
    with command_context(Path("/")) as context:
        begun = tmp_path / "begun"
        code = f": > {begun}; sleep 1000 & sleep 1000"
        with when(begun.exists, context.stop):
            done = run(Run(command=code, sudo=True), context)
        assert done.outcome == Cancelled(was_running=True)
        assert context.survivors() == []


def test_members_of_a_group_that_belong_to_others_are_signalled_through_sudo() -> None:
    child = subprocess.Popen(
        ["sudo", "-n", "-u", "nobody", "--", "sleep", "1000"], start_new_session=True
    )
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    wait_until(lambda: "sleep" in _names(children), 30, "sudo has started it")
    processes._ask_sudo("TERM CONT", child.pid)
    assert child.wait(30) != 0


def _names(children: Path) -> list[str]:
    names = []
    for pid in children.read_text().split():
        comm = Path(f"/proc/{pid}/comm")
        names.append(comm.read_text().strip() if comm.exists() else "")
    return names


def test_a_guard_runs_as_the_user_of_its_unit(tmp_path: Path) -> None:
    with units(tmp_path, in_workers) as bench:
        around = Around(onlyif='test "$(id -un)" = nobody', command={"sudo": "nobody", "cwd": "/"})
        assert bench.run("run", command="true", around=around).outcome.kind == "ok"
        around = Around(onlyif="true", command={"sudo": "no-such-user"})
        outcome = bench.run("run", command="true", around=around).outcome
        assert isinstance(outcome, Failed)
        assert "`onlyif` gave no answer: `true` was not begun: sudo would not" in outcome.message
