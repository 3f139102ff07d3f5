"""A real sshd of our own: its port, its keys, its rules; every address of 127.0.0.0/8 is a host.

Started in the foreground as a child of the tests, ended with everything that was started on it.
Run by root it lets any user in with the key (see `sudo_users` for users), else only the one who
runs the tests.
"""

import contextlib
import itertools
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import processes_with_environ, wait_until

__all__ = ["Sshd", "loopback", "make_key", "nothing_runs_on", "running_sshd"]

#: Privilege separation needs it; nobody has made it where no service was ever started.
_EMPTY_DIR = Path("/run/sshd")
_START_S = 30.0
_PORTS_TRIED = 20
#: Bash takes it for a shell in a shell, and does not read what its user has in ~/.bashrc: that may
#: take long, print things, or wait for a lock that is held by a command that a test has killed.
_NO_RC = "SHLVL=1"
#: Printed before the first byte of every command.
_NOISY = """#!/bin/sh
echo 'Welcome to this host!'
echo 'Unauthorised use is prohibited.' >&2
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """A server that runs."""

    port: int
    #: Who can log in with `key`; as root, so can any other user.
    user: str
    #: Private key file of the user; `.pub` beside it.
    key: Path
    #: Public key files of the host, in the order of its configuration.
    host_keys: tuple[Path, ...]
    #: Names the host keys for all of 127.0.0.0/8 and localhost at this port.
    known_hosts: Path
    #: For `ssh -F`: port, user, key and known hosts of this server, for every name.
    ssh_config: Path
    dir: Path
    pid: int
    #: In the environment of everything that is started on it.
    marker: str

    def log(self) -> str:
        """What it has written so far, as LogLevel VERBOSE has it."""
        return (self.dir / "log").read_text(errors="replace")

    def logins(self) -> int:
        """How many times somebody has logged in since it was started."""
        return len(re.findall(r"^Accepted .* for .* port ", self.log(), re.MULTILINE))

    def connections(self) -> int:
        """How many connections it has taken since it was started; not those that it dropped."""
        return len(re.findall(r"^Connection from ", self.log(), re.MULTILINE))

    def sessions(self) -> list[int]:
        """The processes that hold a connection now, one id for each."""
        return _children(self.pid)

    def commands(self) -> list[int]:
        """The ids of all processes that were started on it and are still there."""
        return processes_with_environ(self.marker)

    def argv(self, *words: str) -> list[str]:
        """The words of an `ssh` that knows this server."""
        return ["ssh", "-F", str(self.ssh_config), *words]


def loopback(number: int) -> str:
    """Return the address of host `number`, counted from 1.

    >>> loopback(1), loopback(300)
    ('127.1.0.1', '127.1.1.45')
    """
    return f"127.1.{number // 255}.{number % 255}"


@contextmanager
def running_sshd(
    *lines: str,
    key: Path | None = None,
    host_keys: Sequence[str] = ("ed25519",),
    noisy: bool = False,
    sftp_only: bool = False,
) -> Iterator[Sshd]:
    """Run a server.

    Args:
        lines: Of its configuration, such as `MaxStartups 3:50:6`; they win over ours, all but
            SetEnv. A `Match` block must be followed by `Match all`.
        key: Private key of another server's user, that one key opens both; None: a new one.
        host_keys: Types, as `ssh-keygen -t` has them.
        noisy: The login shell prints lines on both streams before each command.
        sftp_only: There is no shell; whatever is asked for, SFTP is what comes.
    """
    # Other users must be able to reach it; pytest's own directories are closed to them.
    directory = Path("/var/tmp") / f"batchrun-sshd-{secrets.token_hex(4)}"
    directory.mkdir()
    directory.chmod(0o755)
    if noisy:
        _write_script(directory / "noisy", _NOISY)
        lines = (*lines, f"ForceCommand {directory}/noisy")
    if sftp_only:
        lines = (*lines, "ForceCommand internal-sftp")
    try:
        public = [make_key(directory / f"host_{kind}", kind) for kind in host_keys]
        key = key or make_key(directory / "id").with_suffix("")
        shutil.copyfile(f"{key}.pub", directory / "authorized_keys")
        marker = f"BATCHRUN_TEST_SSHD={directory.name}"
        _write_config(directory, public, (f"SetEnv {marker} {_NO_RC}", *lines))
        with _listening(directory) as (process, port):
            server = Sshd(
                port=port,
                user=pwd.getpwuid(os.geteuid()).pw_name,
                key=key,
                host_keys=tuple(public),
                known_hosts=directory / "known_hosts",
                ssh_config=directory / "ssh_config",
                dir=directory,
                pid=process.pid,
                marker=marker,
            )
            _write_client_files(server)
            yield server
    finally:
        shutil.rmtree(directory)


def make_key(path: Path, kind: str = "ed25519", *words: str) -> Path:
    """Make a key pair without a passphrase and return the public file, `.pub`."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", path.name, "-f", str(path), *words]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_name(f"{path.name}.pub")


def _write_config(directory: Path, host_keys: Sequence[Path], lines: Sequence[str]) -> None:
    """Write what sshd reads; of MaxStartups it takes the last value, of all else the first."""
    ours = [
        # Any address of 127.0.0.0/8 must answer, and nothing from elsewhere.
        "ListenAddress 0.0.0.0",
        "AllowUsers *@127.0.0.0/8",
        *(f"HostKey {path.with_suffix('')}" for path in host_keys),
        f"AuthorizedKeysFile {directory}/authorized_keys",
        f"PidFile {directory}/pid",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UseDNS no",
        "PrintMotd no",
        "PrintLastLog no",
        "LogLevel VERBOSE",
        "MaxStartups 1000",
        "AllowTcpForwarding yes",
        "Subsystem sftp internal-sftp",
        *_newer_lines(),
    ]
    said = {line.split()[0] for line in lines}
    ours = [line for line in ours if line.split()[0] not in said]
    (directory / "sshd_config").write_text("\n".join([*lines, *ours, ""]))


def _newer_lines() -> list[str]:
    """Return lines that an older sshd refuses to read."""
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr
    found = re.match(r"OpenSSH_(\d+)\.(\d+)", said)
    assert found, said
    # Else refused logins of one test keep 127.0.0.1 out of the next.
    return ["PerSourcePenalties no"] if (int(found[1]), int(found[2])) >= (9, 8) else []


def _write_client_files(server: Sshd) -> None:
    names = f"[127.*]:{server.port},[localhost]:{server.port}"
    keys = [path.read_text().split()[:2] for path in server.host_keys]
    server.known_hosts.write_text("".join(f"{names} {kind} {text}\n" for kind, text in keys))
    server.ssh_config.write_text(
        f"""Host *
    Port {server.port}
    User {server.user}
    IdentityFile {server.key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {server.known_hosts}
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    LogLevel ERROR
"""
    )


def _write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@contextmanager
def _listening(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run sshd on a free port; somebody may take that before it does."""
    if os.geteuid() == 0:
        _EMPTY_DIR.mkdir(mode=0o755, exist_ok=True)
    for _ in range(_PORTS_TRIED):
        port = _free_port()
        process = _start(directory, port)
        try:
            if _has_begun(process, directory):
                yield process, port
                return
        finally:
            _end(process, directory)
    message = f"sshd does not begin to listen: {(directory / 'log').read_text()}"
    raise AssertionError(message)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        port: int = taken.getsockname()[1]
        return port


def _start(directory: Path, port: int) -> subprocess.Popen[bytes]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program, "sshd is not installed"  # it insists on being started by its whole path
    log = directory / "log"
    log.write_text("")
    # Should the tests be killed, it does not outlive them.
    words = ["setpriv", "--pdeathsig", "TERM", program, "-D", "-E", str(log)]
    words += ["-f", f"{directory}/sshd_config", "-p", str(port)]
    with (directory / "complaints").open("wb") as complaints:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=complaints,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C of whoever runs the tests is not for it
        )


def _has_begun(process: subprocess.Popen[bytes], directory: Path) -> bool:
    """Wait until it listens; False: its port was taken."""
    log = directory / "log"
    wait_until(
        lambda: process.poll() is not None or "Server listening on" in log.read_text(),
        _START_S,
        "sshd listens",
    )
    if process.poll() is None:
        return True
    said = (directory / "complaints").read_text() + log.read_text()
    assert "Address already in use" in said, said
    return False


def _end(process: subprocess.Popen[bytes], directory: Path) -> None:
    """End the server, the connections it holds and everything that was started on it."""
    marker = f"BATCHRUN_TEST_SSHD={directory.name}"
    sessions = list(_descendants(process.pid))
    process.terminate()
    process.wait()
    for pid in itertools.chain(sessions, processes_with_environ(marker)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """Return the ids of the live children of a process, whichever of its threads started them."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, IndexError):
            if name.isdigit():
                words = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(words[1]) == pid and words[0] != "Z":
                    found.append(int(name))
    return found


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def nothing_runs_on(server: Sshd) -> None:
    """Wait until nothing that was started on a server is left.

    What ended a command on the host is itself a command there, and may take a moment to go.
    """
    wait_until(lambda: not server.commands(), 30, "nothing is left on the host")
