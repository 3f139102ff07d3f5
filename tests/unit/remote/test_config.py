"""Who wins among command line, inventory and files; what is ignored, and said so once."""

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from batchrun.errors import UnreachableError, UsageError
from batchrun.model.host import Host
from batchrun.remote.config import SshConfig, SshSettings
from batchrun.remote.hostkeys import HostKeyPolicy
from batchrun.remote.jump import hop_host
from batchrun.remote.sshconfig.tokens import Local


def local(home: Path | str = "/home/ann", environ: Mapping[str, str] | None = None) -> Local:
    return Local(
        user="ann", uid=1000, home=str(home), hostname="here.example", environ=environ or {}
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config"


def loaded(
    path: Path, text: str, *options: str, environ: Mapping[str, str] | None = None
) -> SshConfig:
    path.write_text(text)
    return SshConfig.load(file=str(path), options=options, local=local(environ=environ))


def settings(path: Path, text: str, host: Host | None = None, *options: str) -> SshSettings:
    return loaded(path, text, *options).settings_for(host or Host(name="web1"))


def test_without_anything_the_defaults_are_those_of_openssh() -> None:
    found = SshConfig.load(file="none", local=local()).settings_for(Host(name="Web1"))

    assert found == SshSettings(
        hostname="web1",
        port=22,
        user="ann",
        identity_files=(
            "/home/ann/.ssh/id_rsa",
            "/home/ann/.ssh/id_ecdsa",
            "/home/ann/.ssh/id_ed25519",
        ),
        certificate_files=(),
        identities_only=False,
        agent="",
        proxy_jump=(),
        proxy_command="",
        connect_timeout_s=None,
        alive_interval_s=0,
        alive_count=3,
        known_hosts=("/home/ann/.ssh/known_hosts", "/home/ann/.ssh/known_hosts2"),
        global_known_hosts=("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"),
        strict=HostKeyPolicy.STRICT,
        host_key_alias="",
        hash_known_hosts=False,
        ciphers=(),
        kex=(),
        macs=(),
        host_key_algorithms=(),
        address_family=socket.AF_UNSPEC,
        bind_address="",
    )


def test_what_the_inventory_says_wins_over_the_files(path: Path) -> None:
    text = """
        HostName a.example
        Port 1
        User bob
        IdentityFile /of-file
        ProxyJump of-file
        BindAddress 127.0.0.1
    """
    host = Host(
        name="web1",
        address="10.0.0.7",
        port=2222,
        user="carl",
        identity=("~/one", "/two-%r"),
        jump="b1,dora@b2:23",
    )

    found = settings(path, text, host)

    assert (found.hostname, found.port, found.user) == ("10.0.0.7", 2222, "carl")
    assert found.identity_files == ("/home/ann/one", "/two-carl")
    assert found.proxy_jump == ("b1", "dora@b2:23")
    assert found.bind_address == "127.0.0.1"


def test_the_inventory_can_do_without_a_jump_host(path: Path) -> None:
    assert settings(path, "ProxyJump b1", Host(name="web1", jump="none")).proxy_jump == ()


def test_options_of_the_command_line_win_over_the_inventory(path: Path) -> None:
    host = Host(name="web1", address="10.0.0.7", port=2222, user="carl")

    found = settings(path, "", host, "Port=23", "User=dora", "HostName=b.example")

    assert (found.hostname, found.port, found.user) == ("b.example", 23, "dora")


def test_user_and_host_key_policy_of_the_command_line_win_over_all(path: Path) -> None:
    path.write_text("User bob\nStrictHostKeyChecking no\n")
    config = SshConfig.load(
        file=str(path),
        options=["User=dora", "StrictHostKeyChecking=accept-new"],
        user="emil",
        host_key=HostKeyPolicy.STRICT,
        local=local(),
    )

    found = config.settings_for(Host(name="web1", user="carl"))

    assert (found.user, found.strict) == ("emil", HostKeyPolicy.STRICT)


def test_conditions_see_what_the_inventory_says(path: Path) -> None:
    text = "Match user carl host 10.*\nPort 7\nMatch originalhost web1\nBindAddress ::1\n"

    found = settings(path, text, Host(name="web1", address="10.0.0.7", user="carl"))

    assert (found.port, found.bind_address) == (7, "::1")


def test_a_percent_sign_of_an_address_is_itself(path: Path) -> None:
    assert settings(path, "", Host(name="web1", address="a%b")).hostname == "a%b"


@pytest.mark.parametrize(
    ("said", "agent"),
    [
        ("", "/of-environment"),
        ("IdentityAgent SSH_AUTH_SOCK", "/of-environment"),
        ("IdentityAgent none", ""),
        ("IdentityAgent /mine-%r", "/mine-ann"),
        ("IdentityAgent ~/agent", "/home/ann/agent"),
        ("IdentityAgent $OTHER", "/other"),
        ("IdentityAgent ${OTHER}/agent", "/other/agent"),
        ("IdentityAgent $MISSING", ""),
    ],
)
def test_the_agent_is_the_one_that_is_named(path: Path, said: str, agent: str) -> None:
    environ = {"SSH_AUTH_SOCK": "/of-environment", "OTHER": "/other"}

    assert loaded(path, said, environ=environ).settings_for(Host(name="web1")).agent == agent


def test_jump_hosts_may_depend_on_the_host(path: Path) -> None:
    text = "HostName %h.example\nProxyJump b-%n,ann@%h\n"

    assert settings(path, text).proxy_jump == ("b-web1", "ann@web1.example")


@pytest.mark.parametrize(
    ("hop", "user", "name", "port"),
    [
        ("b1", "", "b1", None),
        ("ann@b1", "ann", "b1", None),
        ("ann@corp@b1:23", "ann@corp", "b1", 23),
        ("[::1]:23", "", "::1", 23),
        ("ann@[::1]", "ann", "::1", None),
        ("ssh://b1", "", "b1", None),
        ("ssh://a%40b@b1:23/", "a@b", "b1", 23),
    ],
)
def test_a_hop_is_a_host_with_settings_of_its_own(
    hop: str, user: str, name: str, port: int | None
) -> None:
    assert hop_host(hop) == Host(name=name, user=user, port=port)


@pytest.mark.parametrize(
    "hop", ["", "@b1", "ann@", "b1:", "b1:0", "b1:65536", "b1:x", "a b", "::1"]
)
def test_a_hop_that_cannot_be_read_is_refused(hop: str) -> None:
    with pytest.raises(ValueError, match="is no "):
        hop_host(hop)


@pytest.mark.parametrize(
    "text",
    [
        "IdentityFile /%z",
        "IdentityFile ${MISSING}",
        "IdentityFile ~nobody-of-that-name/x",
        "HostName %p",
        "ProxyCommand nc %d",
        "UserKnownHostsFile /%",
    ],
)
def test_what_makes_no_sense_for_a_host_makes_that_host_unreachable(path: Path, text: str) -> None:
    with pytest.raises(UnreachableError, match=r"^the SSH configuration of web1 m") as caught:
        settings(path, text)

    assert not caught.value.retryable


def test_an_ignored_option_is_said_once_and_only_where_it_holds(path: Path) -> None:
    text = """Host web*
        ForwardAgent yes
        ControlPath ~/%C
    Host db1
        Compression yes
    Host *
        forwardagent yes
        SecretThing 7
    """
    config = loaded(path, text)
    assert config.ignored_options() == []

    config.settings_for(Host(name="web1"))
    shared = "connections are kept open and shared for the whole run anyway"
    assert config.ignored_options() == [
        f"{path}:2: ForwardAgent is ignored: nothing is forwarded",
        f"{path}:3: ControlPath is ignored: {shared}",
        f"{path}:8: SecretThing is ignored: it is not known here",
    ]

    config.settings_for(Host(name="web2"))
    assert config.ignored_options() == []
    config.settings_for(Host(name="db1"))
    assert config.ignored_options() == [f"{path}:5: Compression is ignored: nothing is compressed"]


@pytest.mark.parametrize(
    "text",
    [
        "ForwardAgent no",
        "ForwardX11 no",
        "ControlMaster no",
        "ControlPath none",
        "GSSAPIAuthentication no",
        "VerifyHostKeyDNS no",
        "PasswordAuthentication yes",
        "LogLevel DEBUG",
        "BatchMode yes",
        "VisualHostKey yes",
        "IgnoreUnknown Secret*\nSecretThing 7",
        "Host db1\nForwardAgent yes",
    ],
)
def test_nothing_is_said_where_nothing_is_lost(path: Path, text: str) -> None:
    config = loaded(path, text)
    config.settings_for(Host(name="web1"))

    assert config.ignored_options() == []


@pytest.mark.parametrize(
    "text",
    [
        "GSSAPIAuthentication yes",
        "PKCS11Provider /lib/p11.so",
        "SecurityKeyProvider /lib/sk.so",
        "VerifyHostKeyDNS yes",
        "RekeyLimit 1G",
        "CanonicalizeHostname yes",
        "LocalForward 1 a:2",
        "RevokedHostKeys /revoked",
        "KnownHostsCommand /bin/keys",
        "PubkeyAuthentication no",
        "SetEnv A=b",
        "SendEnv LANG",
    ],
)
def test_what_must_be_ignored_is_said(path: Path, text: str) -> None:
    keyword = text.split(maxsplit=1)[0]
    config = loaded(path, text)
    config.settings_for(Host(name="web1"))

    (said,) = config.ignored_options()
    assert said.startswith(f"{path}:1: {keyword} is ignored: ")
    (by_option,) = SshConfig.load(file="none", options=[text], local=local()).ignored_options()
    assert by_option.startswith(f"-o {text}: {keyword} is ignored: ")


@pytest.mark.parametrize("criterion", ["localnetwork 10.0.0.0/8", "!version OpenSSH_10*"])
def test_a_criterion_that_is_not_known_never_holds_and_is_said(path: Path, criterion: str) -> None:
    config = loaded(path, f"Match originalhost web1 {criterion}\nPort 7\n")

    assert config.settings_for(Host(name="web1")).port == 22
    (said,) = config.ignored_options()
    assert said.startswith(
        f"{path}:1: Match {criterion.split(maxsplit=1)[0].lstrip('!')} is not known here"
    )


def test_a_tag_can_be_asked_for(path: Path) -> None:
    text = "Host web1\nTag far\nMatch tagged far,near\nPort 7\n"

    assert settings(path, text).port == 7
    assert settings(path, text, Host(name="db1")).port == 22


def test_a_file_that_was_asked_for_must_be_there(path: Path) -> None:
    with pytest.raises(UsageError, match=f"^-F {path}: there is no such file$"):
        SshConfig.load(file=str(path), local=local())


def test_the_files_of_the_user_need_not_be_there(tmp_path: Path) -> None:
    assert SshConfig.load(local=local(tmp_path)).settings_for(Host(name="web1")).port == 22


def test_a_slip_in_an_option_is_recognised() -> None:
    with pytest.raises(UsageError, match="there is no option ProxyJmup; did you mean proxyjump"):
        SshConfig.load(file="none", options=["ProxyJmup=b1"], local=local())


def test_later_words_of_the_same_file_do_not_change_what_was_read(path: Path) -> None:
    config = loaded(path, "Port 7\n")
    path.write_text("Port 8\n")

    assert [config.settings_for(Host(name=name)).port for name in ("web1", "web2")] == [7, 7]
