"""The password for sudo is looked for everywhere, all the time while a run uses it, and afterwards.

Allowed: the file where its user keeps it.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.secret import Mask
from sudo_users import Person, person
from support import environ_of

pytestmark = pytest.mark.timeout(120)

SUDO = {"password": "secrets.pw"}
TASKS: list[dict[str, Any]] = [
    {"id": "plain", "run": "cat; sleep 1", "stdin": "in"},
    {"id": "told", "run": 'echo "$P" "$P" >&2; cat', "env": {"P": "{{ secrets.pw }}"},
     "stdin": "{{ secrets.pw }}"},
    {"id": "listed", "run": "ps -eo args; cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
     "sudo": SUDO, "register": "listed"},
    {"id": "guarded", "run": "id", "unless": "sleep 0.5; false", "creates": "/root/no/such"},
    {"id": "made", "run": "id > {{ output }}", "output": "/root/brt/NAME"},
    {"id": "late", "run": "sleep 60", "timeout": "1s"},
    {"id": "failing", "run": "echo no >&2; exit 3", "retries": 1, "retry_delay": "1ms"},
    {"id": "steps", "steps": [{"run": "id"}, {"run": "exit 3"}], "rescue": [{"run": "id"}]},
]  # fmt: skip


@pytest.fixture
def anyone() -> Iterator[Person]:
    with person() as made:
        yield made


def needles(password: str) -> list[bytes]:
    """Return what must be found nowhere: what it may look like, and pieces of it."""
    data = password.encode()
    return [*Mask([password]).forms, data[3:15], data[-12:]]


def traces(where: str, data: bytes, forms: list[bytes]) -> list[str]:
    return [f"{where}: {form!r}" for form in forms if form in data]


def traces_in_processes(forms: list[bytes]) -> list[str]:
    """Look at the arguments, the environment and the open files of every process there is."""
    found: list[str] = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        about = f"{name} {content(Path(f'/proc/{name}/cmdline'))!r}"
        environ = environ_of(int(name))
        if b"\0BATCHRUN_TASK=told\0" not in environ:
            found += traces(f"environment of {about}", environ, forms)
        found += traces(f"arguments of {about}", content(Path(f"/proc/{name}/cmdline")), forms)
        found += traces_in_memory(name, about, forms)
    return found


def traces_in_memory(pid: str, about: str, forms: list[bytes]) -> list[str]:
    """Look at files that have no name, or none any more."""
    found: list[str] = []
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []
    for number in numbers:
        link = f"/proc/{pid}/fd/{number}"
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("/memfd:") or target.endswith(" (deleted)"):
            found += traces(f"{target} of {about}", content(Path(link)), forms)
    return found


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has gone meanwhile
        return b""


@contextmanager
def looking(forms: list[bytes], found: list[str]) -> Iterator[None]:
    """Look at all processes again and again."""
    over = threading.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        while not over.is_set():
            found.extend(traces_in_processes(forms))
            looks += 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert looks > 5


@pytest.mark.parametrize("options", ["-v --debug", "--output ndjson --debug", "--dry-run --diff"])
@pytest.mark.parametrize("is_right", [True, False], ids=["right", "wrong"])
def test_the_password_is_nowhere(anyone: Person, options: str, *, is_right: bool) -> None:
    password = anyone.password if is_right else "quite-another-password"
    forms, found = needles(password), list[str]()
    tasks = [{"sudo": SUDO, **one} for one in TASKS]
    job = f"tasks: {json.dumps(tasks).replace('NAME', anyone.name)}\n"

    with looking(forms, found):
        run = anyone.run(job, *options.split(), "-j", "2", password=password)

    found += traces("standard output", run.stdout, forms)
    found += traces("standard error", run.stderr, forms)
    for top, _, names in os.walk(anyone.dir.parent):
        for path in (Path(top, name) for name in names if name != "pw"):
            found += traces(str(path), content(path), forms)
    assert found == []
    assert run.code == (0 if "--dry-run" in options and is_right else 2)
