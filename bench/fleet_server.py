"""A private sshd that is hundreds of hosts, `127.x.y.z`, for measurements."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fleet", "fleet"]

#: Both ends can be made to take the same, cheap key exchange.
CURVE = "KexAlgorithms curve25519-sha256"


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What clients must know."""

    port: int
    key: Path
    known_hosts: Path
    #: To be given as `-F`: with what clients choose by themselves, and with CURVE.
    plain: Path
    curve: Path


@contextmanager
def fleet(directory: str) -> Iterator[Fleet]:
    """Start the server; it ends with the block."""
    home = Path(directory, "sshd")
    home.mkdir(mode=0o700)
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)]
        subprocess.run(keygen, check=True)
    shutil.copyfile(home / "user.pub", home / "authorized_keys")
    with socket.socket() as free:
        free.bind(("0.0.0.0", 0))
        port = free.getsockname()[1]
    public = " ".join((home / "host.pub").read_text().split()[:2])
    (home / "known_hosts").write_text(f"[127.*]:{port} {public}\n")
    config = home / "sshd_config"
    config.write_text(_SERVER.format(home=home, port=port))
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    server = subprocess.Popen([sshd, "-D", "-f", str(config), "-E", str(home / "log")])
    try:
        _wait_for(port)
        made = Fleet(
            port=port,
            key=home / "user",
            known_hosts=home / "known_hosts",
            plain=home / "plain",
            curve=home / "curve",
        )
        made.plain.write_text(_CLIENT.format(home=home, port=port))
        made.curve.write_text(_CLIENT.format(home=home, port=port) + f"    {CURVE}\n")
        yield made
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    message = f"sshd does not listen on port {port}"
    raise RuntimeError(message)


# SHLVL: bash would read ~/.bashrc for each command, and whatever that starts would be measured.
_SERVER = """\
Port {port}
ListenAddress 0.0.0.0
HostKey {home}/host
AuthorizedKeysFile {home}/authorized_keys
PidFile none
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
MaxStartups 2000
MaxSessions 100
LogLevel ERROR
SetEnv SHLVL=1
Subsystem sftp internal-sftp
"""
_CLIENT = """\
Host 127.*
    Port {port}
    IdentityFile {home}/user
    IdentitiesOnly yes
    UserKnownHostsFile {home}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    LogLevel ERROR
    BatchMode yes
"""
if os.geteuid() != 0:
    _SERVER = _SERVER.replace("PermitRootLogin yes\n", "")
