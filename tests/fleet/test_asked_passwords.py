"""Passwords that somebody types once: for logging in, and for sudo on the hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from on_terminal import on_terminal
from program import Program
from sshd import Sshd, running_sshd
from sudo_users import Person, person

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def user() -> Iterator[Person]:
    with person() as made:
        yield made


@pytest.fixture(scope="module")
def by_password() -> Iterator[Sshd]:
    with running_sshd("PasswordAuthentication yes", "PubkeyAuthentication no") as server:
        yield server


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def to(server: Sshd, user: Person) -> dict[str, str]:
    return {"BATCHRUN_SSH_CONFIG": str(server.ssh_config), "BATCHRUN_USER": user.name}


def left_behind(program: Program) -> bytes:
    files = [path for path in program.dir.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


def test_the_password_is_asked_for_once_and_logs_in_everywhere(
    program: Program, by_password: Sshd, user: Person
) -> None:
    code, shown = on_terminal(
        program,
        [("assword", f"{user.password}\n")],
        *("exec", "-k", "-w", "127.0.0.[1-3]", "id -un"),
        env=to(by_password, user),
    )
    assert code == 0, shown
    assert sorted(line for line in shown.splitlines() if line.startswith("127.")) == [
        f"127.0.0.{at}: {user.name}" for at in (1, 2, 3)
    ]
    assert shown.count("assword") == 1
    assert user.password not in shown
    assert user.password.encode() not in left_behind(program)


def test_a_wrong_password_reaches_nobody(program: Program, by_password: Sshd, user: Person) -> None:
    code, shown = on_terminal(
        program,
        [("assword", "something else\n")],
        *("exec", "-k", "-w", "127.0.0.1", "id -un"),
        env=to(by_password, user),
    )
    assert code == 4, shown
    assert "the password is wrong" in shown


def test_the_password_of_sudo_is_asked_for_once_and_serves_on_every_host(
    program: Program, sshd: Sshd, user: Person
) -> None:
    code, shown = on_terminal(
        program,
        [("assword", f"{user.password}\n")],
        *("exec", "-K", "-w", "127.0.0.[1-2]", "id -un"),
        env=to(sshd, user),
    )
    assert code == 0, shown
    assert "127.0.0.1: root" in shown
    assert "127.0.0.2: root" in shown
    assert user.password not in shown
    assert user.password.encode() not in left_behind(program)


def test_a_secret_of_the_job_file_is_the_password_of_sudo_there(
    program: Program, sshd: Sshd, user: Person
) -> None:
    (program.dir / "pw").write_text(user.password)
    (program.dir / "pw").chmod(0o600)
    job = program.job(
        "secrets: {pw: {file: pw}}\n"
        "tasks:\n"
        "  - hosts: 127.0.0.[1-2]\n"
        "    run: id -un; echo $WORD\n"
        "    env: {WORD: kept}\n"
        "    sudo: {password: secrets.pw}\n"
        "    print: always\n"
    )
    ended = program.run(job, env=to(sshd, user))
    assert ended.code == 0, ended.err
    assert ended.out.count("root\n") == 2
    assert ended.out.count("kept\n") == 2
