"""What is said about host keys holds for ssh(1) and its tools too, and for many at once."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from batchrun.errors import UnreachableError
from batchrun.remote.hostkeys import HostKeyFiles, HostKeyPolicy, KnownHosts
from batchrun.remote.knownhosts import fingerprint
from sshd import Sshd, make_key

pytestmark = pytest.mark.timeout(60)

STRICT, NEW, OFF = HostKeyPolicy


class Key:
    """The key in a public key file."""

    def __init__(self, public: Path) -> None:
        self.kind, text = public.read_text().split()[:2]
        self.data = base64.b64decode(text)

    def get_name(self) -> str:
        return self.kind

    def asbytes(self) -> bytes:
        return self.data


def known(path: Path, *, hash_names: bool = False) -> KnownHosts:
    return HostKeyFiles().known([str(path)], [], hash_names=hash_names)


def remedy(said: UnreachableError) -> str:
    return str(said).partition("run `")[2].partition("`")[0]


def ssh(server: Sshd, known_hosts: Path) -> int:
    words = ("-o", f"UserKnownHostsFile={known_hosts}", "127.0.0.1", "true")
    return subprocess.run(server.argv(*words), capture_output=True, check=False).returncode


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_fingerprint_is_the_one_that_ssh_keygen_shows(kind: str, tmp_path: Path) -> None:
    public = make_key(tmp_path / "key", kind)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", public], capture_output=True, text=True, check=True
    )

    assert fingerprint(Key(public).asbytes()) == shown.stdout.split()[1]


@pytest.mark.parametrize("hash_names", [False, True])
@pytest.mark.parametrize("direct", [False, True])
def test_the_command_for_an_unknown_key_makes_it_known(
    sshd: Sshd, tmp_path: Path, *, hash_names: bool, direct: bool
) -> None:
    path, key = tmp_path / "known hosts", Key(sshd.host_keys[0])
    with pytest.raises(UnreachableError) as caught:
        known(path, hash_names=hash_names).check("127.0.0.1", sshd.port, key, STRICT, direct=direct)

    subprocess.run(remedy(caught.value), shell=True, check=True, capture_output=True)

    known(path).check("127.0.0.1", sshd.port, key, STRICT)


def test_the_command_for_a_changed_key_forgets_the_old_one(sshd: Sshd, tmp_path: Path) -> None:
    path, key = tmp_path / "known hosts", Key(sshd.host_keys[0])
    hosts = known(path)
    hosts.check("127.0.0.1", sshd.port, Key(make_key(tmp_path / "other")), NEW)
    hosts.check("127.0.0.2", sshd.port, key, NEW)
    with pytest.raises(UnreachableError, match="is not the one that is known") as caught:
        hosts.check("127.0.0.1", sshd.port, key, STRICT)

    subprocess.run(remedy(caught.value), shell=True, check=True, capture_output=True)

    hosts.check("127.0.0.1", sshd.port, key, NEW)
    hosts.check("127.0.0.2", sshd.port, key, STRICT)
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("hash_names", [False, True])
def test_what_is_added_is_known_to_ssh(sshd: Sshd, tmp_path: Path, *, hash_names: bool) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("# no end of line")
    assert ssh(sshd, path) == 255

    known(path, hash_names=hash_names).check("127.0.0.1", sshd.port, Key(sshd.host_keys[0]), NEW)

    assert ssh(sshd, path) == 0


@pytest.mark.parametrize("hash_names", ["no", "yes"])
def test_what_ssh_adds_is_known(sshd: Sshd, tmp_path: Path, hash_names: str) -> None:
    path = tmp_path / "known_hosts"
    options = ("StrictHostKeyChecking=accept-new", f"HashKnownHosts={hash_names}")
    words = [word for option in (*options, f"UserKnownHostsFile={path}") for word in ("-o", option)]
    subprocess.run(sshd.argv(*words, "127.0.0.1", "true"), check=True)

    known(path).check("127.0.0.1", sshd.port, Key(sshd.host_keys[0]), STRICT)


def test_processes_side_by_side_lose_and_double_nothing(tmp_path: Path) -> None:
    path, public = tmp_path / "known_hosts", make_key(tmp_path / "key")
    path.write_text("# no end of line")
    program = tmp_path / "program.py"
    program.write_text(
        "import base64, sys\n"
        "from batchrun.remote.hostkeys import HostKeyFiles, HostKeyPolicy\n"
        "class Key:\n"
        "    def get_name(self): return 'ssh-ed25519'\n"
        "    def asbytes(self): return base64.b64decode(sys.argv[2])\n"
        "hosts = HostKeyFiles().known([sys.argv[1]], [], hash_names=True)\n"
        "sys.stdin.read()\n"
        "for number in range(100):\n"
        "    hosts.check(f'web{number}', 22, Key(), HostKeyPolicy.ACCEPT_NEW)\n"
    )
    command = [sys.executable, str(program), str(path), public.read_text().split()[1]]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait() for process in running] == [0, 0, 0, 0]

    lines = path.read_text().splitlines()
    assert (lines[0], len(lines)) == ("# no end of line", 101)
    assert all(len(line.split()) == 3 for line in lines[1:])
    hosts = known(path)
    for number in range(100):
        hosts.check(f"web{number}", 22, Key(public), STRICT)
