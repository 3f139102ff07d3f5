"""The servers that the tests of fleets run against do what they say, as ssh(1) sees it."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sshd import Sshd, loopback, running_sshd
from sudo_users import person
from support import wait_until

pytestmark = pytest.mark.timeout(60)


def ssh(server: Sshd, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = server.argv(*words)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_every_loopback_address_is_a_host(sshd: Sshd) -> None:
    said = [ssh(sshd, loopback(number), "echo $SSH_CONNECTION").stdout for number in (1, 300)]

    assert [line.split()[2:] for line in said] == [
        ["127.1.0.1", str(sshd.port)],
        ["127.1.1.45", str(sshd.port)],
    ]


def test_what_a_user_has_for_his_shell_is_left_alone(sshd: Sshd) -> None:
    with person() as user:
        subprocess.run(["usermod", "--shell", "/bin/bash", user.name], check=True)
        (user.dir / ".bashrc").write_text("echo noise")
        assert ssh(sshd, "-l", user.name, "127.0.0.1", "echo $SHLVL").stdout == "2\n"


def test_it_counts_connections_logins_sessions_and_commands() -> None:
    with running_sshd() as server:
        command = server.argv("127.0.0.9", "sleep 1000")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as client:
            wait_until(server.commands, 30, "the command runs")
            counts = (server.connections(), server.logins(), len(server.sessions()))
            client.kill()
        wait_until(lambda: not server.sessions(), 30, "the session is over")
        for pid in server.commands():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not server.commands(), 30, "no command is left")

    assert counts == (1, 1, 1)


def test_what_was_started_on_it_ends_with_it() -> None:
    with running_sshd() as server:
        ssh(server, "127.0.0.9", "setsid sleep 1000 >/dev/null 2>&1 & echo begun")
        assert server.commands()

    wait_until(lambda: not server.commands(), 30, "no command is left")
    assert not server.dir.exists()


def test_it_does_not_outlive_tests_that_are_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from sshd import running_sshd\n"
        "with running_sshd() as server:\n"
        "    print(server.pid, server.dir, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        pid, directory = tests.stdout.readline().split()
        tests.kill()

    try:
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30, "the server is gone")
    finally:
        shutil.rmtree(directory)


def test_one_server_is_reached_through_another(sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    before = bastion.logins()
    config = tmp_path / "config"
    through = f"ssh -F {shlex.quote(str(bastion.ssh_config))} -W %h:%p 127.0.0.2"
    config.write_text(f"ProxyCommand {through}\nInclude {sshd.ssh_config}\n")

    ended = subprocess.run(
        ["ssh", "-F", config, "127.0.0.3", "echo $SSH_CONNECTION"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.split()[2:] == ["127.0.0.3", str(sshd.port)]
    assert bastion.logins() == before + 1


def test_max_startups_drops_connections() -> None:
    with (
        running_sshd("MaxStartups 1") as server,
        socket.create_connection(("127.0.0.1", server.port)),
    ):
        wait_until(server.sessions, 30, "the first connection waits for a login")
        assert ssh(server, "127.0.0.1", "true").returncode == 255
        assert "drop connection" in server.log()


def test_a_user_gets_in_by_password_only(tmp_path: Path) -> None:
    lines = ("PasswordAuthentication yes", "PubkeyAuthentication no")
    with person() as user, running_sshd(*lines) as server:
        ask = tmp_path / "ask"
        ask.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(user.password)}\n")
        ask.chmod(0o755)
        environ = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        by_password = subprocess.run(
            server.argv("-l", user.name, "127.0.0.1", "id -un; pwd"),
            capture_output=True,
            text=True,
            check=False,
            env=environ,
        )

        assert ssh(server, "-o", "BatchMode=yes", "127.0.0.1", "true").returncode == 255
        assert by_password.stdout == f"{user.name}\n{user.dir}\n"
        assert by_password.stderr == ""


def test_a_user_has_sudo_there(sshd: Sshd) -> None:
    with person() as user:
        words = ("-l", user.name, "127.0.0.1", "sudo -k -S -p '' id -un")
        assert ssh(sshd, *words, text=f"{user.password}\n").stdout == "root\n"


def test_a_noisy_shell_prints_before_every_command() -> None:
    with running_sshd(noisy=True) as server:
        ended = ssh(server, "127.0.0.1", "echo mine; exit 3")

    assert ended.stdout == "Welcome to this host!\nmine\n"
    assert ended.stderr == "Unauthorised use is prohibited.\n"
    assert ended.returncode == 3


def test_without_a_shell_there_is_still_sftp(tmp_path: Path) -> None:
    (tmp_path / "from").write_text("text")
    with running_sshd(sftp_only=True) as server:
        ended = subprocess.run(
            ["sftp", "-q", "-b", "-", "-F", server.ssh_config, "127.0.0.1"],
            input=f"put {tmp_path}/from {tmp_path}/to\n",
            text=True,
            check=False,
            capture_output=True,
        )
        assert "mine" not in ssh(server, "127.0.0.1", "echo mine").stdout

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "to").read_text() == "text"


def test_it_has_the_host_keys_that_are_asked_for() -> None:
    with running_sshd(host_keys=("ecdsa", "ed25519")) as server:
        kinds = [line.split()[1] for line in server.known_hosts.read_text().splitlines()]
        assert kinds == ["ecdsa-sha2-nistp256", "ssh-ed25519"]
        for kind in kinds:
            chosen = ("-o", f"HostKeyAlgorithms={kind}")
            assert ssh(server, *chosen, "127.0.0.1", "echo mine").stdout == "mine\n"
