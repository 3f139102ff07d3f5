"""Which keys are shown, and in which order."""

import base64
import struct
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from batchrun.model.host import Host
from batchrun.remote.config import SshConfig, SshSettings
from batchrun.remote.keyring import Keyring


def write_key(path: Path, passphrase: bytes = b"") -> bytes:
    """Write a key pair and return the public key."""
    key = ed25519.Ed25519PrivateKey.generate()
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        how = serialization.BestAvailableEncryption(passphrase)
    openssh = serialization.PrivateFormat.OpenSSH
    path.touch(0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, openssh, how))
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    Path(f"{path}.pub").write_bytes(public)
    return base64.b64decode(public.split()[1])


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def write_certificate(path: Path, key: bytes) -> None:
    """Write what begins like a certificate for a key; who signed it is the server's business."""
    rest = key[4 + len("ssh-ed25519") :]
    kind = b"ssh-ed25519-cert-v01@openssh.com"
    blob = string(kind) + string(b"nonce") + rest + b"and so on"
    path.write_bytes(kind + b" " + base64.b64encode(blob) + b" me\n")


def settings(*options: str) -> SshSettings:
    config = SshConfig.load(file="none", options=("IdentityAgent none", *options))
    return config.settings_for(Host(name="h"))


def names(*options: str) -> list[str]:
    return [candidate.name for candidate in Keyring().choose(settings(*options)).candidates]


def test_files_are_shown_in_their_order_and_missing_ones_passed_over(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_key(tmp_path / name)
    files = [f"IdentityFile {tmp_path}/{name}" for name in ("b", "gone", "a")]
    assert names(*files) == [f"{tmp_path}/b", f"{tmp_path}/a"]


def test_certificates_come_before_all_keys(tmp_path: Path) -> None:
    write_key(tmp_path / "a")
    write_certificate(tmp_path / "b-cert.pub", write_key(tmp_path / "b"))
    files = [f"IdentityFile {tmp_path}/{name}" for name in "ab"]
    assert names(*files) == [f"{tmp_path}/{name}" for name in ("b-cert.pub", "a", "b")]


def test_a_certificate_of_another_key_is_not_shown(tmp_path: Path) -> None:
    write_key(tmp_path / "a")
    write_certificate(tmp_path / "other-cert.pub", write_key(tmp_path / "b"))
    options = (f"IdentityFile {tmp_path}/a", f"CertificateFile {tmp_path}/other-cert.pub")
    assert names(*options) == [f"{tmp_path}/a"]


def test_a_key_with_a_certificate_is_also_shown_without(tmp_path: Path) -> None:
    key = write_key(tmp_path / "a")
    write_certificate(tmp_path / "a-cert.pub", key)
    chosen = Keyring().choose(settings(f"IdentityFile {tmp_path}/a")).candidates
    assert [candidate.key.public_blob is None for candidate in chosen] == [False, True]
    assert {candidate.blob for candidate in chosen} == {key}


@pytest.mark.parametrize(
    ("data", "remark"),
    [(b"nonsense", "is no private key of a kind that can be used"), (None, "has a passphrase")],
)
def test_what_cannot_be_used_is_remarked(tmp_path: Path, data: bytes | None, remark: str) -> None:
    path = tmp_path / "a"
    write_key(path, b"geheim")
    if data is not None:
        path.write_bytes(data)
        Path(f"{path}.pub").unlink()
    choice = Keyring().choose(settings(f"IdentityFile {path}"))
    assert choice.candidates == ()
    assert len(choice.remarks) == 1
    assert f"{path} {remark}" in choice.remarks[0]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_private_key_that_others_see_is_passed_over(tmp_path: Path, mode: int) -> None:
    write_key(tmp_path / "a")
    write_key(tmp_path / "b")
    (tmp_path / "a").chmod(mode)
    choice = Keyring().choose(settings(*(f"IdentityFile {tmp_path}/{name}" for name in "ab")))
    assert [candidate.name for candidate in choice.candidates] == [f"{tmp_path}/b"]
    (remark,) = choice.remarks
    assert f"{tmp_path}/a is passed over, because others can read it (mode {mode:04o})" in remark


def test_a_file_is_read_once_for_all_hosts(tmp_path: Path) -> None:
    write_key(tmp_path / "a")
    keyring = Keyring()
    asked = settings(f"IdentityFile {tmp_path}/a")
    first = keyring.choose(asked).candidates[0].key
    assert isinstance(first, paramiko.PKey)
    assert keyring.choose(asked).candidates[0].key is first
