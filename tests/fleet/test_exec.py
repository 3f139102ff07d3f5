"""`batchrun exec` against real servers: every address of 127.0.0.0/8 is a host."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from program import COMMAND, Ended, Program
from sshd import Sshd, nothing_runs_on, running_sshd

pytestmark = pytest.mark.timeout(120)

#: Says which host it is: all of them are one machine.
WHO = "set -- $SSH_CONNECTION; echo $3"


class Fleet:
    """The program, with hosts that it can log in to."""

    def __init__(self, program: Program, server: Sshd) -> None:
        self.program = program
        self.server = server
        self.env = {"BATCHRUN_SSH_CONFIG": str(server.ssh_config)}

    def run(self, *words: str, stdin: bytes = b"", **env: str) -> Ended:
        return self.program.run(*words, stdin=stdin, env={**self.env, **env})

    def exec(self, *words: str, stdin: bytes = b"") -> Ended:
        return self.run("exec", *words, stdin=stdin)


@pytest.fixture
def fleet(tmp_path: Path, sshd: Sshd) -> Iterator[Fleet]:
    with Program(tmp_path) as program:
        yield Fleet(program, sshd)


def lines_of(text: str) -> list[str]:
    return sorted(text.splitlines())


# ---- lines ------------------------------------------------------------------------------------


def test_lines_come_behind_their_hosts_and_the_streams_stay_apart(fleet: Fleet) -> None:
    ended = fleet.exec("-w", "127.0.0.[1-3]", f"{WHO}; echo oh >&2")
    assert ended.code == 0, ended.err
    assert lines_of(ended.out) == [f"127.0.0.{at}: 127.0.0.{at}" for at in (1, 2, 3)]
    assert [f"127.0.0.{at}: oh" for at in (1, 2, 3)] == [
        line for line in lines_of(ended.err) if line.startswith("127")
    ]


def test_words_are_read_by_the_shell_of_the_host_unless_they_are_to_stay_apart(
    fleet: Fleet,
) -> None:
    assert fleet.exec("-w", "127.0.0.1", "echo", "a  b", "$((1+1))").out == "127.0.0.1: a b 2\n"
    ended = fleet.exec("--argv", "-w", "127.0.0.1", "echo", "a  b", "$((1+1))")
    assert ended.out == "127.0.0.1: a  b $((1+1))\n"


def test_braces_mean_something_only_when_they_are_to(fleet: Fleet) -> None:
    assert fleet.exec("-w", "127.0.0.1", "echo '{{ host }}'").out == "127.0.0.1: {{ host }}\n"
    ended = fleet.exec("--template", "-w", "127.0.0.1", "echo {{ host }}")
    assert ended.out == "127.0.0.1: 127.0.0.1\n"


def test_every_command_gets_standard_input(fleet: Fleet) -> None:
    ended = fleet.exec("--stdin", "-w", "127.0.0.[1-2]", "cat", stdin=b"one\ntwo\n")
    assert lines_of(ended.out) == [
        f"127.0.0.{at}: {word}" for at in (1, 2) for word in ("one", "two")
    ]


def test_a_script_of_this_machine_is_run_there_with_its_arguments(fleet: Fleet) -> None:
    (fleet.program.dir / "who.sh").write_text('#!/bin/sh\necho "$0" "$2" | sed "s:.*/::"\n')
    ended = fleet.exec("-w", "127.0.0.1", "--script", "who.sh", "a", "b c")
    assert ended.out.endswith("b c\n"), ended.err


def test_hosts_are_read_from_standard_input_and_some_left_out(fleet: Fleet) -> None:
    ended = fleet.exec("-w", "-", "-x", "127.0.0.2", WHO, stdin=b"127.0.0.1\n127.0.0.[2-3]\n")
    assert lines_of(ended.out) == ["127.0.0.1: 127.0.0.1", "127.0.0.3: 127.0.0.3"]


def test_the_hosts_of_a_job_file_are_read_from_standard_input_too(
    fleet: Fleet, tmp_path: Path
) -> None:
    (tmp_path / "job.yml").write_text("tasks:\n  - {id: t, hosts: '127.0.0.[1-3]', run: exit 3}\n")
    for words in (("-w", "-"), ("--hostfile", "-")):
        ended = fleet.run("job.yml", *words, "--output", "json", stdin=b"127.0.0.2\n127.0.0.3\n")
        assert ended.counts["failed"] == 2, ended.err
        again = fleet.run("rerun", "--output", "json")
        assert again.counts["failed"] == 2, again.err


def test_an_empty_variable_does_not_mean_all_hosts(fleet: Fleet) -> None:
    ended = fleet.run("hosts", "--folded", "")
    assert (ended.code, ended.out) == (64, "")
    assert "the node set is empty" in ended.err


# ---- folded -----------------------------------------------------------------------------------


def test_the_same_output_is_shown_once_below_the_hosts(fleet: Fleet) -> None:
    ended = fleet.exec("-b", "-w", "127.0.0.[1-4]", f"{WHO} | grep -q 0.3 && echo b || echo a")
    rule = "-" * 15
    assert ended.out == (
        f"{rule}\n127.0.0.[1-2,4] (3)\n{rule}\na\n{rule}\n127.0.0.3 (1)\n{rule}\nb\n"
    )


def test_what_differs_from_most_is_a_diff(fleet: Fleet) -> None:
    ended = fleet.exec("--diff", "-w", "127.0.0.[1-3]", f"echo x; {WHO} | grep 0.2 || true")
    assert ended.out == (
        "--- 127.0.0.[1,3] (2)\n+++ 127.0.0.2 (1)\n@@ -1 +1,2 @@\n x\n+127.0.0.2\n"
    )


def test_outputs_that_differ_in_the_own_name_only_are_the_same_with_a_mask(fleet: Fleet) -> None:
    ended = fleet.exec("-b", "--mask", "-w", "127.0.0.[1-3]", f"{WHO}; date +%s%N")
    assert ended.out.splitlines()[1:] == [
        "127.0.0.[1-3] (3)", "-" * 15, "{host}", "{n}",
    ]  # fmt: skip


# ---- endings ----------------------------------------------------------------------------------


def test_hosts_that_did_not_end_well_are_named_in_node_sets_by_why(fleet: Fleet) -> None:
    command = f"{WHO} | grep -q '0.[23]$' && exit 3; exit 0"
    ended = fleet.exec("-w", "127.0.0.[1-3]", "-w", "no-such-host.invalid", command)
    assert ended.code == 2
    failed, unreachable, again = ended.err.splitlines()[1:]
    assert again.startswith("again: batchrun rerun ")
    assert failed.startswith("FAILED ")
    assert failed.endswith("127.0.0.[2-3] (2): exit status 3")
    assert unreachable.startswith("UNREACHABLE ")
    assert "no-such-host.invalid: resolve: " in unreachable


def test_only_unreachable_hosts_have_an_exit_code_of_their_own(fleet: Fleet) -> None:
    ended = fleet.exec("-w", "127.0.0.1,no-such-host.invalid", "true")
    assert ended.code == 4


def test_a_command_that_takes_too_long_is_ended_on_the_host_too(fleet: Fleet) -> None:
    ended = fleet.exec("-u", "1s", "-w", "127.0.0.[1-2]", "sleep 1000")
    assert ended.code == 2
    assert "127.0.0.[1-2] (2): ran longer than 1 s" in ended.err
    nothing_runs_on(fleet.server)


def test_a_node_set_that_is_a_slip_runs_nothing(fleet: Fleet) -> None:
    for nodes in ("127.0.0.[1-", "@nosuchgroup", "127.0.0.1!nosuchhost"):
        ended = fleet.exec("-w", nodes, "touch hit")
        assert ended.code == 65, ended.err
        assert ended.out == ""
    assert fleet.exec("touch hit").code == 64
    ended = fleet.exec("-i", "no-such.yml", "-a", "touch hit")
    assert (ended.code, len(ended.err.splitlines())) == (65, 1)
    assert "no-such.yml` cannot be read: No such file" in ended.err


def test_ctrl_c_twice_leaves_nothing_running_there(fleet: Fleet) -> None:
    run = fleet.program.start("exec", "-w", "127.0.0.[1-2]", "sleep 1000", env=fleet.env)
    run.until(lambda: len(fleet.server.commands()) >= 2, "both commands run")
    run.send(signal.SIGINT)
    run.until(lambda: len(run.err_so_far) > 0, "it says what it waits for")
    run.send(signal.SIGINT)
    assert run.end().code == 130
    nothing_runs_on(fleet.server)


def test_a_password_that_nobody_can_type_stops_it_before_anything_begins(fleet: Fleet) -> None:
    for option in ("-K", "-k"):
        ended = fleet.program.run(
            "exec", option, "-w", "127.0.0.1", "touch hit", env=fleet.env, before=("setsid", "-w")
        )
        assert ended.code == 65
        assert "there is no terminal" in ended.err


# ---- as any other run -------------------------------------------------------------------------


def test_it_is_on_record_with_its_hosts(fleet: Fleet) -> None:
    fleet.exec("-w", "127.0.0.[1-3]", WHO)
    shown = fleet.run("show", "--host", "127.0.0.[2-3]", "--json").document
    assert sorted(unit["host"] for unit in shown["units"]) == ["127.0.0.2", "127.0.0.3"]
    assert fleet.run("show", "--host", "127.0.0.9").code == 64


def test_only_what_failed_is_run_again_as_it_was_the_first_time(fleet: Fleet) -> None:
    command = f"{WHO}; {WHO} | grep -q 0.2 && test ! -e {fleet.program.dir}/mended && exit 1; true"
    assert fleet.exec("-b", "-w", "127.0.0.[1-3]", command).code == 2
    (fleet.program.dir / "mended").touch()
    again = fleet.run("rerun")
    assert again.code == 0
    assert again.out == f"{'-' * 15}\n127.0.0.2 (1)\n{'-' * 15}\n127.0.0.2\n"


def test_a_resumed_run_is_narrowed_to_some_of_its_hosts(fleet: Fleet) -> None:
    fleet.exec("-w", "127.0.0.[1-3]", "exit 1")
    ended = fleet.run("resume", "-w", "127.0.0.[2-3]", "-x", "127.0.0.3", "--output", "json")
    assert [unit["host"] for unit in ended.units] == ["127.0.0.2"]
    assert "no longer planned" not in ended.err


def test_what_was_saved_does_the_same(fleet: Fleet) -> None:
    first = fleet.exec("-w", "127.0.0.[1-2]", "--save", "job.yml", WHO)
    again = fleet.run("job.yml", "--output", "ndjson")
    found = [event for event in again.events if event["type"] == "unit_ended"]
    assert sorted(f"{event['host']}: {event['stdout']}" for event in found) == [
        f"{line}\n" for line in lines_of(first.out)
    ]


def test_files_of_a_run_know_the_host(fleet: Fleet) -> None:
    ended = fleet.exec(
        "-w", "127.0.0.[1-2]", "--joblog", "log", "--output-dir", "out", "--report", "r.html", WHO
    )
    assert ended.code == 0, ended.err
    rows = [line.split("\t") for line in (fleet.program.dir / "log").read_text().splitlines()]
    assert sorted(row[1] for row in rows) == ["127.0.0.1", "127.0.0.2", "Host"]
    written = sorted(path.name[7:] for path in (fleet.program.dir / "out").glob("*/exec/*.out"))
    assert written == ["127.0.0.1.out", "127.0.0.2.out"]
    page = (fleet.program.dir / "r.html").read_text()
    assert '"lanes":[["127.0.0.1"' in page


def test_a_dry_run_connects_to_nobody(fleet: Fleet) -> None:
    before = fleet.server.connections()
    ended = fleet.exec("-n", "-w", "127.0.0.[1-2]", "touch hit")
    assert ended.code == 0
    assert sorted(line.split()[0] for line in ended.out.splitlines()) == ["would", "would"]
    assert fleet.server.connections() == before


def test_bx_is_its_short_name(fleet: Fleet) -> None:
    code = "from batchrun.__main__ import main_exec; main_exec()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "-w", "127.0.0.1", "echo", "hi"],
        env={**os.environ, **fleet.env},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == b"127.0.0.1: hi\n"
    (entry,) = entry_points(group="console_scripts", name="bx")
    assert entry.value == "batchrun.__main__:main_exec"


# ---- operations, job files, lists -------------------------------------------------------------


def test_an_operation_runs_on_hosts(fleet: Fleet) -> None:
    ended = fleet.run("do", "run", "-w", "127.0.0.[1-2]", "echo {{ host }}")
    assert lines_of(ended.out) == ["127.0.0.1: 127.0.0.1", "127.0.0.2: 127.0.0.2"]
    refused = fleet.run("do", "copy", "-w", "127.0.0.1", "src=/a", "dest=/b")
    assert refused.code == 64
    assert "works on this machine, not on hosts" in refused.err


def test_a_job_file_is_narrowed_and_keeps_to_it(fleet: Fleet) -> None:
    fleet.program.job("tasks:\n  - hosts: 127.0.0.[1-3]\n    run: 'false'\n")
    ended = fleet.run("job.yml", "-w", "127.0.0.[2-9]", "--output", "json")
    assert sorted(unit["host"] for unit in ended.units) == ["127.0.0.2", "127.0.0.3"]
    again = fleet.run("rerun", "-w", "127.0.0.[1-2]", "--output", "json")
    assert [unit["host"] for unit in again.units] == ["127.0.0.2"]
    assert fleet.run("job.yml", "-w", "127.0.0.9").code == 64


def test_waves_are_overridden(fleet: Fleet) -> None:
    fleet.program.job("tasks:\n  - hosts: 127.0.0.[1-3]\n    run: exit 1\n")
    ended = fleet.run("job.yml", "--batch", "1", "--output", "json")
    assert ended.code == 5
    assert ended.counts["failed"] == 1


def test_hosts_shows_what_inventory_and_configuration_make_of_them(
    fleet: Fleet, tmp_path: Path
) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "defaults: {user: deploy}\n"
        "hosts:\n"
        "  web[1-2]: {groups: [web], address: '127.0.0.[1-2]'}\n"
        "  other: {address: 127.0.0.3, port: 1}\n"
    )
    ended = fleet.run("hosts", "-i", str(inventory), "--json", "@web")
    assert ended.code == 0, ended.err
    rows = json.loads(ended.stdout)["hosts"]
    assert [(row["name"], row["address"], row["user"], row["groups"]) for row in rows] == [
        ("web1", "127.0.0.1", "deploy", ["web"]), ("web2", "127.0.0.2", "deploy", ["web"]),
    ]  # fmt: skip
    assert all(row["key_known"] for row in rows)
    table = fleet.run("hosts", "-i", str(inventory)).out.splitlines()
    assert [line.split()[0] for line in table] == ["NAME", "web1", "web2", "other"]
    assert fleet.run("hosts", "-i", str(inventory), "--folded").out == "other,web[1-2]\n"


def test_what_of_the_configuration_is_not_honoured_is_said_once(fleet: Fleet) -> None:
    words = ("-o", "ForwardAgent=yes", "-w", "127.0.0.[1-3]", "true")
    said = [line for line in fleet.exec(*words).err.splitlines() if "ForwardAgent" in line]
    assert len(said) == 1
    listed = fleet.run("hosts", "--json", "-o", "ForwardAgent=yes", "127.0.0.[1-3]")
    assert len(json.loads(listed.stdout)["ignored"]) == 1


def test_the_number_of_attempts_stands_behind_why_a_host_is_unreachable(fleet: Fleet) -> None:
    ended = fleet.exec("-w", "none.invalid", "--retries", "1", "true")
    assert ended.code == 4, ended.err
    assert "check it, or say its `address`, 2 attempts\n" in ended.err


def test_unknown_keys_are_refused_unless_they_are_to_be_taken(tmp_path: Path) -> None:
    with running_sshd() as server, Program(tmp_path) as program:
        known = tmp_path / "known"
        env = {"BATCHRUN_SSH_CONFIG": str(server.ssh_config)}
        words = ("-w", "127.0.0.1", "-o", f"UserKnownHostsFile={known}", "echo", "hi")
        refused = program.run("exec", *words, env=env)
        assert refused.code == 4
        assert not known.exists()
        taken = program.run("exec", "--host-key", "accept-new", *words, env=env)
        assert taken.out == "127.0.0.1: hi\n", taken.err
        assert program.run("exec", *words, env=env).code == 0


# ---- files ------------------------------------------------------------------------------------


def test_files_are_copied_to_hosts_and_from_each_into_a_directory_of_its_own(
    fleet: Fleet, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    (fleet.program.dir / "a b.conf").write_text("x\n")
    sent = fleet.run("upload", "-w", "127.0.0.1", "a b.conf", f"{there}/")
    assert sent.code == 0, sent.err
    assert (there / "a b.conf").read_text() == "x\n"
    again = fleet.run("upload", "-w", "127.0.0.1", "--output", "json", "a b.conf", f"{there}/")
    assert again.counts == {"planned": 1, "ok": 1}
    fetched = fleet.run("download", "-w", "127.0.0.[1-2]", f"{there}/a b.conf", "got")
    assert fetched.code == 0, fetched.err
    assert sorted(str(path.relative_to(fleet.program.dir)) for path in
                  (fleet.program.dir / "got").rglob("*.conf")) == [
        "got/127.0.0.1/a b.conf", "got/127.0.0.2/a b.conf",
    ]  # fmt: skip


def test_what_cannot_be_fetched_is_told_by_host_set(fleet: Fleet) -> None:
    ended = fleet.run("download", "-w", "127.0.0.[1-2]", "/no/such/file", "got")
    assert ended.code == 2
    assert "127.0.0.[1-2] (2): " in ended.out


def test_whoever_reads_it_and_has_seen_enough_ends_the_commands(fleet: Fleet) -> None:
    env = {**os.environ, **fleet.env, "BATCHRUN_STATE_DIR": str(fleet.program.dir / "state")}
    words = [*COMMAND, "exec", "-w", "127.0.0.[1-2]", "yes $BATCHRUN_HOST"]
    with subprocess.Popen(
        words, cwd=fleet.program.dir, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline().startswith(b"127.0.0.")
        run.stdout.close()
        said = run.stderr.read().decode()
        assert run.wait(60) == 2
    assert "2 aborted" in said
    assert "stopped: nobody reads its output any more" in said
    nothing_runs_on(fleet.server)
