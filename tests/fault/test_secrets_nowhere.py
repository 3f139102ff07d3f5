"""A secret is looked for everywhere that a run leaves traces, while it runs and afterwards.

In the clear, as shells quote it, in base64 at each of the three offsets, URL-encoded. Where it is
allowed: in the environment of a command that was given it, in the file that was to be
written with it, and where the user keeps it.
"""

import base64
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from program import Program
from support import environ_of

SECRET = "Zq7'w\"x $4+9%vK/p~Lm\\Qz"
JOB = """
secrets: {token: SOURCE}
defaults: {retry_delay: 1ms}
tasks:
- id: holder
  run: ": > ready; while [ ! -e go ]; do sleep 0.05; done; FORMS"
  env: {TOKEN: "{{ secrets.token }}", BEARER: "Bearer {{ secrets.token }}"}
- id: other
  run: while [ ! -e go ]; do sleep 0.05; done; env
- id: fed
  run: [python3, -c, "import sys; print(repr(sys.stdin.read()))"]
  stdin: "user\\n{{ secrets.token }}\\n"
- id: failing
  run: echo "cannot log in with $TOKEN" >&2; echo "$TOKEN" | tee /dev/stderr; exit 3
  env: {TOKEN: "{{ secrets.token }}"}
  retries: 1
- id: split
  run: 'python3 -u -c "import os, sys, time; t = os.environ[\\"TOKEN\\"]; [sys.stdout.write(c) or
    sys.stdout.flush() for c in t]"'
  env: {TOKEN: "{{ secrets.token }}"}
- id: long
  run: i=0; while [ $i -lt 9000 ]; do echo "$i $TOKEN 0123456789012345678901234567890"; i=$((i+1));
    done
  env: {TOKEN: "{{ secrets.token }}"}
- id: kept
  register: kept
  run: echo "$TOKEN"
  env: {TOKEN: "{{ secrets.token }}"}
- id: user-of-kept
  needs: [kept]
  run: echo "{{ results.kept.stdout }}"; exit 4
- id: steps
  steps:
  - {name: one, run: 'echo "$TOKEN"; exit 5', env: {TOKEN: "{{ secrets.token }}"}}
  rescue:
  - run: echo rescued from {{ failed.stdout }} {{ failed.stderr }}
  always:
  - run: echo "{{ failed.message }}"
- write: {dest: secret.txt, text: "password={{ secrets.token }}\\n"}
- template: {src: t.j2, dest: secret.conf, validate: [sh, -c, 'cat "$1"; exit 9', x, "{{ new }}"]}
- replace: {path: plain.txt, find: HERE, with: "{{ secrets.token }}"}
finally:
- run: echo "{{ run.summary }}"; env
"""
#: What the holder prints of its secret.
FORMS = """
printf '%s\\n' "$TOKEN" "$BEARER"; env;
python3 -c 'import base64, os, shlex, urllib.parse as u; t = os.environ["TOKEN"];
print(shlex.quote(t), u.quote(t, safe=""), u.quote_plus(t), repr(t));
[print(base64.b64encode(b"x" * n + t.encode() + b"tail").decode()) for n in range(3)]'
"""
#: Tasks whose commands have it in their environment, because the job file says so.
GIVEN = (b"holder", b"failing", b"split", b"long", b"kept", b"steps")
ALLOWED = {"secret.txt", "secret.conf", "plain.txt", "pw"}
#: The name that one of these has while it is written, beside where it is to be.
TEMPORARY = re.compile(r"\.br-\d{8}-\d{6}-[0-9a-f]{4}-\d+-1-1(\.conf)?")


def forms(value: str) -> list[bytes]:
    """List what must be found nowhere."""
    found = [value, shlex.quote(value), quote(value, safe=""), repr(value)[1:-1]]
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + value.encode()).decode().rstrip("=")
        found.append(text[(0, 2, 3)[offset] : -1])
    # No piece of it either: twelve characters in a row that nothing else has.
    found += [value[:12], value[-12:]]
    return [one.encode() for one in found]


NEEDLES = forms(SECRET)


def traces(where: str, data: bytes) -> list[str]:
    """Tell where each form of the secret is, with what stands around it."""
    found: list[str] = []
    for needle in NEEDLES:
        at = data.find(needle)
        if at >= 0:
            found.append(f"{where}: {needle!r} in {data[max(at - 60, 0) : at + 80]!r}")
    return found


def files_below(directory: Path) -> Iterator[Path]:
    for top, _, names in os.walk(directory):
        yield from (Path(top, name) for name in names)


def traces_in_files(directory: Path, allowed: set[str]) -> list[str]:
    return [
        trace
        for path in files_below(directory)
        if path.name not in allowed
        for trace in traces(str(path), content(path))
    ]


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has gone meanwhile
        return b""


def is_being_written(path: Path, link: Path, directory: Path) -> bool:
    """Say whether an open file is one that is to hold the secret, and nobody else may read it."""
    if path.parent != directory.resolve() or not TEMPORARY.fullmatch(path.name):
        return False
    try:
        return link.stat().st_mode & 0o777 == 0o600
    except OSError:  # it is closed by now
        return True


def open_files(pid: int, directory: Path) -> Iterator[tuple[str, bytes]]:
    """Return what a process has open: files, also deleted ones and those in memory.

    Args:
        pid: Which.
        directory: Where files are written that are to hold the secret.
    """
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for number in numbers:
        link = Path(f"/proc/{pid}/fd/{number}")
        try:
            name = os.readlink(link)
        except OSError:
            continue
        # Standard input of the command that was given it, in memory: no name leads there.
        given = name.startswith("/memfd:stdin")
        if link.is_file() and not name.startswith("/proc/") and Path(name).name not in ALLOWED:
            written = is_being_written(Path(name), link, directory)
            yield f"{pid} has {name} open", b"" if given or written else content(link)


@dataclass(frozen=True, kw_only=True)
class World:
    program: Program
    source: str
    env: dict[str, str | None]
    temp: Path
    state: Path

    def traces_in_processes(self, main: int) -> list[str]:
        """Look at every process of the run: its arguments, its environment, its open files."""
        found: list[str] = []
        for pid in {main, *self.program.left()}:
            environ = environ_of(pid)
            given = any(b"\0BATCHRUN_TASK=%b\0" % task in environ for task in GIVEN)
            # Where the user has put it into batchrun's own environment, it is there.
            own = self.source == "env" and b"\0BATCHRUN_UNIT=" not in environ
            if not given and not own:
                found += traces(f"environment of {pid} {cmdline(pid)!r}", environ)
            found += traces(f"arguments of {pid}", cmdline(pid))
            for name, data in open_files(pid, self.program.dir):
                found += traces(name, data)
        return found


def cmdline(pid: int) -> bytes:
    return content(Path(f"/proc/{pid}/cmdline"))


@pytest.fixture(params=["env", "file", "command"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    source = {
        "env": "{env: MY_TOKEN}",
        "file": "{file: pw}",
        "command": "{command: [cat, pw]}",
    }[request.param]
    directory = tmp_path / "work"
    temp, state = tmp_path / "temp", tmp_path / "state"
    for one in (directory, temp, state):
        one.mkdir()
    env: dict[str, str | None] = {"TMPDIR": str(temp), "BATCHRUN_STATE_DIR": str(state)}
    if request.param == "env":
        env["MY_TOKEN"] = SECRET
    else:
        (directory / "pw").write_text(SECRET + "\n")
        (directory / "pw").chmod(0o600)
    with Program(directory) as program:
        text = JOB.replace("SOURCE", source).replace("FORMS", json_text(FORMS))
        program.job(text)
        (directory / "t.j2").write_text("user=me\npassword={{ secrets.token }}\n")
        (directory / "plain.txt").write_text("password=HERE\n")
        (directory / "plain.txt").chmod(0o600)
        yield World(program=program, source=request.param, env=env, temp=temp, state=state)


def json_text(text: str) -> str:
    """Write a text so that it can stand inside a double-quoted text of YAML."""
    import json

    return json.dumps(text)[1:-1]


@pytest.mark.parametrize(
    "options",
    [
        ("-j", "3"),
        ("-j", "3", "--output", "json"),
        ("-j", "3", "--output", "ndjson", "--debug"),
        ("-j", "3", "-v", "--debug", "--diff"),
        ("-j", "0", "--diff"),
    ],
    ids=" ".join,
)
def test_a_secret_is_nowhere_while_its_job_runs_nor_afterwards(
    world: World, options: tuple[str, ...]
) -> None:
    program = world.program
    if options[1] == "0":  # one unit after the other: nothing to look at can wait
        (program.dir / "go").touch()
    run = program.start("job.yml", *options, env=world.env)
    if options[1] != "0":
        run.until((program.dir / "ready").exists, "the command with the secret runs")

    found = world.traces_in_processes(run.pid) if options[1] != "0" else []
    found += traces_in_files(world.temp, set()) + traces_in_files(world.state, set())
    (program.dir / "go").touch()
    ended = run.end()

    found += traces("standard output", ended.stdout) + traces("standard error", ended.stderr)
    for directory in (world.temp, world.state, program.dir):
        found += traces_in_files(directory, ALLOWED)
    assert found == []
    assert b"***" in ended.stdout + ended.stderr
    assert ended.code == 2
    assert (program.dir / "secret.txt").read_text() == f"password={SECRET}\n"
    assert (program.dir / "secret.txt").stat().st_mode & 0o777 == 0o600
    assert (program.dir / "plain.txt").read_text() == f"password={SECRET}\n"
    assert not (program.dir / "secret.conf").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("check", "job.yml"),
        ("run", "job.yml", "--dry-run"),
        ("run", "job.yml", "--dry-run", "--diff", "-v", "--debug"),
        ("run", "job.yml", "--dry-run", "--diff", "--output", "json"),
    ],
    ids=" ".join,
)
def test_a_secret_is_nowhere_when_nothing_is_changed(world: World, words: tuple[str, ...]) -> None:
    program = world.program
    (program.dir / "go").touch()

    ended = program.run(*words, env=world.env)

    found = traces("standard output", ended.stdout) + traces("standard error", ended.stderr)
    for directory in (world.temp, world.state, program.dir):
        found += traces_in_files(directory, ALLOWED)
    assert found == []
    assert ended.code == 0, ended.err
    assert (program.dir / "plain.txt").read_text() == "password=HERE\n"
    assert not (program.dir / "secret.txt").exists()


def test_a_secret_that_cannot_be_had_fails_its_units_and_shows_nothing(world: World) -> None:
    program = world.program
    (program.dir / "go").touch()
    short: dict[str, Any] = {**world.env, "MY_TOKEN": "abc"}
    if world.source != "env":
        (program.dir / "pw").write_text("abc\n")

    ended = program.run("job.yml", "--task", "fed", "-j", "2", env=short)

    assert ended.code == 2
    assert "the secret `token` has fewer than 4 characters" in ended.out + ended.err
    assert "retried" not in ended.out
