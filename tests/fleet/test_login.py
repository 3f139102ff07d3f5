"""Logging in to real servers: keys, agents, certificates, passwords, and why it did not work."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchrun.remote.auth import Password
from hosts import answer, at_once, connect, fleet_of, host_at, nothing_left, refusal
from sshd import Sshd, loopback, make_key, running_sshd
from sudo_users import person
from support import wait_until

pytestmark = pytest.mark.timeout(120)

HOST = host_at(loopback(1))


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


@contextmanager
def agent(directory: Path, *keys: Path) -> Iterator[str]:
    """Run an agent that has some keys."""
    path = directory / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(path.exists, 20, "the agent listens")
        for key in keys:
            environ = {**os.environ, "SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", str(key)], env=environ, check=True)
        yield str(path)
    finally:
        process.terminate()
        process.wait()


def keys_in(directory: Path, number: int) -> list[Path]:
    return [make_key(directory / f"key{n}").with_suffix("") for n in range(number)]


def logged_in(sshd: Sshd, *options: str, password: Password | None = None) -> bool:
    with fleet_of(*options, file=sshd.ssh_config, password=password) as fleet:
        return answer(connect(fleet, HOST), "echo in").out == b"in\n"


def without_its_key(sshd: Sshd) -> tuple[str, ...]:
    """Return how to reach a server, but not with which key: files named twice are both shown."""
    return (
        f"Port {sshd.port}",
        f"User {sshd.user}",
        f"UserKnownHostsFile {sshd.known_hosts}",
        "IdentityFile none",
    )


def lets_in(sshd: Sshd, *options: str) -> bool:
    """Whether a server lets in somebody who shows what the options say and nothing else."""
    with fleet_of(*without_its_key(sshd), *options) as fleet:
        return answer(connect(fleet, HOST), "echo in").out == b"in\n"


def test_a_key_that_only_the_agent_has(sshd: Sshd, tmp_path: Path) -> None:
    with agent(tmp_path, sshd.key) as path:
        assert lets_in(sshd, f"IdentityAgent {path}")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_all_kinds_of_keys(tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path / "id", kind).with_suffix("")
    with running_sshd(key=key) as server:
        assert lets_in(server, f"IdentityFile {key}", "IdentityAgent none")
        with agent(tmp_path, key) as path:
            assert lets_in(server, f"IdentityAgent {path}")


def test_many_hosts_share_the_agent(sshd: Sshd, tmp_path: Path) -> None:
    with (
        agent(tmp_path, sshd.key) as path,
        fleet_of(*without_its_key(sshd), f"IdentityAgent {path}") as fleet,
    ):
        sessions = at_once(30, lambda n: connect(fleet, host_at(loopback(n))))
    assert len(sessions) == 30


def test_too_many_keys_in_the_agent_names_the_remedy(sshd: Sshd, tmp_path: Path) -> None:
    with (
        agent(tmp_path, *keys_in(tmp_path, 8)) as path,
        fleet_of(*without_its_key(sshd), f"IdentityAgent {path}") as fleet,
    ):
        error = refusal(fleet, HOST)
    assert "set `IdentitiesOnly yes` and the right `IdentityFile`" in str(error)
    assert "from the agent" in str(error)
    assert not error.retryable


def test_only_the_named_keys_are_shown_of_many_in_the_agent(sshd: Sshd, tmp_path: Path) -> None:
    options = (f"IdentityFile {sshd.key}.pub", "IdentitiesOnly yes")
    with agent(tmp_path, *keys_in(tmp_path, 8), sshd.key) as path:
        assert lets_in(sshd, f"IdentityAgent {path}", *options)


def test_a_named_key_of_the_agent_is_shown_first(sshd: Sshd, tmp_path: Path) -> None:
    with agent(tmp_path, *keys_in(tmp_path, 8), sshd.key) as path:
        assert lets_in(sshd, f"IdentityAgent {path}", f"IdentityFile {sshd.key}.pub")


def test_an_agent_that_is_not_there_is_named(sshd: Sshd, tmp_path: Path) -> None:
    with fleet_of(*without_its_key(sshd), f"IdentityAgent {tmp_path}/gone") as fleet:
        error = refusal(fleet, HOST)
    assert f"the agent at {tmp_path}/gone cannot be used: No such file or directory" in str(error)


def test_an_agent_that_does_not_answer_is_given_up(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchrun.remote.agent._ANSWER_S", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "agent"))
        silent.listen()
        with fleet_of(*without_its_key(sshd), f"IdentityAgent {tmp_path}/agent") as fleet:
            error = refusal(fleet, HOST)
    assert "cannot be used: timed out" in str(error)


def test_an_agent_that_was_started_anew_is_found_again(sshd: Sshd, tmp_path: Path) -> None:
    with fleet_of(*without_its_key(sshd), f"IdentityAgent {tmp_path}/agent") as fleet:
        for number in (1, 2):
            with agent(tmp_path, sshd.key):
                assert connect(fleet, host_at(loopback(number))).link.alive
            (tmp_path / "agent").unlink(missing_ok=True)


def test_a_wrong_key_is_not_tried_again(sshd: Sshd, tmp_path: Path) -> None:
    (key,) = keys_in(tmp_path, 1)
    with fleet_of(f"IdentityFile {key}", f"User {sshd.user}") as fleet:
        host = host_at(loopback(1), port=sshd.port)
        assert not refusal(fleet, host).retryable  # the host's key is not known
    options = (f"IdentityFile {key}", f"User {sshd.user}", "StrictHostKeyChecking no")
    with fleet_of(*options) as fleet:
        error = refusal(fleet, host)
    assert str(error).startswith(f"login: refused for user {sshd.user}; the server takes publickey")
    assert f"none of: {key}" in str(error)
    assert not error.retryable


def test_a_key_with_a_passphrase_is_named(sshd: Sshd, tmp_path: Path) -> None:
    (key,) = keys_in(tmp_path, 1)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "geheim", "-f", str(key)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    options = (f"IdentityFile {key}", f"User {sshd.user}", "StrictHostKeyChecking no")
    with fleet_of(*options) as fleet:
        error = refusal(fleet, host_at(loopback(1), port=sshd.port))
    assert f"{key} has a passphrase: use `ssh-add`" in str(error)


def test_a_certificate_beside_its_key_opens(tmp_path: Path) -> None:
    authority = make_key(tmp_path / "ca")
    (key,) = keys_in(tmp_path, 1)
    with running_sshd(f"TrustedUserCAKeys {authority}") as server:
        sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "me", "-n", server.user]
        subprocess.run([*sign, f"{key}.pub"], check=True)
        options = (
            f"IdentityFile {key}", f"User {server.user}", "StrictHostKeyChecking no",
            f"Port {server.port}",
        )  # fmt: skip
        with fleet_of(*options) as fleet:
            assert answer(connect(fleet, HOST), "echo in").out == b"in\n"
        elsewhere = tmp_path / "other-cert.pub"
        Path(f"{key}-cert.pub").rename(elsewhere)
        with fleet_of(*options, f"CertificateFile {elsewhere}") as fleet:
            assert answer(connect(fleet, HOST), "echo in").out == b"in\n"
        with agent(tmp_path, key) as path:
            key.unlink()
            named = (f"CertificateFile {elsewhere}", f"IdentityAgent {path}")
            with fleet_of(*options, *named) as fleet:
                assert answer(connect(fleet, HOST), "echo in").out == b"in\n"


def test_a_password_is_asked_for_once(sshd: Sshd) -> None:
    asked: list[None] = []
    with running_sshd("PasswordAuthentication yes") as server, person() as user:

        def ask() -> str:
            asked.append(None)
            return user.password

        options = (*without_its_key(server), "IdentityAgent none")
        with fleet_of(f"User {user.name}", *options, password=Password(ask)) as fleet:
            at_once(10, lambda n: connect(fleet, host_at(loopback(n))))
    assert len(asked) == 1
    assert sshd.port != server.port


def test_no_password_and_a_wrong_one_are_told_apart() -> None:
    with running_sshd("PasswordAuthentication yes", "PubkeyAuthentication no") as server:
        options = (f"Port {server.port}", "User root", "StrictHostKeyChecking no")
        with fleet_of(*options) as fleet:
            without = refusal(fleet, HOST)
        with fleet_of(*options, password=Password(lambda: "wrong")) as fleet:
            wrong = refusal(fleet, HOST)
    assert str(without).endswith("the server takes password; there is no password")
    assert str(wrong).endswith("the server takes password; the password is wrong")
    assert not without.retryable
    assert not wrong.retryable


def test_a_key_and_a_password_when_both_are_wanted() -> None:
    lines = ("PasswordAuthentication yes", "AuthenticationMethods publickey,password")
    with running_sshd(*lines) as server, person() as user:
        password = Password(lambda: user.password)
        assert logged_in(server, f"User {user.name}", password=password)


def test_a_password_is_not_asked_for_when_a_key_opens(sshd: Sshd) -> None:
    def ask() -> str:
        raise AssertionError

    assert logged_in(sshd, password=Password(ask))
