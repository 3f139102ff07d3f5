"""What batchrun and sudo say to each other, with stand-ins for the sudo of other machines."""

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.model.outcome import Cancelled, Failed, Ok, TimedOut
from batchrun.ops import dialogue
from batchrun.ops.command import Run, run
from command_context import CommandContext, command_context, when

pytestmark = pytest.mark.timeout(120)

ME = pwd.getpwuid(os.geteuid()).pw_name
#: As sudo-rs: our prompt inside of another, an end of line after the answer, other words.
OTHER_SUDO = """#!/bin/sh
[ "$1 $2 $3 $5 $7" = "-k -S -p -u --" ] || exit 9
for try in 1 2 3; do
    printf '[sudo: %s] Password: ' "$4" >&2
    IFS= read -r answer || { echo; echo 'sudo: no password' >&2; exit 1; }
    echo >&2
    if [ "$answer" = right-one ]; then shift 7; exec "$@"; fi
    echo 'sudo: Authentication failed, try again.' >&2
done
"""
#: Asks for something else, by a prompt of its own.
ASKS = """#!/bin/sh
echo 'Welcome.' >&2
printf 'Passcode: ' >&2
IFS= read -r answer || { echo 'no passcode' >&2; exit 1; }
echo "$answer" >> {answers}
"""
MUTE = "#!/bin/sh\nIFS= read -r answer; echo 'sudo: bye' >&2; exit 1\n"
STUBBORN = "#!/bin/sh\ntrap '' TERM; while :; do sleep 1; done\n"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[CommandContext]:
    with command_context(tmp_path) as made:
        yield made
        assert made.survivors() == []


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be told at once of a sudo that says nothing."""
    monkeypatch.setattr(dialogue, "_SILENCE_S", 1.0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "_PROMPT_S", 0.2)
    monkeypatch.setattr(dialogue, "_LEAVE_S", 1.0)


Put = Callable[[str], None]


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put something else in the place of sudo."""

    def put(text: str) -> None:
        program = tmp_path / "bin" / "sudo"
        program.parent.mkdir()
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return put


def command(text: str, password: str = "right-one") -> Run:
    return Run(command=text, sudo={"user": ME, "password": password})


def test_another_sudo_is_understood(context: CommandContext, sudo: Put) -> None:
    sudo(OTHER_SUDO)
    done = run(
        replace(command("cat; echo $A; echo said >&2"), stdin="in\n", env={"A": "a"}), context
    )
    assert done.outcome == Ok(changed=True, exit_status=0)
    assert (done.output.stdout.head, done.output.stderr.head) == (b"in\na\n", b"said\n")


def test_another_sudo_is_understood_when_it_refuses(context: CommandContext, sudo: Put) -> None:
    sudo(OTHER_SUDO)
    done = run(command("echo never", "wrong-one"), context)
    assert done.outcome == Failed(
        message=f"sudo would not run it as {ME}: the password was not accepted; correct the "
        "secret in `sudo`, or what sudo asks for on this machine.",
        exit_status=1,
        retryable=False,
    )
    assert done.output.stderr.head == (
        b"sudo: Authentication failed, try again.\nsudo: no password\n"
    )


def test_another_question_is_not_answered(
    context: CommandContext, sudo: Put, tmp_path: Path
) -> None:
    sudo(ASKS.replace("{answers}", str(tmp_path / "answers")))
    done = run(command("echo never"), context)
    assert isinstance(done.outcome, Failed)
    assert "it asks for something else than the password: 'Passcode:'" in done.outcome.message
    assert done.output.stderr.head == b"Welcome.\nPasscode: no passcode\n"
    assert not (tmp_path / "answers").exists()


@pytest.mark.usefixtures("_impatient")
def test_silence_ends_with_a_sentence(context: CommandContext, sudo: Put) -> None:
    sudo(MUTE)
    done = run(command("echo never"), context)
    assert isinstance(done.outcome, Failed)
    assert "neither asked for the password nor began the command in" in done.outcome.message
    assert done.outcome.exit_status == 1


@pytest.mark.usefixtures("_impatient")
def test_what_ends_at_nothing_is_ended(context: CommandContext, sudo: Put) -> None:
    sudo(STUBBORN)
    context.settings = replace(context.settings, kill_grace_s=0.1)
    done = run(command("echo never"), context)
    assert isinstance(done.outcome, Failed)
    assert "neither asked" in done.outcome.message
    assert done.outcome.exit_status is None


def test_a_stop_while_sudo_is_asked_is_a_stop(
    context: CommandContext, sudo: Put, tmp_path: Path
) -> None:
    sudo(f"#!/bin/sh\n: > {tmp_path}/begun; {STUBBORN}")
    with when((tmp_path / "begun").exists, context.stop):
        assert run(command("echo never"), context).outcome == Cancelled(was_running=True)


def test_a_timeout_while_sudo_is_asked_is_a_timeout(tmp_path: Path, sudo: Put) -> None:
    sudo(MUTE)
    with command_context(tmp_path, timeout_s=0.3) as context:
        assert run(command("echo never"), context).outcome == TimedOut(limit_s=0.3)


def test_silence_counts_only_for_a_command_that_has_begun_to_be_quiet(
    context: CommandContext, sudo: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogue, "_SILENCE_S", 3.0)
    sudo(OTHER_SUDO)
    done = run(command("sleep 4; echo late"), context)  # longer than sudo may be silent
    assert done.output.stdout.head == b"late\n"
    idle = run(replace(command("sleep 5"), idle_timeout=0.5), context)
    assert idle.outcome == TimedOut(limit_s=0.5, idle=True)


def test_root_is_never_asked_and_the_password_stays_here(context: CommandContext) -> None:
    done = run(Run(command="cat", stdin="in", sudo={"password": "unasked-for"}), context)
    assert done.output.stdout.head == b"in"
    assert done.outcome == Ok(changed=True, exit_status=0)


def test_without_sudo_on_the_path_the_message_says_what_to_do(
    context: CommandContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/none")
    outcome = run(command("id"), context).outcome
    assert isinstance(outcome, Failed)
    assert "install it, or run batchrun as that user" in outcome.message


def test_the_password_is_no_part_of_what_parameters_show() -> None:
    assert "right-one" not in repr(command("id"))
