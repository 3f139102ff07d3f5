"""Connections that break under an operation, and servers that do what they should not."""

from collections.abc import Iterator

import pytest

from bad_servers import (
    dies_in_command,
    dies_in_upload,
    drops_at_banner,
    endless_output,
    refuses_channels,
    refuses_commands,
    shows_the_wrong_key,
)
from batchrun.errors import OperationError
from batchrun.remote.fleet import Fleet
from batchrun.remote.links import Limits
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
    send_for_ever,
)
from sshd import loopback

pytestmark = pytest.mark.timeout(60)

HOST = host_at(loopback(1))


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


def test_output_before_the_connection_broke_is_there() -> None:
    with dies_in_command(b"half a li") as server, fleet_of(file=server.ssh_config) as fleet:
        got = answer(connect(fleet, HOST), "anything")
    assert (got.out, got.status, got.signal) == (b"half a li", None, "")
    assert got.broken


def test_the_next_command_gets_a_new_connection() -> None:
    with dies_in_command() as server, fleet_of(file=server.ssh_config) as fleet:
        session = connect(fleet, HOST)
        for _ in range(3):
            assert answer(session, "anything").out == b"half a li"
        assert server.connections == 3


def test_a_command_is_never_begun_twice() -> None:
    with dies_in_command(b"") as server, fleet_of(file=server.ssh_config) as fleet:
        assert answer(connect(fleet, HOST), "only once").broken
        assert server.commands == ["only once"]


def test_sending_ends_when_the_connection_breaks() -> None:
    with dies_in_upload() as server, fleet_of(file=server.ssh_config) as fleet:
        channel = connect(fleet, HOST).open_channel("cat", UnitContext())
        with pytest.raises(ConnectionError):
            send_for_ever(channel)
        assert channel.broken


def test_a_command_that_never_stops_writing_can_be_left_alone() -> None:
    with endless_output() as server, fleet_of(file=server.ssh_config) as fleet:
        session = connect(fleet, HOST)
        for _ in range(3):
            channel = session.open_channel("yes", UnitContext())
            channel.wait(30)
            assert channel.read(10)
            channel.close()
        assert server.connections == 1


def test_a_server_that_opens_no_channel_names_the_setting() -> None:
    with refuses_channels() as server, fleet_of(file=server.ssh_config) as fleet:
        session = connect(fleet, HOST)
        with pytest.raises(OperationError, match="MaxSessions"):
            session.open_channel("true", UnitContext())


def test_a_server_that_runs_no_commands_is_told_from_one_that_ran_it() -> None:
    with refuses_commands() as server, fleet_of(file=server.ssh_config) as fleet:
        channel = connect(fleet, HOST).open_channel("true", UnitContext())
        assert collect(channel).status is None
        assert channel.refused
    with dies_in_command() as server, fleet_of(file=server.ssh_config) as fleet:
        channel = connect(fleet, HOST).open_channel("true", UnitContext())
        assert collect(channel).broken
        assert not channel.refused


def test_a_server_that_drops_the_first_connections_is_tried_again() -> None:
    limits = Limits(backoff_s=(0.01,) * 5)
    with (
        drops_at_banner(times=3) as server,
        fleet_of(file=server.ssh_config, limits=limits) as fleet,
    ):
        context = UnitContext()
        assert connect(fleet, HOST, context).link.alive
        assert context.stages.count("backing off") == 3
        assert server.connections == 4


def test_a_wrong_host_key_is_refused_before_anything_is_shown() -> None:
    with shows_the_wrong_key() as server, fleet_of(file=server.ssh_config) as fleet:
        context = UnitContext()
        error = refusal(fleet, HOST, context)
    assert "is not the one that is known" in str(error)
    assert "ssh-keygen -R" in str(error)
    assert not error.retryable
    assert "login" not in context.stages


def test_many_connections_that_break_at_the_same_time_leave_nothing() -> None:
    def work(number: int, fleet: Fleet) -> bool:
        return bool(answer(connect(fleet, host_at(loopback(number))), "anything").broken)

    with dies_in_command() as server, fleet_of(file=server.ssh_config) as fleet:
        assert all(at_once(20, lambda n: work(n, fleet)))
        assert server.connections == 20
