"""Commands as another user where sudo asks for a password: real users, the real sudo."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sudo_users import Person, person

pytestmark = pytest.mark.timeout(120)

PROMPT = re.compile("batchrun-[0-9a-f]{16}")
SUDO = "sudo: {password: secrets.pw}"
AS_NOBODY = {"user": "nobody", "password": "secrets.pw"}


@pytest.fixture(scope="module")
def anyone() -> Iterator[Person]:
    """A user who may do everything, with his password."""
    with person() as made:
        yield made


def task(command: str, **more: Any) -> str:
    """Write a job with one command behind sudo."""
    one = {"run": command, "sudo": {"password": "secrets.pw"}, **more}
    return f"tasks: {json.dumps([one])}\n"


def ended(unit: dict[str, Any]) -> tuple[Any, ...]:
    return unit["outcome"]["kind"], unit["stdout"], unit["stderr"]


# ---- what the command gets ----------------------------------------------------------------------


def test_the_password_is_given_and_neither_it_nor_the_prompt_shows(anyone: Person) -> None:
    assert ended(anyone.unit(task("id -un; echo said >&2"))) == ("ok", "root\n", "said\n")


def test_the_command_runs_as_the_user_that_is_named(anyone: Person) -> None:
    sudo = {"user": "nobody", "password": "{{ secrets.pw }}"}
    assert ended(anyone.unit(task("id -un", sudo=sudo))) == ("ok", "nobody\n", "")
    sudo["user"] = "{{ job.name | replace('job', 'nobody') }}"
    assert ended(anyone.unit(task("id -un", sudo=sudo))) == ("ok", "nobody\n", "")


@pytest.mark.parametrize("text", ["", "a b\n" * 50_000, "no line end"], ids=["none", "long", "cut"])
def test_the_command_reads_exactly_its_own_standard_input(anyone: Person, text: str) -> None:
    written = anyone.dir / "seen"
    unit = anyone.unit(task(f"cat > {written}", stdin=text))
    assert ended(unit) == ("ok", "", "")
    assert written.read_text() == text
    written.unlink()


def test_a_command_that_does_not_read_its_standard_input_ends_all_the_same(anyone: Person) -> None:
    assert ended(anyone.unit(task("echo done", stdin="x" * 300_000))) == ("ok", "done\n", "")


def test_standard_input_can_be_read_after_a_while(anyone: Person) -> None:
    unit = anyone.unit(
        task("exec 2>&-; sleep 0.3; head -c 5; sleep 0.3; wc -c", stdin="x" * 300_000)
    )
    assert ended(unit)[1] == "xxxxx299995\n"


def test_the_environment_is_set_and_the_directory_entered_as_that_user(anyone: Person) -> None:
    private = anyone.dir / "private of nobody"
    private.mkdir(mode=0o700)
    shutil.chown(private, "nobody")
    value = 'it\'s\n two  "$HOME" `id` \\ \té'
    env = {"VALUE": value, "EMPTY": "", "PASSWORD": "{{ secrets.pw }}"}
    code = 'pwd; printf %s "$VALUE" > value; printf %s "$PASSWORD" > password'
    unit = anyone.unit(task(code, env=env, cwd=str(private), sudo=AS_NOBODY))
    assert ended(unit) == ("ok", f"{private}\n", "")
    assert (private / "value").read_text() == value
    assert (private / "password").read_text() == anyone.password
    mine = anyone.unit(f"tasks: [{{run: pwd, cwd: {json.dumps(str(private))}}}]\n")
    assert "may not be entered" in mine["outcome"]["message"]


def test_a_directory_that_this_user_may_not_enter_fails_the_command(anyone: Person) -> None:
    private = anyone.dir / "private of root"
    private.mkdir(mode=0o700)
    sudo = {"user": "nobody", "password": "secrets.pw"}
    unit = anyone.unit(task("echo never", cwd=str(private), sudo=sudo))
    assert unit["outcome"]["kind"] == "failed"
    assert (unit["exit_status"], unit["stdout"]) == (126, "")


def test_many_at_once_all_get_the_password(anyone: Person) -> None:
    text = task("echo {{ item }}; cat", stdin="in", foreach={"range": [1, 12]})
    units = anyone.units(text, "-j", "4")
    assert sorted(ended(unit) for unit in units) == sorted(
        ("ok", f"{number}\nin", "") for number in range(1, 13)
    )


def test_a_script_and_steps_get_the_password(anyone: Person) -> None:
    (anyone.dir / "who.sh").write_text("id -un; echo $1; cat")
    text = f"""
tasks:
- {{script: {{file: who.sh, args: ["a b"]}}, stdin: x, {SUDO}}}
- {SUDO}
  steps:
  - {{run: "id -un; cat", register: one, stdin: y}}
  - {{run: id -un, sudo: false}}
  - run: 'id -un; echo "{{{{ results.one.stdout }}}}"'
    sudo: {{user: nobody, password: secrets.pw}}
"""
    outputs = [ended(unit) for unit in anyone.units(text, "-j", "1")]
    assert sorted(outputs) == [
        ("ok", "root\na b\nx", ""),
        ("ok", f"root\ny{anyone.name}\nnobody\nroot\ny\n", ""),
    ]


def test_the_plan_says_as_whom_and_that_there_is_a_password(anyone: Person) -> None:
    steps = [{"run": "id", "sudo": AS_NOBODY}, {"run": "id", "sudo": True}]
    text = json.dumps([{"run": "id", "sudo": {"password": "secrets.pw"}}, {"steps": steps}])
    anyone.program.job(f"secrets: {{pw: {{env: PW}}}}\ntasks: {text}\n", "plan.yml")
    plan = anyone.program.run("check", "plan.yml", "--insecure-permissions").out
    assert "limits  sudo root with a password\n" in plan
    assert "1. [run]: sudo nobody with a password\n" in plan
    assert "2. [run]: sudo root\n" in plan


# ---- around the command -------------------------------------------------------------------------


@pytest.fixture
def closed(anyone: Person) -> Iterator[Path]:
    """A directory of another user's, into which nobody else may look."""
    path = anyone.dir / "closed"
    path.mkdir(mode=0o700)
    shutil.chown(path, "nobody")
    yield path
    shutil.rmtree(path)


GUARDS: list[tuple[dict[str, Any], str]] = [
    ({"unless": 'test "$(id -un)" = nobody'}, "skipped"),
    ({"unless": "test -e none", "cwd": "CLOSED"}, "ok"),
    ({"onlyif": ["test", "-e", "CLOSED/there"]}, "ok"),
    ({"onlyif": "test -e CLOSED/none"}, "skipped"),
    ({"creates": "CLOSED/there"}, "skipped"),
    ({"creates": "CLOSED/none"}, "ok"),
    ({"creates": ["CLOSED/broken", "CLOSED/none"]}, "ok"),
    ({"removes": "CLOSED/there"}, "ok"),
    ({"removes": ["CLOSED/broken", "CLOSED/there/none"]}, "skipped"),
]


def test_guards_are_asked_as_that_user(anyone: Person, closed: Path) -> None:
    (closed / "there").touch()
    (closed / "broken").symlink_to("nowhere")
    tasks = [
        {"id": f"t{at}", "run": "id -un", "sudo": AS_NOBODY, **guard}
        for at, (guard, _) in enumerate(GUARDS)
    ]
    text = json.dumps(tasks).replace("CLOSED", str(closed))
    units = {unit["task"]: unit for unit in anyone.units(f"tasks: {text}\n")}
    assert {task: ended(unit) for task, unit in units.items()} == {
        f"t{at}": (kind, "nobody\n" if kind == "ok" else "", "")
        for at, (_, kind) in enumerate(GUARDS)
    }


@pytest.mark.parametrize("guard", ["unless", "creates"])
def test_a_guard_that_sudo_refuses_fails_its_unit(anyone: Person, closed: Path, guard: str) -> None:
    more = {"unless": "true", "creates": f"{closed}/x"}
    one = task("id", sudo=AS_NOBODY, **{guard: more[guard]})
    message = message_of(anyone.unit(one, password="wrong-one"))
    assert "the password was not accepted" in message


def test_an_output_is_made_where_only_that_user_may_write(anyone: Person, closed: Path) -> None:
    path = closed / "new" / "out.txt"
    one = task("id -un > {{ output }}; echo {{ output }}", sudo=AS_NOBODY, output=str(path))
    first, second = anyone.unit(one), anyone.unit(one)
    assert first["outcome"]["kind"] == "ok"
    assert first["stdout"].startswith(f"{path.parent}/.br-")
    assert (path.read_text(), path.owner()) == ("nobody\n", "nobody")
    assert second["outcome"]["kind"] == "skipped"
    newer = closed / "newer"
    newer.touch()
    shutil.chown(newer, "nobody")
    again = task("id > {{ output }}", sudo=AS_NOBODY,
                 output={"path": str(path), "newer_than": str(newer)})  # fmt: skip
    assert anyone.unit(again)["outcome"]["kind"] == "ok"
    assert [one.name for one in path.parent.iterdir()] == ["out.txt"]


def test_what_is_no_output_is_removed_as_that_user(anyone: Person, closed: Path) -> None:
    output = {"sudo": AS_NOBODY, "output": str(closed / "out")}
    failed = anyone.unit(task("echo half > {{ output }}; exit 3", **output))
    assert failed["outcome"]["message"] == "exit status 3"
    late = anyone.unit(task("echo half > {{ output }}; sleep 60", timeout="1s", **output))
    assert late["outcome"]["kind"] == "timed_out"
    nothing = anyone.unit(task(": {{ output }}", **output))
    assert "wrote no {{ output }}" in nothing["outcome"]["message"]
    folder = anyone.unit(task("mkdir {{ output }}", **output))
    assert "has made a directory" in folder["outcome"]["message"]
    assert list(closed.iterdir()) == []


# ---- where sudo asks for nothing ----------------------------------------------------------------


def test_where_sudo_needs_no_password_the_command_does_not_get_it() -> None:
    with person("ALL=(ALL:ALL) NOPASSWD: ALL") as trusted:
        assert ended(trusted.unit(task("cat", stdin="in\n"))) == ("ok", "in\n", "")
        assert ended(trusted.unit(task("cat"))) == ("ok", "", "")
        assert ended(trusted.unit(task("cat", stdin="in\n"), password="wrong-one")) == (
            "ok",
            "in\n",
            "",
        )


def test_a_ticket_that_sudo_has_changes_nothing_and_none_is_left() -> None:
    with person(defaults="timestamp_type=global") as remembered:
        assert ended(remembered.unit(task("cat", stdin="in\n"))) == ("ok", "in\n", "")
        assert sudo_as(remembered, "-n", "true") != 0  # no ticket was left
        assert sudo_as(remembered, "-S", "-v", stdin=remembered.password) == 0
        assert sudo_as(remembered, "-n", "true") == 0
        assert ended(remembered.unit(task("cat", stdin="in\n"))) == ("ok", "in\n", "")
        wrong = remembered.unit(task("cat"), password="wrong-one")
        assert "the password was not accepted" in wrong["outcome"]["message"]
        assert sudo_as(remembered, "-n", "true") == 0  # and the one that was there is there
        sudo_as(remembered, "-K")


def sudo_as(somebody: Person, *words: str, stdin: str = "") -> int:
    drop = ["setpriv", f"--reuid={somebody.uid}", f"--regid={somebody.uid}", "--clear-groups"]
    argv = [*drop, "sudo", *words]
    data = f"{stdin}\n".encode()
    return subprocess.run(argv, input=data, capture_output=True, check=False).returncode


# ---- what sudo refuses --------------------------------------------------------------------------


def message_of(unit: dict[str, Any]) -> str:
    """Return why a unit failed, in one sentence, at its first and only attempt."""
    assert (unit["outcome"]["kind"], unit["stdout"], unit["attempts"]) == ("failed", "", 1)
    message: str = unit["outcome"]["message"]
    assert message.count("\n") == 0
    assert not PROMPT.search(unit["stderr"])
    return message


def test_a_wrong_password_fails_the_unit_once_and_at_once(anyone: Person) -> None:
    began = time.monotonic()
    more = {"retries": 5, "retry_delay": "1ms"}
    unit = anyone.unit(task("echo never", **more), password="wrong-one")
    assert message_of(unit) == (
        "sudo would not run it as root: the password was not accepted; correct the secret in "
        "`sudo`, or what sudo asks for on this machine."
    )
    assert unit["stderr"].startswith("Sorry, try again.\n")
    assert time.monotonic() - began < 30


def test_a_password_that_is_no_line_is_refused_and_not_shown(anyone: Person) -> None:
    unit = anyone.unit(task("echo never"), password="two\nlines")
    assert "sudo reads one line; correct the secret" in message_of(unit)
    assert "two" not in message_of(unit)


def test_a_user_whom_sudo_does_not_know_is_told_so() -> None:
    # Where there is somebody to tell, sudo says that it has told him.
    with person(rules="", defaults="!mail_no_user") as unknown:
        assert message_of(unknown.unit(task("echo never"))) == (
            f"sudo would not run it as root: {unknown.name} is not in the sudoers file; allow it "
            "for this user in sudoers, or correct `sudo`."
        )


def test_a_rule_for_another_program_is_told_without_our_own_words() -> None:
    with person("ALL=(ALL:ALL) /bin/ls") as limited:
        unit = limited.unit(task("echo never", env={"A": "b"}))
        message = message_of(unit)
        assert message.startswith(
            f"sudo would not run it as root: Sorry, user {limited.name} is not allowed to execute "
            "it as root on "
        )


def test_an_unknown_user_is_told_so(anyone: Person) -> None:
    unit = anyone.unit(task("echo never", sudo={"user": "no-such", "password": "secrets.pw"}))
    assert "as no-such: unknown user no-such" in message_of(unit)


def test_a_terminal_that_sudo_wants_is_named() -> None:
    with person(defaults="requiretty") as bound:
        assert "sorry, you must have a tty to run sudo" in message_of(
            bound.unit(task("echo never"))
        )


@pytest.mark.parametrize(
    "defaults", ["lecture=always", "use_pty", 'log_output, log_input, iolog_dir="LOGS"']
)
def test_what_is_set_for_a_user_does_not_disturb(anyone: Person, defaults: str) -> None:
    with anyone.may(defaults.replace("LOGS", str(anyone.dir.parent / "logs"))):
        unit = anyone.unit(task("cat; echo said >&2; exit 3", stdin="in\n", ok_codes=[3]))
        wrong = anyone.unit(task("echo never"), password="wrong-one")
    assert ended(unit)[:2] == ("ok", "in\n")
    assert unit["stderr"].endswith("said\n")
    assert not PROMPT.search(unit["stderr"])
    assert ("usual lecture" in unit["stderr"]) == (defaults == "lecture=always")
    assert "the password was not accepted" in message_of(wrong)


@contextmanager
def asks(somebody: Person, rules: str) -> Iterator[None]:
    """Have sudo ask a user as PAM is told here."""
    service = Path("/etc/pam.d") / somebody.name
    service.write_text(rules)
    try:
        with somebody.may(f"pam_service={somebody.name}"):
            yield
    finally:
        service.unlink()


def test_a_second_question_after_the_password_is_not_answered(anyone: Person) -> None:
    second = (
        "auth required pam_unix.so\nauth required pam_stress.so\naccount required pam_permit.so\n"
    )
    with asks(anyone, second):
        message = message_of(anyone.unit(task("echo never")))
        wrong = message_of(anyone.unit(task("echo never"), password="wrong-one"))
    assert message.startswith(
        "sudo would not run it as root: it asks for more than the password; correct "
    )
    assert "more than the password" in wrong  # it asks for both before it says anything
