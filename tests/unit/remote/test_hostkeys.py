"""A host is the one it says it is: known keys, new ones, changed ones, revoked ones."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchrun.errors import UnreachableError
from batchrun.remote.hostkeys import HostKeyFiles, HostKeyPolicy, KnownHosts
from batchrun.remote.knownhosts import fingerprint, hashed

STRICT, NEW, OFF = HostKeyPolicy


@dataclass(frozen=True)
class Key:
    """A key as paramiko has them."""

    data: bytes
    kind: str = "ssh-ed25519"

    def get_name(self) -> str:
        return self.kind

    def asbytes(self) -> bytes:
        return self.data

    def line(self, names: str) -> str:
        """Of a file; `hashed NAME` stands for what cannot be read."""
        if names.startswith("hashed "):
            names = hashed(names.removeprefix("hashed "))
        return f"{names} {self.kind} {base64.b64encode(self.data).decode()} a comment\n"


MINE, OTHER, RSA = Key(b"mine"), Key(b"other"), Key(b"rsa", "ssh-rsa")


def known(path: Path, text: str, *more: str, hash_names: bool = False) -> KnownHosts:
    path.write_text(text)
    return HostKeyFiles().known([str(path)], more, hash_names=hash_names)


def refusal(
    hosts: KnownHosts,
    name: str,
    key: Key = MINE,
    *,
    port: int = 22,
    policy: HostKeyPolicy = STRICT,
    direct: bool = True,
) -> str:
    with pytest.raises(UnreachableError) as caught:
        hosts.check(name, port, key, policy, direct=direct)
    assert not caught.value.retryable
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.mark.parametrize(
    ("names", "name", "port"),
    [
        ("web1", "web1", 22),
        ("web1", "WEB1", 22),
        ("WEB1", "web1", 22),
        ("db1,web1,10.0.0.1", "web1", 22),
        ("web*", "web1", 22),
        ("web?,!web2", "web1", 22),
        ("[web1]:2222", "web1", 2222),
        ("[web*]:2222", "web1", 2222),
        ("[*]:*", "web1", 2222),
        ("*", "web1", 2222),
        ("web1", "web1", 2222),
        ("::1", "::1", 22),
        ("[::1]:2222", "::1", 2222),
        ("hashed web1", "web1", 22),
        ("hashed [web1]:2222", "web1", 2222),
        ("hashed web1", "web1", 2222),
    ],
)
def test_a_known_key_is_let_pass(path: Path, names: str, name: str, port: int) -> None:
    text = OTHER.line("another") + MINE.line(names)
    hosts = known(path, text)

    hosts.check(name, port, MINE, STRICT)
    hosts.check(name, port, MINE, NEW)

    assert path.read_text() == text


@pytest.mark.parametrize(
    ("names", "name", "port"),
    [
        ("web1", "web2", 22),
        ("web*,!web1", "web1", 22),
        ("!web1", "web2", 22),
        ("[web1]:2222", "web1", 22),
        ("[web1]:2222", "web1", 2223),
        ("web[12]", "web1", 22),
        ("hashed web2", "web1", 22),
        ("|1|broken", "web1", 22),
        ("# web1", "web1", 22),
    ],
)
def test_a_key_that_is_known_of_others_is_unknown(
    path: Path, names: str, name: str, port: int
) -> None:
    assert " is not known; " in refusal(known(path, MINE.line(names)), name, port=port)


def test_an_unknown_key_is_refused_with_its_fingerprint_and_what_to_run(path: Path) -> None:
    hosts = known(path, "")

    assert refusal(hosts, "Web1") == (
        f"host key ssh-ed25519 {fingerprint(b'mine')} of web1 is not known; if that is its "
        f"fingerprint, run `ssh-keyscan Web1 >> {path}`, or give --host-key accept-new"
    )
    assert f"run `ssh-keyscan -p 2222 web1 >> {path}`" in refusal(hosts, "web1", port=2222)
    assert fingerprint(b"mine") == "SHA256:" + base64.b64encode(
        hashlib.sha256(b"mine").digest()
    ).decode().rstrip("=")


def test_where_keyscan_does_not_get_to_the_line_itself_is_said(path: Path) -> None:
    said = refusal(known(path, ""), "web1", port=2222, direct=False)

    line = "[web1]:2222 ssh-ed25519 " + base64.b64encode(b"mine").decode()
    assert f"run `echo '{line}' >> {path}`" in said


def test_names_are_hashed_by_the_command_too(path: Path) -> None:
    assert "`ssh-keyscan -H web1 >> " in refusal(known(path, "", hash_names=True), "web1")


def test_a_changed_key_is_refused_with_place_and_both_fingerprints(path: Path) -> None:
    hosts = known(path, "# comment\n\n" + OTHER.line("[web1]:2222"))

    assert refusal(hosts, "web1", port=2222, policy=NEW) == (
        f"host key ssh-ed25519 {fingerprint(b'mine')} of [web1]:2222 is not the one that is known: "
        f"{path}:3 has ssh-ed25519 {fingerprint(b'other')}; somebody may stand between, or the "
        "host was set up anew: only when that is certain, run "
        f"`ssh-keygen -R '[web1]:2222' -f {path}`"
    )


def test_one_of_several_keys_is_enough(path: Path) -> None:
    known(path, OTHER.line("web1") + MINE.line("web1")).check("web1", 22, MINE, STRICT)


def test_a_key_of_another_kind_than_the_known_one_is_not_taken_for_new(path: Path) -> None:
    text = RSA.line("web1")

    assert f"{path}:1 has ssh-rsa" in refusal(known(path, text), "web1", policy=NEW)
    assert path.read_text() == text


def test_another_key_without_a_port_is_not_against_one_with_a_port(path: Path) -> None:
    hosts = known(path, OTHER.line("web1"))

    assert "is not known" in refusal(hosts, "web1", port=2222)
    hosts.check("web1", 2222, MINE, NEW)


@pytest.mark.parametrize("names", ["web1", "*", "hashed web1"])
def test_a_revoked_key_is_refused_though_it_is_known(path: Path, names: str) -> None:
    hosts = known(path, MINE.line("web1") + "@revoked " + MINE.line(names))

    assert refusal(hosts, "web1", policy=NEW).endswith(f"of web1 is revoked in {path}:2")


def test_a_revoked_key_says_nothing_about_another_one(path: Path) -> None:
    known(path, MINE.line("web1") + "@revoked " + OTHER.line("*")).check("web1", 22, MINE, STRICT)


def test_an_authority_is_no_key_and_is_said_not_to_be_supported(path: Path) -> None:
    hosts = known(path, "@cert-authority " + MINE.line("*.example"))

    said = refusal(hosts, "web1.example")
    assert f"{path}:1 has an authority for it, and certificates of hosts are not supported" in said
    assert "has an authority" not in refusal(hosts, "web1")


def test_off_asks_nobody(path: Path) -> None:
    known(path, OTHER.line("web1")).check("web1", 22, MINE, OFF)

    assert path.read_text() == OTHER.line("web1")


@pytest.mark.parametrize("before", ["", "# comment", "# comment\n", OTHER.line("web2")])
def test_a_new_key_is_one_more_line(path: Path, before: str) -> None:
    hosts = known(path, before)

    hosts.check("Web1", 2222, MINE, NEW)
    hosts.check("web1", 2222, MINE, STRICT)

    line = "[web1]:2222 ssh-ed25519 " + base64.b64encode(b"mine").decode() + "\n"
    between = "" if not before or before.endswith("\n") else "\n"
    assert path.read_text() == before + between + line


def test_a_new_key_is_added_once(path: Path) -> None:
    hosts = known(path, "")
    for name in ("web1", "web2", "web1", "WEB1"):
        hosts.check(name, 22, MINE, NEW)

    assert [line.split()[0] for line in path.read_text().splitlines()] == ["web1", "web2"]


def test_a_new_key_can_have_its_name_hidden(path: Path) -> None:
    hosts = known(path, "", hash_names=True)
    hosts.check("web1", 22, MINE, NEW)
    hosts.check("web1", 22, MINE, STRICT)

    assert path.read_text().startswith("|1|")
    assert "web1" not in path.read_text()
    known(path, path.read_text()).check("web1", 22, MINE, STRICT)


def test_the_directory_of_the_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".ssh" / "known_hosts"
    HostKeyFiles().known([str(path)], []).check("web1", 22, MINE, NEW)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_others_add_meanwhile_is_seen_before_anything_is_added(path: Path) -> None:
    hosts = known(path, OTHER.line("web2"))
    hosts.check("web2", 22, OTHER, STRICT)
    path.write_text(OTHER.line("web1"))

    assert f"{path}:1 has" in refusal(hosts, "web1", MINE, policy=NEW)
    path.write_text(MINE.line("web1"))
    hosts.check("web1", 22, MINE, NEW)
    assert path.read_text() == MINE.line("web1")


def test_a_file_that_was_put_in_place_of_the_old_one_is_read_anew(path: Path) -> None:
    hosts = known(path, OTHER.line("web1"))
    hosts.check("web1", 22, OTHER, STRICT)
    (path.parent / "new").write_text("# removed\n")
    (path.parent / "new").rename(path)

    hosts.check("web2", 22, MINE, NEW)
    hosts.check("web1", 22, MINE, NEW)

    assert [line.split()[0] for line in path.read_text().splitlines()] == ["#", "web2", "web1"]


def test_several_files_are_asked_and_the_first_is_added_to(path: Path, tmp_path: Path) -> None:
    second, machine = tmp_path / "second", tmp_path / "machine"
    second.write_text(MINE.line("web2"))
    machine.write_text(MINE.line("web3"))
    path.write_text("")
    hosts = HostKeyFiles().known([str(path), str(second)], [str(machine), str(tmp_path / "no")])

    for name in ("web1", "web2", "web3"):
        hosts.check(name, 22, MINE, NEW)

    assert [line.split()[0] for line in path.read_text().splitlines()] == ["web1"]
    assert f"`ssh-keygen -R web3 -f {machine}`" in refusal(hosts, "web3", OTHER)


def test_without_a_file_of_the_user_nothing_can_be_new(tmp_path: Path) -> None:
    hosts = HostKeyFiles().known([], [str(tmp_path / "no")])

    for policy in (STRICT, NEW):
        assert "there is no file of known hosts to add it to" in refusal(
            hosts, "web1", policy=policy
        )


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    hosts = HostKeyFiles().known([f"{tmp_path}/no/such/directory"], [])

    said = refusal(hosts, "web1", policy=NEW)
    assert said.endswith(
        f"is new, but cannot be added to {tmp_path}/no/such/directory: No such file or directory; "
        "see to that, or give --host-key off"
    )


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    hosts = HostKeyFiles().known([str(tmp_path)], [])

    assert refusal(hosts, "web1").startswith(f"known host keys cannot be read: {tmp_path}: ")


def test_algorithms_are_those_of_the_known_keys(path: Path) -> None:
    ecdsa = Key(b"ecdsa", "ecdsa-sha2-nistp256")
    hosts = known(
        path,
        RSA.line("web1")
        + MINE.line("hashed web1")
        + OTHER.line("web1")
        + "@revoked "
        + ecdsa.line("web1")
        + ecdsa.line("web2"),
    )

    assert hosts.algorithms_for("web1", 22) == ("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519")
    assert hosts.algorithms_for("WEB2", 2222) == ("ecdsa-sha2-nistp256",)
    assert hosts.algorithms_for("web3", 22) == ()


@pytest.mark.parametrize(
    "line",
    [
        "web1",
        "web1 ssh-ed25519",
        "web1 ssh-ed25519 ???",
        "@revoked web1 ssh-ed25519",
        "web1 1024 35 1234567",
        "|1|a|b|c ssh-ed25519 bWluZQ==",
        "\udcff\udcfe \udcff \udcff",
    ],
)
def test_lines_that_make_no_sense_are_passed_over(path: Path, line: str) -> None:
    path.write_bytes(f"{line}\n{MINE.line('web2')}".encode("utf-8", "surrogateescape"))
    hosts = HostKeyFiles().known([str(path)], [])

    hosts.check("web2", 22, MINE, STRICT)
    assert "is not known" in refusal(hosts, "web1", policy=STRICT)
