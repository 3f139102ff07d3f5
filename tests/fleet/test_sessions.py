"""Sessions with real servers: from a name to the end of a command."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.host import Host
from batchrun.model.session import Connector
from batchrun.remote import links
from batchrun.remote.channels.packets import Packets
from batchrun.remote.fleet import Fleet
from batchrun.remote.hostkeys import HostKeyPolicy
from batchrun.remote.ramp import Ramp
from batchrun.remote.session import Channel
from hosts import (
    UnitContext,
    answer,
    at_once,
    collect,
    connect,
    fleet_of,
    host_at,
    nothing_left,
    refusal,
    server,
)
from sshd import Sshd, loopback, running_sshd
from sudo_users import person
from support import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


def test_a_command_gives_its_output_and_its_status(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config) as fleet:
        got = answer(connect(fleet, host_at(loopback(1))), "echo out; echo err >&2; exit 7")
    assert (got.out, got.err, got.status, got.signal) == (b"out\n", b"err\n", 7, "")


def test_a_command_that_a_signal_ended_has_no_status(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config) as fleet:
        got = answer(connect(fleet, host_at(loopback(1))), "kill -9 $$")
    assert (got.status, got.signal, got.broken) == (None, "KILL", "")


def test_the_stages_are_told_in_order(sshd: Sshd) -> None:
    context = UnitContext()
    with fleet_of(file=sshd.ssh_config) as fleet:
        connect(fleet, host_at(loopback(1)), context)
    told = [words for words in context.stages if words != "key exchange"]  # may be too quick
    assert told == [
        "waiting for room", "resolving", "waiting its turn", "connecting", "banner", "login",
    ]  # fmt: skip


def test_units_of_a_host_share_one_connection_one_after_the_other(sshd: Sshd) -> None:
    before = sshd.logins()
    host, context = host_at(loopback(2)), UnitContext()
    with fleet_of(file=sshd.ssh_config) as fleet:
        connector: Connector = fleet  # as the engine sees it
        for number in range(5):
            session = connector.connect(host, context, context.stages.append)
            assert answer(session, f"echo {number}").out == b"%d\n" % number
            connector.release(session)
        assert sshd.logins() == before + 1


def test_two_units_at_once_have_a_connection_each(sshd: Sshd) -> None:
    before = sshd.logins()
    host = host_at(loopback(3))
    with fleet_of(file=sshd.ssh_config) as fleet:
        first, second = connect(fleet, host), connect(fleet, host)
        assert first is not second
        assert sshd.logins() == before + 2


def test_standard_input_reaches_the_command_and_ends(sshd: Sshd) -> None:
    data = os.urandom(3_000_000)
    with fleet_of(file=sshd.ssh_config) as fleet:
        channel = connect(fleet, host_at(loopback(1))).open_channel("cat", UnitContext())
        assert echoed(channel, data) == data
        assert collect(channel).status == 0


def echoed(channel: Channel, data: bytes) -> bytes:
    """Send data with its end, and return as much of what comes back."""
    back, rest = b"", memoryview(data)
    while len(back) < len(data):
        if rest:
            rest = rest[channel.send(rest) :]
            if not rest:
                channel.end_input()
        channel.wait(1, to_send=bool(rest))
        back += channel.read(1 << 20) or b""
    return back


def test_neither_stream_holds_up_the_other(sshd: Sshd) -> None:
    command = "head -c 4194304 /dev/zero >&2; echo done"
    with fleet_of(file=sshd.ssh_config) as fleet:
        got = answer(connect(fleet, host_at(loopback(1))), command)
    assert (len(got.err), got.out, got.status) == (4 << 20, b"done\n", 0)


def test_a_wait_ends_when_the_stream_has_ended_but_only_once(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        channel = session.open_channel("exec >&- 2>&-; cat <&0 >/dev/null", UnitContext())
        channel.wait(0.2)
        assert not channel.ended
        channel.end_input()
        assert collect(channel).status == 0


def test_a_signal_reaches_the_command(sshd: Sshd) -> None:
    """Not one of root: his connections are not divided in two, and sshd signals nothing then."""
    with person() as user, fleet_of(f"User {user.name}", file=sshd.ssh_config) as fleet:
        channel = connect(fleet, host_at(loopback(1))).open_channel(
            "echo ready; exec sleep 1000", UnitContext()
        )
        wait_until(lambda: channel.read(100), 30, "the command runs")
        channel.signal("TERM")
        assert collect(channel).signal == "TERM"


def test_what_comes_after_the_command_has_stopped_reading_breaks_nothing(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        channel = session.open_channel("exec <&-; sleep 0.2; echo ok", UnitContext())
        sent = 0
        with contextlib.suppress(BrokenPipeError):
            while not channel.ended:
                sent += channel.send(b"x" * 30_000)
                channel.wait(0.05, to_send=True)
        assert sent
        assert collect(channel).out == b"ok\n"
        assert answer(session, "echo still here").out == b"still here\n"


def test_a_file_client_needs_no_shell() -> None:
    with running_sshd(sftp_only=True) as own, fleet_of(file=own.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        client = session.open_files(UnitContext())
        assert "etc" in client.listdir("/")
        client.close()


def test_a_host_without_sftp_says_so() -> None:
    with running_sshd("Subsystem other /bin/false") as own:
        path = own.dir / "sshd_config"
        assert "Subsystem sftp" not in path.read_text()
        with fleet_of(file=own.ssh_config) as fleet:
            session = connect(fleet, host_at(loopback(1)))
            with pytest.raises(OperationError, match="has no SFTP"):
                session.open_files(UnitContext())
            assert answer(session, "echo still here").out == b"still here\n"


def test_new_keys_while_much_is_under_way_break_nothing() -> None:
    """The server asks for new keys after each megabyte, in the middle of everything."""
    with running_sshd("RekeyLimit 1M") as own, fleet_of(file=own.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))

        def work(number: int) -> int:
            return len(answer(session, f"head -c {number}000000 /dev/zero; true").out)

        assert at_once(8, work) == [number * 1_000_000 for number in range(1, 9)]


@pytest.mark.parametrize("ciphers", ["aes128-gcm@openssh.com", "aes256-ctr"])
def test_a_connection_that_was_used_much_asks_for_new_keys(
    sshd: Sshd, ciphers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Packets, "REKEY_BYTES", 1_000_000)
    data = os.urandom(8_000_000)
    with fleet_of(f"Ciphers {ciphers}", file=sshd.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        wire = session.link.wire
        assert wire.session_id == wire.H  # the hash of the first key exchange
        channel = session.open_channel("cat", UnitContext())
        assert echoed(channel, data) == data
        assert wire.session_id != wire.H
        assert collect(channel).status == 0


@pytest.mark.parametrize("sessions", [1, 2])
def test_a_host_may_open_few_channels_at_a_time(sessions: int) -> None:
    """The one that is opened ahead is no reason to wait, or to fail."""
    with running_sshd(f"MaxSessions {sessions}") as own, fleet_of(file=own.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        got = [answer(session, f"echo {turn}").out for turn in range(4)]
        assert got == [b"%d\n" % turn for turn in range(4)]
        assert own.logins() == 1


def test_eight_threads_on_one_connection() -> None:
    """Shape one of what killed a shared connection: many short commands, each closed at once."""
    with running_sshd("MaxSessions 50") as own, fleet_of(file=own.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))

        def work(number: int) -> list[bytes]:
            return [answer(session, f"echo {number} {turn}").out for turn in range(25)]

        got = at_once(8, work)
        assert got == [[b"%d %d\n" % (n, turn) for turn in range(25)] for n in range(1, 9)]
        assert own.logins() == 1


def test_two_hundred_hosts_behind_one_bastion(sshd: Sshd, bastion: Sshd) -> None:
    """Shape two: everything of 200 connections goes through one, which survives."""
    jump = f"{loopback(250)}:{bastion.port}"
    before = bastion.logins(), sshd.logins()
    options = (f"UserKnownHostsFile {sshd.known_hosts} {bastion.known_hosts}",)
    with fleet_of(*options, file=sshd.ssh_config) as fleet:

        def work(number: int) -> bytes:
            host = host_at(loopback(number), jump=jump)
            session = connect(fleet, host)
            out = answer(session, 'echo "$SSH_CONNECTION"').out
            fleet.release(session)
            return out.split()[2]

        assert at_once(200, work, 32) == [loopback(n).encode() for n in range(1, 201)]
        assert (bastion.logins(), sshd.logins()) == (before[0] + 1, before[1] + 200)


def test_no_more_than_so_many_log_in_at_once_by_way_of_a_bastion(
    sshd: Sshd, bastion: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "BY_WAY_OF", 3)
    options = (f"UserKnownHostsFile {sshd.known_hosts} {bastion.known_hosts}",)
    ramp = Ramp()
    with fleet_of(*options, file=sshd.ssh_config, ramp=ramp) as fleet:
        hosts = [host_at(loopback(n), jump=f"{loopback(250)}:{bastion.port}") for n in range(1, 25)]
        sessions = at_once(24, lambda n: connect(fleet, hosts[n - 1]))
        (way,) = {session.link.bastion for session in sessions}
        assert ramp.most_at_once(way) == 3


def test_a_bastion_that_nobody_is_behind_makes_room(sshd: Sshd) -> None:
    with running_sshd(key=sshd.key) as middle:
        options = (f"UserKnownHostsFile {sshd.known_hosts} {middle.known_hosts}",)
        with fleet_of(*options, file=sshd.ssh_config, most=3) as fleet:
            for n in range(1, 9):
                jump = f"{loopback(100 + n)}:{middle.port}"
                session = connect(fleet, host_at(loopback(n), jump=jump))
                assert answer(session, f"echo {n}").out == b"%d\n" % n
                fleet.release(session)
                wait_until(lambda: len(middle.sessions()) <= 3, 20, "the others are closed")
            # Room enough: the last ones are kept.
            for n in (7, 8):
                jump = f"{loopback(100 + n)}:{middle.port}"
                fleet.release(connect(fleet, host_at(loopback(n), jump=jump)))
            assert middle.logins() == 8


def test_a_chain_of_bastions_is_gone_through_in_order(sshd: Sshd, bastion: Sshd) -> None:
    jump = f"{loopback(1)}:{bastion.port},{loopback(2)}"
    context = UnitContext()
    options = (f"UserKnownHostsFile {sshd.known_hosts} {bastion.known_hosts}",)
    with fleet_of(*options, file=sshd.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(3), jump=jump), context)
        assert answer(session, "echo there").out == b"there\n"
    firsts = list(dict.fromkeys(words.partition(":")[0] for words in context.stages))
    assert firsts[:2] == ["waiting for room", loopback(2)]
    assert any(words.startswith(f"{loopback(2)}: {loopback(1)}: ") for words in context.stages)


def test_a_bastion_that_died_is_connected_again_by_the_hosts_behind_it(sshd: Sshd) -> None:
    with running_sshd(key=sshd.key) as middle:
        jump = f"{loopback(250)}:{middle.port}"
        options = (f"UserKnownHostsFile {sshd.known_hosts} {middle.known_hosts}",)
        with fleet_of(*options, file=sshd.ssh_config) as fleet:
            sessions = [connect(fleet, host_at(loopback(n), jump=jump)) for n in range(1, 6)]
            begun = sessions[0].open_channel("echo begun; exec sleep 1000", UnitContext())
            wait_until(lambda: begun.read(100), 30, "the command runs")
            for pid in middle.sessions():
                os.kill(pid, signal.SIGKILL)
            assert collect(begun).broken
            again = at_once(5, lambda n: answer(sessions[n - 1], f"echo {n}").out)
            assert again == [b"%d\n" % n for n in range(1, 6)]
            assert middle.logins() == 2


def test_a_bastion_that_cannot_be_reached_is_named_for_all_behind_it(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config) as fleet:
        hosts = [host_at(loopback(n), jump="127.1.0.250:1") for n in range(1, 6)]
        errors = at_once(5, lambda n: str(refusal(fleet, hosts[n - 1])))
    assert len(set(errors)) == 1
    assert errors[0].startswith("jump host 127.1.0.250: connect: it refuses connections")


def test_what_a_bastion_says_of_a_host_behind_it_is_passed_on(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config) as fleet:
        error = refusal(fleet, host_at(loopback(1), port=1, jump=loopback(2)))
    assert str(error) == f"connect: by way of {loopback(2)}: Connection refused"
    assert error.retryable


def test_a_bastion_that_forbids_it_names_the_setting(sshd: Sshd) -> None:
    with (
        running_sshd("AllowTcpForwarding no", key=sshd.key) as own,
        fleet_of(file=own.ssh_config) as fleet,
    ):
        error = refusal(fleet, host_at(loopback(1), jump=loopback(2)))
    assert "`AllowTcpForwarding`" in str(error)
    assert not error.retryable


def test_who_waits_for_a_bastion_takes_over_when_its_maker_is_stopped() -> None:
    reached = threading.Event()

    def serve(connection: socket.socket) -> None:
        reached.set()
        connection.settimeout(50)
        while connection.recv(1000):
            pass

    first, second = UnitContext(), UnitContext()
    stopped: list[bool] = []

    def work(context: UnitContext, number: int, fleet: Fleet) -> None:
        try:
            connect(fleet, host_at(loopback(number), jump=f"127.1.0.250:{port}"), context)
        except UnitStoppedError:
            stopped.append(True)

    with server(serve) as port, fleet_of("StrictHostKeyChecking no") as fleet:
        one = threading.Thread(target=work, args=(first, 1, fleet))
        one.start()
        assert reached.wait(30)
        two = threading.Thread(target=work, args=(second, 2, fleet))
        two.start()
        wait_until(lambda: "waiting for 127.1.0.250" in second.stages, 30, "the second one waits")
        reached.clear()
        first.stopped = True
        one.join()
        assert reached.wait(30)  # by the second one
        second.stopped = True
        two.join()
    assert stopped == [True, True]


def test_a_bastion_that_is_its_own_bastion_is_refused(sshd: Sshd) -> None:
    config = "ProxyJump 127.1.0.9"
    with fleet_of(config, file=sshd.ssh_config) as fleet:
        error = refusal(fleet, host_at(loopback(1)))
    assert "jump host" in str(error)
    assert not error.retryable


def test_a_proxy_command_is_the_connection(sshd: Sshd) -> None:
    command = f"ProxyCommand ssh -F {sshd.ssh_config} -W %h:%p {loopback(5)}"
    with fleet_of(command, file=sshd.ssh_config) as fleet:
        got = answer(connect(fleet, host_at(loopback(6))), 'echo "$SSH_CONNECTION"')
    assert got.out.split()[2] == loopback(6).encode()


def test_a_proxy_command_that_fails_says_what_it_said(sshd: Sshd) -> None:
    with fleet_of("ProxyCommand echo no way >&2; exit 1", file=sshd.ssh_config) as fleet:
        error = refusal(fleet, host_at(loopback(1)))
    assert "ProxyCommand has ended without a connection, it says 'no way'" in str(error)


def test_a_connection_that_died_while_idle_is_made_again_silently(sshd: Sshd) -> None:
    with running_sshd(key=sshd.key) as own, fleet_of(file=own.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        assert answer(session, "echo one").out == b"one\n"
        for pid in own.sessions():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not own.sessions(), 30, "the connection is dead")
        assert answer(session, "echo two").out == b"two\n"
        assert own.logins() == 2


def test_a_connection_that_dies_under_a_command_says_so() -> None:
    with running_sshd() as own, fleet_of(file=own.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        channel = session.open_channel("echo begun; exec sleep 1000", UnitContext())
        wait_until(lambda: channel.read(100), 30, "the command runs")
        for pid in own.sessions():
            os.kill(pid, signal.SIGKILL)
        got = collect(channel)
        assert got.status is None
        assert got.broken
        with pytest.raises(ConnectionError):
            channel.send(b"x")


def test_the_least_recently_used_connection_makes_room(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config, most=3) as fleet:
        before = sshd.logins()
        for number in (1, 2, 3, 1, 4, 1):  # 2 goes when 4 comes
            fleet.release(connect(fleet, host_at(loopback(number))))
        assert sshd.logins() == before + 4
        fleet.release(connect(fleet, host_at(loopback(2))))
        assert sshd.logins() == before + 5


def test_who_waits_for_room_can_be_stopped(sshd: Sshd) -> None:
    context = UnitContext()
    with fleet_of(file=sshd.ssh_config, most=1) as fleet:
        held = connect(fleet, host_at(loopback(1)))
        raised: list[type[BaseException]] = []

        def wait() -> None:
            try:
                connect(fleet, host_at(loopback(2)), context)
            except UnitStoppedError as error:
                raised.append(type(error))

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: context.stages, 30, "it waits")
        context.stopped = True
        thread.join()
        assert raised == [UnitStoppedError]
        fleet.release(held)
        assert answer(connect(fleet, host_at(loopback(1))), "echo ok").out == b"ok\n"


def test_a_forgotten_host_has_no_connection(sshd: Sshd) -> None:
    with running_sshd(key=sshd.key) as own, fleet_of(file=own.ssh_config) as fleet:
        idle, busy = host_at(loopback(1)), host_at(loopback(2))
        fleet.release(connect(fleet, idle))
        session = connect(fleet, busy)
        fleet.forget(idle)
        fleet.forget(busy)
        assert answer(session, "echo ok").out == b"ok\n"
        fleet.release(session)
        wait_until(lambda: not own.sessions(), 30, "both connections are closed")


def test_an_unknown_host_key_is_refused_with_the_remedy(sshd: Sshd) -> None:
    options = ("UserKnownHostsFile /nonexistent/known", "StrictHostKeyChecking yes")
    with fleet_of(*options, file=sshd.ssh_config) as fleet:
        error = refusal(fleet, host_at(loopback(1)))
    assert "ssh-keyscan" in str(error)
    assert not error.retryable


def test_of_several_host_keys_the_known_one_is_asked_for() -> None:
    with running_sshd(host_keys=("ed25519", "ecdsa", "rsa")) as own:
        lines = [line for line in own.known_hosts.read_text().splitlines() if " ssh-rsa " in line]
        (own.dir / "only_rsa").write_text(f"{lines[0]}\n")
        option = f"UserKnownHostsFile {own.dir}/only_rsa"
        with fleet_of(option, file=own.ssh_config) as fleet:
            assert answer(connect(fleet, host_at(loopback(1))), "echo ok").out == b"ok\n"


def test_the_quick_algorithms_are_taken(sshd: Sshd) -> None:
    with fleet_of(file=sshd.ssh_config) as fleet:
        wire = connect(fleet, host_at(loopback(1))).link.wire
        assert wire.local_cipher == "aes128-gcm@openssh.com"
        assert wire.sock.getsockopt(6, 1) == 1  # TCP_NODELAY


def test_algorithms_of_the_configuration_win(sshd: Sshd) -> None:
    options = ("Ciphers aes256-ctr", "MACs hmac-sha2-512")
    with fleet_of(*options, file=sshd.ssh_config) as fleet:
        wire = connect(fleet, host_at(loopback(1))).link.wire
        assert (wire.local_cipher, wire.local_mac) == ("aes256-ctr", "hmac-sha2-512")


def test_an_algorithm_that_nobody_has_is_no_riddle(sshd: Sshd) -> None:
    with fleet_of("Ciphers chacha20-poly1305@openssh.com", file=sshd.ssh_config) as fleet:
        error = refusal(fleet, host_at(loopback(1)))
    assert "nothing of Ciphers can be used" in str(error)
    assert not error.retryable


def test_no_more_sessions_names_the_setting() -> None:
    with running_sshd("MaxSessions 1") as own, fleet_of(file=own.ssh_config) as fleet:
        session = connect(fleet, host_at(loopback(1)))
        channel = session.open_channel("cat", UnitContext())
        with pytest.raises(OperationError, match="MaxSessions"):
            session.open_channel("true", UnitContext())
        channel.end_input()
        collect(channel)
        assert answer(session, "echo again").out == b"again\n"


def test_new_keys_are_accepted_on_request(sshd: Sshd) -> None:
    known = sshd.dir / "fresh"
    option = (f"UserKnownHostsFile {known}", "StrictHostKeyChecking accept-new")
    with fleet_of(*option, file=sshd.ssh_config) as fleet:
        host = Host(name=loopback(1))
        assert fleet._maker._parts.settings_for(host).strict is HostKeyPolicy.ACCEPT_NEW
        assert answer(connect(fleet, host), "echo ok").out == b"ok\n"
    assert known.read_text().startswith(f"[{loopback(1)}]:{sshd.port} ")
