"""`at: host`: each host has items of its own, looked up there when the task starts."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bad_servers import says_nothing
from program import Ended, Program
from sshd import Sshd
from sudo_users import person
from support import wait_until

pytestmark = pytest.mark.timeout(120)


class Fleet:
    """The program, and hosts that are all this machine."""

    def __init__(self, program: Program, server: Sshd) -> None:
        self.program = program
        self.server = server
        #: What stands above the tasks.
        self.top = ""

    def run(self, foreach: str, *words: str, hosts: str = "127.0.0.[1-2]", more: str = "") -> Ended:
        task = f"{{id: t, hosts: '{hosts}', foreach: {foreach}, run: 'true'{more}}}"
        job = self.program.job(f"{self.top}tasks:\n- {task}\n")
        env = {"BATCHRUN_SSH_CONFIG": str(self.server.ssh_config)}
        return self.program.run(job, "--output", "json", *words, env=env)


@pytest.fixture
def fleet(tmp_path: Path, sshd: Sshd) -> Iterator[Fleet]:
    with Program(tmp_path) as program:
        yield Fleet(program, sshd)


def items(ended: Ended) -> list[tuple[str, str]]:
    """Return host and item of each unit that ended well; all must have."""
    assert ended.code == 0, ended.err
    return sorted((unit["host"], unit["item"]) for unit in ended.units)


def test_each_host_gives_the_lines_that_a_command_writes_there(fleet: Fleet) -> None:
    script = '[sh, -c, "set -- $SSH_CONNECTION; seq $(echo $3 | cut -d. -f4)"]'
    ended = fleet.run(f"{{command: {script}, at: host}}", hosts="127.0.0.[1-3]")
    assert items(ended) == [
        ("127.0.0.1", "1"), ("127.0.0.2", "1"), ("127.0.0.2", "2"),
        ("127.0.0.3", "1"), ("127.0.0.3", "2"), ("127.0.0.3", "3"),
    ]  # fmt: skip
    assert ended.counts == {"planned": 6, "ok": 6, "changed": 6}


def test_paths_lines_and_files_are_looked_up_there(fleet: Fleet, tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "deep").mkdir(parents=True)
    for name in ("a.log", "b c.log", "deep/d.log", "e.txt"):
        (there / name).write_text("x\ny z\n")
    os.utime(there / "a.log", (0, 0))
    one = {"hosts": "127.0.0.1"}

    globbed = fleet.run(f"{{glob: '{there}/*.log', at: host}}", **one)
    assert [item for _, item in items(globbed)] == [f"{there}/a.log", f"{there}/b c.log"]
    lines = fleet.run(f"{{lines: '{there}/a.log', at: host}}", **one)
    assert [item for _, item in items(lines)] == ["x", "y z"]
    found = fleet.run(
        f"{{find: {{path: {there}, name: '*.log', newer_than: 1d}}, at: host}}", **one
    )
    assert [item for _, item in items(found)] == [f"{there}/b c.log", f"{there}/deep/d.log"]
    near = fleet.run(f"{{find: {{path: {there}, type: any, max_depth: 1}}, at: host}}", **one)
    assert len(items(near)) == 4
    chunked = fleet.run(f"{{glob: '{there}/*', at: host, chunk: 3}}", **one)
    assert len(items(chunked)) == 2


def test_a_host_that_cannot_be_asked_ends_as_that_and_the_others_go_on(fleet: Fleet) -> None:
    script = '[sh, -c, "set -- $SSH_CONNECTION; test $3 != 127.0.0.2 && echo x || exit 3"]'
    with says_nothing() as dead:
        inventory = fleet.program.dir / "hosts.yml"
        inventory.write_text(
            f"hosts: {{127.0.0.9: {{port: {dead.port}}}, 127.0.0.1: {{}}, 127.0.0.2: {{}}}}\n"
        )
        ended = fleet.run(
            f"{{command: {script}, at: host}}",
            "-i",
            str(inventory),
            hosts="127.0.0.[1-2,9]",
            more=", connect_timeout: 500ms",
        )
    outcomes = {unit["host"]: unit["outcome"] for unit in ended.units}
    kinds = {host: outcome["kind"] for host, outcome in outcomes.items()}
    assert kinds == {"127.0.0.1": "ok", "127.0.0.2": "failed", "127.0.0.9": "unreachable"}
    assert "ended with exit status 3" in outcomes["127.0.0.2"]["message"]
    assert outcomes["127.0.0.9"]["message"].startswith("banner: ")


def test_a_look_up_takes_no_longer_than_a_unit_may_and_leaves_nothing(fleet: Fleet) -> None:
    ended = fleet.run("{command: [sleep, '1000'], at: host}", more=", timeout: 500ms")
    assert ended.counts == {"planned": 2, "timed_out": 2}
    wait_until(lambda: not fleet.server.commands(), 30, "nothing runs on the server")


def test_a_signal_ends_look_ups(fleet: Fleet) -> None:
    job = fleet.program.job(
        "tasks: [{hosts: '127.0.0.[1-2]', foreach: {command: [sleep, '1000'], at: host}, run: a}]"
    )
    run = fleet.program.start(job, env={"BATCHRUN_SSH_CONFIG": str(fleet.server.ssh_config)})
    run.until(lambda: len(fleet.server.commands()) >= 2, "both hosts are asked")
    run.send(signal.SIGINT)
    assert run.end().code == 130
    wait_until(lambda: not fleet.server.commands(), 30, "nothing runs on the server")


def test_a_host_without_items_has_no_units(fleet: Fleet, tmp_path: Path) -> None:
    ended = fleet.run(f"{{glob: '{tmp_path}/no/*', at: host}}")
    assert (ended.code, ended.counts) == (0, {})
    required = fleet.run(f"{{glob: '{tmp_path}/no/*', at: host, require: true}}")
    assert required.code == 2
    assert "foreach has no items" in required.out


def test_hosts_are_asked_as_whom_the_task_does_its_work(fleet: Fleet, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    (secret / "one").write_text("line\n")
    asked = {"glob": f"{secret}/*", "lines": f"{secret}/one", "find": f"{{path: {secret}}}"}
    with person("ALL=(ALL:ALL) NOPASSWD: ALL") as who:
        hosts = f"{who.name}@127.0.0.1"
        for kind, what in asked.items():
            quoted = what if kind == "find" else f"'{what}'"
            foreach = f"{{{kind}: {quoted}, at: host}}"
            ended = fleet.run(foreach, hosts=hosts, more=", sudo: true")
            expected = "line" if kind == "lines" else f"{secret}/one"
            assert items(ended) == [("127.0.0.1", expected)]
        ended = fleet.run("{command: [id, -un], at: host}", hosts=hosts, more=", sudo: nobody")
        assert items(ended) == [("127.0.0.1", "nobody")]
        ended = fleet.run("{command: [id, -un], at: host}", hosts=hosts)
        assert items(ended) == [("127.0.0.1", who.name)]


def test_a_password_for_sudo_is_used_by_look_ups_and_hides_nothing(fleet: Fleet) -> None:
    with person() as who:
        hosts = f"{who.name}@127.0.0.1"
        more = ", sudo: {password: secrets.pw}"
        (fleet.program.dir / "pw").write_text(who.password)
        (fleet.program.dir / "pw").chmod(0o600)
        fleet.top = "secrets: {pw: {file: pw}}\n"
        ended = fleet.run("{command: [id, -un], at: host}", hosts=hosts, more=more)
        assert items(ended) == [("127.0.0.1", "root")]
        ended = fleet.run(f"{{command: [echo, {who.password}], at: host}}", hosts=hosts, more=more)
        assert ended.code == 2
        assert "an item holds the password of sudo" in ended.out


def test_a_sudo_that_depends_on_the_item_cannot_be_asked_with(fleet: Fleet) -> None:
    ended = fleet.run("{command: [id], at: host}", more=", sudo: '{{ item }}'")
    assert ended.code == 65
    assert "sudo" in ended.err


def test_a_rerun_asks_the_host_again_that_could_not_be_asked(fleet: Fleet, tmp_path: Path) -> None:
    door = tmp_path / "door"
    here = "set -- $SSH_CONNECTION; test $3 = 127.0.0.1"
    first = fleet.run(f'{{command: [sh, -c, "{here} || cat {door} || exit 3; echo x"], at: host}}')
    assert {unit["outcome"]["kind"] for unit in first.units} == {"ok", "failed"}
    door.touch()
    env = {"BATCHRUN_SSH_CONFIG": str(fleet.server.ssh_config)}
    again = fleet.program.run("rerun", "--output", "json", env=env)
    assert items(again) == [("127.0.0.2", "x")]


def test_who_is_asked_is_named_with_how_long(fleet: Fleet) -> None:
    job = fleet.program.job(
        "tasks: [{name: t, hosts: '127.0.0.[1-2]', foreach: {command: [sleep, '1000'], at: host},"
        " run: a}]"
    )
    run = fleet.program.start(job, env={"BATCHRUN_SSH_CONFIG": str(fleet.server.ssh_config)})
    run.until(lambda: len(fleet.server.commands()) >= 2, "both hosts are asked")
    run.send(signal.SIGUSR1)
    run.until(lambda: "127.0.0.1" in run.err_so_far, "it says whom it asks")
    assert "asked for its items" in run.err_so_far
    run.send(signal.SIGINT)
    run.end()
