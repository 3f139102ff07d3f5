"""What is waited for on a host, and a host that is booted anew."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from batchrun.errors import UnitStoppedError
from batchrun.model.host import Host
from batchrun.model.operation import Done, Terms
from batchrun.model.outcome import Ok, TimedOut
from command_context import when
from file_context import changed, message_of
from local_host import LocalHost, local_host

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        made.session.host = Host(name="web1", address="127.0.0.1")
        yield made


def limited(host: LocalHost, seconds: float) -> LocalHost:
    host.deadline = time.monotonic() + seconds
    host.terms = Terms(timeout_s=seconds)
    return host


def note(done: Done) -> str:
    assert isinstance(done.outcome, TimedOut), done.outcome
    return done.outcome.note


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("place", ["here", "host"])
def test_a_port(host: LocalHost, place: str) -> None:
    with listening() as port:
        done = host.do("wait_for", port=port, from_=place, for_=2, every=0.01)
        assert not changed(done)
    done = limited(host, 1).do("wait_for", port=port, from_=place, every=0.05)
    assert f"port {port}" in note(done)
    assert isinstance(done.outcome, TimedOut)
    assert done.outcome.limit_s == 1


def test_a_path_that_comes(host: LocalHost) -> None:
    with when(lambda: host.session.channels, (host.home / "ready").touch):
        assert not changed(host.do("wait_for", path="~/ready", every=0.05))
    assert "not there" in note(limited(host, 0.5).do("wait_for", path="no", every=0.1))


def test_a_command_has_to_succeed_in_a_row(host: LocalHost) -> None:
    text = "echo x >>count; test $(wc -l <count) -ne 2"
    assert not changed(host.do("wait_for", command=text, for_=3, every=0.01))
    assert (host.home / "count").read_text() == "x\n" * 5
    done = limited(host, 1).do("wait_for", command=("sh", "-c", "exit 3"), every=0.1)
    assert "exit status 3" in note(done)


def test_a_stop_ends_the_waiting(host: LocalHost) -> None:
    with when(lambda: host.session.channels, host.stop), pytest.raises(UnitStoppedError):
        host.do("wait_for", path="no", every=30)


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204 if self.path == "/ready" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_url_with_a_status(host: LocalHost) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            assert not changed(host.do("wait_for", url=f"{url}/ready", status=(200, 204)))
            done = limited(host, 1).do("wait_for", url=f"{url}/no", every=0.1)
            assert "HTTP status 503" in note(done)
        finally:
            server.shutdown()
            thread.join()


def test_ssh_itself(host: LocalHost) -> None:
    assert isinstance(host.do("wait_for", ssh=True).outcome, Ok)


def test_waiting_for_nothing_is_refused(host: LocalHost) -> None:
    assert "one of `port`" in message_of(host.do("wait_for"))
    assert "one of `port`" in message_of(host.do("wait_for", port=1, ssh=True))


def test_a_reboot_waits_for_a_new_boot_id(host: LocalHost) -> None:
    (host.home / "id").write_text("old")
    text = "(sleep 0.5; echo new >id) >/dev/null 2>&1 &"
    done = host.do("reboot", command=text, boot_id="id", every=0.05)
    assert changed(done)
    assert isinstance(done.outcome, Ok)
    assert "back after" in done.outcome.note
    assert host.stages == ["rebooting", "waiting for the reboot"]


def test_the_command_that_reboots_knows_its_unit(host: LocalHost) -> None:
    (host.home / "id").write_text("old")
    text = "echo $BATCHRUN_HOST $BATCHRUN_TASK $BATCHRUN_RUN >told; echo new >id"
    assert changed(host.do("reboot", command=text, boot_id="id", every=0.05))
    told = (host.home / "told").read_text().split()
    assert told == [host.host.name, host.task_id, host.settings.run_id]


def test_a_connection_that_breaks_is_what_a_reboot_does(host: LocalHost) -> None:
    (host.home / "id").write_text("old")
    with when((host.home / "down").exists, partial(host.session.cut, 1)):
        text = "touch down; echo new >id; sleep 30"
        assert changed(host.do("reboot", command=text, boot_id="id", every=0.05))


def test_a_host_that_was_not_booted_anew_is_timed_out(host: LocalHost) -> None:
    (host.home / "id").write_text("old")
    done = limited(host, 1).do("reboot", command="true", boot_id="id", every=0.05)
    assert "old boot id" in note(done)


def test_a_reboot_that_is_refused_fails(host: LocalHost) -> None:
    (host.home / "id").write_text("old")
    done = host.do("reboot", command="echo must be root >&2; exit 1", boot_id="id")
    assert "must be root" in message_of(done)
    assert "boot_id" in message_of(host.do("reboot", command="true", boot_id="no"))


def test_a_dry_run_reboots_nothing(host: LocalHost) -> None:
    (host.home / "id").write_text("old")
    host.settings = replace(host.settings, dry_run=True)
    assert changed(host.do("reboot", command="touch rebooted", boot_id="id"))
    assert not (host.home / "rebooted").exists()
