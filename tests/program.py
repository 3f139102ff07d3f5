"""The whole program, started as users start it: its files, its processes, its endings."""

import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support import environ_of, processes_with_environ, wait_until

__all__ = [
    "COMMAND",
    "DEFAULT_SIGNALS",
    "Ended",
    "Program",
    "Started",
    "as_ordinary_user",
    "holds_open",
    "path_with_batchrun",
]

#: The installed command; from a source tree that is not installed, the package.
COMMAND: tuple[str, ...] = (
    ("batchrun",) if shutil.which("batchrun") else (sys.executable, "-m", "batchrun")
)
#: Whoever runs the tests in the background ignores SIGINT; what is tested must not inherit that.
DEFAULT_SIGNALS = ("env", "--default-signal=INT,TERM,HUP,USR1,PIPE")
_END_S = 60.0
#: Hides a directory that others may not enter, all but the interpreter in it, from one process.
_HIDE = """
mount --bind "$2" /mnt
mount -t tmpfs -o mode=755 none "$1"
mkdir -p "$2"
mount --bind /mnt "$2"
shift 2
exec "$@"
"""


def as_ordinary_user(uid: int = 65534) -> tuple[str, ...]:
    """Return the words that start a program without root's rights, whoever runs the tests.

    Args:
        uid: Of the user and of his only group, when root runs them.
    """
    if os.geteuid() != 0:
        return DEFAULT_SIGNALS
    drop = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *DEFAULT_SIGNALS)
    interpreter = Path(sys.base_prefix)
    closed = [path for path in reversed(interpreter.parents) if not path.stat().st_mode & 0o001]
    if not closed:
        return drop
    return ("unshare", "--mount", "sh", "-ec", _HIDE, "sh", str(closed[0]), str(interpreter), *drop)


def path_with_batchrun(directory: Path) -> str:
    """Return a PATH on which shells find `batchrun`; one is made when it is not installed."""
    path = os.environ["PATH"]
    if COMMAND == ("batchrun",):
        return path
    directory.mkdir(exist_ok=True)
    shim = directory / "batchrun"
    shim.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    shim.chmod(0o755)
    return f"{directory}:{path}"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a run left behind."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()

    @property
    def document(self) -> dict[str, Any]:
        """The document of `--output json`."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of `--output json`, those that are not zero."""
        counts: dict[str, int] = self.document["counts"]
        return {kind: number for kind, number in counts.items() if number}

    @property
    def units(self) -> list[dict[str, Any]]:
        """The units of `--output json`, in the order of planning."""
        units: list[dict[str, Any]] = self.document["units"]
        return sorted(units, key=lambda unit: unit["number"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of `--output ndjson`."""
        return [json.loads(line) for line in self.stdout.splitlines()]


class Started:
    """A run that goes on."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._stdout = stdout
        self._stderr = stderr

    def send(self, number: signal.Signals) -> None:
        """Signal batchrun itself, not its group."""
        self.process.send_signal(number)

    @property
    def out_so_far(self) -> str:
        return self._stdout.read_text(errors="replace") if self._stdout.exists() else ""

    @property
    def err_so_far(self) -> str:
        return self._stderr.read_text(errors="replace") if self._stderr.exists() else ""

    def until(self, predicate: Callable[[], object], describe: str) -> None:
        """Wait for something that this run brings about; it must not end before."""

        def come_true() -> object:
            found = predicate()
            assert found or self.process.poll() is None, (
                f"it ended with {self.process.returncode} before: {describe}\n{self.err_so_far}"
            )
            return found

        wait_until(come_true, _END_S, describe)

    def workers(self) -> list[int]:
        """Return the ids of its worker processes, the oldest first."""
        return [pid for pid in _children(self.pid) if b"spawn_main" in _cmdline(pid)]

    def end(self, timeout_s: float = _END_S) -> Ended:
        """Wait for its end."""
        code = self.process.wait(timeout_s)
        out, err = (
            path.read_bytes() if path.exists() else b"" for path in (self._stdout, self._stderr)
        )
        return Ended(code=code, stdout=out, stderr=err)


class Program:
    """Runs batchrun in one directory; at the end nothing that it started may be left.

    Everything that descends from it carries a mark in its environment, workers and commands that
    have left their session included.
    """

    def __init__(self, directory: Path) -> None:
        self.dir = directory
        self._name, self._value = "TEST_MARK", secrets.token_hex(8)
        self._streams = directory.parent / f"{directory.name}-streams"
        self._started: list[Started] = []
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        self._streams.mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # A test that failed half-way leaves runs behind, about which enough is said already.
            if kind is None and all(run.process.poll() is not None for run in self._started):
                wait_until(lambda: not self.left(), 30, "nothing that batchrun started is left")
        finally:
            while left := self.left():
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            for run in self._started:
                run.process.wait(_END_S)

    def left(self) -> list[int]:
        """Return the ids of all live processes that descend from this program's runs."""
        return processes_with_environ(f"{self._name}={self._value}")

    def commands_left(self) -> list[int]:
        """Return the ids of those of them that are commands of units, or come from one."""
        return [pid for pid in self.left() if b"\0BATCHRUN_UNIT=" in environ_of(pid)]

    def job(self, text: str, name: str = "job.yml") -> str:
        """Write a job file."""
        (self.dir / name).write_text(text)
        return name

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Return ours, with the mark and what is given; None takes a variable away."""
        # Whoever keeps the interpreter from keeping its compiled modules pays for it at each start.
        merged: dict[str, str | None] = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": None,
            self._name: self._value,
            **(env or {}),
        }
        return {name: value for name, value in merged.items() if value is not None}

    def start(
        self,
        *words: str,
        env: Mapping[str, str | None] | None = None,
        stdin: bytes | int = b"",
        before: Sequence[str] = DEFAULT_SIGNALS,
        **more: Any,
    ) -> Started:
        """Start a run.

        Args:
            words: The command line.
            env: What is different in its environment.
            stdin: What it reads, or the descriptor from which.
            before: What starts it.
            more: For Popen.
        """
        number = next(self._numbers)
        stdout, stderr, source = (self._streams / f"{number}.{end}" for end in ("out", "err", "in"))
        source.write_bytes(b"" if isinstance(stdin, int) else stdin)
        with source.open("rb") as read, stdout.open("wb") as out, stderr.open("wb") as err:
            streams = {"stdin": stdin if isinstance(stdin, int) else read, "stdout": out}
            process = subprocess.Popen(
                [*before, *COMMAND, *words],
                env=self.environment(env),
                start_new_session=True,
                **{"cwd": self.dir, **streams, "stderr": err, **more},
            )
        started = Started(process, stdout, stderr)
        self._started.append(started)
        return started

    def run(self, *words: str, **more: Any) -> Ended:
        """Run to the end; see `start`."""
        return self.start(*words, **more).end()


def holds_open(pid: int, path: Path) -> bool:
    """Say whether a process has this file open."""
    links = (f"/proc/{pid}/fd/{name}" for name in _names(f"/proc/{pid}/fd"))
    return any(_target(link) == os.path.realpath(path) for link in links)


def _target(link: str) -> str:
    """Return where a link leads; empty when it has gone meanwhile."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _children(parent: int) -> list[int]:
    """Return the children of all threads of a process: workers are started by the pool's."""
    tasks = f"/proc/{parent}/task"
    texts = [_read(f"{tasks}/{name}/children") for name in _names(tasks)]
    return sorted(int(pid) for text in texts for pid in text.split())


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _cmdline(pid: int) -> bytes:
    return _read(f"/proc/{pid}/cmdline")
