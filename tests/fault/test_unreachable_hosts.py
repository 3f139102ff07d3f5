"""Hosts that cannot be reached: each stage ends at its deadline, and the message names it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paramiko
import pytest

from batchrun.errors import UnitStoppedError, UnreachableError
from batchrun.remote.auth import Password
from batchrun.remote.fleet import Fleet
from batchrun.remote.links import Limits
from batchrun.remote.ramp import Ramp
from batchrun.remote.resolve import Resolver
from hosts import (
    UnitContext,
    at_once,
    connect,
    fleet_of,
    host_at,
    nothing_left,
    refusal,
    server,
)
from sshd import loopback
from support import wait_until

pytestmark = pytest.mark.timeout(60)

SOON = Limits(connect_s=0.5, login_s=0.5, channel_s=0.5, backoff_s=())
ANYBODY = ("StrictHostKeyChecking no", "User somebody", "IdentityAgent none", "IdentityFile none")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with nothing_left():
        yield


@contextmanager
def impatient(**more: Any) -> Iterator[Fleet]:
    more.setdefault("limits", SOON)
    with fleet_of(*ANYBODY, **more) as fleet:
        yield fleet


def why(serve: Callable[[socket.socket], None], **more: Any) -> UnreachableError:
    with server(serve) as port, impatient(**more) as fleet:
        return refusal(fleet, host_at(loopback(1), port=port))


def say(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def test_a_server_that_accepts_and_says_nothing() -> None:
    error = why(lambda _: None)
    assert str(error).startswith("banner: the server says nothing")
    assert error.retryable


def test_a_server_that_says_its_banner_letter_by_letter() -> None:
    def dribble(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            connection.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                connection.recv(1000)

    assert str(why(dribble)).startswith("banner: the server says nothing")


def test_a_server_that_says_its_banner_and_then_nothing() -> None:
    assert str(why(say(b"SSH-2.0-x\r\n"))).startswith("key exchange: not done in time")


def test_a_server_that_ends_in_the_middle_of_the_key_exchange() -> None:
    def leave(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-x\r\n")
        connection.recv(1000)
        connection.shutdown(socket.SHUT_RDWR)

    assert str(why(leave)).startswith("key exchange: ")


def test_a_server_of_something_else() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 \x1b[2J\r\n\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    assert "this is no SSH server, it says 'HTTP/1.1 400 \\x1b[2J'" in str(why(talk))


def test_a_server_that_always_closes_at_once_names_the_setting() -> None:
    limits = Limits(connect_s=5, backoff_s=(0.01, 0.01, 0.01))
    error = why(lambda connection: connection.close(), limits=limits)
    assert str(error).startswith("banner: the server closes new connections")
    assert "(4 times in " in str(error)
    assert "`MaxStartups`" in str(error)
    assert error.retryable


def test_what_sshd_says_when_it_drops_a_connection_is_understood() -> None:
    def drop(connection: socket.socket) -> None:
        connection.sendall(b"Exceeded MaxStartups\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    assert "`MaxStartups`" in str(why(drop))


def test_a_port_that_refuses() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind((loopback(1), 0))
        with impatient() as fleet:
            error = refusal(fleet, host_at(loopback(1), port=taken.getsockname()[1]))
    assert str(error).startswith("connect: it refuses connections")


def test_a_host_whose_packets_are_lost() -> None:
    with socket.socket() as full:
        full.bind((loopback(1), 0))
        full.listen(0)
        where = full.getsockname()
        # Nobody accepts: what comes when the queue is full gets no answer.
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(where)
            with impatient() as fleet:
                error = refusal(fleet, host_at(loopback(1), port=where[1]))
    assert str(error).startswith("connect: no answer in time")


def _no_such_name(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_that_does_not_resolve() -> None:
    with impatient(resolver=Resolver(_no_such_name)) as fleet:
        error = refusal(fleet, host_at("nowhere"))
    assert str(error).startswith("resolve: no host has this name (Name or service not known)")


def test_a_resolver_that_takes_its_time_is_left_alone() -> None:
    answered = threading.Event()
    asked: list[str] = []

    def slow(name: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        asked.append(name)
        assert answered.wait(50)
        return _no_such_name()

    with impatient(resolver=Resolver(slow)) as fleet:
        errors = at_once(20, lambda _: refusal(fleet, host_at("slow")))
        assert {str(error) for error in errors} == {
            "resolve: the name server does not answer in time; is it up?"
        }
        # However many ask: one thread for a name, and the others get on.
        assert asked == ["slow"]
        assert "refuses" in str(refusal(fleet, host_at(loopback(1), port=1)))
        answered.set()


class Reluctant(paramiko.ServerInterface):  # type: ignore[misc]  # paramiko has no types
    """Answers up to a stage, and then no more until the test is over."""

    def __init__(self, stage: str, over: threading.Event) -> None:
        self._stage = stage
        self._over = over

    def _answer(self, stage: str) -> None:
        if stage == self._stage:
            self._over.wait(50)

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "none"

    def check_auth_none(self, username: str) -> int:
        del username
        self._answer("login")
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        self._answer("channel")
        return int(paramiko.OPEN_SUCCEEDED)


@contextmanager
def reluctant(stage: str) -> Iterator[int]:
    over = threading.Event()
    with paramiko_server(lambda: Reluctant(stage, over)) as port:
        try:
            yield port
        finally:
            over.set()


@contextmanager
def paramiko_server(make: Callable[[], paramiko.ServerInterface]) -> Iterator[int]:
    """Run a server for what sshd does not do."""
    key = paramiko.ECDSAKey.generate()
    made: list[paramiko.Transport] = []

    def serve(connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        made.append(transport)
        transport.add_server_key(key)
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=make())

    with server(serve) as port:
        try:
            yield port
        finally:
            for transport in made:
                transport.close()
                transport.join(20)


def test_a_server_that_does_not_answer_a_login() -> None:
    with reluctant("login") as port, impatient() as fleet:
        error = refusal(fleet, host_at(loopback(1), port=port))
    assert str(error).startswith("login: not done in time")


def test_a_server_that_does_not_open_a_channel() -> None:
    with reluctant("channel") as port, impatient() as fleet:
        session = connect(fleet, host_at(loopback(1), port=port))
        with pytest.raises(UnreachableError, match=r"^channel: not opened in time"):
            session.open_channel("true", UnitContext())


def test_a_unit_that_is_stopped_waits_for_no_stage() -> None:
    def stopped_in(words: str, port: int, fleet: Fleet, name: str = loopback(1)) -> None:
        context = UnitContext()

        def stop() -> None:
            wait_until(lambda: words in context.stages, 30, f"it is in {words}")
            context.stopped = True

        thread = threading.Thread(target=stop)
        thread.start()
        with pytest.raises(UnitStoppedError):
            connect(fleet, host_at(name, port=port), context)
        thread.join()

    over = threading.Event()

    def slow(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        assert over.wait(50)
        return _no_such_name()

    patient = Limits(connect_s=50, login_s=50, channel_s=50)
    with impatient(limits=patient, resolver=Resolver(slow)) as fleet:
        with server(lambda _: None) as port:
            stopped_in("banner", port, fleet)
        with server(say(b"SSH-2.0-x\r\n")) as port:
            stopped_in("key exchange", port, fleet)
        with reluctant("login") as port:
            stopped_in("login", port, fleet)
        with server(lambda connection: connection.close()) as port:
            stopped_in("backing off", port, fleet)
        stopped_in("resolving", 22, fleet, "slow")
        over.set()


def test_connecting_to_many_hosts_is_done_at_the_same_time() -> None:
    """No connection gets its banner before all are there: one after the other, none ever would."""
    number = 40
    all_there = threading.Barrier(number)

    def serve(connection: socket.socket) -> None:
        all_there.wait(30)
        connection.shutdown(socket.SHUT_RDWR)

    limits = Limits(connect_s=30, backoff_s=())
    with server(serve) as port, impatient(limits=limits) as fleet:
        errors = at_once(number, lambda n: refusal(fleet, host_at(loopback(n), port=port)))
    assert all("MaxStartups" in str(error) for error in errors)
    assert not all_there.broken


def test_one_address_gets_no_more_logins_at_once_than_it_takes() -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        connection.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while connection.recv(1000):
                pass
        with lock:
            inside -= 1
        connection.shutdown(socket.SHUT_RDWR)

    with server(serve) as port, impatient(ramp=Ramp(5), limits=Limits(backoff_s=())) as fleet:
        host = host_at(loopback(1), port=port)
        at_once(30, lambda _: refusal(fleet, host))
    assert 1 < most <= 5


def test_closing_ends_what_is_just_being_connected() -> None:
    patient = Limits(connect_s=1000, backoff_s=())
    with server(lambda _: None) as port, impatient(limits=patient) as fleet:
        context = UnitContext()
        errors: list[UnreachableError] = []

        def work() -> None:
            errors.append(refusal(fleet, host_at(loopback(1), port=port), context))

        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: "banner" in context.stages, 30, "it waits for the banner")
        fleet.close()
        thread.join()
    assert len(errors) == 1


def test_who_finds_no_place_at_a_server_waits_until_there_is_one() -> None:
    ramp = Ramp(1)
    inside = threading.Event()

    def follow() -> None:
        with ramp.turn("a", lambda: None):
            inside.set()

    thread = threading.Thread(target=follow)
    with ramp.turn("a", lambda: None):
        thread.start()
        assert not inside.is_set()
    assert inside.wait(30)
    thread.join()
    assert ramp.most_at_once("a") == 1


class Asking(paramiko.ServerInterface):  # type: ignore[misc]  # paramiko has no types
    """Asks questions instead of taking a password."""

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "keyboard-interactive"

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.InteractiveQuery:
        del username, submethods
        return paramiko.InteractiveQuery("", "", ("Password: ", False), ("Your name: ", True))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        right = responses == ["geheim", ""]
        return int(paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED)


@pytest.mark.parametrize(("secret", "opens"), [("geheim", True), ("wrong", False)])
def test_questions_that_are_not_shown_are_answered_with_the_password(
    secret: str, opens: bool
) -> None:
    with (
        paramiko_server(Asking) as port,
        impatient(password=Password(lambda: secret)) as fleet,
    ):
        host = host_at(loopback(1), port=port)
        if opens:
            assert connect(fleet, host).link.alive
        else:
            assert "the password is wrong" in str(refusal(fleet, host))
