"""What many tests use: the only sleep, and a look at the process table."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "MEMORY",
    "environ_of",
    "freeze",
    "local_zone",
    "processes_with_environ",
    "wait_until",
]

#: Where files are that many tests make durable: on a disk that alone takes minutes. None: nowhere.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def wait_until(predicate: Callable[[], object], timeout_s: float, describe: str) -> None:
    """Poll until `predicate()` is true; fail with `describe` and its last value at the timeout."""
    end = time.monotonic() + timeout_s
    value = predicate()
    while not value:
        if time.monotonic() > end:
            message = f"not within {timeout_s} s: {describe} (last value: {value!r})"
            raise AssertionError(message)
        time.sleep(0.01)
        value = predicate()


def freeze(pid: int) -> None:
    """Send SIGSTOP and wait until the process has really stopped.

    Until then it may still take a message that was meant for it alone.
    """
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    wait_until(
        lambda: stat.read_text().rpartition(")")[2].split()[0] == "T",
        timeout_s=30,
        describe=f"process {pid} is stopped",
    )


@contextmanager
def local_zone(zone: str) -> Iterator[None]:
    """Let the local time of this process be that of a zone, as TZ names it."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def environ_of(pid: int) -> bytes:
    """Return the environment of a process, NUL-joined; empty when it is gone or not ours."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def processes_with_environ(marker: str) -> list[int]:
    """Return the ids of live processes (no zombies) whose environment holds `marker`."""
    wanted = os.fsencode(marker)
    mine = os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid != mine and wanted in environ_of(pid)]
