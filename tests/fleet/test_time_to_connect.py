"""How long hosts may take to connect: each word for it, against one that accepts and says nothing.

Whoever were not heard would leave the run waiting for longer than the test may take.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bad_servers import BadServer, says_nothing
from batchrun.remote.links import Limits
from hosts import fleet_of, host_at, refusal
from program import Ended, Program

pytestmark = pytest.mark.timeout(60)

NOTHING = "banner: the server says nothing"
UNREACHED = 4


class Silence:
    """The program, and hosts that say nothing; their configuration would wait for long."""

    def __init__(self, program: Program, server: BadServer) -> None:
        self.program = program
        config = program.dir / "ssh_config"
        config.write_text(f"ConnectTimeout 1000\n{server.ssh_config.read_text()}")
        self.env = {"BATCHRUN_SSH_CONFIG": str(config), "BATCHRUN_OUTPUT": "json"}

    def run(self, *words: str, **env: str) -> Ended:
        return self.program.run(*words, env={**self.env, **env})

    def job(self, **modifiers: str) -> str:
        lines = "".join(f", {name}: {value}" for name, value in modifiers.items())
        return self.program.job(f"tasks: [{{hosts: 127.0.0.1, run: 'true'{lines}}}]\n")


@pytest.fixture
def silence(tmp_path: Path) -> Iterator[Silence]:
    with says_nothing() as server, Program(tmp_path) as program:
        yield Silence(program, server)


def assert_given_up(ended: Ended) -> None:
    assert ended.counts == {"planned": 1, "unreachable": 1}, ended.err
    assert ended.units[0]["outcome"]["message"].startswith(NOTHING)


def test_the_time_of_the_task_wins_over_the_ssh_configuration(silence: Silence) -> None:
    assert_given_up(silence.run(silence.job(connect_timeout="200ms")))


def test_the_time_of_the_command_line_wins_over_the_task(silence: Silence) -> None:
    assert_given_up(silence.run(silence.job(connect_timeout="1000s"), "-t", "200ms"))
    assert_given_up(silence.run("do", "-t", "200ms", "-w", "127.0.0.1", "run", "true"))
    assert_given_up(silence.run("exec", "-t", "200ms", "-w", "127.0.0.1", "true"))


def test_the_time_of_the_environment_is_that_of_the_command_line(silence: Silence) -> None:
    assert_given_up(silence.run(silence.job(), BATCHRUN_CONNECT_TIMEOUT="200ms"))


def test_the_time_of_the_ssh_configuration_wins_over_the_default() -> None:
    with (
        says_nothing() as server,
        fleet_of(
            "ConnectTimeout 1", file=server.ssh_config, limits=Limits(connect_s=1000)
        ) as fleet,
    ):
        assert str(refusal(fleet, host_at("127.0.0.1"))).startswith(NOTHING)


def test_a_bastion_has_no_more_time_than_the_host_behind_it() -> None:
    with says_nothing() as server, fleet_of("ConnectTimeout 1000", file=server.ssh_config) as fleet:
        host = host_at("127.0.0.2", jump="127.0.0.1", connect_timeout_s=0.2)
        assert str(refusal(fleet, host)).startswith(f"jump host 127.0.0.1: {NOTHING}")
