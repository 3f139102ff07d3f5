"""Operations on hosts with a real sshd: what runs there, what is left, what is written."""

import os
import pwd
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.around import Around, OutputFile
from batchrun.model.operation import Done, Terms
from batchrun.model.outcome import Cancelled, Failed, Lost, Ok, TimedOut
from batchrun.model.secret import Mask
from batchrun.model.unit import RunSettings
from batchrun.model.values import NEW_FILE
from batchrun.remote.around import within
from command_context import when
from file_context import HOSTILE_NAMES, changed, message_of
from hosts import connect, fleet_of, host_at
from local_host import LocalHost
from remote_trees import assert_same, make_tree
from sshd import Sshd, loopback, nothing_runs_on, running_sshd
from sudo_users import Person, person
from support import wait_until

pytestmark = pytest.mark.timeout(120)

HOSTILE = 'it\'s "q" $HOME `id` \\ ! * \n-x\tü ' + os.fsdecode(b"\xff\xfe")


@contextmanager
def unit_on(
    server: Sshd, folder: Path, user: str = "", timeout_s: float | None = None, **settings: Any
) -> Iterator[LocalHost]:
    """Make the context of a unit on a host of a real server."""
    with fleet_of(file=server.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1), user=user))
        context = LocalHost(
            settings=RunSettings(run_id=f"t{os.getpid()}", base_dir=str(folder), **settings),
            session=session,
            home=Path(pwd.getpwnam(user or server.user).pw_dir),
            deadline=None if timeout_s is None else time.monotonic() + timeout_s,
            terms=Terms(timeout_s=timeout_s),
        )
        try:
            yield context
        finally:
            for fd in context.control:
                os.close(fd)


@pytest.fixture
def host(sshd: Sshd, tmp_path: Path) -> Iterator[LocalHost]:
    with unit_on(sshd, tmp_path) as made:
        yield made
    assert_nothing_runs(sshd)


@pytest.fixture(scope="module")
def free() -> Iterator[Person]:
    """Someone who may do everything without a password."""
    with person("ALL=(ALL:ALL) NOPASSWD: ALL") as who:
        yield who


@pytest.fixture(scope="module")
def asked() -> Iterator[Person]:
    """Someone whom sudo asks for the password."""
    with person() as who:
        yield who


def assert_nothing_runs(server: Sshd) -> None:
    wait_until(lambda: not server.commands(), 20, "nothing runs on the server")


def stdout(done: Done) -> bytes:
    assert isinstance(done.outcome, Ok), (done.outcome, done.output)
    return done.output.stdout.head


def test_a_command_with_everything_it_can_be_given(host: LocalHost, tmp_path: Path) -> None:
    done = host.do(
        "run",
        command='pwd; printf "%s|" "$X" "$BATCHRUN_HOST"; cat',
        env={"X": HOSTILE},
        cwd=str(tmp_path),
        stdin=HOSTILE * 100_000,
    )
    expected = os.fsencode(f"{tmp_path}\n{HOSTILE}|127.1.0.1|")
    assert stdout(done).startswith(expected)
    size = len(expected) + len(os.fsencode(HOSTILE)) * 100_000
    assert done.output.stdout.size_bytes == size


def test_an_exit_status_and_a_signal(host: LocalHost) -> None:
    assert host.do("run", command="exit 7").outcome == Failed(
        message="exit status 7", exit_status=7
    )
    outcome = host.do("run", command="kill -KILL $$").outcome
    assert outcome == Failed(message="killed by signal 9 (SIGKILL)", signal=9)


def test_four_megabytes_on_standard_error_while_the_other_is_silent(host: LocalHost) -> None:
    done = host.do("run", command="head -c 4194304 /dev/zero >&2; echo end")
    assert stdout(done) == b"end\n"
    assert done.output.stderr.size_bytes == 4_194_304


def test_a_daemon_does_not_hold_the_unit(host: LocalHost) -> None:
    done = host.do("run", command="sleep 1000 & echo $!")
    os.kill(int(stdout(done)), signal.SIGKILL)
    assert any("still holds its standard output" in warning for warning in done.warnings)


def test_a_timeout_leaves_no_process_on_the_host(sshd: Sshd, tmp_path: Path) -> None:
    with unit_on(sshd, tmp_path, timeout_s=1.5, kill_grace_s=0.3) as host:
        text = "trap '' TERM; setsid sleep 1001 & sleep 1002 & echo begun; wait; sleep 1003"
        done = host.do("run", command=text)
        assert done.outcome == TimedOut(limit_s=1.5)
        assert done.output.stdout.head == b"begun\n"
        assert done.warnings == ()
        nothing_runs_on(sshd)


def test_endless_output_ends_at_the_timeout(sshd: Sshd, tmp_path: Path) -> None:
    with unit_on(sshd, tmp_path, timeout_s=1.5) as host:
        done = host.do("run", command="yes")
        assert done.outcome == TimedOut(limit_s=1.5)
        assert done.output.stdout.omitted_bytes > 0
        nothing_runs_on(sshd)


def test_a_stop_leaves_no_process_on_the_host(sshd: Sshd, host: LocalHost, tmp_path: Path) -> None:
    with when((tmp_path / "begun").exists, host.stop):
        done = host.do("run", command=f"touch {tmp_path}/begun; sleep 1000")
    assert done.outcome == Cancelled(was_running=True)
    nothing_runs_on(sshd)


def test_where_only_one_channel_can_be_open_the_signals_of_ssh_end_it(
    free: Person, tmp_path: Path
) -> None:
    with running_sshd("MaxSessions 1") as server:
        with unit_on(server, tmp_path, free.name, timeout_s=1.5, kill_grace_s=0.3) as host:
            done = host.do("run", command="trap '' TERM; sleep 1007; sleep 1008")
            assert done.outcome == TimedOut(limit_s=1.5)
            assert done.warnings == ()
        assert_nothing_runs(server)


def test_what_could_not_be_ended_is_said_to_run_perhaps(tmp_path: Path) -> None:
    # sshd sends no signals where root is logged in.
    with running_sshd("MaxSessions 1") as server:
        with unit_on(server, tmp_path, timeout_s=1.5, kill_grace_s=0.3) as host:
            done = host.do("run", command="sleep 1009")
            assert isinstance(done.outcome, TimedOut)
            assert done.outcome.stuck
            assert "may still run" in done.outcome.note
            assert "may still run" in done.warnings[0]
        for pid in server.commands():
            os.kill(pid, signal.SIGKILL)
        assert_nothing_runs(server)


def test_a_connection_that_dies_while_a_command_runs(
    sshd: Sshd, host: LocalHost, tmp_path: Path
) -> None:
    def kill() -> None:
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)

    with when((tmp_path / "begun").exists, kill):
        done = host.do("run", command=f"echo out; touch {tmp_path}/begun; sleep 3")
    assert isinstance(done.outcome, Lost), done.outcome
    assert done.output.stdout.head == b"out\n"
    # The next one opens a connection of its own.
    assert stdout(host.do("run", command="echo again")) == b"again\n"


def test_noise_of_the_login_shell_is_dropped(tmp_path: Path) -> None:
    with running_sshd(noisy=True) as server, unit_on(server, tmp_path) as host:
        done = host.do("run", command="echo out; echo err >&2")
        assert (stdout(done), done.output.stderr.head) == (b"out\n", b"err\n")
        assert changed(host.do("write", dest=f"{tmp_path}/f", text="x"))
        assert (tmp_path / "f").read_text() == "x"


def test_a_tree_goes_there_and_back(host: LocalHost, tmp_path: Path) -> None:
    make_tree(tmp_path / "t")
    assert changed(host.do("upload", src=(f"{tmp_path}/t",), dest=f"{tmp_path}/there"))
    assert_same(tmp_path / "t", tmp_path / "there")
    assert not changed(host.do("upload", src=(f"{tmp_path}/t",), dest=f"{tmp_path}/there"))
    (tmp_path / "t/big").write_bytes(b"other")
    assert changed(host.do("upload", src=(f"{tmp_path}/t",), dest=f"{tmp_path}/there", verify=True))
    assert changed(host.do("download", src=(f"{tmp_path}/there",), dest=f"{tmp_path}/back"))
    assert_same(tmp_path / "t", tmp_path / "back")
    assert not changed(host.do("download", src=(f"{tmp_path}/there",), dest=f"{tmp_path}/back"))


@pytest.mark.parametrize("name", ["upload", "download"])
def test_a_transfer_whose_connection_dies(
    sshd: Sshd, host: LocalHost, tmp_path: Path, name: str
) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/f").write_bytes(os.urandom(60_000_000))
    (tmp_path / "to/f").write_text("old")

    def cut(bytes_done: int) -> None:
        if bytes_done > 5_000_000:
            for pid in sshd.sessions():
                os.kill(pid, signal.SIGKILL)

    host.progress = cut  # type: ignore[method-assign]
    done = host.do(name, src=(f"{tmp_path}/from/f",), dest=f"{tmp_path}/to/f", checksum=True)
    assert isinstance(done.outcome, Lost), done.outcome
    assert_nothing_runs(sshd)
    assert os.listdir(tmp_path / "to") == ["f"]
    assert (tmp_path / "to/f").read_text() == "old"


def test_the_outcome_of_a_reboot_and_a_port(sshd: Sshd, host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("old")
    text = f"echo new >{tmp_path}/id; kill -9 $PPID"
    done = host.do("reboot", command=text, boot_id=f"{tmp_path}/id", every=0.1)
    assert changed(done)
    assert not changed(host.do("wait_for", port=sshd.port))
    assert not changed(host.do("wait_for", port=sshd.port, from_="host"))


# sudo


def sudo_of(who: Person, how: str, user: str = "") -> Any:
    if how == "free":
        return user or True
    return {"password": who.password, **({"user": user} if user else {})}


@pytest.fixture(params=["free", "asked"])
def somebody(request: pytest.FixtureRequest) -> tuple[Person, str]:
    return request.getfixturevalue(request.param), request.param


def test_sudo_runs_it_as_somebody_else(
    sshd: Sshd, tmp_path: Path, somebody: tuple[Person, str]
) -> None:
    who, how = somebody
    with unit_on(sshd, tmp_path, user=who.name) as host:
        command = 'id -un; pwd; printf %s "$X"; cat'
        extra = {"env": {"X": HOSTILE}, "cwd": "/", "stdin": HOSTILE, "command": command}
        done = host.do("run", sudo=sudo_of(who, how), **extra)
        assert stdout(done) == os.fsencode(f"root\n/\n{HOSTILE}{HOSTILE}")
        assert done.output.stderr.head == b""
        done = host.do(
            "run", sudo=sudo_of(who, how, "nobody"), command="id -un; cat; echo oops >&2"
        )
        assert (stdout(done), done.output.stderr.head) == (b"nobody\n", b"oops\n")


def test_sudo_writes_and_looks_as_somebody_else(
    sshd: Sshd, tmp_path: Path, somebody: tuple[Person, str]
) -> None:
    who, how = somebody
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    with unit_on(sshd, tmp_path, user=who.name) as host:
        sudo = sudo_of(who, how)
        for name in HOSTILE_NAMES.values():
            path = f"{folder}/d/{name}"
            assert "Permission denied" in message_of(host.do("write", dest=path, text="x"))
            assert changed(
                host.do("write", dest=path, text="x", sudo=sudo, validate=("cat", NEW_FILE))
            )
            assert not changed(host.do("write", dest=path, text="x", sudo=sudo))
            assert (folder / "d" / name).stat().st_uid == 0
        assert changed(host.do("upload", src=(__file__,), dest=f"{folder}/", sudo=sudo))
        assert changed(host.do("download", src=(f"{folder}/d",), dest=f"{tmp_path}/got", sudo=sudo))
        assert_same(folder / "d", tmp_path / "got")
        assert changed(host.do("delete", path=(f"{folder}/d",), sudo=sudo))
        assert not (folder / "d").exists()


def test_guards_and_the_output_file_are_those_of_who_sudo_is(
    sshd: Sshd, tmp_path: Path, somebody: tuple[Person, str]
) -> None:
    who, how = somebody
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    (folder / "there").touch()
    path = f"{folder}/there"
    with unit_on(sshd, tmp_path, user=who.name) as host:
        command = {"sudo": sudo_of(who, how), "env": {"A": HOSTILE}}

        def make() -> Done:
            return host.do("run", command=f"id -un >{folder}/.new", sudo=command["sudo"])

        def outcome(**around: Any) -> str:
            return within(Around(command=command, **around), make, host).outcome.kind

        assert outcome(creates=(path,)) == "skipped"
        assert outcome(removes=(f"{folder}/no",)) == "skipped"
        assert outcome(onlyif=f'test $(id -un) = root && test -e {path} && test -n "$A"') == "ok"
        output = OutputFile(path=f"{folder}/new", temporary=f"{folder}/.new")
        assert outcome(output=output) == "ok"
        assert (folder / "new").read_text() == "root\n"
        assert outcome(output=output) == "skipped"


def test_a_timeout_ends_what_runs_behind_sudo(
    sshd: Sshd, tmp_path: Path, somebody: tuple[Person, str]
) -> None:
    who, how = somebody
    with unit_on(sshd, tmp_path, user=who.name, timeout_s=2.5, kill_grace_s=0.5) as host:
        text = "trap '' TERM; echo begun; setsid sleep 1004 & sleep 1005; sleep 1006"
        done = host.do("run", command=text, sudo=sudo_of(who, how))
        assert done.outcome == TimedOut(limit_s=2.5), done
        assert done.output.stdout.head == b"begun\n"
    assert_nothing_runs(sshd)
    assert not _sleeps("1004", "1005", "1006")


def _sleeps(*seconds: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:1] == [b"sleep"] and words[1].decode() in seconds:
            found.append(pid)
    return found


def test_what_sudo_refuses_is_said(sshd: Sshd, tmp_path: Path, asked: Person) -> None:
    with unit_on(sshd, tmp_path, user=asked.name) as host:
        message = message_of(host.do("run", command="touch /tmp/never", sudo=True))
        assert "sudo would not run it as root" in message
        assert "password is required" in message
        wrong = {"password": "wrong"}
        message = message_of(host.do("run", command="touch /tmp/never", sudo=wrong))
        assert "the password was not accepted" in message
        message = message_of(
            host.do("run", command="true", sudo={"password": asked.password, "user": "nosuch"})
        )
        assert "nosuch" in message
    assert not os.path.exists("/tmp/never")


def test_a_password_is_in_no_process_and_no_output(
    sshd: Sshd, tmp_path: Path, asked: Person
) -> None:
    with unit_on(sshd, tmp_path, user=asked.name) as host:
        host.terms = Terms(mask=Mask([asked.password]))
        look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
        done = host.do("run", command=look, sudo={"password": asked.password}, stdin="x")
        whole = done.output.stdout.head + done.output.stdout.tail
        assert os.fsencode(asked.password) not in whole
        assert b"***" not in whole


# No shell, only SFTP


@pytest.fixture(scope="module")
def files_only() -> Iterator[Sshd]:
    with running_sshd(sftp_only=True) as server:
        yield server


def test_without_a_shell_no_command_runs_and_it_is_said(files_only: Sshd, tmp_path: Path) -> None:
    with unit_on(files_only, tmp_path) as host:
        assert "did not begin the command" in message_of(host.do("run", command="true"))
        message = message_of(host.do("write", dest=f"{tmp_path}/f", text="x", sudo=True))
        assert "gives no shell, only SFTP, and `sudo` needs one" in message
        (tmp_path / "kept").touch()
        for given in ({"max_delete": 0}, {"exclude": ("x",)}, {"trash": f"{tmp_path}/bin"}):
            (name,) = given
            done = host.do("delete", path=(f"{tmp_path}/kept",), **given)
            assert f"`{name}` needs one" in message_of(done)
        host.terms = Terms(nice=3)
        assert "`nice`" in message_of(host.do("mkdir", path=(f"{tmp_path}/made",)))
    assert os.listdir(tmp_path) == ["kept"]


def test_files_go_there_and_back_without_a_shell(files_only: Sshd, tmp_path: Path) -> None:
    make_tree(tmp_path / "t")
    with_bytes = os.fsdecode(b"caf\xe9")  # SFTP has no such names
    (tmp_path / "t" / with_bytes / with_bytes).unlink()
    (tmp_path / "t" / with_bytes / "link").unlink()
    (tmp_path / "t" / with_bytes).rmdir()
    for path in (tmp_path / "t").rglob("*"):  # nor fractions of a second
        os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)
    times = ("--omit-link-times", "--omit-dir-times")
    with unit_on(files_only, tmp_path) as host:
        there = f"{tmp_path}/there"
        assert changed(host.do("mkdir", path=(f"{there}/a/b",), mode="0750"))
        assert not changed(host.do("mkdir", path=(f"{there}/a/b",), mode="0750"))
        assert changed(host.do("upload", src=(f"{tmp_path}/t",), dest=f"{there}/t"))
        assert_same(tmp_path / "t", Path(there, "t"), *times)
        assert not changed(host.do("upload", src=(f"{tmp_path}/t",), dest=f"{there}/t"))
        assert changed(host.do("download", src=(f"{there}/t",), dest=f"{tmp_path}/back"))
        assert_same(tmp_path / "t", tmp_path / "back", *times, "--no-perms")
        assert not changed(host.do("download", src=(f"{there}/t",), dest=f"{tmp_path}/back"))
        assert changed(host.do("write", dest=f"{there}/x/f", text="x"))
        assert not changed(host.do("write", dest=f"{there}/x/f", text="x"))
        assert changed(host.do("delete", path=(f"{there}/t", f"{there}/no")))
        assert sorted(os.listdir(there)) == ["a", "x"]
        assert "refused to delete" in message_of(host.do("delete", path=("/etc",)))


def test_a_connection_that_died_between_two_commands_costs_none(tmp_path: Path) -> None:
    """Though a channel for the next command had been opened on it, and was used first."""
    with running_sshd() as server, unit_on(server, tmp_path) as host:
        for _ in range(3):
            assert isinstance(host.do("run", command="echo before").outcome, Ok)
        for pid in server.sessions():
            os.kill(pid, signal.SIGKILL)
        proof = tmp_path / "proof"
        done = host.do("run", command=f"echo once | tee -a {proof}")
        assert isinstance(done.outcome, Ok)
        assert done.output.stdout.head == b"once\n"
        assert proof.read_text() == "once\n"
        assert server.logins() == 2
