"""Job files whose tasks say how something is done on hosts, run against a real server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Ended, Program
from sshd import Sshd

pytestmark = pytest.mark.timeout(120)


class Fleet:
    """The program, and hosts that are all this machine."""

    def __init__(self, program: Program, server: Sshd) -> None:
        self.program = program
        self.server = server
        self.env = {"BATCHRUN_SSH_CONFIG": str(server.ssh_config)}

    def run(self, tasks: str, *words: str) -> Ended:
        job = self.program.job(f"tasks:\n{tasks}")
        return self.program.run(job, "--output", "json", *words, env=self.env)


@pytest.fixture
def fleet(tmp_path: Path, sshd: Sshd) -> Iterator[Fleet]:
    with Program(tmp_path) as program:
        yield Fleet(program, sshd)


def test_guards_and_commands_and_files_have_the_priorities_of_their_task(fleet: Fleet) -> None:
    there = fleet.program.dir
    nicer = os.getpriority(os.PRIO_PROCESS, 0) + 3
    ended = fleet.run(
        f"- {{hosts: 127.0.0.1, nice: 3, ionice: idle, onlyif: 'test $(nice) = {nicer}',"
        f" run: '(nice; ionice -p $$) > {there}/command'}}\n"
        f"- {{hosts: 127.0.0.1, nice: 3, write: {{dest: {there}/made, text: x,"
        f""" validate: [sh, -c, 'nice > {there}/file', '{{{{ new }}}}']}}}}\n"""
        f"- {{hosts: 127.0.0.1, run: 'nice > {there}/plain'}}\n"
    )
    assert (ended.code, ended.counts["ok"]) == (0, 3), ended.err
    assert (there / "command").read_text() == f"{nicer}\nidle\n"
    assert (there / "file").read_text() == f"{nicer}\n"
    assert (there / "plain").read_text() == f"{nicer - 3}\n"
