"""The chores in jobs/ that are for hosts, run on real ones: every address of 127.0.0.0/8 is one."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Ended, Program
from sshd import Sshd

pytestmark = pytest.mark.timeout(120)

_HOSTS = "127.3.0.[1-6]"


class Chore:
    """One job file on hosts, with the variables that it is given."""

    def __init__(self, program: Program, server: Sshd, file: Path, **given: object) -> None:
        self._program = program
        self._env = {"BATCHRUN_SSH_CONFIG": str(server.ssh_config)}
        self._file = file
        self._given = {"targets": _HOSTS, **given}

    def run(self, *more: str, **given: object) -> Ended:
        """Run it, with a document on standard output."""
        pairs = (self._given | given).items()
        words = [word for name, value in pairs for word in ("-e", f"{name}={value}")]
        return self._program.run(str(self._file), *words, *more, "--output", "json", env=self._env)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "work"
    directory.mkdir()
    with Program(directory) as program:
        yield program


def tool(directory: Path, name: str, text: str) -> str:
    """Make a program; return the word that starts it."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))


class Service:
    """What hosts and their balancer are told to do, in order."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "service.log"
        log = shlex.quote(str(self._log))
        say = f'echo "$@" >> {log}'
        self.balancer = tool(directory, "lbctl", say)
        self.control = tool(
            directory, "control", f'{say} "$BATCHRUN_HOST"; test ! -e {log}.bad-$BATCHRUN_HOST'
        )

    def breaks_on(self, host: str) -> None:
        """Have every order to this host fail from now on."""
        Path(f"{self._log}.bad-{host}").touch()

    def told(self) -> list[str]:
        """Everything so far, as `VERB HOST`."""
        return self._log.read_text().splitlines() if self._log.exists() else []


def rolling(root: Path, program: Program, sshd: Sshd, service: Service) -> Chore:
    return Chore(
        program,
        sshd,
        root / "jobs/rolling-restart.yml",
        balancer="127.3.9.9",
        drain=f"{service.balancer} drain",
        undrain=f"{service.balancer} undrain",
        restart=f"{service.control} restart",
        check="true",
        port=sshd.port,
    )


# ---- rolling restart --------------------------------------------------------------------------


def test_a_rehearsed_restart_drains_nobody(root: Path, program: Program, sshd: Sshd) -> None:
    service = Service(program.dir)
    ended = rolling(root, program, sshd, service).run("--dry-run")
    assert ended.code == 0, ended.err
    assert service.told() == []


def test_hosts_are_drained_restarted_and_undrained_wave_by_wave(
    root: Path, program: Program, sshd: Sshd
) -> None:
    service = Service(program.dir)
    ended = rolling(root, program, sshd, service).run()
    assert (ended.code, ended.counts["ok"]) == (0, 6), ended.err
    told = service.told()
    for at in range(1, 7):
        mine = [line for line in told if line.endswith(f" 127.3.0.{at}")]
        assert [line.split()[0] for line in mine] == ["drain", "restart", "undrain"]
    assert told[:3] == ["drain 127.3.0.1", "restart 127.3.0.1", "undrain 127.3.0.1"]
    assert {line.split()[1] for line in told[3:6]} == {"127.3.0.2"}


def test_a_canary_that_fails_stops_the_waves_and_stays_drained(
    root: Path, program: Program, sshd: Sshd
) -> None:
    service = Service(program.dir)
    service.breaks_on("127.3.0.1")
    ended = rolling(root, program, sshd, service).run()
    assert ended.code == 5
    # Of the waves that never began one unit was planned.
    assert (ended.counts["failed"], ended.counts["aborted"]) == (1, 1)
    assert service.told() == ["drain 127.3.0.1", "restart 127.3.0.1"]


def test_a_host_that_is_down_is_never_drained(root: Path, program: Program, sshd: Sshd) -> None:
    service = Service(program.dir)
    inventory = program.dir / "hosts.yml"
    inventory.write_text("hosts: {down: {address: 127.3.0.7, port: 1}}\n")
    ended = rolling(root, program, sshd, service).run(
        "-i", str(inventory), targets="127.3.0.2,down"
    )
    assert (ended.counts["unreachable"], ended.counts["ok"]) == (1, 1), ended.err
    assert ended.code == 5  # a wave allows no failure
    assert {line.split()[1] for line in service.told()} == {"127.3.0.2"}


# ---- packages ---------------------------------------------------------------------------------


def updates(root: Path, program: Program, sshd: Sshd, service: Service) -> Chore:
    directory = program.dir
    (directory / "boot").write_text("first\n")
    boot = tool(
        directory,
        "reboot",
        f"{service.control} reboot; cd {shlex.quote(str(directory))}; echo next > boot; rm flag",
    )
    return Chore(
        program,
        sshd,
        root / "jobs/update-packages.yml",
        refresh=f"{service.control} refresh",
        upgrade=f"{service.control} upgrade",
        reboot_flag=directory / "flag",
        reboot=boot,
        boot_id=directory / "boot",
        as_root="false",
    )


def test_packages_are_updated_and_only_who_asks_for_it_is_rebooted(
    root: Path, program: Program, sshd: Sshd
) -> None:
    service = Service(program.dir)
    chore = updates(root, program, sshd, service)
    assert chore.run().code == 0
    told = service.told()
    assert sorted(line.split()[0] for line in told) == ["refresh"] * 6 + ["upgrade"] * 6

    (program.dir / "flag").touch()
    ended = chore.run(targets="127.3.0.1")
    assert ended.code == 0, ended.err
    words = [line.split()[0] for line in service.told()[len(told) :]]
    assert words == ["refresh", "upgrade", "reboot"]
    assert not (program.dir / "flag").exists()


def test_a_host_whose_lists_cannot_be_refreshed_is_not_upgraded(
    root: Path, program: Program, sshd: Sshd
) -> None:
    service = Service(program.dir)
    service.breaks_on("127.3.0.1")
    ended = updates(root, program, sshd, service).run("--retries", "0", targets="127.3.0.[1-3]")
    assert ended.code == 5
    assert {line.split()[0] for line in service.told()} == {"refresh"}
    assert {line.split()[1] for line in service.told()} == {"127.3.0.1"}


# ---- logs -------------------------------------------------------------------------------------


def test_logs_come_into_a_directory_for_each_host_and_only_what_is_new_comes_again(
    root: Path, program: Program, sshd: Sshd
) -> None:
    logs, into = program.dir / "logs", program.dir / "collected"
    logs.mkdir()
    (logs / "a.log").write_text("a\n")
    (logs / "it's b.log").write_text("b\n")
    (logs / "other").write_text("no log\n")
    chore = Chore(program, sshd, root / "jobs/collect-logs.yml", into=into, logs=f"{logs}/*.log")
    ended = chore.run()
    assert (ended.code, ended.counts["changed"]) == (0, 6), ended.err
    for at in range(1, 7):
        got = into / f"127.3.0.{at}"
        assert sorted(path.name for path in got.iterdir()) == ["a.log", "it's b.log"]
        subprocess.run(["cmp", logs / "a.log", got / "a.log"], check=True)
    assert chore.run().counts.get("changed", 0) == 0
    (logs / "a.log").write_text("a\nmore\n")
    assert chore.run().counts["changed"] == 6
    assert (into / "127.3.0.6/a.log").read_text() == "a\nmore\n"


# ---- configuration ----------------------------------------------------------------------------


def test_a_configuration_is_checked_before_and_taken_back_after_a_bad_reload(
    root: Path, program: Program, sshd: Sshd
) -> None:
    service, path = Service(program.dir), program.dir / "app.conf"
    template = program.dir / "app.conf.j2"
    template.write_text("listen {{ host }}\n")
    chore = Chore(
        program,
        sshd,
        root / "jobs/push-configuration.yml",
        targets="127.3.0.1",
        template=template,
        path=path,
        check="grep -q listen",
        reload=f"{service.control} reload",
    )
    rehearsed = chore.run("--dry-run")
    assert (rehearsed.code, rehearsed.counts["changed"]) == (0, 1), rehearsed.err
    assert not path.exists()
    assert chore.run().code == 0
    assert path.read_text() == "listen 127.3.0.1\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert service.told() == ["reload 127.3.0.1"]

    assert chore.run().counts.get("changed", 0) == 0
    assert service.told() == ["reload 127.3.0.1"]

    template.write_text("nonsense\n")
    refused = chore.run()
    assert refused.code == 5
    assert path.read_text() == "listen 127.3.0.1\n"

    template.write_text("listen {{ host }}\nmore\n")
    service.breaks_on("127.3.0.1")
    assert chore.run().code == 5
    assert path.read_text() == "listen 127.3.0.1\n"


# ---- certificates -----------------------------------------------------------------------------


def test_a_certificate_that_ends_soon_fails_on_the_hosts_that_have_it(
    root: Path, program: Program, sshd: Sshd
) -> None:
    made = program.dir / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "10", "-subj", "/CN=x",
         "-keyout", program.dir / "key", "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    chore = Chore(
        program, sshd, root / "jobs/certificate-expiry.yml", files=made, targets="127.3.0.[1-2]"
    )
    assert chore.run(days=5).counts["ok"] == 2
    soon = chore.run("--retries", "0", days=30)
    assert (soon.code, soon.counts["failed"]) == (2, 2)
