"""The servers that misbehave do so as they say, as ssh(1) and plain sockets see it."""

import socket
import subprocess

import pytest

from bad_servers import (
    BadServer,
    dies_in_command,
    dies_in_download,
    dies_in_upload,
    drops_at_banner,
    endless_output,
    loud_stderr,
    only_a_banner,
    refuses_channels,
    refuses_commands,
    says_nothing,
    shows_the_wrong_key,
)

pytestmark = pytest.mark.timeout(60)

LOST = 255


def ssh(server: BadServer, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = server.argv("127.0.0.5", *words)
    return subprocess.run(command, input=data, capture_output=True, check=False)


def test_one_says_nothing() -> None:
    with says_nothing() as server, socket.create_connection(("127.9.9.9", server.port), 10) as sock:
        sock.sendall(b"SSH-2.0-test\r\n")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert server.connections == 1


def test_one_says_a_banner_and_nothing_more() -> None:
    with (
        only_a_banner() as server,
        socket.create_connection(("127.0.0.1", server.port), 10) as sock,
    ):
        assert sock.makefile("rb").readline() == b"SSH-2.0-OpenSSH_9.2\r\n"
        sock.sendall(b"SSH-2.0-test\r\n")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_one_drops_connections_at_the_banner() -> None:
    with drops_at_banner() as server:
        assert ssh(server, "true").returncode == LOST
        assert server.connections == 1


def test_one_drops_some_connections_and_serves_the_next() -> None:
    with drops_at_banner(times=2) as server:
        assert [ssh(server, "true").returncode for _ in range(3)] == [LOST, LOST, 0]
        assert server.commands == ["true"]


def test_one_dies_in_a_command() -> None:
    with dies_in_command() as server:
        ended = ssh(server, "true")

    assert (ended.returncode, ended.stdout) == (LOST, b"half a li")


def test_one_dies_while_it_sends() -> None:
    with dies_in_download(300_000) as server:
        ended = ssh(server, "cat file")

    # ssh throws away what it has received and not written yet.
    assert (ended.returncode, ended.stdout.strip(b"\0")) == (LOST, b"")
    assert 0 < len(ended.stdout) <= 300_000


def test_one_dies_while_it_is_sent_something() -> None:
    with dies_in_upload(300_000) as server:
        assert ssh(server, "cat > file", data=bytes(10_000_000)).returncode == LOST
        assert server.commands == ["cat > file"]


def test_one_writes_for_ever() -> None:
    with (
        endless_output() as server,
        subprocess.Popen(
            server.argv("127.0.0.5", "true"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as client,
    ):
        assert client.stdout is not None
        assert client.stdout.read(20_000_000) == b"y\n" * 10_000_000
        client.kill()


def test_one_writes_on_standard_error_alone_for_long() -> None:
    with loud_stderr() as server:
        ended = ssh(server, "true")

    assert (ended.returncode, ended.stdout) == (0, b"done\n")
    assert ended.stderr == b"e" * 4 * 1024 * 1024


def test_one_refuses_channels() -> None:
    with refuses_channels() as server:
        ended = ssh(server, "true")

    assert ended.returncode == LOST
    assert b"administratively prohibited" in ended.stderr


def test_one_refuses_commands() -> None:
    with refuses_commands() as server:
        ended = ssh(server, "true")

    assert ended.returncode == LOST
    assert b"exec request failed" in ended.stderr


def test_one_shows_the_wrong_key() -> None:
    with shows_the_wrong_key() as server:
        ended = ssh(server, "true")

    assert ended.returncode == LOST
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in ended.stderr
