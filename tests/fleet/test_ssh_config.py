"""The settings of a host are those that `ssh -G` says, whatever the configuration looks like."""

import os
import pwd
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import UnreachableError, UsageError
from batchrun.model.host import Host
from batchrun.remote.algorithms import assembled
from batchrun.remote.config import SshConfig, SshSettings
from batchrun.remote.jump import hop_host
from batchrun.remote.sshconfig.tokens import Local
from program import as_ordinary_user
from sudo_users import person
from support import processes_with_environ, wait_until

pytestmark = pytest.mark.timeout(60)

FAMILIES = {0: "any", 2: "inet", 10: "inet6"}
POLICIES = {
    "ask": "strict",
    "true": "strict",
    "yes": "strict",
    "accept-new": "accept-new",
    "off": "off",
    "false": "off",
    "no": "off",
}
#: Keys that ssh looks for by itself, and that are of no use here.
UNUSABLE = re.compile(r"/\.ssh/id_(ecdsa_sk|ed25519_sk|xmss|dsa|mldsa44_ed25519)$")


def own_home() -> str:
    return pwd.getpwuid(os.getuid()).pw_dir


def said(words: Sequence[str], before: Sequence[str] = ()) -> dict[str, list[str]]:
    """What `ssh -G` says, by keyword."""
    command = [*before, "ssh", "-G", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, list[str]] = defaultdict(list)
    for line in ended.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        found[keyword.lower()].append(value)
    return found


def refused_by_ssh(*words: str) -> bool:
    command = ["ssh", "-G", *words, "a"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 255


def paths(found: Mapping[str, list[str]], keyword: str, home: str) -> list[str]:
    listed = [re.sub("^~(?=/)", home, path) for path in found.get(keyword, [])]
    return [path for path in listed if path != "none" and not UNUSABLE.search(path)]


def by_ssh(found: Mapping[str, list[str]], home: str) -> dict[str, Any]:
    """What `ssh -G` says, as our settings have it."""

    def one(keyword: str, empty: str = "none") -> str:
        value = found.get(keyword, [""])[0]
        return "" if value == empty else value

    return {
        "hostname": one("hostname"),
        "port": int(one("port")),
        "user": one("user"),
        "identity_files": paths(found, "identityfile", home),
        "certificate_files": paths(found, "certificatefile", home),
        "identities_only": one("identitiesonly") == "yes",
        "proxy_jump": hops(one("proxyjump")),
        "proxy_command": one("proxycommand"),
        "connect_timeout_s": int(one("connecttimeout")) if one("connecttimeout") else None,
        "alive_interval_s": int(one("serveraliveinterval")),
        "alive_count": int(one("serveralivecountmax")),
        "known_hosts": one("userknownhostsfile").split(),
        "global_known_hosts": one("globalknownhostsfile").split(),
        "strict": POLICIES[one("stricthostkeychecking")],
        "host_key_alias": one("hostkeyalias"),
        "hash_known_hosts": one("hashknownhosts") == "yes",
        "address_family": one("addressfamily"),
        "bind_address": one("bindaddress"),
    }


def by_us(settings: SshSettings) -> dict[str, Any]:
    return {
        "hostname": settings.hostname,
        "port": settings.port,
        "user": settings.user,
        "identity_files": list(settings.identity_files),
        "certificate_files": list(settings.certificate_files),
        "identities_only": settings.identities_only,
        "proxy_jump": hops(",".join(settings.proxy_jump)),
        "proxy_command": settings.proxy_command,
        "connect_timeout_s": settings.connect_timeout_s,
        "alive_interval_s": settings.alive_interval_s,
        "alive_count": settings.alive_count,
        "known_hosts": list(settings.known_hosts),
        "global_known_hosts": list(settings.global_known_hosts),
        "strict": str(settings.strict),
        "host_key_alias": settings.host_key_alias,
        "hash_known_hosts": settings.hash_known_hosts,
        "address_family": FAMILIES[settings.address_family],
        "bind_address": settings.bind_address,
    }


def hops(text: str) -> list[tuple[str, str, int | None]]:
    found = [hop_host(hop) for hop in text.split(",") if hop]
    return [(host.user, host.name, host.port) for host in found]


#: Configurations, each with the hosts that are asked for.
CASES: dict[str, tuple[str, str]] = {
    "nothing": ("", "web1 127.0.0.1 WEB1 127.1 ::1 0:0::1 a..b Grün 1.2.3"),
    "first value wins": (
        """
        Host web1
            Port 1
            Port 2
            User ann
        Host web*
            Port 3
            User bob
            BindAddress 127.0.0.1
        Host *
            Port 4
            User carl
        """,
        "web1 web2 db1 WEB1",
    ),
    "before any Host": ("Port 7\nUser ann\nHost web1\nPort 8\n", "web1 web2"),
    "negations": (
        """
        Host web* !web2 !web3*
            Port 1
        Host !web2
            Port 2
        Host * !*
            Port 3
        Host web2 web2 *.example
            Port 4
        """,
        "web1 web2 web3 web31 a.example b",
    ),
    "patterns are not of the shell": (
        "Host web[12]\nPort 1\nHost w?b1 ?\nPort 2\nHost a\\*b\nPort 3\n",
        "web1 web2 web[12] x aab a*b",
    ),
    "ways to write a line": (
        """
  port   =  7
User="ann"
IdentityFile "~/.ssh/a key"
\tBindAddress\t127.0.0.1 \t
HOSTNAME=a.example # comment
IdentityFile=~/.ssh/b\\ c
hostkeyalias 'al ias'
# comment
   # comment
ConnectTimeout = 10\r
""",
        "web1",
    ),
    "hash signs": ("User ann#1\nHostKeyAlias al # comment\nBindAddress #\n", ""),
    "quoted keyword": ('"Port" 7\n', "web1"),
    "keyword with a quote in it": ('User"ann"\n', ""),
    "quoted hosts": ('Host "web1" \'web2\'\nPort 7\nHost a" b"\nPort 8\n', "web1 web2"),
    "host names": (
        """
        Host short
            HostName %h.Example.COM
        Host percent
            HostName a%%b
        Host number
            HostName 127.2
        Host six
            HostName 0::0:1
        HostName %h
        """,
        "short percent number six Other",
    ),
    "identities": (
        """
        Host web1
            IdentityFile ~/.ssh/one
            IdentityFile /two
            IdentityFile ~/.ssh/one
            CertificateFile ~/.ssh/one-cert.pub
            CertificateFile /other
        Host web*
            IdentityFile /three
            IdentitiesOnly yes
            CertificateFile /other
        Host bare
            IdentityFile none
            IdentitiesOnly true
        """,
        "web1 web2 db1 bare",
    ),
    "times": (
        """
        Host a
            ConnectTimeout 1m30s
            ServerAliveInterval 2H
            ServerAliveCountMax 7
        Host b
            ConnectTimeout none
            ServerAliveInterval 0
        Host *
            ConnectTimeout 1d
            ServerAliveInterval 10s5
        """,
        "a b c",
    ),
    "known hosts": (
        """
        Host a
            UserKnownHostsFile ~/.ssh/one /two /three
            GlobalKnownHostsFile /four /five
        Host b
            UserKnownHostsFile none
            GlobalKnownHostsFile none
        Host c
            UserKnownHostsFile ~/.ssh/%h-%p-%r-%n-%%-${BRT_WORD}
            Port 7
        Host a b
            UserKnownHostsFile /six
            HashKnownHosts yes
        Host *
            HashKnownHosts no
        """,
        "a b c d",
    ),
    "strictness": (
        """
        Host a
            StrictHostKeyChecking yes
        Host b
            StrictHostKeyChecking Accept-New
        Host c
            StrictHostKeyChecking no
        Host d
            StrictHostKeyChecking off
        Host e
            StrictHostKeyChecking ask
        Host *
            StrictHostKeyChecking accept-new
            HostKeyAlias Alias
        """,
        "a b c d e f",
    ),
    "families": (
        "Host a\nAddressFamily inet\nHost b\nAddressFamily INET6\nHost *\nAddressFamily any\n",
        "a b c",
    ),
    "jumps": (
        """
        Host a
            ProxyJump b1
        Host b
            ProxyJump ann@b1:2222,ssh://bob@b2:22,[::1]:7 # comment
        Host c
            ProxyJump none
        Host d
            ProxyCommand none
        Host e
            ProxyCommand nc somewhere 22
        Host f
            ProxyJump b1
            ProxyCommand nc somewhere 22
        Host g
            ProxyCommand = nc somewhere 22
            ProxyJump b1
        Host *
            ProxyJump last
        Host *
            ProxyCommand "the command" 'of all' # no comment
        """,
        "a b c d e f g h",
    ),
    "port by name": ("Port ssh\n", "a"),
    "match": (
        """
        Host alias
            HostName real.example
            User ann
        Match host real.example
            Port 1
        Match originalhost alias,other
            BindAddress 127.0.0.1
        Match user ann,!bob
            HostKeyAlias of-ann
        Match !user ann
            HostKeyAlias of-another
        Match host *.EXAMPLE,!b.* originalhost a*
            ConnectTimeout 7
        Match all
            ServerAliveInterval 9
        Match !all
            ServerAliveInterval 8
        """,
        "alias other real.example b.example A.example",
    ),
    "match by user so far": (
        """
        Match user late
            Port 1
        Host *
            User late
        Match user late
            Port 2
        Match localuser BRT_USER
            ConnectTimeout 3
        """,
        "a",
    ),
    "match final": (
        """
        Host short
            HostName short.example
        Host short.example
            User of-the-second-reading
            Port 3
        Match final host *.example
            Port 2
            IdentityFile /final
        Match !final
            ConnectTimeout 1
        Match final all
            ConnectTimeout 2
            BindAddress 127.0.0.1
        IdentityFile /each
        Match canonical
            ServerAliveInterval 1
        """,
        "short other short.example",
    ),
    "no final": ("Match canonical\nPort 1\nMatch !canonical\nPort 2\n", "a"),
    "match with quotes and signs": (
        """
        Match host="web1" user="*"
            Port 1
        Match Host = "web2,web3"
            Port 2
        Match all # comment
            User ann
        """,
        "web1 web2 web3",
    ),
    "match exec": (
        """
        Match exec "test %n = web1"
            Port 1
        Match !exec "test %n = web1" exec "true"
            Port 2
        Match originalhost nobody exec "touch BRT_DIR/must-not-be"
            Port 3
        Match exec "test '%h %p %r %n' = 'web2 2 BRT_USER web2'"
            ConnectTimeout 4
        Match exec "test '%u %d %i %L' = 'BRT_USER BRT_HOME BRT_UID BRT_SHORT'"
            ServerAliveInterval 5
        Match exec "test %k%% = web1%%" exec "exit 0" !exec "exit 3"
            BindAddress 127.0.0.1
        """,
        "web1 web2",
    ),
    "include": (
        """
        Host web1
            Include BRT_DIR/one BRT_DIR/several/* BRT_DIR/missing
            ConnectTimeout 7
        Port 99
        Include BRT_DIR/several/b*
        Host *
            User last
        """,
        "web1 web2 db1 b",
    ),
    "include keeps the state": (
        "Host web1\nPort 1\nInclude BRT_DIR/switch\nUser ann\nHost db1\nUser bob\n",
        "web1 web2 db1",
    ),
    "ignored": (
        """
        IgnoreUnknown Fancy*,other
        FancyThing yes
        Other a b c
        Port 7
        ForwardAgent yes
        SendEnv LANG LC_*
        ControlMaster auto
        ControlPath ~/.ssh/%C
        LocalForward 1 a:2
        """,
        "a",
    ),
    "form feed": ("Port 7\f\n", "a"),
    "no last line end": ("Host a\nPort 7", "a b"),
    "of windows": ("Host a\r\n\tPort 7\r\n\r\nHost b\r\n  User ann\r\n", "a b"),
}
INCLUDED = {
    "one": "Port 1\nHost db1\nPort 2\nUser of-one\n",
    "several/a": "IdentityFile /a\nMatch host web*\nIdentityFile /a2\n",
    "several/b": "Host b\nPort 5\nHost *\nIdentityFile /b\nInclude BRT_DIR/deep\n",
    "several/.hidden": "IdentityFile /hidden\n",
    "deep": "IdentityFile /deep\n",
    "switch": "Host web2\nPort 2\n",
}


def filled(text: str, directory: Path) -> str:
    local = Local.of_this_process()
    words = {
        "BRT_DIR": str(directory),
        "BRT_USER": local.user,
        "BRT_HOME": local.home,
        "BRT_UID": str(local.uid),
        "BRT_SHORT": local.hostname.partition(".")[0],
        "BRT_HOST": local.hostname,
    }
    return re.sub("BRT_(?!WORD)[A-Z]+", lambda found: words[found[0]], text)


def written(directory: Path, text: str) -> Path:
    for name, included in INCLUDED.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(filled(included, directory))
    config = directory / "config"
    config.write_text(filled(text, directory), newline="")
    return config


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_means_what_it_means_to_ssh(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRT_WORD", "of-the-environment")
    text, hosts = CASES[name]
    path = written(tmp_path, text)
    if not hosts:
        with pytest.raises(UsageError):
            SshConfig.load(file=str(path))
        assert refused_by_ssh("-F", str(path))
        return
    config = SshConfig.load(file=str(path))

    for host in hosts.split():
        expected = by_ssh(said(["-F", str(path), host]), own_home())
        assert by_us(config.settings_for(Host(name=host))) == expected, host
    assert not (tmp_path / "must-not-be").exists()


@pytest.mark.parametrize(
    "text",
    [
        "Port 0",
        "Port 65536",
        "Port",
        "Port many",
        "Port 1 2",
        "User 'ann",
        'User "ann',
        "IdentitiesOnly maybe",
        "StrictHostKeyChecking sometimes",
        "AddressFamily inet7",
        "ConnectTimeout soon",
        "ConnectTimeout 10x",
        "ServerAliveCountMax x",
        "UserKnownHostsFile none /a",
        "ProxyJump a:x",
        "ProxyJump @b",
        "ProxyCommand nc 'a",
        "Host",
        "Host ''",
        "Match",
        "Match host",
        "Match hots a",
        "Match all host a",
        "Match host a user b all",
        "Host b\nPort x",
        "Match exec",
        "Include",
        "HostName",
    ],
)
def test_what_ssh_refuses_is_refused_with_its_place(text: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"# first line\n{text}\n")
    assert refused_by_ssh("-F", str(config))

    with pytest.raises(UsageError, match=rf"^{config}:{2 + text.count(chr(10))}: "):
        SshConfig.load(file=str(config))


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"Include {config}\n")
    assert refused_by_ssh("-F", str(config))

    with pytest.raises(UsageError, match="nested too deeply"):
        SshConfig.load(file=str(config))


@pytest.mark.parametrize(
    "options",
    [
        ["Port=7", "Port=8"],
        ["User ann"],
        ["  HostName = b.example "],
        ["ProxyJump=b1,b2"],
        ["ProxyJump=none"],
        ["IdentityFile=/first", "IdentitiesOnly=yes", "IdentityFile=~/second"],
        ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"],
        ["ConnectTimeout=5"],
    ],
)
def test_options_mean_what_they_mean_to_ssh(options: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host web1\nHostName a.example\nPort 1\nUser bob\nIdentityFile /of-file\n"
        "Match user ann\nBindAddress 127.0.0.1\nMatch host b.example\nConnectTimeout 3\n"
        "Host *\nProxyJump of-file\n"
    )
    words = [word for option in options for word in ("-o", option)]

    settings = SshConfig.load(file=str(config), options=options).settings_for(Host(name="web1"))

    assert by_us(settings) == by_ssh(said(["-F", str(config), *words, "web1"]), own_home())


@pytest.mark.parametrize("option", ["Prot=7", "Port", "Port=x", "Host=a", "Include=/a", "=", ""])
def test_a_wrong_option_is_refused(option: str) -> None:
    assert refused_by_ssh("-F", "none", "-o", option) or option in ("=", "")
    with pytest.raises(UsageError, match=f"^-o {option}: "):
        SshConfig.load(file="none", options=[option])


def test_the_user_of_the_command_line_wins_over_all(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("User bob\nMatch user ann\nPort 7\n")
    loaded = SshConfig.load(file=str(config), options=["User=carl"], user="ann")

    settings = loaded.settings_for(Host(name="web1", user="dora"))

    assert (settings.user, settings.port) == ("ann", 7)
    assert by_us(settings) == by_ssh(
        said(["-F", str(config), "-l", "ann", "-o", "User=carl", "web1"]), own_home()
    )


def test_keys_have_the_names_that_ssh_looks_for(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host web1\n HostName a.example\n User ann\n HostKeyAlias Al\n"
        "IdentityFile ~/.ssh/%h-%n-%r-%p-%u-%i-%L-%l-%k-%%\nIdentityFile %d/${BRT_WORD}\n"
        "IdentityFile none\nIdentityFile ~root/key\nIdentityFile relative\nIdentityFile /a-%C\n"
        "CertificateFile ~/%h-cert\n"
    )
    environ = {**os.environ, "BRT_WORD": "of the environment"}
    ended = subprocess.run(
        ["ssh", "-v", "-F", config, "-o", "ProxyCommand=false", "web1"],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    looked_for = re.findall(r"identity file (.*) type -?\d+", ended.stderr)
    local = Local.of_this_process()
    local = Local(
        user=local.user, uid=local.uid, home=local.home, hostname=local.hostname, environ=environ
    )

    settings = SshConfig.load(file=str(config), local=local).settings_for(Host(name="web1"))

    plain = [path for path in looked_for if not path.endswith("-cert")]
    assert list(settings.identity_files) == plain
    assert settings.certificate_files == (f"{local.home}/a.example-cert",)


def test_a_proxy_command_is_what_ssh_runs(tmp_path: Path) -> None:
    config, seen = tmp_path / "config", tmp_path / "seen"
    config.write_text(
        f"Host web1\n HostName A.example\n User ann\n Port 7\n"
        f"ProxyCommand printf '%%s\\n' \"%h|%n|%p|%r|%%|$HOME|~\" 'a # b' | tee {seen}\n"
    )
    subprocess.run(["ssh", "-F", config, "web1"], capture_output=True, check=False)
    by_them = seen.read_text()
    seen.unlink()

    settings = SshConfig.load(file=str(config)).settings_for(Host(name="web1"))
    subprocess.run(settings.proxy_command, shell=True, check=True)

    assert seen.read_text() == by_them
    assert "a.example|web1|7|ann|%|" in by_them


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        ("cipher", "Ciphers"),
        ("kex", "KexAlgorithms"),
        ("mac", "MACs"),
        ("key-sig", "HostKeyAlgorithms"),
    ],
)
@pytest.mark.parametrize("sign", ["", "+", "-", "^"])
def test_algorithms_are_put_together_as_ssh_does(kind: str, keyword: str, sign: str) -> None:
    def queried(what: str) -> list[str]:
        ended = subprocess.run(["ssh", "-Q", what], capture_output=True, text=True, check=True)
        return ended.stdout.split()

    # Plain key types sign too; -Q has names of signatures without them.
    supported = list(dict.fromkeys(queried(kind) + (queried("key") if kind == "key-sig" else [])))
    preferred = said(["-F", "none", "a"])[keyword.lower()][0].split(",")
    wanted = f"{sign}{preferred[-1]},{supported[0]},{preferred[2]}"
    expected = said(["-F", "none", "-o", f"{keyword}={wanted}", "a"])[keyword.lower()][0]

    settings = SshConfig.load(file="none", options=[f"{keyword}={wanted}"]).settings_for(
        Host(name="a")
    )

    fields = {
        "Ciphers": settings.ciphers,
        "KexAlgorithms": settings.kex,
        "MACs": settings.macs,
        "HostKeyAlgorithms": settings.host_key_algorithms,
    }
    assert list(assembled(fields[keyword], preferred, supported)) == expected.split(",")


def test_the_files_of_the_user_and_of_the_machine_are_read() -> None:
    with person() as user:
        directory = user.dir / ".ssh"
        directory.mkdir()
        (directory / "config").write_text("Include more\nHost web1\nUser bob\nSendEnv X\n")
        (directory / "more").write_text("Port 7\nIdentityFile ~/.ssh/mine\n")
        local = Local(user=user.name, uid=user.uid, home=str(user.dir), hostname="here", environ={})
        found = said(["web1"], before=(*as_ordinary_user(user.uid), "env", "-u", "HOME"))

        settings = SshConfig.load(local=local).settings_for(Host(name="web1"))

        assert by_us(settings) == by_ssh(found, str(user.dir))
        assert settings.port == 7


@pytest.mark.parametrize("name", ["config", "more"])
def test_a_file_that_others_may_write_to_is_refused(name: str) -> None:
    with person() as user:
        directory = user.dir / ".ssh"
        directory.mkdir()
        (directory / "config").write_text("Include more\n")
        (directory / "more").write_text("Port 7\n")
        (directory / name).chmod(0o666)
        ended = subprocess.run(
            [*as_ordinary_user(user.uid), "env", "-u", "HOME", "ssh", "-G", "web1"],
            capture_output=True,
            check=False,
        )
        local = Local(user=user.name, uid=user.uid, home=str(user.dir), hostname="here", environ={})

        assert b"Bad owner or permissions" in ended.stderr
        with pytest.raises(UsageError, match="others may write to it"):
            SshConfig.load(local=local)


def test_a_command_that_does_not_end_makes_the_host_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = f"BRT_MARKER={tmp_path}"
    monkeypatch.setenv(*marker.split("="))
    monkeypatch.setattr("batchrun.remote.sshconfig.conditions._EXEC_S", 0.5)
    config = tmp_path / "config"
    config.write_text('Match exec "sleep 1000; true"\nPort 7\n')

    with pytest.raises(UnreachableError, match=r"did not end within 0\.5 s") as caught:
        SshConfig.load(file=str(config)).settings_for(Host(name="web1"))

    assert caught.value.retryable
    wait_until(lambda: not processes_with_environ(marker), 10, "nothing is left of it")


def test_the_same_command_is_run_once(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f'Match exec "echo >> {tmp_path}/same"\nPort 7\nMatch exec "echo %n >> {tmp_path}/each"\n'
    )
    loaded = SshConfig.load(file=str(config))
    for name in ("web1", "web2", "web1"):
        loaded.settings_for(Host(name=name))

    assert (tmp_path / "same").read_text() == "\n"
    assert (tmp_path / "each").read_text() == "web1\nweb2\n"
